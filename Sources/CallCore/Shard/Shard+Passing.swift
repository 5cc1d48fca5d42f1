import Base
import Policy
import SIPCore
import SIPWire

// Registrations that a PBX behind us keeps (decision record 0026). A phone's REGISTER becomes one of ours: with a
// Contact of ours for each contact of the phone, and with the phone's credentials as they came, since they prove the
// phone to the PBX and to nobody else (RFC 3261 §22.1).
//
//     phone                     demarc                      PBX
//      │ REGISTER Contact: phone  │ REGISTER Contact: token@us │
//      │ ───────────────────────▶ │ ─────────────────────────▶ │
//      │ 401 challenge of the PBX │ 401                        │
//      │ ◀─────────────────────── │ ◀───────────────────────── │
//      │ REGISTER, Authorization  │ REGISTER, Authorization    │
//      │ ───────────────────────▶ │ ─────────────────────────▶ │
//      │ 200 expires=60           │ 200 expires=3600           │
//      │ ◀─────────────────────── │ ◀───────────────────────── │
//      │ REGISTER (a refresh)     │                            │
//      │ ───────────────────────▶ │  answered here until half  │
//      │ 200 expires=60           │  of the hour is over       │
//      │ ◀─────────────────────── │                            │
//
// Nothing is kept for a phone before the PBX has accepted it: Call-ID, tag and Contact are made from the phone's by
// the process's secret, so that the request with credentials follows the one without (§22.2), and a phone has one
// Contact at the PBX, however often it asks.

/// Bounds of what a phone or a PBX can make us carry.
private enum PassingLimits {
  static let uriBytes = 256
  static let userBytes = 128
  static let fields = 8
  static let fieldBytes = 2_048
  /// Addresses of the PBX that one REGISTER is sent to.
  static let tries = 3
  /// How long an address is waited for, where another is left and where none is: the phone gives up after 32 s.
  static let patience = Interval.seconds(4)
  static let lastPatience = Interval.seconds(10)
  /// What must be left of the PBX's time when a phone's own runs out.
  static let margin = Interval.seconds(10)
  /// When a phone is to come back; drawn, so that not all come at once.
  static let comeBack = 10..<30
}

/// A phone's REGISTER on its way to the PBX.
final class PassedRegister {
  struct Way {
    var address: SocketAddress
    var listener: ListenerIndex
    var security: TrunkSecurity?
    var watched: TrunkTarget?
  }
  struct Contact {
    var requested: RequestedContact
    var token: String
    /// Asked of the PBX, in seconds.
    var asked: Int
  }

  let serial: UInt64
  let server: ServerTransaction
  let peer: Trunk
  let register: RegisterRequest
  let registrant: Registrant
  let arrival: Arrival
  let callID: String
  let cseq: UInt32
  let userAgent: String
  let requestURI: [UInt8]
  let maxForwards: Int
  /// Of our request: the same for each REGISTER of the phone.
  let identity: HashKey
  let credentials: [[UInt8]]
  let contacts: [Contact]
  let ways: [Way]
  var chosen = 0
  var transaction: ClientTransaction?
  var timer = TimerID.none

  init(
    serial: UInt64, server: ServerTransaction, peer: Trunk, _ request: PassedRequest,
    ways: [Way]
  ) {
    self.serial = serial
    self.server = server
    self.peer = peer
    self.ways = ways
    register = request.register
    registrant = request.registrant
    arrival = request.arrival
    callID = request.callID
    cseq = request.cseq
    userAgent = request.userAgent
    requestURI = request.requestURI
    maxForwards = request.maxForwards
    identity = request.identity
    credentials = request.credentials
    contacts = request.contacts
  }
}

/// What a phone's REGISTER says, read for passing it on.
struct PassedRequest {
  var register: RegisterRequest
  var registrant: Registrant
  var arrival: Arrival
  var callID: String
  var cseq: UInt32
  var userAgent: String
  var requestURI: [UInt8]
  var maxForwards: Int
  var identity: HashKey
  var credentials: [[UInt8]]
  var contacts: [PassedRegister.Contact] = []
}

extension Shard {
  /// True: the REGISTER is for a PBX that keeps its phones' registrations, and has been dealt with.
  func passesRegister(
    _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey, network: Int,
    _ arrival: Arrival
  ) -> Bool {
    guard let trunk = passingTrunk(message) else { return false }
    let peer = configuration.trunks[trunk]
    guard let passing = peer.passing, configuration.passes(trunk, network: network),
      let registrant = registrant(passedTo: trunk, passing, message, fields)
    else {
      refuse(message, fields, 403, .forbidden, arrival)
      return true
    }
    var register = RegisterRequest(message)
    var outcome = register.read(message, isTrunk: false)
    register.leaveOutExtensions()
    var request = read(message, fields, register, registrant, arrival)
    outcome = outcome ?? olderThanKnown(request)
    if outcome == nil, refreshesHere(request, peer, passing) {
      counters.passing.answeredHere &+= 1
      outcome = .done
    }
    if let outcome {
      guard let transaction = makeServer(message, fields, key, arrival) else {
        refuse(message, fields, 503, .capacity, arrival)
        return true
      }
      answerRegister(transaction, outcome, register, registrant)
      return true
    }
    if request.credentials.isEmpty, refusesStranger(message, fields, network: network, arrival) {
      return true
    }
    addContacts(to: &request, peer, passing)
    carry(request, trunk, peer, message, fields, key)
    return true
  }

  /// The trunk whose phones' domain the request is for.
  func passingTrunk(_ message: borrowing Message) -> Int? {
    guard configuration.passesRegistrations,
      let uri = SIPURI.parse(message.bytes, message.requestURI), uri.scheme != .other
    else { return nil }
    return configuration.passing(domain: message.bytes.string(uri.host.first(253)))
  }

  /// §10.3 step 5: the address of record must be of the domain.
  private func registrant(
    passedTo trunk: Int, _ passing: RegistrationPassing, _ message: borrowing Message,
    _ fields: RequestFields
  ) -> Registrant? {
    guard message.requestURI.count <= PassingLimits.uriBytes,
      let tenant = configuration.tenant(ofTrunk: trunk),
      let address = addressOfRecord(message.bytes, fields.to.uri),
      configuration.passing(domain: address.domain) == trunk
    else { return nil }
    return Registrant(
      key: Registrar.UserKey(
        tenant: configuration.trunks[trunk].tenant, user: "\(address.user)@\(passing.domain)"),
      tenant: tenant, names: [], maxContacts: passing.maxContacts)
  }

  /// User, as written, and domain of a phone's address.
  func addressOfRecord(_ bytes: RawSpan, _ range: ByteRange) -> (user: String, domain: String)? {
    guard let uri = SIPURI.parse(bytes, range), uri.scheme == .sip || uri.scheme == .sips,
      !uri.user.isEmpty, uri.user.count <= PassingLimits.userBytes
    else { return nil }
    return (bytes.string(uri.user), bytes.string(uri.host.first(253)))
  }

  private func read(
    _ message: borrowing Message, _ fields: RequestFields, _ register: RegisterRequest,
    _ registrant: Registrant, _ arrival: Arrival
  ) -> PassedRequest {
    let bytes = message.bytes
    let callID = bytes.string(fields.callID.first(256))
    let owner = Array(registrant.key.user.utf8)
    let identity = hash.extend(
      hash.key(owner.rawSpan, seed: 0x700), bytes.extracting(fields.callID))
    return PassedRequest(
      register: register, registrant: registrant, arrival: arrival, callID: callID,
      cseq: fields.cseq.number,
      userAgent: message.first(.userAgent).map { bytes.string($0.first(128)) } ?? "",
      requestURI: bytes.array(message.requestURI),
      maxForwards: max((message.maxForwards ?? 70) - 1, 1), identity: identity,
      credentials: lines(of: [.authorization, .proxyAuthorization], in: message))
  }

  /// Header fields as they came, each a line: what a phone and a PBX prove to one another is theirs.
  func lines(of ids: [HeaderID], in message: borrowing Message) -> [[UInt8]] {
    var lines: [[UInt8]] = []
    for id in ids {
      var next = message.next(id, after: -1)
      while let at = next, lines.count < PassingLimits.fields {
        next = message.next(id, after: at)
        let value = message.header(at).value
        guard value.count <= PassingLimits.fieldBytes else { continue }
        lines.append(
          Array("\(id.name): ".utf8) + message.bytes.array(value) + [0x0d, 0x0a])
      }
    }
    return lines
  }

  // MARK: Answered here

  /// §10.3 step 7.
  private func olderThanKnown(_ request: PassedRequest) -> RegisterOutcome? {
    let known = registrar.entries(request.registrant.key)
    let isOlder = known.contains { entry in
      (request.register.isWildcard
        || request.register.contacts.contains { $0.isSame(as: entry.binding) })
        && entry.binding.callID == request.callID && entry.binding.cseq >= request.cseq
    }
    return isOlder ? .status(500) : nil
  }

  /// A refresh by a phone that is where it was, while the PBX keeps its contact for long enough. It asks for nothing
  /// that it has not proved before, so its credentials are not looked at.
  private func refreshesHere(
    _ request: PassedRequest, _ peer: Trunk, _ passing: RegistrationPassing
  ) -> Bool {
    let register = request.register
    guard !register.isWildcard, !register.contacts.isEmpty else { return false }
    let known = registrar.entries(request.registrant.key)
    var refreshed: [(Binding, RequestedContact)] = []
    for var contact in register.contacts {
      guard contact.expires > 0,
        var binding = known.first(where: { contact.isSame(as: $0.binding) })?.binding,
        let passed = binding.passed, isSame(binding, contact, request)
      else { return false }
      contact.expires = granted(contact, kept: passed.kept - now, passing, request.arrival)
      guard isFresh(passed, for: .seconds(contact.expires), peer) else { return false }
      binding.cseq = request.cseq
      binding.expires = now + .seconds(contact.expires)
      refreshed.append((binding, contact))
    }
    for (binding, contact) in refreshed where !put(binding, for: contact, request.registrant) {
      return false
    }
    return true
  }

  private func isSame(
    _ binding: Binding, _ contact: RequestedContact, _ request: PassedRequest
  ) -> Bool {
    binding.contact == contact.uri && binding.source == request.arrival.source
      && binding.listener == request.arrival.listener && binding.callID == request.callID
      && binding.preference == contact.preference && binding.path == request.register.path
  }

  /// The PBX keeps it, has not been away since, and will still keep it when the phone's time runs out.
  private func isFresh(_ passed: PassedContact, for time: Interval, _ peer: Trunk) -> Bool {
    guard passed.trunk == peer.name, passed.since > .zero, now < passed.renew,
      passed.since >= passingRenewed[seats.seat(of: peer)] ?? .zero
    else { return false }
    return now + time + PassingLimits.margin <= passed.kept
  }

  /// What the phone is granted, in seconds: not more than the PBX's time, and behind a NAT not more than its mapping
  /// is sure to live (RFC 5626 §3.5 names 30 s to 2 min for UDP).
  private func granted(
    _ contact: RequestedContact, kept: Interval, _ passing: RegistrationPassing,
    _ arrival: Arrival
  ) -> Int {
    let most = min(contact.expires, max(kept.wholeSeconds, 0))
    return isBehindNAT(contact, arrival) ? min(most, passing.natExpires.wholeSeconds) : most
  }

  /// Its Contact names another place than it speaks from, by datagrams: a connection is its own keeper.
  private func isBehindNAT(_ contact: RequestedContact, _ arrival: Arrival) -> Bool {
    guard !isReliable(arrival.listener) else { return false }
    let text = Array(contact.uri.utf8)
    let bytes = text.rawSpan
    guard let uri = SIPURI.parse(bytes, ByteRange(0, text.count)),
      let ip = uri.hostAddress(in: bytes)
    else { return true }
    return SocketAddress(ip, uri.port ?? 5_060) != arrival.source
  }

  // MARK: Carried

  private func addContacts(
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
  private func token(of contact: RequestedContact, _ registrant: Registrant) -> String {
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

  private func carry(
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
  private func sendBack(
    _ message: borrowing Message, _ fields: RequestFields, _ cause: Cause, _ arrival: Arrival
  ) {
    countRefusal(message.method, 503, cause, arrival)
    beginStateless(message, fields, 503, arrival)
    outbox.datagrams.append(comeBackLine())
    endStateless(message, fields, arrival)
  }

  private func comeBackLine() -> [UInt8] {
    let range = PassingLimits.comeBack
    return Array(
      "Retry-After: \(range.lowerBound + random.next(below: range.count))\r\n".utf8)
  }

  /// The PBX's addresses that are not known to be dead, the well ones first.
  private func ways(to trunk: Int, _ peer: Trunk) -> [PassedRegister.Way] {
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

  private func send(_ passed: PassedRegister) {
    let way = passed.ways[passed.chosen]
    var none: [TransactionEffect] = []
    let transaction = ClientTransaction(
      machine: .nonInvite(NonInviteClientTransaction(timers: timers, into: &none)),
      method: .register, purpose: .register, cseq: passed.cseq, destination: way.address,
      listener: way.listener, connectPort: isReliable(way.listener) ? way.address.port : 0,
      request: .none)
    guard let handle = clients.insert(transaction) else {
      counters.passing.atLimit &+= 1
      return finish(passed, 503, .capacity, [comeBackLine()])
    }
    transaction.handle = handle
    transaction.passed = passed
    passed.transaction = transaction
    let isLast = passed.chosen + 1 == passed.ways.count
    passed.timer = wheel.schedule(
      at: now + (isLast ? PassingLimits.lastPatience : PassingLimits.patience),
      kind: ShardTimer.passing.rawValue, owner: passed.serial)
    if let security = way.security { secure(security, way.listener, way.address) }
    write(passed, transaction)
    launch(transaction)
  }

  private func write(_ passed: PassedRegister, _ transaction: ClientTransaction) {
    outbox.datagrams.begin()
    outbox.datagrams.append("REGISTER ")
    // The digest is over it (RFC 3261 §22.4).
    outbox.datagrams.append(passed.requestURI)
    outbox.datagrams.append(" SIP/2.0\r\n")
    writeVia(transaction, into: &outbox.datagrams)
    outbox.datagrams.append("Max-Forwards: ")
    outbox.datagrams.append(decimal: passed.maxForwards)
    outbox.datagrams.append("\r\nFrom: <sip:")
    outbox.datagrams.append(passed.registrant.key.user)
    outbox.datagrams.append(">;tag=")
    outbox.datagrams.append(hex: passed.identity.low ^ passed.identity.high, digits: 16)
    outbox.datagrams.append("\r\nTo: <sip:")
    outbox.datagrams.append(passed.registrant.key.user)
    outbox.datagrams.append(">\r\nCall-ID: ")
    outbox.datagrams.append(hex: passed.identity.low, digits: 16)
    outbox.datagrams.append(hex: passed.identity.high, digits: 16)
    outbox.datagrams.append("\r\nCSeq: ")
    outbox.datagrams.append(decimal: Int(passed.cseq))
    outbox.datagrams.append(" REGISTER\r\n")
    writeContacts(passed, transaction.listener)
    for line in passed.credentials { outbox.datagrams.append(line) }
    writeUserAgent()
    writeBody(present: false, into: &outbox.datagrams)
  }

  private func writeContacts(_ passed: PassedRegister, _ listener: ListenerIndex) {
    if passed.register.isWildcard {
      return outbox.datagrams.append("Contact: *\r\nExpires: 0\r\n")
    }
    for contact in passed.contacts {
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
    guard let first = passed.contacts.first else { return }
    outbox.datagrams.append("Expires: ")
    outbox.datagrams.append(decimal: first.asked)
    outbox.datagrams.append("\r\n")
  }

  // MARK: What came of it

  func passedAnswered(_ passed: PassedRegister, _ message: borrowing Message) {
    let status = message.status
    if status == 503, passed.chosen + 1 < passed.ways.count { return tryNext(passed) }
    counters.passing.answered &+= 1
    if status != 503, let watched = passed.ways[passed.chosen].watched { note(watched, .answered) }
    switch status {
    case 200..<300: passedAccepted(passed, message)
    case 300..<400:
      // A PBX that sends its phones elsewhere is not the one that keeps them.
      finish(passed, 503, .registrarUnavailable, [comeBackLine()])
    case 401, 407:
      finish(passed, status, nil, lines(of: [.wwwAuthenticate, .proxyAuthenticate], in: message))
    case 423: finish(passed, status, nil, lines(of: [.minExpires], in: message))
    case 503:
      let told = lines(of: [.retryAfter], in: message)
      finish(passed, status, .registrarUnavailable, told.isEmpty ? [comeBackLine()] : told)
    default: finish(passed, status, nil, lines(of: [.retryAfter], in: message))
    }
  }

  private func passedAccepted(_ passed: PassedRegister, _ message: borrowing Message) {
    guard let passing = passed.peer.passing else { return }
    let registrant = passed.registrant
    if passed.register.isWildcard {
      for entry in registrar.entries(registrant.key) { removeBinding(entry.serial) }
    }
    var hasRoom = true
    for contact in passed.contacts {
      var requested = contact.requested
      let kept = requested.expires > 0 ? self.kept(contact, message) : 0
      requested.expires = granted(requested, kept: .seconds(kept), passing, passed.arrival)
      var binding = Binding(
        tenant: registrant.key.tenant, user: registrant.key.user, contact: requested.uri,
        source: passed.arrival.source, listener: passed.arrival.listener, callID: passed.callID,
        cseq: passed.cseq, expires: now + .seconds(requested.expires),
        userAgent: passed.userAgent)
      binding.preference = requested.preference
      binding.path = passed.register.path
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
      passed.server, .done, passed.register, registrant,
      lines: lines(of: [.authenticationInfo], in: message))
  }

  /// §10.2.4: for how long the PBX keeps our Contact, known by its user part.
  private func kept(_ contact: PassedRegister.Contact, _ message: borrowing Message) -> Int {
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
    transaction?.passed = nil
    if let transaction { remove(transaction) }
    passedUnanswered(passed, isTransport: false)
  }

  private func tryNext(_ passed: PassedRegister) {
    wheel.cancel(&passed.timer)
    passed.transaction?.passed = nil
    passed.transaction = nil
    passed.chosen += 1
    send(passed)
  }

  private func close(_ passed: PassedRegister) {
    wheel.cancel(&passed.timer)
    passed.transaction?.passed = nil
    passed.transaction = nil
    passedRegisters[passed.serial] = nil
  }

  private func finish(
    _ passed: PassedRegister, _ status: Int, _ cause: Cause?, _ lines: [[UInt8]]
  ) {
    close(passed)
    if let cause { countRefusal(.register, status, cause, passed.arrival) }
    answerRegister(
      passed.server, .status(status), passed.register, passed.registrant, lines: lines)
  }
}
