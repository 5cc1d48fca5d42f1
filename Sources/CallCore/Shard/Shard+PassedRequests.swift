import Base
import Policy
import SIPCore
import SIPWire

// A phone's REGISTER on its way to the PBX that keeps it: by which contacts of ours, to which address, in what words.

extension Shard {
  func addContacts(
    to request: inout PassedRequest, _ peer: Trunk, _ passing: RegistrationPassing
  ) {
    let known = registrar.entries(request.registrant.key)
    for contact in request.register.contacts {
      let old = known.first { contact.isSame(as: $0.binding) }?.binding.passed
      let asked =
        contact.expires > 0 && isBehindNAT(contact, request.arrival)
        ? max(contact.expires, passing.expires.wholeSeconds) : contact.expires
      request.contacts.append(
        PassedRegister.Contact(
          requested: contact,
          token: old.flatMap { $0.trunk == peer.name ? $0.token : nil }
            ?? token(of: contact, request.registrant),
          asked: asked))
    }
  }

  /// The name of a phone's contact at the PBX: nobody can make one up, and the same phone has the same.
  func token(of contact: RequestedContact, _ registrant: Registrant) -> String {
    let owner = Array(registrant.key.user.utf8)
    let own = Array((contact.instance.isEmpty ? contact.uri : contact.instance).utf8)
    let key = hash.key(owner.rawSpan, own.rawSpan, seed: 0x701)
    var text = ""
    body.begin()
    mint.write(
      OwnerToken(
        kind: .contact, fork: 0,
        owner: SlabHandle(
          slot: UInt32(truncatingIfNeeded: key.low >> 32),
          generation: UInt32(truncatingIfNeeded: key.low))), into: &body)
    body.withOpenBytes { text = $0.string(ByteRange(0, $0.byteCount)) }
    body.abandon()
    return text
  }

  func carry(
    _ request: PassedRequest, _ trunk: Int, _ peer: Trunk, _ message: borrowing Message,
    _ fields: RequestFields, _ key: HashKey
  ) {
    let isNew = request.contacts.contains { contact in
      contact.asked > 0
        && !registrar.entries(request.registrant.key).contains {
          contact.requested.isSame(as: $0.binding)
        }
    }
    guard passedRegisters.count < settings.limits.passedRegistrations,
      !(isNew && registrar.isFull)
    else {
      counters.passing.atLimit &+= 1
      return sendBack(message, fields, .capacity, request.arrival)
    }
    let ways = ways(to: trunk, peer)
    guard !ways.isEmpty else {
      counters.passing.unanswered &+= 1
      return sendBack(message, fields, .registrarUnavailable, request.arrival)
    }
    guard let server = makeServer(message, fields, key, request.arrival) else {
      return sendBack(message, fields, .capacity, request.arrival)
    }
    lastPassed &+= 1
    let passed = PassedRegister(
      serial: lastPassed, server: server, peer: peer, request, ways: ways)
    passedRegisters[passed.serial] = passed
    send(passed)
  }

  /// Nothing is kept of it; the phone comes back in a while, not with all the others.
  func sendBack(
    _ message: borrowing Message, _ fields: RequestFields, _ cause: Cause, _ arrival: Arrival
  ) {
    countRefusal(message.method, 503, cause, arrival)
    beginStateless(message, fields, 503, arrival)
    outbox.datagrams.append(comeBackLine())
    endStateless(message, fields, arrival)
  }

  func comeBackLine() -> [UInt8] {
    let range = PassingLimits.comeBack
    return Array(
      "Retry-After: \(range.lowerBound + random.next(below: range.count))\r\n".utf8)
  }

  /// The PBX's addresses that are not known to be dead, the well ones first.
  func ways(to trunk: Int, _ peer: Trunk) -> [PassedRegister.Way] {
    guard let network = configuration.network(ofTrunk: trunk) else { return [] }
    var well: [PassedRegister.Way] = []
    var doubtful: [PassedRegister.Way] = []
    for target in peer.targets {
      for address in known(of: target, peer, network: network) {
        guard
          let listener = configuration.listener(
            ofNetwork: network, family: address.ip.family, transport: peer.transport.wire)
        else { continue }
        let watched = self.target(ofTrunk: peer, address)
        let way = PassedRegister.Way(
          address: address, listener: listener, security: peer.security(of: target),
          watched: watched)
        switch watched?.health.state {
        case nil, .usable?: well.append(way)
        case .doubtful?: doubtful.append(way)
        case .down?, .resting?: break
        }
      }
    }
    return Array((well + doubtful).prefix(PassingLimits.tries))
  }

  func send(_ passed: PassedRegister) {
    let way = passed.ways[passed.chosen]
    var none: [TransactionEffect] = []
    let transaction = ClientTransaction(
      machine: .nonInvite(NonInviteClientTransaction(timers: timers, into: &none)),
      method: .register, purpose: .register, cseq: passed.request.cseq, destination: way.address,
      listener: way.listener, connectPort: isReliable(way.listener) ? way.address.port : 0,
      request: .none)
    guard let handle = clients.insert(transaction) else {
      counters.passing.atLimit &+= 1
      return finish(passed, 503, .capacity, [comeBackLine()])
    }
    transaction.handle = handle
    transaction.sender = .passed(passed)
    passed.transaction = transaction
    let isLast = passed.chosen + 1 == passed.ways.count
    passed.timer = wheel.schedule(
      at: now + (isLast ? PassingLimits.lastPatience : PassingLimits.patience),
      kind: ShardTimer.passing.rawValue, owner: passed.serial)
    if let security = way.security { secure(security, way.listener, way.address) }
    write(passed, transaction)
    launch(transaction)
  }

  func write(_ passed: PassedRegister, _ transaction: ClientTransaction) {
    let request = passed.request
    outbox.datagrams.begin()
    outbox.datagrams.append("REGISTER ")
    // The digest is over it (RFC 3261 §22.4).
    outbox.datagrams.append(request.requestURI)
    outbox.datagrams.append(" SIP/2.0\r\n")
    writeVia(transaction, into: &outbox.datagrams)
    outbox.datagrams.append("Max-Forwards: ")
    outbox.datagrams.append(decimal: request.maxForwards)
    outbox.datagrams.append("\r\nFrom: <sip:")
    outbox.datagrams.append(request.registrant.key.user)
    outbox.datagrams.append(">;tag=")
    outbox.datagrams.append(hex: request.identity.low ^ request.identity.high, digits: 16)
    outbox.datagrams.append("\r\nTo: <sip:")
    outbox.datagrams.append(request.registrant.key.user)
    outbox.datagrams.append(">\r\nCall-ID: ")
    outbox.datagrams.append(hex: request.identity.low, digits: 16)
    outbox.datagrams.append(hex: request.identity.high, digits: 16)
    outbox.datagrams.append("\r\nCSeq: ")
    outbox.datagrams.append(decimal: Int(request.cseq))
    outbox.datagrams.append(" REGISTER\r\n")
    writeContacts(passed, transaction.listener)
    for line in request.credentials { outbox.datagrams.append(line) }
    writeUserAgent()
    writeBody(present: false, into: &outbox.datagrams)
  }

  func writeContacts(_ passed: PassedRegister, _ listener: ListenerIndex) {
    if passed.request.register.isWildcard {
      return outbox.datagrams.append("Contact: *\r\nExpires: 0\r\n")
    }
    for contact in passed.request.contacts {
      outbox.datagrams.append("Contact: <sip:")
      outbox.datagrams.append(contact.token)
      outbox.datagrams.append("@")
      writeOurAddress(listener, into: &outbox.datagrams)
      outbox.datagrams.append(transport(listener).parameter)
      outbox.datagrams.append(">;expires=")
      outbox.datagrams.append(decimal: contact.asked)
      if contact.requested.preference != 1_000 {
        outbox.datagrams.append(";q=0.")
        outbox.datagrams.append(Preference.digits(contact.requested.preference))
      }
      outbox.datagrams.append("\r\n")
    }
    guard let first = passed.request.contacts.first else { return }
    outbox.datagrams.append("Expires: ")
    outbox.datagrams.append(decimal: first.asked)
    outbox.datagrams.append("\r\n")
  }
}
