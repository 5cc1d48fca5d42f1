import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// A first INVITE: who calls whom, may they, and what is written down before anything else happens.

extension Shard {
  func receiveInvite(
    _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey, _ arrival: Arrival
  ) {
    // §8.2.2.2: the same request by two paths, or a loop through somebody else.
    if serversByMerge.contains(mergeKey(message, fields)) {
      return refuse(message, fields, 482, .loopDetected, arrival)
    }
    guard let network = configuration.network(ofListener: arrival.listener) else {
      return refuse(message, fields, 403, .forbidden, arrival)
    }
    let phone = callingPhone(message, fields, arrival)
    guard
      let caller = phone.map({ .phone($0.trunk) })
        ?? caller(message, fields, network: network, arrival)
    else { return }
    if isLoop(message, fields) {
      return refuse(message, fields, 482, .loopDetected, arrival)
    }
    if let least = tooShortInterval(message, caller) {
      return refuseInterval(message, fields, least, arrival)
    }
    if replaces(message, fields, key, caller, network: network, arrival) { return }
    let reading =
      phone.map { read(message, fields, $0) }
      ?? calledContact(message, caller).map { read(message, fields, caller, to: $0) }
      ?? read(message, fields, caller, tenant: tenant(of: caller))
    // A process that is about to end can keep nobody's call, not even one for help.
    if let cause = isDraining ? .draining : reading.emergency == nil ? overload() : nil {
      return refuse(message, fields, cause.sipStatus, cause, arrival)
    }
    if reading.emergencyPlan == nil, refusesKnown(message, fields, caller, arrival) { return }
    guard
      let transaction = makeServer(
        message, fields, key, arrival, isEmergency: reading.emergency != nil)
    else {
      return refuse(message, fields, 503, .capacity, arrival)
    }
    admit(message, fields, transaction, caller, reading, network: network, arrival)
  }

  /// Who has proved to be calling. Nil: it was answered with a challenge or a refusal.
  private func caller(
    _ message: borrowing Message, _ fields: RequestFields, network: Int, _ arrival: Arrival
  ) -> CallerKind? {
    if isStrangeToPBX(message, fields, network: network, arrival) {
      refuse(message, fields, 403, .sourceUnknown, arrival)
      return nil
    }
    let verdict = identify(message, fields, network: network, arrival)
    if lacksTLS(verdict, arrival) {
      refuse(message, fields, 403, .insecureTransport, arrival)
      return nil
    }
    switch verdict {
    case .trunk(let trunk): return .trunk(trunk)
    case .user(let user): return .user(user)
    case .challenge(let isStale):
      if !isStale, refusesStranger(message, fields, network: network, arrival) { return nil }
    case .unknown: break
    }
    refuseAuthentication(verdict, message, fields, network: network, arrival)
    return nil
  }

  /// What stands in the way of any new call but one for help.
  func overload() -> Cause? {
    if unconfirmedFacts >= settings.limits.unconfirmedFacts { return .recordsStalled }
    if sessions.count >= settings.limits.sessions { return .capacity }
    return nil
  }

  private func admit(
    _ message: borrowing Message, _ fields: RequestFields, _ transaction: ServerTransaction,
    _ caller: CallerKind, _ reading: InviteReading, network: Int, _ arrival: Arrival
  ) {
    let tenant = tenant(of: caller)
    let read = reading.called
    let identity = reading.identity
    let dialled = reading.dialled
    let id = nextCallID()
    var record = CallRecord(
      id: id, tenant: tenant.map { configuration.tenants[$0].name } ?? "",
      from: reading.from ?? name(of: caller), calledNumber: shownNumber(read, dialled, caller),
      callerNumber: (try? identity.get())?.shown ?? CallerIdentity.anonymous,
      source: arrival.source,
      sipCallID: message.bytes.string(fields.callID.first(256)), setup: now)
    for rule in reading.rules { record.note("rule \(rule) applied to what came in") }
    note(dialled, read, identity, in: &record)
    counters.callsAttempted &+= 1
    transaction.serial = id.serial
    adoptPrelude(message, fields, by: id)
    traceIncoming(message, id.serial, .a, arrival)
    respond(transaction, 100)

    let plan =
      reading.emergencyPlan ?? reading.plan ?? resolve(read, identity, caller, tenant: tenant)
    // The attempt counts against the trunk's limits whether or not the number leads anywhere.
    var holding = CallerHolding()
    if reading.emergency == nil, let cause = hold(caller, tenant: tenant, in: &holding) {
      return refuseCall(&record, transaction, cause)
    }
    guard let tenant, case .success(let route) = plan else {
      letGo(&holding)
      guard case .failure(let cause) = plan else {
        return refuseCall(&record, transaction, .forbidden)
      }
      return refuseCall(&record, transaction, cause)
    }
    guard
      let session = enter(
        record, tenant: tenant, plan: route, identity: try? identity.get(), &holding)
    else { return refuseCall(&record, transaction, .capacity) }
    session.passed = reading.passed
    session.device = reading.device
    session.phone = reading.phone
    session.receivedDiversions = DiversionReader.read(message)
    if let emergency = reading.emergency { begin(emergency, session) }
    guard makeCallerLeg(session, message, fields, transaction, caller, network: network, arrival)
    else {
      if session.caller == nil { respond(transaction, 503, extra: Cause.capacity.retryHeader) }
      return refuseBeforeRecord(session, .capacity)
    }
    guard takeOffer(session, message, caller) else { return }
    if identities != nil, reading.emergencyPlan == nil,
      let cause = takeIdentity(session, message, fields, caller)
    {
      return refuseBeforeRecord(session, cause)
    }
    awaitRecord(session)
  }

  func nextCallID() -> CallID {
    lastCallSerial &+= 1
    return CallID(incarnation: settings.incarnation, serial: lastCallSerial)
  }

  /// One more call, with what its caller holds of limits. Nil: there is no room for it, and that is let go.
  func enter(
    _ record: CallRecord, tenant: Int, plan: RoutePlan, identity: CallerIdentity?,
    _ holding: inout CallerHolding
  ) -> Session? {
    let session = Session(
      id: record.id, configuration: configuration, tenant: tenant, record: record, plan: plan)
    session.ingressSeat = holding.trunk
    session.ingressLimits = holding.limits
    if let identity { session.identity = identity }
    guard let handle = sessions.insert(session) else {
      letGo(&holding)
      return nil
    }
    session.handle = handle
    sessionsBySerial[record.id.serial] = session
    return session
  }

  /// It goes on when the store has its attempt. A disk that is slow or full holds up nobody who calls for help, nor
  /// does what waited for it.
  func awaitRecord(_ session: Session) {
    let sequence = tell(.callAttempted(session.record), call: session.id)
    if session.emergency != nil {
      ready.insert(session, at: 0)
      return
    }
    awaitingRecord.append((sequence, session))
    restart(
      &session.patienceTimer, .patience, settings.limits.recordPatience, session.handle)
  }

  func tenant(of caller: CallerKind) -> Int? {
    switch caller {
    case .user(let user): configuration.tenant(ofUser: user)
    case .trunk(let trunk), .phone(let trunk): configuration.tenant(ofTrunk: trunk)
    }
  }

  func name(of caller: CallerKind) -> String {
    switch caller {
    case .user(let user): "user:" + configuration.users[user].name
    case .trunk(let trunk), .phone(let trunk): "trunk:" + configuration.trunks[trunk].name
    }
  }

  /// What an INVITE says of who calls whom, as its trunk's rules let it be read. The dialog is with whoever sent
  /// it and keeps what was written.
  private func read(
    _ message: borrowing Message, _ fields: RequestFields, _ caller: CallerKind, tenant: Int?
  ) -> InviteReading {
    guard case .trunk(let trunk) = caller, let rules = configuration.rules(ofTrunk: trunk),
      rules.concern(.inbound, .invite, status: 0)
    else { return readAsIs(message, fields, caller, tenant: tenant) }
    let outcome = rules.apply(.inbound, to: message)
    var reading: InviteReading
    if let bytes = outcome.message,
      let changed = try? Message.parse(bytes.span.rawSpan, using: ruleIndex),
      let fields = try? changed.identity()
    {
      reading = readAsIs(changed, fields, caller, tenant: tenant)
    } else {
      reading = readAsIs(message, fields, caller, tenant: tenant)
    }
    reading.rules = outcome.applied
    reading.passed = outcome.passed
    return reading
  }

  private func readAsIs(
    _ message: borrowing Message, _ fields: RequestFields, _ caller: CallerKind, tenant: Int?
  ) -> InviteReading {
    let device = gruu(message, tenant: tenant)
    let dialled = device?.user ?? dialledNumber(message, caller)
    var reading = InviteReading(
      dialled: dialled, called: readCalled(dialled, caller, tenant: tenant),
      identity: identify(message, fields, caller), device: device)
    if let tenant { readEmergency(&reading, caller, tenant: tenant) }
    return reading
  }

  func readCalled(
    _ dialled: String, _ caller: CallerKind, tenant: Int?
  ) -> Result<String, Cause> {
    guard let tenant else { return .failure(.forbidden) }
    do throws(Cause) {
      return .success(try configuration.readCalled(dialled, caller: caller, tenant: tenant))
    } catch {
      return .failure(error)
    }
  }

  /// As it is inside where its sender has a plan of numbers, else as it was dialled.
  func shownNumber(
    _ read: Result<String, Cause>, _ dialled: String, _ caller: CallerKind
  ) -> String {
    guard configuration.numberReader(of: caller) != nil, case .success(let number) = read else {
      return dialled
    }
    return number
  }

  func identify(
    _ message: borrowing Message, _ fields: RequestFields, _ caller: CallerKind
  ) -> Result<CallerIdentity, Cause> {
    let claim = claim(message, fields, caller)
    do throws(Cause) {
      return .success(try configuration.identify(caller, claim))
    } catch {
      return .failure(error)
    }
  }

  func resolve(
    _ called: Result<String, Cause>, _ identity: Result<CallerIdentity, Cause>,
    _ caller: CallerKind, tenant: Int?
  ) -> Result<RoutePlan, Cause> {
    guard let tenant else { return .failure(.forbidden) }
    if case .failure(let cause) = identity { return .failure(cause) }
    switch called {
    case .failure(let cause): return .failure(cause)
    case .success(let number):
      return configuration.resolve(
        called: number, caller: caller, tenant: tenant, random: &random)
    }
  }

  /// What was made of the numbers, where it is more than taking them as they came.
  private func note(
    _ dialled: String, _ called: Result<String, Cause>,
    _ identity: Result<CallerIdentity, Cause>, in record: inout CallRecord
  ) {
    if case .success(let number) = called, number != dialled {
      record.note("called \(UserPart.printable(dialled)) read as \(UserPart.printable(number))")
    }
    switch identity {
    case .success(let identity):
      guard identity.isPrivate || identity.isChoice else { return }
      record.note(
        "caller \(identity.origin.rawValue)" + (identity.isPrivate ? ", not to be shown" : ""))
    case .failure: record.note("caller's number refused")
    }
  }

  /// A call that is refused before it became a session still has its record.
  func refuseCall(
    _ record: inout CallRecord, _ transaction: ServerTransaction, _ cause: Cause
  ) {
    refusalCounts[Int(cause.rawValue)] &+= 1
    end(&record, cause)
    respond(transaction, cause.sipStatus, extra: cause.retryHeader)
  }

  /// The whole record of a call that came to nothing at once.
  func end(_ record: inout CallRecord, _ cause: Cause) {
    tell(.callAttempted(record), call: record.id)
    record.state = .ended
    record.end = now
    record.releasedBy = .system
    record.status = cause.sipStatus
    record.cause = cause
    counters.callsEnded &+= 1
    tell(.callEnded(record), call: record.id)
  }

  // MARK: The caller's leg

  func makeCallerLeg(
    _ session: Session, _ message: borrowing Message, _ fields: RequestFields,
    _ transaction: ServerTransaction, _ caller: CallerKind, network: Int, _ arrival: Arrival
  ) -> Bool {
    let leg = Leg(
      side: .a, isOurs: false, call: session.id, destination: arrival.source,
      listener: arrival.listener, network: network)
    guard let handle = legs.insert(leg) else { return false }
    leg.handle = handle
    leg.session = session
    session.caller = leg
    leg.inviteServer = transaction
    leg.remoteCSeq = fields.cseq.number
    leg.maxForwards = UInt8(clamping: message.maxForwards ?? 70)
    noteAbilities(leg, message)
    noteSessionID(session, message)
    let policy = dialogPolicy(of: caller)
    leg.timer.policy = policy.timerPolicy
    leg.passesInfo = policy.dtmfInfo
    leg.protection.rules = protectionRules(of: caller, session.configuration)
    leg.streams = streams(of: caller, session.configuration)
    leg.transcodes = transcodes(caller, session.configuration)
    leg.treatment = treatment(of: caller, session.configuration)
    leg.dtmf = digitPolicy(of: caller, session.configuration)
    _ = refusedInterval(leg, message)
    transaction.leg = leg
    switch caller {
    case .phone:
      leg.followsSource = true
      leg.silence = UInt32(clamping: ResourceDefaults.mediaTimeout.milliseconds)
    case .user(let user):
      leg.followsSource = true
      leg.silence = UInt32(clamping: configuration.users[user].mediaTimeout.milliseconds)
    case .trunk(let trunk):
      leg.trunk = trunk
      leg.watched = target(ofTrunk: configuration.trunks[trunk], arrival.source)
      leg.rules = session.configuration.rules(ofTrunk: trunk)
      leg.silence = UInt32(clamping: configuration.trunks[trunk].mediaTimeout.milliseconds)
      leg.security = security(ofTrunk: configuration.trunks[trunk], arrival.source)
        .map(PeerSecurity.init)
      noteAlias(message, fields.via, arrival)
    }
    return keepCallerDialog(leg, message, fields)
  }

  /// §12.1.1: the route set is the Record-Route as it came, the target the Contact.
  private func keepCallerDialog(
    _ leg: Leg, _ message: borrowing Message, _ fields: RequestFields
  ) -> Bool {
    guard let dialog = callerDialog(message, fields, fallback: leg.source) else { return false }
    leg.dialog = dialog
    leg.destination = nextHop(leg)
    return true
  }

  /// The dialog that a request begins; nil without memory for it.
  func callerDialog(
    _ message: borrowing Message, _ fields: RequestFields, fallback: SocketAddress
  ) -> DialogText? {
    let bytes = message.bytes
    var dialog = DialogText()
    body.begin()
    dialog.callID = write(bytes, fields.callID)
    dialog.local = write(bytes, message.first(.to) ?? .none)
    let from = message.first(.from) ?? .none
    dialog.remote = write(bytes, from)
    dialog.remoteTag = ByteRange(
      dialog.remote.start + fields.from.tag.start - from.start, Int(fields.from.tag.count))
    if fields.from.tag.isEmpty { dialog.remoteTag = ByteRange(dialog.remote.start, 0) }
    dialog.target = writeTarget(message, fallback: fallback)
    dialog.routes = writeRoutes(message, reversed: false)
    let stored = body.isOverflowing ? nil : body.withOpenBytes { blocks.store($0) }
    body.abandon()
    guard let stored else { return nil }
    dialog.text = stored
    return dialog
  }

  /// Copies a range into the open scratch record and says where it lies there.
  func write(_ bytes: RawSpan, _ range: ByteRange) -> ByteRange {
    let start = body.position
    body.append(bytes, range)
    return ByteRange(from: start, to: body.position)
  }

  /// The Contact's URI, or the peer's address where there is none to be had.
  func writeTarget(_ message: borrowing Message, fallback: SocketAddress) -> ByteRange {
    let start = body.position
    if let contact = message.contact, SIPURI.parse(message.bytes, contact.uri) != nil {
      body.append(message.bytes, contact.uri)
    } else {
      body.append("sip:")
      body.append(fallback)
    }
    return ByteRange(from: start, to: body.position)
  }

  func writeRoutes(_ message: borrowing Message, reversed: Bool) -> ByteRange {
    var routes: [ByteRange] = []
    var values = message.values(of: .recordRoute)
    while let route = values.next(message.bytes), routes.count < 16 { routes.append(route) }
    if reversed { routes.reverse() }
    let start = body.position
    for (i, route) in routes.enumerated() {
      if i > 0 { body.append(", ") }
      body.append(message.bytes, route)
    }
    return ByteRange(from: start, to: body.position)
  }
}

/// Who calls whom, as an INVITE was read.
struct InviteReading {
  var dialled: String
  var called: Result<String, Cause>
  var identity: Result<CallerIdentity, Cause>
  /// The device that the request URI names (RFC 5627); nil: any.
  var device: (user: String, instance: String)?
  /// A call for help that has a reserved place: index of the configuration's emergency.
  var emergency: Int?
  /// Where calls for help go, with a place or without.
  var emergencyPlan: Result<RoutePlan, Cause>?
  var rules: [String] = []
  var passed: [[UInt8]] = []
  /// Of calls between a PBX and the phones that it keeps: where they go, and a name for who makes one.
  var plan: Result<RoutePlan, Cause>?
  var phone: PhoneCall?
  var from: String?
}

/// The user part of a URI that we write.
enum UserPart {
  /// For people: cut, and without anything that is not visible.
  static func printable(_ text: String) -> String {
    String(
      decoding: text.utf8.prefix(80).map { (0x21...0x7e).contains($0) ? $0 : 0x5f },
      as: UTF8.self)
  }

  /// RFC 3261 §25.1: what is neither unreserved nor user-unreserved is escaped; nearly always nothing.
  static func escaped(_ text: String) -> String {
    if text.utf8.allSatisfy(isPlain) { return text }
    var bytes: [UInt8] = []
    for byte in text.utf8 {
      if isPlain(byte) {
        bytes.append(byte)
      } else {
        bytes.append(contentsOf: [0x25, .hexDigit(byte >> 4), .hexDigit(byte & 15)])
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func isPlain(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x2a, 0x2b, 0x2d, 0x2e, 0x5f: true  // * + - . _
    default: byte.isASCIIDigit || byte.isASCIILetter
    }
  }
}

extension Cause {
  /// Refusals that pass by themselves say when to come back (RFC 3261 §20.33).
  var retryHeader: StaticString {
    switch self {
    case .trunkRateLimit: "Retry-After: 1\r\n"
    case .capacity, .portsExhausted, .recordsStalled: "Retry-After: 5\r\n"
    case .draining: "Retry-After: 30\r\n"
    default: ""
    }
  }
}
