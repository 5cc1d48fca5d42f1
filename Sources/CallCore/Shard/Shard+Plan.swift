import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// How a call walks its plan: a hop comes to targets, a target is tried until it answers, fails or keeps
// silent too long, and the outcome decides what is tried next.

extension Shard {
  func startHop(_ session: Session, _ index: Int) {
    session.hopIndex = index
    guard session.plan.hops.indices.contains(index) else {
      return refuseCaller(session, session.lastFailure.status, session.lastFailure.cause)
    }
    let hop = session.plan.hops[index]
    switch hop.target {
    case .application(let application): startApplication(session, application)
    case .user(let user):
      session.targets = targets(ofUser: user, session, hop)
      guard !session.targets.isEmpty else { return lost(session, 480, .notRegistered) }
      startTarget(session, 0)
    case .trunk(let trunk):
      session.targets = targets(ofTrunk: trunk, session, hop)
      guard !session.targets.isEmpty else { return lost(session, 503, .carrierUnavailable) }
      let seat = seats.seat(of: session.configuration.trunks[trunk])
      if let cause = seats.take(seat, at: now) { return lost(session, cause.sipStatus, cause) }
      session.egressSeat = seat
      startTarget(session, 0)
    }
  }

  private func targets(ofUser user: Int, _ session: Session, _ hop: PlannedHop) -> [CallTarget] {
    let account = session.configuration.users[user]
    guard let network = session.configuration.network(ofUser: user) else { return [] }
    let key = Registrar.UserKey(tenant: account.tenant, user: account.name)
    return registrar.entries(key).map {
      CallTarget(
        name: "user:" + account.name, address: $0.binding.source, listener: $0.binding.listener,
        network: network, uri: $0.binding.contact, codecs: [], wideLatching: false,
        followsSource: true, credentials: nil,
        silence: UInt32(clamping: account.mediaTimeout.milliseconds))
    }
  }

  private func targets(ofTrunk trunk: Int, _ session: Session, _ hop: PlannedHop) -> [CallTarget] {
    let peer = session.configuration.trunks[trunk]
    guard let network = session.configuration.network(ofTrunk: trunk) else { return [] }
    return peer.targets.compactMap { address in
      guard
        let listener = session.configuration.listener(
          ofNetwork: network, family: address.ip.family)
      else { return nil }
      return CallTarget(
        name: "trunk:" + peer.name, address: address, listener: listener, network: network,
        uri: "sip:\(UserPart.escaped(hop.calledNumber))@\(address)", codecs: peer.codecs,
        wideLatching: peer.wideLatching, followsSource: false, credentials: peer.credentials,
        silence: UInt32(clamping: peer.mediaTimeout.milliseconds))
    }
  }

  private func startTarget(_ session: Session, _ index: Int) {
    session.targetIndex = index
    let target = session.targets[index]
    let hop = session.plan.hops[session.hopIndex]
    session.record.attempts.append(
      CallAttempt(
        target: target.name, address: target.address, started: now, ended: nil, status: 0,
        cause: nil))
    if let attempt = session.record.attempts.last { tell(.hopTried(attempt), call: session.id) }
    session.record.to = target.name
    if let cause = invite(session, target) { return lost(session, cause.sipStatus, cause) }
    restart(&session.responseTimer, .response, hop.responseTimeout, session.handle)
    restart(&session.answerTimer, .answer, hop.answerTimeout, session.handle)
  }

  // MARK: Outcomes

  /// The target at hand is lost: the next contact or address of the hop, the next hop, or the end.
  func lost(_ session: Session, _ status: Int, _ cause: Cause) {
    stopHopTimers(session)
    endAttempt(session, status, cause)
    session.lastFailure = (status, cause)
    forgetCallee(session)
    if triesNextAddress(cause), session.targetIndex + 1 < session.targets.count {
      return startTarget(session, session.targetIndex + 1)
    }
    if let seat = session.egressSeat {
      session.egressSeat = nil
      seats.release(seat)
    }
    session.targets = []
    session.targetIndex = 0
    if let next = session.plan.next(after: session.hopIndex, cause: cause) {
      startHop(session, next)
    } else {
      refuseCaller(session, status, cause)
    }
  }

  /// Only what says "not there" sends the call to the next address of the same target: a busy user is busy
  /// on every address.
  private func triesNextAddress(_ cause: Cause) -> Bool {
    switch cause {
    case .carrierTimeout, .carrierUnavailable, .transportFailed, .unreachable: true
    default: false
    }
  }

  private func endAttempt(_ session: Session, _ status: Int, _ cause: Cause?) {
    guard let last = session.record.attempts.indices.last,
      session.record.attempts[last].ended == nil
    else { return }
    session.record.attempts[last].ended = now
    session.record.attempts[last].status = status
    session.record.attempts[last].cause = cause
    tell(.hopEnded(session.record.attempts[last]), call: session.id)
  }

  func attemptAnswered(_ session: Session) { endAttempt(session, 200, nil) }

  /// The leg that was tried is left to itself: it is cancelled when that becomes possible, and whatever still
  /// comes is answered, up to 64·T1 (late 1xx: CANCEL; late 2xx: ACK and BYE).
  func forgetCallee(_ session: Session) {
    guard let leg = session.callee else { return }
    session.callee = nil
    leg.session = nil
    closeMedia(leg)
    abandon(leg)
    removeIfDone(leg)
  }

  func stopHopTimers(_ session: Session) {
    wheel.cancel(&session.responseTimer)
    wheel.cancel(&session.answerTimer)
  }

  /// §13.3.1.1: a provisional response at least each minute, so that no proxy on the way gives the call up.
  func progressDue(_ handle: SlabHandle) {
    guard let session = session(handle) else { return }
    session.progressTimer = .none
    guard session.state == .routing, let server = session.caller?.inviteServer, server.isProceeding,
      !server.response.isNone
    else { return }
    resend(
      server.response, to: server.replyTo, server.listener, serial: server.serial,
      side: server.side)
    restart(&session.progressTimer, .progress, .seconds(60), session.handle)
  }

  /// Nothing but 100 came in time: faster than timer B, which would cost the caller 32 s (§17.1.1.2).
  func responseTimedOut(_ handle: SlabHandle) {
    guard let session = session(handle) else { return }
    session.responseTimer = .none
    guard session.state == .routing, session.callee != nil else { return }
    markTarget(session, usable: false)
    lost(session, 408, .carrierTimeout)
  }

  func answerTimedOut(_ handle: SlabHandle) {
    guard let session = session(handle) else { return }
    session.answerTimer = .none
    if session.state == .awaitingRecord {
      return release(session, by: .system, .recordsStalled)
    }
    guard session.state == .routing, session.callee != nil else { return }
    lost(session, 480, .noAnswer)
  }

  /// Whether the trunk's target answers at all, for those who watch.
  func markTarget(_ session: Session, usable: Bool) {
    guard let seat = session.egressSeat, seats.setUsable(usable, seat),
      session.targets.indices.contains(session.targetIndex)
    else { return }
    let target = session.targets[session.targetIndex]
    tell(.targetState(trunk: target.name, target.address, usable: usable), call: session.id)
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
    stopHopTimers(session)
    wheel.cancel(&session.progressTimer)
    endAttempt(session, status ?? cause.sipStatus, cause)
    session.record.end = now
    session.record.releasedBy = by
    session.record.cause = cause
    let final = wasAnswered ? 200 : (status ?? cause.sipStatus)
    session.record.status = final
    if let caller = session.caller { hangUp(caller, status: final, cause) }
    if let callee = session.callee { hangUp(callee, status: final, cause) }
    blocks.free(&session.offer)
    if let seat = session.ingressSeat { seats.release(seat) }
    if let seat = session.egressSeat { seats.release(seat) }
    session.ingressSeat = nil
    session.egressSeat = nil
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
  }

  func mediaCloseTimedOut(_ handle: SlabHandle) {
    guard let session = session(handle) else { return }
    session.closeTimer = .none
    session.caller?.media?.closed = true
    session.callee?.media?.closed = true
    finish(session)
  }

  /// The last fact of a call.
  func finish(_ session: Session) {
    guard sessions.isLive(session.handle) else { return }
    wheel.cancel(&session.closeTimer)
    session.record.state = .ended
    if let media = session.caller?.media { session.record.fromCaller = media.quality }
    if let media = session.callee?.media { session.record.fromCallee = media.quality }
    counters.callsEnded &+= 1
    tell(.callEnded(session.record), call: session.id)
    sessionsBySerial[session.id.serial] = nil
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
