import Base
import Policy
import SIPCore
import SIPWire

// REGISTER: RFC 3261 §10.3, step by step, for the users of the configuration.

/// What we grant: RFC 3261 leaves it to the registrar; shorter ones are asked for by phones behind a NAT.
enum RegistrationTimes {
  static let least = 60
  static let usual = 3_600
  static let most = 7_200
}

extension Shard {
  func receiveRegister(
    _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey, _ arrival: Arrival
  ) {
    guard let network = configuration.network(ofListener: arrival.listener) else {
      return refuse(message, fields, 403, .forbidden, arrival)
    }
    let verdict = authenticate(message, fields, network: network, arrival)
    guard case .user(let user) = verdict else {
      return refuseAuthentication(verdict, message, fields, network: network, arrival)
    }
    let account = configuration.users[user]
    guard registersItself(message, fields, account) else {
      return refuse(message, fields, 403, .forbidden, arrival)
    }
    guard let transaction = makeServer(message, fields, key, arrival) else {
      return refuse(message, fields, 503, .capacity, arrival)
    }
    let outcome = updateBindings(message, fields, account, arrival)
    answerRegister(transaction, outcome, account)
  }

  /// §10.3 step 3 and 5: the address of record must be the user's own: name or extension.
  private func registersItself(
    _ message: borrowing Message, _ fields: RequestFields, _ account: User
  ) -> Bool {
    guard let uri = SIPURI.parse(message.bytes, fields.to.uri), uri.scheme != .other else {
      return false
    }
    let name = Escapes.string(message.bytes, uri.user)
    return name == account.name || name == account.extension
  }

  private enum RegisterOutcome { case done, status(Int), tooBrief }

  private func updateBindings(
    _ message: borrowing Message, _ fields: RequestFields, _ account: User, _ arrival: Arrival
  ) -> RegisterOutcome {
    let bytes = message.bytes
    let userKey = Registrar.UserKey(tenant: account.tenant, user: account.name)
    let callID = bytes.string(fields.callID.first(256))
    let header = message.expires.map { Int($0) }
    var values = message.values(of: .contact)
    var requested: [(uri: String, expires: Int)] = []
    var isWildcard = false
    while let value = values.next(bytes) {
      if NameAddr.isWildcard(bytes, value) {
        isWildcard = true
        continue
      }
      guard let contact = NameAddr.parse(bytes, value),
        let uri = SIPURI.parse(bytes, contact.uri), uri.scheme == .sip,
        contact.uri.count <= 512, requested.count < 8
      else { return .status(400) }
      let own = contact.param("expires", in: bytes).flatMap { bytes.decimal($0) }
      let wanted = own.map { Int(clamping: $0) } ?? header ?? RegistrationTimes.usual
      if wanted > 0, wanted < RegistrationTimes.least { return .tooBrief }
      requested.append(
        (bytes.string(contact.uri), min(wanted, RegistrationTimes.most)))
    }
    // Step 6: "*" stands alone and only to remove everything.
    if isWildcard {
      guard requested.isEmpty, header == 0 else { return .status(400) }
      for entry in registrar.entries(userKey) {
        guard isNewer(entry.binding, callID, fields.cseq.number) else { return .status(500) }
      }
      for entry in registrar.entries(userKey) { removeBinding(entry.serial) }
      return .done
    }
    // Step 7: all or nothing.
    for (uri, _) in requested {
      if let known = registrar.entries(userKey).first(where: {
        sameContact($0.binding.contact, uri)
      }),
        !isNewer(known.binding, callID, fields.cseq.number)
      {
        return .status(500)
      }
    }
    for (uri, expires) in requested {
      guard
        put(
          uri, expires, userKey, account, callID: callID, cseq: fields.cseq.number,
          agent: message.first(.userAgent).map { bytes.string($0.first(128)) } ?? "", arrival)
      else { return .status(503) }
    }
    return .done
  }

  private func isNewer(_ binding: Binding, _ callID: String, _ cseq: UInt32) -> Bool {
    binding.callID != callID || cseq > binding.cseq
  }

  /// §19.1.4, on the bytes of both.
  private func sameContact(_ a: String, _ b: String) -> Bool {
    if a == b { return true }
    let left = Array(a.utf8)
    let right = Array(b.utf8)
    let leftBytes = left.rawSpan
    let rightBytes = right.rawSpan
    guard let first = SIPURI.parse(leftBytes, ByteRange(0, left.count)),
      let second = SIPURI.parse(rightBytes, ByteRange(0, right.count))
    else { return false }
    return first.equals(second, in: leftBytes, otherIn: rightBytes)
  }

  private func put(
    _ uri: String, _ expires: Int, _ key: Registrar.UserKey, _ account: User, callID: String,
    cseq: UInt32, agent: String, _ arrival: Arrival
  ) -> Bool {
    let known = registrar.entries(key)
    if let old = known.first(where: { sameContact($0.binding.contact, uri) }) {
      removeBinding(old.serial, silently: expires > 0)
    } else if expires > 0, known.count >= account.maxContacts, let oldest = known.last {
      // A phone that comes back with another port must not be locked out by its former self.
      removeBinding(oldest.serial)
    }
    guard expires > 0 else { return true }
    guard !registrar.isFull else { return false }
    let binding = Binding(
      tenant: key.tenant, user: key.user, contact: uri, source: arrival.source,
      listener: arrival.listener, callID: callID, cseq: cseq, expires: now + .seconds(expires),
      userAgent: agent)
    keep(binding, key)
    tell(.bindingAdded(binding))
    return true
  }

  private func keep(_ binding: Binding, _ key: Registrar.UserKey) {
    let serial = registrar.put(binding, for: key)
    let timer = wheel.schedule(
      at: binding.expires, kind: ShardTimer.binding.rawValue, owner: serial)
    registrar.setTimer(timer, serial: serial)
  }

  private func removeBinding(_ serial: UInt64, silently: Bool = false) {
    guard var entry = registrar.remove(serial: serial) else { return }
    wheel.cancel(&entry.timer)
    if !silently { tell(.bindingRemoved(entry.binding)) }
  }

  func expireBinding(_ serial: UInt64) {
    guard let entry = registrar.remove(serial: serial) else { return }
    tell(.bindingRemoved(entry.binding))
  }

  /// After a restart; expiries are on this process's clock already, what has run out is left out.
  func restore(_ bindings: [Binding]) {
    for binding in bindings where binding.expires > now && !registrar.isFull {
      keep(binding, Registrar.UserKey(tenant: binding.tenant, user: binding.user))
    }
  }

  /// Step 8: every current contact with what is left of its time.
  private func answerRegister(
    _ transaction: ServerTransaction, _ outcome: RegisterOutcome, _ account: User
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
    if status == 423 {
      outbox.datagrams.append("Min-Expires: ")
      outbox.datagrams.append(decimal: RegistrationTimes.least)
      outbox.datagrams.append("\r\n")
    }
    if status == 200 {
      let key = Registrar.UserKey(tenant: account.tenant, user: account.name)
      for entry in registrar.entries(key) {
        outbox.datagrams.append("Contact: <")
        outbox.datagrams.append(entry.binding.contact)
        outbox.datagrams.append(">;expires=")
        outbox.datagrams.append(decimal: max(0, (entry.binding.expires - now).wholeSeconds))
        outbox.datagrams.append("\r\n")
      }
    }
    writeServer(into: &outbox.datagrams)
    outbox.datagrams.append("Content-Length: 0\r\n\r\n")
    commit(response: status, of: transaction)
  }
}
