import Base
import Policy
import SIPCore
import SIPWire

// REGISTER: RFC 3261 §10.3, step by step, for the users of the configuration and for PBXs that register for
// their trunk.

/// What we grant: RFC 3261 leaves it to the registrar; shorter ones are asked for by phones behind a NAT.
enum RegistrationTimes {
  static let least = 60
  static let usual = 3_600
  static let most = 7_200
  /// How often a phone must show that its flow lives (RFC 5626 §5.4).
  static let flow = 120
}

/// Who registers.
struct Registrant {
  var key: Registrar.UserKey
  var tenant: Int
  /// What the user part of the address of record may be.
  var names: [String]
  var maxContacts: Int
}

/// What a REGISTER came to.
enum RegisterOutcome {
  case done, tooBrief
  case status(Int)
}

extension Shard {
  func receiveRegister(
    _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey, _ arrival: Arrival
  ) {
    guard let network = configuration.network(ofListener: arrival.listener) else {
      return refuse(message, fields, 403, .forbidden, arrival)
    }
    if passesRegister(message, fields, key, network: network, arrival) { return }
    let verdict = authenticate(message, fields, network: network, arrival)
    let registrant: Registrant?
    switch verdict {
    case .user(let user): registrant = self.registrant(user: user)
    case .trunk(let trunk): registrant = self.registrant(trunk: trunk)
    case .challenge(let isStale):
      if !isStale, refusesStranger(message, fields, network: network, arrival) { return }
      return refuseAuthentication(verdict, message, fields, network: network, arrival)
    case .unknown:
      return refuseAuthentication(verdict, message, fields, network: network, arrival)
    }
    if lacksTLS(verdict, arrival) {
      return refuse(message, fields, 403, .insecureTransport, arrival)
    }
    guard let registrant, isAddressOfRecord(message, fields, of: registrant) else {
      return refuse(message, fields, 403, .forbidden, arrival)
    }
    guard let transaction = makeServer(message, fields, key, arrival) else {
      return refuse(message, fields, 503, .capacity, arrival)
    }
    var register = RegisterRequest(message)
    let outcome =
      register.read(message, isTrunk: registrant.key.isTrunk)
      ?? updateBindings(message, fields, register, registrant, arrival)
    answerRegister(transaction, outcome, register, registrant)
  }

  private func registrant(user: Int) -> Registrant? {
    let account = configuration.users[user]
    guard let tenant = configuration.tenant(ofUser: user) else { return nil }
    return Registrant(
      key: Registrar.UserKey(tenant: account.tenant, user: account.name), tenant: tenant,
      names: [account.name, account.extension], maxContacts: account.maxContacts)
  }

  /// Only a PBX registers with us: a carrier has its addresses.
  private func registrant(trunk: Int) -> Registrant? {
    let peer = configuration.trunks[trunk]
    guard peer.kind == .pbx, let authentication = peer.authentication,
      let tenant = configuration.tenant(ofTrunk: trunk)
    else { return nil }
    return Registrant(
      key: Registrar.UserKey(tenant: peer.tenant, user: peer.name, isTrunk: true), tenant: tenant,
      names: [authentication.username, peer.name], maxContacts: ResourceDefaults.maxContacts)
  }

  /// §10.3 steps 3 and 5: the address of record must be the registrant's own.
  private func isAddressOfRecord(
    _ message: borrowing Message, _ fields: RequestFields, of registrant: Registrant
  ) -> Bool {
    guard let uri = SIPURI.parse(message.bytes, fields.to.uri), uri.scheme != .other else {
      return false
    }
    return registrant.names.contains(Escapes.string(message.bytes, uri.user))
  }

  // MARK: Bindings

  private func updateBindings(
    _ message: borrowing Message, _ fields: RequestFields, _ register: RegisterRequest,
    _ registrant: Registrant, _ arrival: Arrival
  ) -> RegisterOutcome {
    let callID = message.bytes.string(fields.callID.first(256))
    let cseq = fields.cseq.number
    let known = registrar.entries(registrant.key)
    // Step 6: "*" removes everything. Step 7: all or nothing.
    if register.isWildcard {
      guard known.allSatisfy({ isNewer($0.binding, callID, cseq) }) else { return .status(500) }
      for entry in known { removeBinding(entry.serial) }
      return .done
    }
    for contact in register.contacts
    where known.contains(where: {
      contact.isSame(as: $0.binding) && !isNewer($0.binding, callID, cseq)
    }) {
      return .status(500)
    }
    let agent = message.first(.userAgent).map { message.bytes.string($0.first(128)) } ?? ""
    for contact in register.contacts {
      var binding = Binding(
        tenant: registrant.key.tenant, user: registrant.key.user, contact: contact.uri,
        source: arrival.source, listener: arrival.listener, callID: callID, cseq: cseq,
        expires: now + .seconds(contact.expires), userAgent: agent)
      binding.isTrunk = registrant.key.isTrunk
      binding.preference = contact.preference
      binding.path = register.path
      binding.instance = contact.instance
      binding.flow = contact.flow
      binding.isNumberBlock = contact.isNumberBlock
      guard put(binding, for: contact, registrant) else { return .status(503) }
    }
    return .done
  }

  private func isNewer(_ binding: Binding, _ callID: String, _ cseq: UInt32) -> Bool {
    binding.callID != callID || cseq > binding.cseq
  }

  /// False: there is no room.
  func put(
    _ binding: Binding, for contact: RequestedContact, _ registrant: Registrant
  ) -> Bool {
    let known = registrar.entries(registrant.key)
    let replaced = known.filter { contact.isSame(as: $0.binding) }
    if contact.expires > 0, replaced.isEmpty {
      if known.count >= registrant.maxContacts, let oldest = known.last {
        // A phone that comes back with another port must not be locked out by its former self.
        removeBinding(oldest.serial)
      } else if registrar.isFull {
        return false
      }
    }
    let changed = replaced.contains { $0.binding.callID != binding.callID }
    for old in replaced {
      let isRefresh =
        contact.expires > 0 && old.binding.contact == binding.contact
        && old.binding.flow == binding.flow
      removeBinding(old.serial, silently: isRefresh, keepsInstance: contact.expires > 0 && !changed)
    }
    guard contact.expires > 0 else { return true }
    keep(binding, registrant.key)
    tell(.bindingAdded(binding))
    if !detached.isEmpty { attach(binding, registrant.key) }
    return true
  }

  private func keep(_ binding: Binding, _ key: Registrar.UserKey) {
    let serial = registrar.put(binding, for: key)
    admission.registered(from: binding.source.ip)
    let timer = wheel.schedule(
      at: binding.expires, kind: ShardTimer.binding.rawValue, owner: serial)
    registrar.setTimer(timer, serial: serial)
  }

  func removeBinding(
    _ serial: UInt64, silently: Bool = false, keepsInstance: Bool = false
  ) {
    guard var entry = registrar.remove(serial: serial) else { return }
    admission.unregistered(from: entry.binding.source.ip)
    wheel.cancel(&entry.timer)
    if !keepsInstance { forgetInstance(entry.binding) }
    if !silently { tell(.bindingRemoved(entry.binding)) }
  }

  func expireBinding(_ serial: UInt64) {
    guard let entry = registrar.remove(serial: serial) else { return }
    admission.unregistered(from: entry.binding.source.ip)
    forgetInstance(entry.binding)
    tell(.bindingRemoved(entry.binding))
  }

  /// After a restart; expiries are on this process's clock already, what has run out is left out.
  func restore(_ bindings: [Binding]) {
    for binding in bindings where binding.expires > now && !registrar.isFull {
      // The connection that it was registered by ended with the process.
      if isReliable(binding.listener) {
        tell(.bindingRemoved(binding))
        continue
      }
      keep(
        binding,
        Registrar.UserKey(tenant: binding.tenant, user: binding.user, isTrunk: binding.isTrunk))
    }
  }

  // MARK: The answer

  /// `lines`: header fields of a PBX that has decided (see Shard+Passing).
  func answerRegister(
    _ transaction: ServerTransaction, _ outcome: RegisterOutcome, _ register: RegisterRequest,
    _ registrant: Registrant, lines: [[UInt8]] = []
  ) {
    let status: Int
    switch outcome {
    case .done: status = 200
    case .tooBrief: status = 423
    case .status(let other): status = other
    }
    outbox.datagrams.begin()
    writeStatusLine(status, into: &outbox.datagrams)
    outbox.datagrams.append(blocks.bytes(transaction.head))
    outbox.datagrams.append(";tag=")
    mint.write(
      OwnerToken(kind: .reply, fork: 0, owner: transaction.handle), into: &outbox.datagrams)
    outbox.datagrams.append("\r\n")
    if case .tooBrief = outcome {
      outbox.datagrams.append("Min-Expires: ")
      outbox.datagrams.append(decimal: RegistrationTimes.least)
      outbox.datagrams.append("\r\n")
    }
    if status == 420 { outbox.datagrams.append("Unsupported: path\r\n") }
    if status == 503, lines.isEmpty { outbox.datagrams.append(Cause.capacity.retryHeader) }
    if status == 200 { writeBindings(register, registrant) }
    for line in lines { outbox.datagrams.append(line) }
    writeServer(into: &outbox.datagrams)
    outbox.datagrams.append("Content-Length: 0\r\n\r\n")
    commit(response: status, of: transaction)
  }

  /// Step 8: every current contact with what is left of its time, and what the extensions add.
  private func writeBindings(_ register: RegisterRequest, _ registrant: Registrant) {
    for entry in registrar.entries(registrant.key) {
      let binding = entry.binding
      outbox.datagrams.append("Contact: <")
      outbox.datagrams.append(binding.contact)
      outbox.datagrams.append(">;expires=")
      outbox.datagrams.append(decimal: max(0, (binding.expires - now).wholeSeconds))
      if binding.preference != 1_000 {
        outbox.datagrams.append(";q=0.")
        outbox.datagrams.append(Preference.digits(binding.preference))
      }
      if !binding.instance.isEmpty {
        outbox.datagrams.append(";+sip.instance=\"<")
        outbox.datagrams.append(binding.instance)
        outbox.datagrams.append(">\"")
        if binding.flow != 0 {
          outbox.datagrams.append(";reg-id=")
          outbox.datagrams.append(decimal: Int(binding.flow))
        }
        if register.supportsGRUU { writeGRUUs(binding, registrant) }
      }
      outbox.datagrams.append("\r\n")
    }
    if !register.path.isEmpty {
      // RFC 3327 §5.3.
      outbox.datagrams.append("Path: ")
      outbox.datagrams.append(register.path)
      outbox.datagrams.append("\r\n")
    }
    if register.isOutbound {
      outbox.datagrams.append("Require: outbound\r\n")
      if register.isFirstHop {
        outbox.datagrams.append("Flow-Timer: ")
        outbox.datagrams.append(decimal: RegistrationTimes.flow)
        outbox.datagrams.append("\r\n")
      }
    }
  }
}
