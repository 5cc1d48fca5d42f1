import Base
import Policy
import SIPCore
import SIPWire

// Our registrations with providers (RFC 3261 §10.2): one for each trunk that says `register`. The machine of
// SIPCore decides when; here its requests are written and the answers read.

/// Bounds of what a registrar can make us keep.
private enum UpstreamLimits {
  static let routes = 16
  static let routeBytes = 2_048
  static let identities = 16
  static let identityBytes = 256
  /// Between the first tries of several registrations.
  static let spread = Interval.milliseconds(20)
}

extension Shard {
  // MARK: Which there are

  /// Begins what is new, ends what is gone, and leaves alone what is as it was.
  func followRegistrations() {
    guard !isDraining else { return }
    var wanted: [TrunkSeats.Key: Trunk] = [:]
    for trunk in configuration.trunks where trunk.register != nil {
      wanted[TrunkSeats.Key(tenant: trunk.tenant, name: trunk.name)] = trunk
    }
    for upstream in upstreams.values.sorted(by: { $0.serial < $1.serial })
    where upstreamsByTrunk[upstream.key] == upstream.serial {
      let trunk = wanted[upstream.key]
      let hasToMove = upstream.flow.map { isLeaving($0.listener) } ?? false
      if let trunk, upstream.matches(trunk), !hasToMove {
        wanted[upstream.key] = nil
        continue
      }
      upstreamsByTrunk[upstream.key] = nil
      if let trunk, upstream.hasContact(of: trunk), !hasToMove {
        // The same binding goes on under a new registration: removing it would race with that.
        forget(upstream)
      } else {
        turn(upstream, .stop)
      }
    }
    var delay = Interval.zero
    for trunk in configuration.trunks {
      guard let trunk = wanted[TrunkSeats.Key(tenant: trunk.tenant, name: trunk.name)] else {
        continue
      }
      begin(trunk, after: delay)
      delay = delay + UpstreamLimits.spread
    }
    for (index, trunk) in configuration.trunks.enumerated() where trunk.register != nil {
      upstream(of: trunk)?.rules = configuration.rules(ofTrunk: index)
    }
  }

  private func forget(_ upstream: UpstreamRegistration) {
    wheel.cancel(&upstream.timer)
    wheel.cancel(&upstream.keepAlive)
    leaveFlow(upstream)
    upstream.transaction?.sender = .none
    upstream.transaction = nil
    upstreams[upstream.serial] = nil
  }

  private func begin(_ trunk: Trunk, after delay: Interval) {
    guard let register = trunk.register, let line = trunk.registrationLine else { return }
    lastUpstream &+= 1
    let upstream = UpstreamRegistration(
      serial: lastUpstream, trunk: trunk, register: register, line: line,
      callID: randomDigits(32), tag: randomDigits(16), at: now)
    upstreams[upstream.serial] = upstream
    upstreamsByTrunk[upstream.key] = upstream.serial
    upstream.next = now + delay
    upstream.timer = wheel.schedule(
      at: now + delay, kind: ShardTimer.upstream.rawValue, owner: upstream.serial)
    report(upstream)
  }

  private func randomDigits(_ count: Int) -> [UInt8] {
    var digits: [UInt8] = []
    while digits.count < count {
      let word = random.next()
      for i in 0..<16 { digits.append(.hexDigit(UInt8(truncatingIfNeeded: word >> UInt64(4 * i)))) }
    }
    return Array(digits.prefix(count))
  }

  /// Takes every registration back, so that providers send their calls elsewhere.
  func removeRegistrations() {
    upstreamsByTrunk = [:]
    for upstream in upstreams.values.sorted(by: { $0.serial < $1.serial }) { turn(upstream, .stop) }
  }

  func upstream(of trunk: Trunk) -> UpstreamRegistration? {
    upstreamsByTrunk[TrunkSeats.Key(tenant: trunk.tenant, name: trunk.name)].flatMap {
      upstreams[$0]
    }
  }

  var upstreamStatuses: [UpstreamStatus] {
    upstreams.values.filter { upstreamsByTrunk[$0.key] == $0.serial }.map { $0.status(at: now) }
      .sorted { ($0.tenant, $0.trunk) < ($1.tenant, $1.trunk) }
  }

  // MARK: The machine

  func upstreamDue(_ serial: UInt64) {
    guard let upstream = upstreams[serial] else { return }
    upstream.timer = .none
    upstream.next = nil
    if upstream.transaction != nil, upstream.isTrying {
      return registrationTimedOut(upstream, isTransport: false)
    }
    guard hasAddresses(upstream) else { return }
    turn(upstream, upstream.machine.state == .unregistered ? .start : .due)
  }

  func turn(_ upstream: UpstreamRegistration, _ event: ClientRegistration.Event) {
    var effects: [ClientRegistration.Effect] = []
    upstream.machine.handle(event, at: now, draw: random.next(), into: &effects)
    for effect in effects {
      switch effect {
      case .send(let expires): sendRegister(upstream, expires)
      case .wait(let interval): wait(upstream, interval)
      case .cancelWait:
        wheel.cancel(&upstream.timer)
        upstream.next = nil
      case .changed: report(upstream)
      case .ended:
        forget(upstream)
        reportDrained()
      }
    }
  }

  private func wait(_ upstream: UpstreamRegistration, _ interval: Interval) {
    let interval = upstream.machine.state == .waiting ? failedWait(upstream, interval) : interval
    wheel.cancel(&upstream.timer)
    upstream.next = now + interval
    upstream.timer = wheel.schedule(
      at: now + interval, kind: ShardTimer.upstream.rawValue, owner: upstream.serial)
  }

  private func failedWait(_ upstream: UpstreamRegistration, _ interval: Interval) -> Interval {
    upstream.failed &+= 1
    switch upstream.machine.problem {
    case .noAnswer, .unreachable, .refused(503):
      // RFC 3263 §4.3: the next address of the same registrar is tried at once.
      upstream.failedAddresses += 1
      if upstream.addresses.count > 1 {
        upstream.chosen = (upstream.chosen + 1) % upstream.addresses.count
      }
      if upstream.failedAddresses < upstream.addresses.count { return .zero }
      upstream.failedAddresses = 0
    case .wrongCredentials, .unanswerable: upstream.digest = nil
    case .unresolved, .refused, .redirected, .tooBrief, .flowLost, nil: break
    }
    return interval
  }

  /// Tells what changed; a refresh that succeeds is no news.
  func report(_ upstream: UpstreamRegistration) {
    var status = upstream.status(at: now)
    if let told = upstream.told, told.state == status.state, told.reason == status.reason {
      return
    }
    upstream.since = now
    status.since = now
    upstream.told = status
    tell(.registrationState(status))
  }

  // MARK: REGISTER

  /// §10.2: the same Call-ID and a higher CSeq each time.
  private func sendRegister(_ upstream: UpstreamRegistration, _ expires: Interval) {
    upstream.transaction?.sender = .none
    upstream.transaction = nil
    if upstream.addresses.isEmpty { return turn(upstream, .unresolved) }
    guard let (listener, address) = registerFlow(upstream),
      let transaction = openRegister(upstream, listener, address)
    else { return turn(upstream, .unreachable) }
    if upstream.digestAddress != address { upstream.digest = nil }
    upstream.digestAddress = address
    upstream.attempts &+= 1
    outbox.datagrams.begin()
    outbox.datagrams.append("REGISTER sip:")
    outbox.datagrams.append(upstream.register.registrarHost)
    outbox.datagrams.append(" SIP/2.0\r\n")
    writeVia(transaction, into: &outbox.datagrams)
    writeRegisterParties(upstream)
    writeRegisterContact(upstream, listener, expires)
    answerChallenge(upstream)
    writeUserAgent()
    writeBody(present: false, into: &outbox.datagrams)
    launch(transaction)
    limitSilence(upstream)
  }

  private func registerFlow(
    _ upstream: UpstreamRegistration
  ) -> (ListenerIndex, SocketAddress)? {
    guard let address = upstream.addresses.element(at: upstream.chosen),
      let network = configuration.network(named: upstream.trunk.network),
      let listener = configuration.listener(
        ofNetwork: network, family: address.ip.family, transport: upstream.trunk.transport.wire)
    else { return nil }
    return (listener, address)
  }

  private func openRegister(
    _ upstream: UpstreamRegistration, _ listener: ListenerIndex, _ address: SocketAddress
  ) -> ClientTransaction? {
    upstream.cseq &+= 1
    var none: [TransactionEffect] = []
    let transaction = ClientTransaction(
      machine: .nonInvite(NonInviteClientTransaction(timers: timers, into: &none)),
      method: .register, purpose: .register, cseq: upstream.cseq, destination: address,
      listener: listener, connectPort: isReliable(listener) ? address.port : 0, request: .none)
    guard let handle = clients.insert(transaction) else { return nil }
    transaction.handle = handle
    if let security = upstream.trunk.ownSecurity { secure(security, listener, address) }
    transaction.sender = .registration(upstream)
    upstream.transaction = transaction
    return transaction
  }

  private func writeRegisterParties(_ upstream: UpstreamRegistration) {
    let party = upstream.register.addressOfRecord
    outbox.datagrams.append("Max-Forwards: 70\r\nFrom: <sip:")
    outbox.datagrams.append(party)
    outbox.datagrams.append(">;tag=")
    outbox.datagrams.append(upstream.tag)
    outbox.datagrams.append("\r\nTo: <sip:")
    outbox.datagrams.append(party)
    outbox.datagrams.append(">\r\nCall-ID: ")
    outbox.datagrams.append(upstream.callID)
    outbox.datagrams.append("\r\nCSeq: ")
    outbox.datagrams.append(decimal: Int(upstream.cseq))
    outbox.datagrams.append(" REGISTER\r\n")
  }

  /// A Contact of its own for each registration: `line` says by which one a call came.
  private func writeRegisterContact(
    _ upstream: UpstreamRegistration, _ listener: ListenerIndex, _ expires: Interval
  ) {
    outbox.datagrams.append("Contact: <sip:")
    if let user = upstream.register.ownUser {
      outbox.datagrams.append(UserPart.escaped(user))
      outbox.datagrams.append("@")
    }
    writeOurAddress(listener, into: &outbox.datagrams)
    outbox.datagrams.append(transport(listener).parameter)
    outbox.datagrams.append(";line=")
    outbox.datagrams.append(upstream.line)
    // RFC 6140 §5.1.
    if upstream.register.numberBlock { outbox.datagrams.append(";bnc") }
    outbox.datagrams.append(">;expires=")
    outbox.datagrams.append(decimal: expires.wholeSeconds)
    outbox.datagrams.append("\r\nExpires: ")
    outbox.datagrams.append(decimal: expires.wholeSeconds)
    outbox.datagrams.append("\r\nSupported: path\r\n")
    if upstream.register.numberBlock {
      outbox.datagrams.append("Require: gin\r\nProxy-Require: gin\r\n")
    }
  }

  private func answerChallenge(_ upstream: UpstreamRegistration) {
    guard var session = upstream.digest, session.isReusable, let credentials = upstream.credentials
    else { return }
    let uri = Array("sip:\(upstream.register.registrarHost)".utf8)
    session.write(
      method: "REGISTER", uri: uri.rawSpan, username: credentials.username,
      password: credentials.password, cnonce: random.next(),
      context: digest.context(session.scheme.algorithm), into: &outbox.datagrams)
    upstream.digest = session
  }

  // MARK: Answers

  func registrationAnswered(_ upstream: UpstreamRegistration, _ message: borrowing Message) {
    upstream.transaction?.sender = .none
    upstream.transaction = nil
    let status = message.status
    if status != 503 { upstream.failedAddresses = 0 }
    switch status {
    case 200..<300:
      takeNextNonce(upstream, message)
      takeFlow(upstream, message)
      takeServiceRoute(upstream, message)
      takeIdentities(upstream, message)
      turn(upstream, .accepted(granted(upstream, message)))
      if upstream.machine.state == .registered { scheduleKeepAlive(upstream) }
    case 401, 407:
      let challenge =
        upstream.credentials == nil
        ? nil : DigestResponder.choose(message, realm: upstream.register.realm)
      if let challenge { upstream.digest = DigestSession(challenge, message.bytes) }
      turn(
        upstream,
        .challenged(
          status: status, isAnswerable: challenge != nil, isStale: challenge?.isStale ?? false))
    case 423:
      let minimum = message.first(.minExpires).flatMap { message.seconds($0) }
      turn(upstream, .tooBrief(minimum: minimum.map { .seconds(Int($0)) }))
    default:
      let wait = message.retryAfter.map { Interval.seconds(Int($0)) }
      turn(upstream, .refused(status: status, retryAfter: wait))
    }
  }

  // MARK: The flow (RFC 5626 §4.5)

  /// What was registered by a connection is good as long as that lasts.
  private func takeFlow(_ upstream: UpstreamRegistration, _ message: borrowing Message) {
    leaveFlow(upstream)
    upstream.flow = registerFlow(upstream)
    upstream.flowTimer = message.first(.flowTimer).flatMap { message.seconds($0) }
      .flatMap { $0 > 0 ? .seconds(Int($0)) : nil }
    guard let flow = upstream.flow, isReliable(flow.listener) else { return }
    upstreamsByFlow[Flow(listener: flow.listener, remote: flow.address), default: []].append(
      upstream.serial)
  }

  private func leaveFlow(_ upstream: UpstreamRegistration) {
    guard let flow = upstream.flow else { return }
    upstream.flow = nil
    let key = Flow(listener: flow.listener, remote: flow.address)
    upstreamsByFlow[key]?.removeAll { $0 == upstream.serial }
    if upstreamsByFlow[key]?.isEmpty == true { upstreamsByFlow[key] = nil }
  }

  /// Registrations that depended on the connection come about anew, each after a wait of its own.
  func upstreamsLost(_ flow: Flow) {
    for serial in upstreamsByFlow[flow] ?? [] {
      guard let upstream = upstreams[serial] else { continue }
      wheel.cancel(&upstream.keepAlive)
      leaveFlow(upstream)
      turn(upstream, .flowLost)
    }
  }

  func registrationTimedOut(_ upstream: UpstreamRegistration, isTransport: Bool) {
    upstream.transaction?.sender = .none
    upstream.transaction = nil
    turn(upstream, isTransport ? .unreachable : .timedOut)
  }

  /// §10.2.4: our own Contact among those that the registrar lists, known by its `line`; else what stands in
  /// Expires; else what we asked for.
  private func granted(
    _ upstream: UpstreamRegistration, _ message: borrowing Message
  ) -> Interval {
    let bytes = message.bytes
    let line = Array(upstream.line.utf8)
    var values = message.values(of: .contact)
    var least: UInt32?
    while let value = values.next(bytes) {
      guard let contact = NameAddr.parse(bytes, value),
        let expires = contact.param("expires", in: bytes).flatMap({ message.seconds($0) })
      else { continue }
      if let uri = SIPURI.parse(bytes, contact.uri), let own = uri.param("line", in: bytes),
        bytes.extracting(own).equals(line.rawSpan)
      {
        return .seconds(Int(expires))
      }
      least = min(least ?? expires, expires)
    }
    if let least { return .seconds(Int(least)) }
    return message.expires.map { .seconds(Int($0)) } ?? upstream.register.expires
  }

  private func takeNextNonce(_ upstream: UpstreamRegistration, _ message: borrowing Message) {
    guard let value = message.first(.authenticationInfo),
      let next = AuthParams.parseInfo(message.bytes, value)?.nextnonce, next.count <= 512
    else { return }
    upstream.digest?.take(nextNonce: message.bytes.array(next))
  }

  /// RFC 3608 §6.1: a new one replaces the old one, none removes it.
  private func takeServiceRoute(_ upstream: UpstreamRegistration, _ message: borrowing Message) {
    var routes: [UInt8] = []
    var values = message.values(of: .serviceRoute)
    var count = 0
    while let value = values.next(message.bytes), count < UpstreamLimits.routes {
      count += 1
      guard NameAddr.parse(message.bytes, value) != nil,
        routes.count + Int(value.count) <= UpstreamLimits.routeBytes
      else { continue }
      if !routes.isEmpty { routes += [UInt8(ascii: ","), UInt8(ascii: " ")] }
      routes += message.bytes.array(value)
    }
    upstream.serviceRoute = routes
  }

  /// RFC 7315 §4.1: the first is the default one.
  private func takeIdentities(_ upstream: UpstreamRegistration, _ message: borrowing Message) {
    var identities: [[UInt8]] = []
    var values = message.values(of: .pAssociatedURI)
    while let value = values.next(message.bytes), identities.count < UpstreamLimits.identities {
      guard let identity = NameAddr.parse(message.bytes, value),
        identity.uri.count <= UpstreamLimits.identityBytes
      else { continue }
      identities.append(message.bytes.array(identity.uri))
    }
    upstream.identities = identities
  }

  // MARK: Calls by it

  /// Calls leave by the flow that registered, with its route and in its domain; none while we are not
  /// registered, since the provider would not know us.
  func targets(
    ofRegistered trunk: Int, _ peer: Trunk, _ register: TrunkRegistration, network: Int,
    _ called: String
  ) -> [CallTarget] {
    guard let upstream = upstream(of: peer), upstream.machine.isRegistered(at: now),
      let flow = upstream.flow
    else { return [] }
    var target = CallTarget(
      peer, trunk, network: network, address: flow.address, listener: flow.listener,
      uri: NumberURI.text(called, at: register.registrarHost, peer.numbers))
    target.credentials = peer.registrationCredentials
    target.domain = register.domain
    target.calledDomain = register.registrarHost
    target.routes = upstream.serviceRoute
    target.identities = upstream.identities
    target.realm = register.realm
    return [target]
  }
}
