import Base
import MediaControl
import Policy
import Resolution
import SIPCore
import SIPWire

// How a call walks its plan: a hop comes to targets, all of them ring at once, and when all are lost the
// best of their failures decides where the call goes next.

extension Shard {
  /// The first hop, once the record is safe.
  func startPlan(_ session: Session) {
    session.state = .routing
    if let transfer = session.handover?.transfer, transfer.next === session {
      switch transfer.kind {
      case .replacement where session.offer.isNone: return offerReplacement(transfer)
      case .replacement: return askTransferee(transfer)
      case .pickup: return pickUp(transfer)
      case .blind, .attended: break
      }
    }
    let strand = Strand(plan: session.plan, diversions: transferDiversions(session))
    session.strand = strand
    startHop(session, strand, 0)
  }

  func startHop(_ session: Session, _ strand: Strand, _ index: Int) {
    strand.hopIndex = index
    strand.failure = nil
    strand.isDiverted = false
    guard let hop = strand.hop else { return strandLost(session, strand, Failure(.unreachable)) }
    setDeadline(session, strand, hop)
    // Held until every member is under way: those that are lost at once must not end the hop alone.
    strand.pending = 1
    switch hop.target {
    case .application(let application):
      return startApplication(session, strand, application)
    case .user(let user):
      startUser(session, strand, user, hop)
    case .contact(let token):
      if let target = target(ofContact: token, session) {
        start(session, Branch(strand, [target]))
      } else {
        strand.note(Failure(480, .notRegistered))
      }
    case .trunk(let trunk):
      startTrunk(session, strand, trunk, hop)
    case .ring(let plans):
      let members = plans.map { Strand(plan: $0, parent: strand, deadline: strand.hopDeadline) }
      strand.strands = members
      strand.pending += members.count
      for member in members where session.state == .routing { startHop(session, member, 0) }
    }
    memberEnded(session, strand)
  }

  private func startUser(
    _ session: Session, _ strand: Strand, _ user: Int, _ hop: PlannedHop
  ) {
    if forwards(session, strand, user: user, .always) { return }
    strand.later = waves(ofUser: user, session)
    if strand.later.isEmpty, !forwards(session, strand, user: user, .unreachable) {
      strand.note(Failure(480, .notRegistered))
    }
  }

  /// How long the members of a hop may ring from now on.
  private func setDeadline(_ session: Session, _ strand: Strand, _ hop: PlannedHop) {
    var time = hop.answerTimeout
    if case .user(let user) = hop.target,
      let own = session.configuration.ringTime(ofUser: user)
    {
      time = min(time, own)
    }
    strand.hopDeadline = earlier(now + time, strand.deadline)
  }

  private func earlier(_ a: Instant, _ b: Instant?) -> Instant { b.map { min(a, $0) } ?? a }

  func startTrunk(
    _ session: Session, _ strand: Strand, _ trunk: Int, _ hop: PlannedHop
  ) {
    let outside = outsideCall(session, strand, trunk, hop)
    if let cause = outside.flatMap({ refusal($0, session) }) {
      return strand.note(Failure(cause))
    }
    guard let all = targets(ofTrunk: trunk, session, hop) else { return awaitName(session, strand) }
    guard !all.isEmpty else {
      return strand.note(Failure(causeWithoutTargets(session.configuration.trunks[trunk])))
    }
    let asks = session.emergency == nil
    let targets = choose(all, lastResort: strand.isLastResort, asks: asks)
    guard !targets.isEmpty else {
      if asks { noteLeftOut(all, session) }
      return passOver(strand, all, asks: asks)
    }
    let branch = Branch(strand, targets)
    if let cause = holdWayOut(session, branch, trunk: trunk, called: hop.dialled, outside) {
      return strand.note(Failure(cause))
    }
    start(session, branch)
  }

  /// No target of the hop takes calls now. Nothing is sent there, and nothing waited for.
  private func passOver(_ strand: Strand, _ all: [CallTarget], asks: Bool) {
    if !strand.isLastResort, let rank = lastResortRank(all, asks: asks) {
      strand.passedOver.append((strand.hopIndex, rank))
    }
    strand.note(Failure(503, .carrierUnavailable))
  }

  /// The contacts of equal q ring together, those of a higher one before (RFC 3261 §16.6).
  private func startWave(_ session: Session, _ strand: Strand) {
    let wave = strand.later.removeFirst()
    if let hop = strand.hop { setDeadline(session, strand, hop) }
    strand.pending = 1
    for target in wave where session.state == .routing {
      start(session, Branch(strand, [target]))
    }
    memberEnded(session, strand)
  }

  private func start(_ session: Session, _ branch: Branch) {
    branch.strand.branches.append(branch)
    branch.strand.pending += 1
    startTarget(session, branch, 0)
  }

  // MARK: Targets

  private func causeWithoutTargets(_ peer: Trunk) -> Cause {
    if peer.register != nil { return .trunkNotRegistered }
    if peer.registersWithUs { return .notRegistered }
    return peer.targets.isEmpty ? .carrierUnavailable : .nameUnresolved
  }

  /// Nil: a name has not come to an address yet, and there is no other target to be had.
  private func targets(
    ofTrunk trunk: Int, _ session: Session, _ hop: PlannedHop
  ) -> [CallTarget]? {
    let peer = session.configuration.trunks[trunk]
    guard let network = session.configuration.network(ofTrunk: trunk) else { return [] }
    let called = session.configuration.calledText(hop.calledNumber, trunk: trunk)
    if let register = peer.register {
      return targets(ofRegistered: trunk, peer, register, network: network, called)
    }
    var registered = targets(registeredFor: trunk, peer, network: network, called)
    if let phone = session.phone {
      for i in registered.indices { phone.shape(&registered[i]) }
    }
    if !registered.isEmpty { return registered }
    var found: [CallTarget] = []
    var waits = false
    func add(_ target: SIPTarget, at address: SocketAddress) {
      guard
        let listener = session.configuration.listener(
          ofNetwork: network, family: address.ip.family, transport: peer.transport.wire),
        !found.contains(where: { $0.address == address })
      else { return }
      var one = CallTarget(
        peer, trunk, network: network, address: address, listener: listener,
        uri: NumberURI.text(called, at: target.hostPort, peer.numbers))
      one.security = peer.security(of: target)
      one.calledDomain = target.address == nil ? target.hostPort : nil
      one.watched = self.target(ofTrunk: peer, address)
      session.phone?.shape(&one)
      found.append(one)
    }
    for target in peer.targetsInOrder(random: &random) {
      if let address = target.address {
        add(target, at: address)
      } else if let located = addresses(
        of: target, peer, network: network, session.configuration)
      {
        for one in located { add(target, at: one.address) }
      } else {
        waits = true
      }
    }
    return found.isEmpty && waits ? nil : found
  }

  // MARK: What came of it

  /// A member of the hop was lost.
  func memberLost(_ session: Session, _ strand: Strand, _ failure: Failure) {
    strand.note(failure)
    memberEnded(session, strand)
  }

  func memberEnded(_ session: Session, _ strand: Strand) {
    strand.pending -= 1
    guard strand.pending == 0, session.state == .routing else { return }
    hopLost(session, strand, strand.failure ?? Failure(.unreachable))
  }

  private func hopLost(_ session: Session, _ strand: Strand, _ failure: Failure) {
    let isOver = strand.deadline.map { $0 <= now } ?? false
    // A phone on which the call was declined has declined it for the others (§16.7 step 5).
    if !strand.later.isEmpty, failure.status < 600, !isOver { return startWave(session, strand) }
    strand.later = []
    if !isOver, isForwarded(session, strand, failure) { return }
    guard !isOver, let next = strand.next(after: failure.cause) else {
      return strandLost(session, strand, failure)
    }
    startHop(session, strand, next)
  }

  /// The user of the hop has another place for calls that end like this.
  private func isForwarded(_ session: Session, _ strand: Strand, _ failure: Failure) -> Bool {
    guard case .user(let user)? = strand.hop?.target, let reason = DiversionReason(failure.cause)
    else { return false }
    strand.pending = 1
    guard forwards(session, strand, user: user, reason) else {
      strand.pending = 0
      return false
    }
    memberEnded(session, strand)
    return true
  }

  private func strandLost(_ session: Session, _ strand: Strand, _ failure: Failure) {
    guard let parent = strand.parent else {
      let told = everyCarrierFailed(session) ? Failure(.allRoutesFailed) : failure
      return refuseCaller(session, told.status, told.cause)
    }
    strand.parent = nil
    parent.strands.removeAll { $0 === strand }
    memberLost(session, parent, failure)
  }

  /// Several were tried, and none of them is to blame alone: the caller learns that, and the record has each.
  private func everyCarrierFailed(_ session: Session) -> Bool {
    let attempts = session.record.attempts
    guard attempts.count > 1, Set(attempts.map(\.target)).count > 1 else { return false }
    return attempts.allSatisfy { attempt in
      switch attempt.cause {
      case .carrierTimeout, .carrierUnavailable, .carrierRejected, .transportFailed: true
      default: false
      }
    }
  }

  /// Everything that still rings is given up, and each line of the record says why.
  func giveUp(_ session: Session, _ failure: Failure, except winner: Branch? = nil) {
    stopWaitingForNames(session)
    guard let strand = session.strand else { return }
    session.strand = nil
    giveUp(session, strand, failure, except: winner)
  }

  private func giveUp(
    _ session: Session, _ strand: Strand, _ failure: Failure, except winner: Branch?
  ) {
    let branches = strand.branches
    let strands = strand.strands
    strand.branches = []
    strand.strands = []
    strand.later = []
    strand.parent = nil
    for branch in branches where branch !== winner {
      endAttempt(session, branch, failure.status, failure.cause)
      releaseSeat(branch)
      forget(session, branch, because: failure.cause)
    }
    for inner in strands { giveUp(session, inner, failure, except: winner) }
  }

  // MARK: The end

  /// The caller gets the final answer and the call ends.
  func refuseCaller(_ session: Session, _ status: Int, _ cause: Cause) {
    release(session, by: cause == .cancelled ? .caller : .callee, cause, status: status)
  }

  /// Ends the call in whatever state it is: each leg gets what its state allows, channels and ports come
  /// back, and the record is closed when the media plane has told its last counters.
  func release(_ session: Session, by: ReleasedBy, _ cause: Cause, status: Int? = nil) {
    guard session.state != .released else { return }
    let wasAnswered = session.state == .answered
    session.state = .released
    wheel.cancel(&session.patienceTimer)
    wheel.cancel(&session.progressTimer)
    endQualityWatch(session)
    session.record.end = now
    session.record.releasedBy = by
    session.record.cause = cause
    let final = wasAnswered ? 200 : (status ?? cause.sipStatus)
    session.record.status = final
    if let handover = session.handover {
      released(session, handover, by: by, cause, status ?? cause.sipStatus)
    }
    if let caller = session.caller { hangUp(caller, status: final, cause) }
    if let callee = session.callee { hangUp(callee, status: final, cause) }
    giveUp(session, Failure(status ?? cause.sipStatus, cause))
    blocks.free(&session.offer)
    letGoCaller(session)
    letGoWayOut(session)
    stopRecording(session, .released)
    if let caller = session.caller { closeMedia(caller) }
    if let callee = session.callee { closeMedia(callee) }
    if mediaIsClosed(session) {
      finish(session)
    } else {
      restart(&session.closeTimer, .mediaClose, .seconds(2), session.handle)
    }
  }

  func mediaIsClosed(_ session: Session) -> Bool {
    (session.caller?.media?.closed ?? true) && (session.callee?.media?.closed ?? true)
      && session.recording == nil
  }

  func mediaCloseTimedOut(_ handle: SlabHandle) {
    guard let session = session(handle) else { return }
    session.closeTimer = .none
    session.caller?.media?.closed = true
    session.callee?.media?.closed = true
    giveUpRecording(session)
    finish(session)
  }

  /// The last fact of a call.
  func finish(_ session: Session) {
    guard sessions.isLive(session.handle) else { return }
    wheel.cancel(&session.closeTimer)
    session.record.state = .ended
    counters.callsEnded &+= 1
    tell(.callEnded(session.record), call: session.id)
    if !toll.unsaid.isEmpty { keepUnsaid() }
    reportQuality(session)
    endReferral(session)
    session.handover = nil
    sessionsBySerial[session.id.serial] = nil
    if identities != nil { forgetIdentity(session) }
    _ = sessions.remove(session.handle)
    for leg in [session.caller, session.callee] {
      guard let leg else { continue }
      leg.session = nil
      removeIfDone(leg)
    }
    session.caller = nil
    session.callee = nil
    reportDrained()
  }

  func session(_ handle: SlabHandle) -> Session? {
    sessions.isLive(handle) ? sessions[handle] : nil
  }
  func leg(_ handle: SlabHandle) -> Leg? { legs.isLive(handle) ? legs[handle] : nil }
}

/// What a call may set in motion at most.
enum ForkLimits {
  /// Contacts of one user that ring at once; more of them take their turn after these.
  static let legsTogether = 16
  /// Lines of a record: addresses tried, over all hops and branches.
  static let attempts = 64
}
