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
    let caller: CallerKind
    switch identify(message, fields, network: network, arrival) {
    case .trunk(let trunk): caller = .trunk(trunk)
    case .user(let user): caller = .user(user)
    case .challenge(let isStale):
      return refuseAuthentication(
        .challenge(isStale: isStale), message, fields, network: network, arrival)
    case .unknown:
      return refuseAuthentication(.unknown, message, fields, network: network, arrival)
    }
    if let cause = overload() { return refuse(message, fields, cause.sipStatus, cause, arrival) }
    guard let transaction = makeServer(message, fields, key, arrival) else {
      return refuse(message, fields, 503, .capacity, arrival)
    }
    admit(message, fields, transaction, caller, network: network, arrival)
  }

  /// What stands in the way of any new call.
  private func overload() -> Cause? {
    if isDraining { return .draining }
    if unconfirmedFacts >= settings.limits.unconfirmedFacts { return .recordsStalled }
    if sessions.count >= settings.limits.sessions { return .capacity }
    return nil
  }

  private func admit(
    _ message: borrowing Message, _ fields: RequestFields, _ transaction: ServerTransaction,
    _ caller: CallerKind, network: Int, _ arrival: Arrival
  ) {
    let tenant = tenant(of: caller)
    let called = dialledNumber(message)
    lastCallSerial &+= 1
    let id = CallID(incarnation: settings.incarnation, serial: lastCallSerial)
    var record = CallRecord(
      id: id, tenant: tenant.map { configuration.tenants[$0].name } ?? "",
      from: name(of: caller), calledNumber: called,
      callerNumber: callerNumber(message, fields, caller), source: arrival.source,
      sipCallID: message.bytes.string(fields.callID), setup: now)
    counters.callsAttempted &+= 1
    transaction.serial = id.serial
    traceIncoming(message, id.serial, .a, arrival)
    respond(transaction, 100)

    let plan = resolve(called, caller, tenant: tenant)
    var ingress: Int?
    var refusal: Cause?
    switch plan {
    case .failure(let cause): refusal = cause
    case .success:
      if case .trunk(let trunk) = caller {
        let seat = seats.seat(of: configuration.trunks[trunk])
        refusal = seats.take(seat, at: now)
        if refusal == nil { ingress = seat }
      }
    }
    guard refusal == nil, case .success(let route) = plan, let tenant else {
      return refuseCall(&record, transaction, refusal ?? .internalFault)
    }
    let session = Session(
      id: id, configuration: configuration, tenant: tenant, record: record, plan: route)
    session.ingressSeat = ingress
    guard let handle = sessions.insert(session) else {
      if let ingress { seats.release(ingress) }
      return refuseCall(&record, transaction, .capacity)
    }
    session.handle = handle
    sessionsBySerial[id.serial] = session
    guard makeCallerLeg(session, message, fields, transaction, caller, network: network, arrival)
    else {
      if session.caller == nil { respond(transaction, 503, extra: Cause.capacity.retryHeader) }
      return refuseBeforeRecord(session, .capacity)
    }
    guard takeOffer(session, message, caller) else { return }
    let sequence = tell(.callAttempted(session.record), call: id)
    awaitingRecord.append((sequence, session))
  }

  private func tenant(of caller: CallerKind) -> Int? {
    switch caller {
    case .user(let user): configuration.tenant(ofUser: user)
    case .trunk(let trunk): configuration.tenant(ofTrunk: trunk)
    }
  }

  private func name(of caller: CallerKind) -> String {
    switch caller {
    case .user(let user): "user:" + configuration.users[user].name
    case .trunk(let trunk): "trunk:" + configuration.trunks[trunk].name
    }
  }

  private func resolve(
    _ called: String, _ caller: CallerKind, tenant: Int?
  ) -> Result<RoutePlan, Cause> {
    guard let tenant else { return .failure(.forbidden) }
    return configuration.resolve(called: called, caller: caller, tenant: tenant, random: &random)
  }

  /// The user part of the request URI, unescaped; of a tel URI the number.
  private func dialledNumber(_ message: borrowing Message) -> String {
    guard let uri = SIPURI.parse(message.bytes, message.requestURI) else { return "" }
    let part = uri.scheme == .tel ? uri.opaque : uri.user
    return Escapes.string(message.bytes, part)
  }

  /// A user is shown as its configuration says; a trunk says itself who calls.
  private func callerNumber(
    _ message: borrowing Message, _ fields: RequestFields, _ caller: CallerKind
  ) -> String {
    switch caller {
    case .user(let index):
      let user = configuration.users[index]
      return user.callerID ?? user.extension
    case .trunk(let trunk):
      let asserted = isTrusted(trunk: trunk) ? assertedIdentity(message) : nil
      guard let uri = SIPURI.parse(message.bytes, asserted ?? fields.from.uri) else {
        return "anonymous"
      }
      let text = Escapes.string(message.bytes, uri.scheme == .tel ? uri.opaque : uri.user)
      return CallerName.fit(text)
    }
  }

  private func isTrusted(trunk: Int) -> Bool {
    guard let network = configuration.network(ofTrunk: trunk) else { return false }
    return configuration.networks[network].trusted
  }

  /// RFC 3325 §9.1: believed inside the trust domain only.
  private func assertedIdentity(_ message: borrowing Message) -> ByteRange? {
    var values = message.values(of: .pAssertedIdentity)
    guard let first = values.next(message.bytes) else { return nil }
    return NameAddr.parse(message.bytes, first)?.uri
  }

  /// A call that is refused before it became a session still has its record.
  private func refuseCall(
    _ record: inout CallRecord, _ transaction: ServerTransaction, _ cause: Cause
  ) {
    refusalCounts[Int(cause.rawValue)] &+= 1
    tell(.callAttempted(record), call: record.id)
    record.state = .ended
    record.end = now
    record.releasedBy = .system
    record.status = cause.sipStatus
    record.cause = cause
    counters.callsEnded &+= 1
    tell(.callEnded(record), call: record.id)
    respond(transaction, cause.sipStatus, extra: cause.retryHeader)
  }

  // MARK: The caller's leg

  private func makeCallerLeg(
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
    leg.maxForwards = message.maxForwards ?? 70
    transaction.leg = leg
    switch caller {
    case .user(let user):
      leg.followsSource = true
      session.callerSilence = UInt32(clamping: configuration.users[user].mediaTimeout.milliseconds)
    case .trunk(let trunk):
      session.callerSilence = UInt32(
        clamping: configuration.trunks[trunk].mediaTimeout.milliseconds)
    }
    return keepCallerDialog(leg, message, fields)
  }

  /// §12.1.1: the route set is the Record-Route as it came, the target the Contact.
  private func keepCallerDialog(
    _ leg: Leg, _ message: borrowing Message, _ fields: RequestFields
  ) -> Bool {
    let bytes = message.bytes
    body.begin()
    leg.callID = write(bytes, fields.callID)
    leg.local = write(bytes, message.first(.to) ?? .none)
    let from = message.first(.from) ?? .none
    leg.remote = write(bytes, from)
    leg.remoteTag = ByteRange(
      leg.remote.start + fields.from.tag.start - from.start, Int(fields.from.tag.count))
    if fields.from.tag.isEmpty { leg.remoteTag = ByteRange(leg.remote.start, 0) }
    leg.target = writeTarget(message, fallback: leg.source)
    leg.routes = writeRoutes(message, reversed: false)
    let stored = body.isOverflowing ? nil : body.withOpenBytes { blocks.store($0) }
    body.abandon()
    guard let stored else { return false }
    leg.text = stored
    leg.destination = nextHop(leg)
    return true
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
    if let contact = message.first(.contact),
      let address = NameAddr.parse(message.bytes, contact), !address.uri.isEmpty
    {
      body.append(message.bytes, address.uri)
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

/// What may stand as a user part towards the other side: digits and letters of a number or a name.
enum CallerName {
  static func fit(_ text: String) -> String {
    let isFit = { (byte: UInt8) in
      byte.isASCIIDigit || byte.isASCIILetter || byte == 0x2b || byte == 0x2d || byte == 0x2e
        || byte == 0x5f || byte == 0x2a
    }
    guard !text.isEmpty, text.utf8.count <= 64, text.utf8.allSatisfy(isFit) else {
      return "anonymous"
    }
    return text
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
