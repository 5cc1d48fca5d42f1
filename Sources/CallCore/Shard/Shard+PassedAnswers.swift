import Base
import Policy
import SIPCore
import SIPWire

// What became of a REGISTER that was carried for a phone: the PBX's answer, its next address, or none.

extension Shard {
  func passedAnswered(_ passed: PassedRegister, _ message: borrowing Message) {
    let status = message.status
    if status == 503, passed.chosen + 1 < passed.ways.count { return tryNext(passed) }
    counters.passing.answered &+= 1
    if status != 503, let watched = passed.ways[passed.chosen].watched { note(watched, .answered) }
    if [401, 403, 407].contains(status) { passedRefused(passed, message) }
    switch status {
    case 200..<300: passedAccepted(passed, message)
    case 300..<400:
      // A PBX that sends its phones elsewhere is not the one that keeps them.
      finish(passed, 503, .registrarUnavailable, [comeBackLine()])
    case 401, 407:
      finish(passed, status, nil, lines(of: [.wwwAuthenticate, .proxyAuthenticate], in: message))
    case 423: finish(passed, status, nil, line("Min-Expires", message.minExpires))
    case 503:
      let told = line("Retry-After", message.retryAfter)
      finish(passed, status, .registrarUnavailable, told.isEmpty ? [comeBackLine()] : told)
    default: finish(passed, status, nil, line("Retry-After", message.retryAfter))
    }
  }

  /// The number alone: what may stand behind it is free text of the PBX's.
  private func line(_ name: String, _ seconds: UInt32?) -> [[UInt8]] {
    seconds.map { [Array("\(name): \($0)\r\n".utf8)] } ?? []
  }

  func passedAccepted(_ passed: PassedRegister, _ message: borrowing Message) {
    guard let passing = passed.peer.passing else { return }
    let request = passed.request
    let registrant = request.registrant
    if request.register.isWildcard {
      for entry in registrar.entries(registrant.key) { removeBinding(entry.serial) }
    }
    var hasRoom = true
    for contact in request.contacts {
      var requested = contact.requested
      let kept = requested.expires > 0 ? self.kept(contact, message) : 0
      requested.expires = granted(requested, kept: .seconds(kept), passing, request.arrival)
      var binding = Binding(
        tenant: registrant.key.tenant, user: registrant.key.user, contact: requested.uri,
        source: request.arrival.source, listener: request.arrival.listener, callID: request.callID,
        cseq: request.cseq, expires: now + .seconds(requested.expires),
        userAgent: request.userAgent)
      binding.preference = requested.preference
      binding.path = request.register.path
      binding.instance = requested.instance
      binding.passed = PassedContact(
        trunk: passed.peer.name, token: contact.token, since: now, kept: now + .seconds(kept))
      hasRoom = put(binding, for: requested, registrant) && hasRoom
    }
    guard hasRoom else {
      counters.passing.atLimit &+= 1
      return finish(passed, 503, .capacity, [comeBackLine()])
    }
    close(passed)
    answerRegister(
      passed.server, .done, request.register, registrant,
      lines: lines(of: [.authenticationInfo], in: message))
  }

  /// §10.2.4: for how long the PBX keeps our Contact, known by its user part.
  func kept(_ contact: PassedRegister.Contact, _ message: borrowing Message) -> Int {
    let bytes = message.bytes
    let token = Array(contact.token.utf8)
    var values = message.values(of: .contact)
    while let value = values.next(bytes) {
      guard let listed = NameAddr.parse(bytes, value), let uri = SIPURI.parse(bytes, listed.uri),
        bytes.extracting(uri.user).equals(token.rawSpan),
        let expires = listed.param("expires", in: bytes).flatMap({ message.seconds($0) })
      else { continue }
      return Int(min(expires, 7 * 86_400))
    }
    return message.expires.map { Int(min($0, 7 * 86_400)) } ?? contact.asked
  }

  /// ICMP, a connection that did not come about, or 64·T1 without an answer.
  func passedUnanswered(_ passed: PassedRegister, isTransport: Bool) {
    if let watched = passed.ways[passed.chosen].watched {
      note(watched, .failed(isTransport ? .unreachable : .silent, isProbe: false))
    }
    guard passed.chosen + 1 < passed.ways.count else {
      counters.passing.unanswered &+= 1
      return finish(
        passed, isTransport ? 503 : 504, .registrarUnavailable, [comeBackLine()])
    }
    tryNext(passed)
  }

  /// The PBX's address has had its time.
  func passingDue(_ serial: UInt64) {
    guard let passed = passedRegisters[serial] else { return }
    passed.timer = .none
    let transaction = passed.transaction
    passed.transaction = nil
    transaction?.sender = .none
    if let transaction { remove(transaction) }
    passedUnanswered(passed, isTransport: false)
  }

  func tryNext(_ passed: PassedRegister) {
    wheel.cancel(&passed.timer)
    passed.transaction?.sender = .none
    passed.transaction = nil
    passed.chosen += 1
    send(passed)
  }

  func close(_ passed: PassedRegister) {
    wheel.cancel(&passed.timer)
    passed.transaction?.sender = .none
    passed.transaction = nil
    passedRegisters[passed.serial] = nil
  }

  func finish(
    _ passed: PassedRegister, _ status: Int, _ cause: Cause?, _ lines: [[UInt8]]
  ) {
    close(passed)
    let request = passed.request
    if let cause { countRefusal(.register, status, cause, request.arrival) }
    answerRegister(
      passed.server, .status(status), request.register, request.registrant, lines: lines)
  }
}
