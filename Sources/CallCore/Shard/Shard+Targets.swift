import Base
import Policy
import Resolution
import SIPCore
import SIPWire

// The health of trunks' targets: which one a call is sent to, what its outcome says of it, and the OPTIONS
// that find out the rest (RFC 3261 §11, §21.5.4; RFC 3263 §4.3).

extension Shard {
  // MARK: Which targets there are

  /// Watches what the configuration names and forgets what it does not name any more. What stays keeps what
  /// is known of it.
  func followTargets() {
    for target in targets.inOrder { target.isNamed = false }
    locatedSources.removeAll(keepingCapacity: true)
    locatedPeers.removeAll(keepingCapacity: true)
    for (index, trunk) in configuration.trunks.enumerated() {
      guard let network = configuration.network(ofTrunk: index) else { continue }
      let seat = seats.seat(of: trunk)
      let all = trunk.targets.map { ($0, known(of: $0, trunk, network: network)) }
      let settings = ProbeSettings(
        trunk.probe,
        // A PBX that was away may have forgotten its phones, which nobody but a probe finds out.
        hasOthers: all.reduce(0) { $0 + $1.1.count } > 1 || trunk.passing != nil)
      noteSources(of: trunk, index, network: network)
      for (target, addresses) in all {
        for address in addresses {
          guard
            let listener = configuration.listener(
              ofNetwork: network, family: address.ip.family, transport: trunk.transport.wire)
          else { continue }
          watch(
            TrunkTargets.Key(seat: seat, address: address), trunk: trunk.name,
            name: target.description, host: target.hostPort, listener,
            trunk.security(of: target), settings, followsOverload: trunk.overloadControl,
            rules: configuration.rules(ofTrunk: index))
        }
      }
    }
    for target in targets.inOrder where !target.isNamed { forget(target) }
  }

  /// Without `sources` the addresses of a trunk's targets, or of whom it registers with, speak for it, those of
  /// its names too. An address that several trunks have speaks for none by itself.
  private func noteSources(of trunk: Trunk, _ index: Int, network: Int) {
    guard trunk.sources.isEmpty else { return }
    for target in trunk.speakingTargets where target.address == nil {
      for address in known(of: target, trunk, network: network) {
        let source = LocatedSource(network: network, ip: address.ip)
        locatedPeers.insert(LocatedPeer(trunk: index, source: source))
        guard trunk.isKnownByItsSource else { continue }
        let isShared = locatedSources[source].map { $0 != index } ?? false
        locatedSources[source] = .some(isShared ? nil : index)
      }
    }
  }

  /// Whether a name of this trunk's has come to the address.
  func isLocated(_ source: SocketAddress, trunk: Int, network: Int) -> Bool {
    guard !locatedPeers.isEmpty else { return false }
    let source = LocatedSource(network: network, ip: source.ip)
    return locatedPeers.contains(LocatedPeer(trunk: trunk, source: source))
  }

  func locatedTrunk(_ source: SocketAddress, network: Int) -> Int? {
    guard !locatedSources.isEmpty else { return nil }
    return locatedSources[LocatedSource(network: network, ip: source.ip)] ?? nil
  }

  func known(of target: SIPTarget, _ trunk: Trunk, network: Int) -> [SocketAddress] {
    if let address = target.address { return [address] }
    guard let request = request(target, trunk, network: network, configuration) else { return [] }
    return names[request]?.addresses.map(\.address) ?? []
  }

  private func watch(
    _ key: TrunkTargets.Key, trunk: String, name: String, host: String,
    _ listener: ListenerIndex, _ security: TrunkSecurity?, _ settings: ProbeSettings,
    followsOverload: Bool, rules: RuleSet?
  ) {
    if let known = targets[key] {
      known.isNamed = true
      known.name = name
      known.host = host
      known.listener = listener
      known.security = security
      known.followsOverload = followsOverload
      known.rules = rules
      if known.settings != settings {
        known.settings = settings
        known.health.follow(settings, at: now, random: &random)
        armTarget(known)
      }
      return
    }
    let target = TrunkTarget(
      key: key, trunk: trunk, name: name, host: host, listener: listener, security: security,
      settings: settings,
      health: TargetHealth(at: now, settings: settings, random: &random))
    target.followsOverload = followsOverload
    target.rules = rules
    if targets.insert(target) { armTarget(target) }
  }

  private func forget(_ target: TrunkTarget) {
    wheel.cancel(&target.timer)
    if let probe = target.probe { remove(probe) }
    targets.remove(target)
    updateSeat(target.key.seat)
  }

  /// Whose certificate the far end of a trunk's connection must show.
  func security(ofTrunk trunk: Trunk, _ source: SocketAddress) -> TrunkSecurity? {
    guard trunk.transport == .tls else { return nil }
    let known = targets.ofSeat(seats.seat(of: trunk)).first { $0.key.address.ip == source.ip }
    return known?.security ?? trunk.ownSecurity
  }

  func target(ofTrunk trunk: Trunk, _ address: SocketAddress) -> TrunkTarget? {
    targets[TrunkTargets.Key(seat: seats.seat(of: trunk), address: address)]
  }

  // MARK: What a call does with it

  /// The targets that take calls now, in their order. Empty: the hop is passed over for the time being.
  /// `lastResort`: nothing else is left, so those that are doubtful or down are tried too; not those that
  /// asked to be left alone (§21.5.4).
  /// `asks`: whether a target's own wish for fewer calls holds (RFC 7339 §5.10); not for a call for help.
  func choose(_ all: [CallTarget], lastResort: Bool, asks: Bool) -> [CallTarget] {
    if !lastResort, all.allSatisfy(isWellOff) { return all }
    var chosen: [CallTarget] = []
    var held: [CallTarget] = []
    var doubtful: [CallTarget] = []
    var down: [CallTarget] = []
    for target in all {
      guard let watched = target.watched else {
        chosen.append(target)
        continue
      }
      // A second draw, as a last resort, would let more through than was asked for.
      if asks, lastResort ? watched.overload.loss(at: now) > 0 : isLeftOut(watched) { continue }
      switch watched.health.state {
      case .usable:
        let share = watched.health.share(at: now, settings: watched.settings)
        if share >= 1_000 || random.next(below: 1_000) < share {
          chosen.append(target)
        } else {
          held.append(target)
        }
      case .doubtful: doubtful.append(target)
      case .down: down.append(target)
      case .resting: break
      }
    }
    if lastResort { return chosen + held + doubtful + down }
    return chosen.isEmpty ? [] : chosen + held
  }

  /// It takes every call, and wishes for no fewer.
  private func isWellOff(_ target: CallTarget) -> Bool {
    guard let watched = target.watched else { return true }
    return watched.health.state == .usable && watched.overload.loss(at: now) == 0
      && watched.health.share(at: now, settings: watched.settings) >= 1_000
  }

  /// How good what is left of a hop that was passed over would be; nil: it is not to be tried at all.
  func lastResortRank(_ all: [CallTarget], asks: Bool) -> Int? {
    all.compactMap { target -> Int? in
      if asks, let watched = target.watched, watched.overload.loss(at: now) > 0 { return nil }
      return switch target.watched?.health.state {
      case nil, .usable?: 0
      case .doubtful?: 1
      case .down?: 2
      case .resting?: nil
      }
    }.min()
  }

  /// How long the target at hand may give no response at all: not as long as when it is the only one.
  func patience(_ branch: Branch, _ hop: PlannedHop) -> Interval {
    guard case .trunk = hop.target, hasMoreToTry(branch) else { return hop.responseTimeout }
    return min(hop.responseTimeout, ResourceDefaults.silenceTimeout)
  }

  private func hasMoreToTry(_ branch: Branch) -> Bool {
    let strand = branch.strand
    if branch.targetIndex + 1 < branch.targets.count || !strand.passedOver.isEmpty { return true }
    return !strand.isLastResort
      && strand.plan.next(after: strand.hopIndex, cause: .carrierTimeout) != nil
  }

  /// A 100 came: from here on the hop's own time-out counts.
  func waitForMore(_ leg: Leg, _ branch: Branch) {
    guard !leg.responseTimer.isNone, !branch.hasHeard else { return }
    branch.hasHeard = true
    restart(
      &leg.responseTimer, .response, max(branch.responseDeadline - now, .zero), leg.handle)
  }

  func targetAnswered(_ session: Session, _ branch: Branch, _ transaction: ClientTransaction) {
    guard let target = branch.target?.watched else { return }
    if !branch.hasHeard, transaction.copies == 0,
      session.record.attempts.indices.contains(branch.attempt)
    {
      target.measured(now - session.record.attempts[branch.attempt].started)
    }
    note(target, .answered)
  }

  /// A final refusal: whoever sends it is there, unless it is a 503 that says for how long (§21.5.4).
  func targetRefused(
    _ session: Session, _ branch: Branch, _ transaction: ClientTransaction,
    _ message: borrowing Message
  ) {
    guard message.status == 503, let time = rest(message) else {
      return targetAnswered(session, branch, transaction)
    }
    if let target = branch.target?.watched { note(target, .busy(time)) }
  }

  func targetFailed(_ branch: Branch, _ reason: TargetReason) {
    guard let target = branch.target?.watched, reason != .silent || !branch.hasHeard else { return }
    note(target, .failed(reason, isProbe: false))
  }

  /// Nil where no rest is asked for.
  private func rest(_ message: borrowing Message) -> Interval? {
    guard let seconds = message.retryAfter, seconds > 0 else { return nil }
    return .seconds(Int(seconds))
  }

  // MARK: The machine's effects

  func note(_ target: TrunkTarget, _ event: TargetHealth.Event) {
    // The configuration may have dropped it while a call was with it.
    guard targets[target.handle] === target else { return }
    var effects: [TargetHealth.Effect] = []
    let before = target.health.nextAt
    target.health.handle(
      event, at: now, settings: target.settings, random: &random, into: &effects)
    if target.health.nextAt != before { armTarget(target) }
    for effect in effects {
      switch effect {
      case .probe: probe(target)
      case .became(let usable, let reason):
        updateSeat(target.key.seat)
        if usable, configuration.passesRegistrations { passingRenewed[target.key.seat] = now }
        tell(
          .targetState(
            trunk: "trunk:" + target.trunk, target.key.address, usable: usable, reason))
      }
    }
  }

  /// A trunk is usable while one of its targets is.
  private func updateSeat(_ seat: Int) {
    let own = targets.ofSeat(seat)
    seats.setUsable(own.isEmpty || own.contains { $0.health.isUsable }, seat)
  }

  private func armTarget(_ target: TrunkTarget) {
    wheel.cancel(&target.timer)
    guard let at = target.health.nextAt else { return }
    target.timer = wheel.schedule(
      at: at, kind: ShardTimer.target.rawValue, owner: target.handle.packed)
  }

  /// A target's timer: its next probe, or the end of the wait for the last one.
  func targetDue(_ handle: SlabHandle) {
    guard let target = targets[handle] else { return }
    if let probe = target.probe, target.probeTimer != .none,
      now >= target.probeStarted + ProbeSettings.patience
    {
      target.probeTimer = .none
      remove(probe)
      target.probesFailed &+= 1
      return note(target, .failed(.silent, isProbe: true))
    }
    guard let at = target.health.nextAt, at <= now else { return }
    target.timer = .none
    note(target, .due)
  }

  // MARK: OPTIONS

  private func probe(_ target: TrunkTarget) {
    guard target.probe == nil else { return }
    var none: [TransactionEffect] = []
    let transaction = ClientTransaction(
      machine: .nonInvite(NonInviteClientTransaction(timers: timers, into: &none)),
      method: .options, purpose: .probe, cseq: 1, destination: target.key.address,
      listener: target.listener,
      connectPort: isReliable(target.listener) ? target.key.address.port : 0, request: .none)
    // At the limit of transactions there are other worries than whether a target answers.
    guard let handle = clients.insert(transaction) else { return }
    transaction.handle = handle
    transaction.sender = .probe(target)
    target.probe = transaction
    target.probeStarted = now
    target.probes &+= 1
    targets.probes[handle] = transaction
    wheel.cancel(&target.probeTimer)
    target.probeTimer = wheel.schedule(
      at: now + ProbeSettings.patience, kind: ShardTimer.target.rawValue,
      owner: target.handle.packed)
    if let security = target.security { secure(security, target.listener, target.key.address) }
    writeOptions(target, transaction)
    launch(transaction)
  }

  private func writeOptions(_ target: TrunkTarget, _ transaction: ClientTransaction) {
    outbox.datagrams.begin()
    writeHead("OPTIONS", target, transaction)
    outbox.datagrams.append("Contact: <sip:")
    writeOurAddress(target.listener, into: &outbox.datagrams)
    outbox.datagrams.append(transport(target.listener).parameter)
    outbox.datagrams.append(">\r\nAccept: application/sdp\r\n")
    writeUserAgent()
    outbox.datagrams.append("Content-Length: 0\r\n\r\n")
  }

  /// Of a request to a target that belongs to no dialog: up to CSeq.
  func writeHead(
    _ method: StaticString, _ target: TrunkTarget, _ transaction: ClientTransaction
  ) {
    outbox.datagrams.append(method)
    outbox.datagrams.append(" sip:")
    outbox.datagrams.append(target.host)
    outbox.datagrams.append(" SIP/2.0\r\n")
    writeVia(transaction, into: &outbox.datagrams)
    outbox.datagrams.append("Max-Forwards: 70\r\nFrom: <sip:")
    writeOurAddress(target.listener, into: &outbox.datagrams)
    outbox.datagrams.append(">;tag=")
    outbox.datagrams.append(hex: random.next(), digits: 16)
    outbox.datagrams.append("\r\nTo: <sip:")
    outbox.datagrams.append(target.host)
    outbox.datagrams.append(">\r\nCall-ID: ")
    outbox.datagrams.append(hex: random.next(), digits: 16)
    outbox.datagrams.append(hex: random.next(), digits: 16)
    outbox.datagrams.append("\r\nCSeq: 1 ")
    outbox.datagrams.append(method)
    outbox.datagrams.append("\r\n")
  }

  func probeAnswered(_ transaction: ClientTransaction, _ message: borrowing Message) {
    guard let target = transaction.probed, target.probe === transaction else { return }
    if transaction.copies == 0 { target.measured(now - target.probeStarted) }
    let event: TargetHealth.Event =
      message.status == 503 ? .busy(rest(message) ?? ProbeSettings.rest) : .answered
    forgetProbe(transaction, target)
    note(target, event)
  }

  func probeFailed(_ transaction: ClientTransaction, _ reason: TargetReason) {
    guard let target = transaction.probed, target.probe === transaction else { return }
    target.probesFailed &+= 1
    forgetProbe(transaction, target)
    note(target, .failed(reason, isProbe: true))
  }

  /// The transaction may live on for its repetitions; the target waits for it no longer.
  func forgetProbe(_ transaction: ClientTransaction, _ target: TrunkTarget) {
    guard target.probe === transaction else { return }
    target.probe = nil
    wheel.cancel(&target.probeTimer)
  }

  // MARK: For those who ask

  var trunkStatuses: [TrunkStatus] {
    seats.statuses.map { seat, status in
      var status = status
      status.targets = targets.ofSeat(seat).map { self.status(of: $0) }
      return status
    }
  }

  private func status(of target: TrunkTarget) -> TargetStatus {
    var status = TargetStatus(
      address: target.key.address, name: target.name, since: target.health.since)
    status.state = target.health.state
    status.reason = target.health.reason
    status.share = target.health.share(at: now, settings: target.settings)
    status.roundTrip = target.roundTrip
    status.nextProbe = target.health.nextAt
    status.probes = target.probes
    status.probesFailed = target.probesFailed
    status.askedLoss = target.overload.loss(at: now)
    status.leftOut = target.leftOut
    return status
  }
}
