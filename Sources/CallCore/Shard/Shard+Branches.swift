import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// One branch of a hop: an INVITE to its target's first address, then to the next where that one is not
// there, until somebody answers, refuses or keeps silent too long.

extension Shard {
  func startTarget(_ session: Session, _ branch: Branch, _ index: Int) {
    branch.targetIndex = index
    guard let target = branch.target, let hop = branch.strand.hop else {
      return branchLost(session, branch, Failure(.internalFault))
    }
    guard session.record.attempts.count < ForkLimits.attempts else {
      return branchLost(session, branch, Failure(.allRoutesFailed))
    }
    branch.attempt = session.record.attempts.count
    let attempt = CallAttempt(
      target: target.name, address: target.address, started: now, ended: nil, status: 0,
      cause: nil, forwardedBy: branch.strand.diversions.last?.name ?? "")
    session.record.attempts.append(attempt)
    tell(.hopTried(attempt), call: session.id)
    session.record.to = target.name
    if let cause = invite(session, branch, target) {
      return lost(session, branch, cause.sipStatus, cause)
    }
    guard let leg = branch.leg else { return }
    branch.hasHeard = false
    branch.responseDeadline = now + hop.responseTimeout
    restart(&leg.responseTimer, .response, patience(branch, hop), leg.handle)
    let deadline = max(branch.strand.hopDeadline ?? now, now)
    restart(&leg.answerTimer, .answer, deadline - now, leg.handle)
  }

  /// The target at hand is lost: the next address, or the end of the branch.
  /// `said`: what the target said, where the caller is told something else.
  func lost(
    _ session: Session, _ branch: Branch, _ status: Int, _ cause: Cause, said: Int? = nil
  ) {
    endAttempt(session, branch, said ?? status, cause)
    forget(session, branch, because: cause)
    if cause.triesNextAddress, branch.targetIndex + 1 < branch.targets.count,
      branch.strand.hopDeadline.map({ now < $0 }) ?? true
    {
      return startTarget(session, branch, branch.targetIndex + 1)
    }
    branchLost(session, branch, Failure(status, cause))
  }

  private func branchLost(_ session: Session, _ branch: Branch, _ failure: Failure) {
    releaseSeat(branch)
    let strand = branch.strand
    strand.branches.removeAll { $0 === branch }
    if failure.status >= 600 { endSiblings(session, strand) }
    memberLost(session, strand, failure)
  }

  /// The branch's answer leads elsewhere: it is over, and so is the ringing of the user's other phones.
  func leave(_ session: Session, _ branch: Branch) {
    releaseSeat(branch)
    forget(session, branch, because: .forwarded)
    let strand = branch.strand
    strand.branches.removeAll { $0 === branch }
    strand.later = []
    endSiblings(session, strand)
  }

  /// Whoever declines on one phone has declined on all of theirs (RFC 3261 §16.7 step 5). The members of a
  /// ring are different people: they have a strand each, and are not touched.
  private func endSiblings(_ session: Session, _ strand: Strand) {
    let siblings = strand.branches
    strand.branches = []
    strand.pending -= siblings.count
    for branch in siblings {
      endAttempt(session, branch, 487, .completedElsewhere)
      releaseSeat(branch)
      forget(session, branch, because: .completedElsewhere)
    }
  }

  func endAttempt(_ session: Session, _ branch: Branch, _ status: Int, _ cause: Cause?) {
    endAttempt(session, branch.attempt, status, cause)
  }

  func endAttempt(_ session: Session, _ index: Int, _ status: Int, _ cause: Cause?) {
    guard session.record.attempts.indices.contains(index),
      session.record.attempts[index].ended == nil
    else { return }
    session.record.attempts[index].ended = now
    session.record.attempts[index].status = status
    session.record.attempts[index].cause = cause
    tell(.hopEnded(session.record.attempts[index]), call: session.id)
  }

  func releaseSeat(_ branch: Branch) {
    limits.release(&branch.limits)
    guard let seat = branch.seat else { return }
    branch.seat = nil
    seats.release(seat)
  }

  /// The leg that was tried is left to itself: it is cancelled when that becomes possible, and whatever still
  /// comes is answered, up to 64·T1 (late 1xx: CANCEL; late 2xx: ACK and BYE).
  func forget(_ session: Session, _ branch: Branch, because cause: Cause) {
    guard let leg = branch.leg else { return }
    branch.leg = nil
    leg.branch = nil
    stopRinging(leg)
    if let caller = session.caller { refuseReoffer(caller, askedOf: leg) }
    if cause == .completedElsewhere { leg.isCompletedElsewhere = true }
    guard session.state != .released || session.callee !== leg else { return }
    leg.session = nil
    closeMedia(leg)
    abandon(leg)
    removeIfDone(leg)
    if session.callee === leg {
      session.callee = nil
      hearAnother(session)
    }
  }

  func stopRinging(_ leg: Leg) {
    wheel.cancel(&leg.responseTimer)
    wheel.cancel(&leg.answerTimer)
  }

  // MARK: Who answers, and who is heard before

  /// The leg answered for its call: it is the callee, and everything else is given up.
  func choose(_ session: Session, _ leg: Leg) {
    guard let branch = leg.branch else { return }
    connectMedia(session, leg)
    session.egressSeat = branch.seat
    branch.seat = nil
    session.egressLimits = branch.limits
    branch.limits = []
    session.record.to = branch.target?.name ?? session.record.to
    endAttempt(session, branch, 200, nil)
    stopRinging(leg)
    leg.branch = nil
    branch.leg = nil
    giveUp(session, Failure(487, .completedElsewhere), except: branch)
  }

  /// Of several branches the caller hears the first that sends media of its own; a branch that is lost
  /// gives way to the next. Each has an early dialog of its own, so what was said in one stays true.
  func hear(_ session: Session, _ leg: Leg) {
    guard let heard = session.callee, heard !== leg else { return connectMedia(session, leg) }
    if heard.media?.remote == nil { connectMedia(session, leg) }
  }

  private func hearAnother(_ session: Session) {
    guard session.state == .routing, let strand = session.strand,
      let next = strand.ringing.first(where: { $0.media?.remote != nil })
    else { return }
    connectMedia(session, next)
  }

  private func connectMedia(_ session: Session, _ leg: Leg) {
    guard session.callee !== leg else { return }
    session.callee = leg
    guard let mine = leg.media, let theirs = session.caller?.media, !theirs.closed,
      session.caller?.mediaClosing == false
    else { return }
    outbox.media.append(.bridge(theirs.transport, mine.transport))
  }

  // MARK: Time

  /// §13.3.1.1: a provisional response at least each minute, so that no proxy on the way gives the call up.
  func progressDue(_ handle: SlabHandle) {
    guard let session = session(handle) else { return }
    session.progressTimer = .none
    guard session.state == .routing, let server = session.caller?.inviteServer, server.isProceeding,
      !server.response.isNone
    else { return }
    resend(
      server.response, to: server.replyTo, server.listener, connectPort: server.connectPort,
      serial: server.serial, side: server.side)
    restart(&session.progressTimer, .progress, .seconds(60), session.handle)
  }

  /// Nothing but 100 came in time: faster than timer B, which would cost the caller 32 s (§17.1.1.2).
  func responseTimedOut(_ handle: SlabHandle) {
    guard let leg = leg(handle) else { return }
    leg.responseTimer = .none
    guard let session = leg.session, let branch = leg.branch else { return }
    targetFailed(branch, .silent)
    let isPhone = branch.target?.trunk == nil
    lost(session, branch, isPhone ? 480 : 408, isPhone ? .unreachable : .carrierTimeout)
  }

  func answerTimedOut(_ handle: SlabHandle) {
    guard let leg = leg(handle) else { return }
    leg.answerTimer = .none
    guard let session = leg.session, let branch = leg.branch else { return }
    lost(session, branch, 480, .noAnswer)
  }

  /// The store did not take the record in time.
  func patienceEnded(_ handle: SlabHandle) {
    guard let session = session(handle) else { return }
    session.patienceTimer = .none
    if session.state == .awaitingRecord { release(session, by: .system, .recordsStalled) }
  }
}

extension Strand {
  /// The legs that ring, here and in every member.
  var ringing: [Leg] { branches.compactMap(\.leg) + strands.flatMap(\.ringing) }
}
