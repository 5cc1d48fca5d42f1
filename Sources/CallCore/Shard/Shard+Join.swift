import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// The two that are left of a transfer agree on their media anew, one re-INVITE after the other; ports and addresses
// that they send to stay what they were. Then the transferor's legs end.

extension Shard {
  // MARK: Asking

  /// Attended: the target, which speaks with the transferor, is offered what the transferee speaks.
  func askTarget(_ transfer: Transfer) {
    transfer.stage = .offeringTarget
    guard let target = transfer.target else { return fail(transfer, 481, .transferFailed) }
    ask(target, transfer)
  }

  func askTransferee(_ transfer: Transfer) {
    transfer.stage = .offeringTransferee
    ask(transfer.transferee, transfer)
  }

  private func ask(
    _ leg: Leg, _ transfer: Transfer, answering challenge: DigestResponder.Challenge? = nil,
    of bytes: RawSpan = RawSpan()
  ) {
    guard isQuiet(leg) else { return askLater(transfer, after: .milliseconds(500)) }
    if challenge == nil {
      leg.sdpVersion &+= 1
      leg.challengesAnswered = 0
    }
    guard writeJoinOffer(leg, transfer) else { return fail(transfer, 488, .mediaUnacceptable) }
    defer { body.abandon() }
    if !sendReInvite(leg, hasBody: true, .join, challenge, bytes) {
      fail(transfer, 503, .capacity)
    }
  }

  /// It is in an exchange of its own, or offers something itself.
  private func askLater(_ transfer: Transfer, after: Interval) {
    transfer.tries += 1
    guard transfer.tries <= Transfer.triesAtMost else {
      return fail(transfer, 491, .transferFailed)
    }
    restart(&transfer.timer, .transfer, after, transfer.call.handle)
  }

  func transferDue(_ handle: SlabHandle) {
    guard let transfer = session(handle)?.handover?.transfer else { return }
    transfer.timer = .none
    switch transfer.stage {
    case .calling: pickupDue(transfer)
    case .offeringTarget: askTarget(transfer)
    case .offeringTransferee: askTransferee(transfer)
    }
  }

  /// In `body`: what the one side says that it speaks, as ours for the other.
  private func writeJoinOffer(_ leg: Leg, _ transfer: Transfer) -> Bool {
    guard let other = leg === transfer.transferee ? transfer.target : transfer.transferee else {
      return writeOffer(leg)
    }
    return writeDescription(of: other, for: leg)
  }

  /// What `source` last said, off hold, as ours for `leg`; in `body`, and read into `offered`.
  func writeDescription(of source: Leg, for leg: Leg) -> Bool {
    guard let session = source.session else { return false }
    let text = blocks.bytes(description(of: source, source.fork, session))
    guard (try? SessionDescription.parse(text, into: &offered)) != nil,
      let codecs = codecs(source, leg),
      let lines = lines(
        offered, text, from: source, to: leg, codecs: codecs,
        speech: speechOffer(offered, text, from: source, to: leg), direction: .sendrecv)
    else { return false }
    return write(offered, text, lines, for: leg, codecs: codecs)
  }

  // MARK: Answers

  func joinAnswered(_ leg: Leg, _ transaction: ClientTransaction, _ message: borrowing Message) {
    guard isOutcome(message, of: transaction) else { return }
    leg.inviteClient = nil
    guard message.status < 300 else {
      leg.exchange.refused(.invite)
      guard let transfer = leg.session?.handover?.transfer, transfer.asked === leg else { return }
      return joinRefused(leg, transfer, message)
    }
    noteAccepted(leg, transaction, message)
    let verdict = leg.exchange.handle(
      .success, from: .them, hasDescription: hasDescription(message))
    let isUsable = verdict == .answer && describes(message, leg)
    if isUsable { keepDescription(leg, leg.fork, message) }
    acknowledge(leg, transaction, withBody: false)
    guard let transfer = leg.session?.handover?.transfer, transfer.asked === leg else { return }
    // It has agreed to something that is no answer: nobody knows what it does now.
    guard isUsable else {
      fail(transfer, 488, .mediaUnacceptable)
      if let session = leg.session { release(session, by: .system, .mediaUnacceptable) }
      return
    }
    if leg === transfer.transferee { joined(transfer) } else { askTransferee(transfer) }
  }

  private func joinRefused(_ leg: Leg, _ transfer: Transfer, _ message: borrowing Message) {
    let status = message.status
    if status == 401 || status == 407, leg.credentials != nil, leg.challengesAnswered < 2,
      let challenge = DigestResponder.choose(message)
    {
      leg.challengesAnswered += 1
      return ask(leg, transfer, answering: challenge, of: message.bytes)
    }
    if status == 422, raiseInterval(leg, message) { return ask(leg, transfer) }
    if status == 491 { return askLater(transfer, after: glareWait(leg)) }
    fail(transfer, status.saysNothingToOthers ? 502 : status, .transferFailed)
    // §12.2.1.2 of RFC 3261: the peer no longer knows the dialog.
    if status == 481 || status == 408, let session = leg.session {
      release(session, by: .system, .carrierRejected)
    }
  }

  /// The side that was asked keeps silent, or cannot be reached.
  func joinTimedOut(_ leg: Leg) {
    leg.inviteClient = nil
    leg.exchange.refused(.invite)
    if let transfer = leg.session?.handover?.transfer, transfer.asked === leg {
      fail(transfer, 408, .transferFailed)
    }
    if let session = leg.session { release(session, by: .system, .carrierTimeout) }
  }

  // MARK: Joined

  /// The transferee has answered: the target takes the transferor's place. A call without a party of its own
  /// left is over; the others go on with their records until the two that speak hang up.
  func joined(_ transfer: Transfer) {
    if transfer.next.application != nil, !answerForTarget(transfer) {
      return fail(transfer, 488, .mediaUnacceptable)
    }
    if transfer.kind == .replacement, transfer.next.state != .answered,
      !answerReplacement(transfer)
    {
      return fail(transfer, 488, .mediaUnacceptable)
    }
    let (call, held, next, far) = (transfer.call, transfer.held, transfer.next, transfer.far)
    end(transfer)
    if call !== held { call.handover?.parties = .none }
    if next !== far { next.handover?.parties = .none }
    held.handover?.parties = .one(transfer.transferee)
    far.handover?.parties = transfer.target.map { .one($0) } ?? .none
    for session in [call, next] { session.handover?.partner = nil }
    held.handover?.partner = far
    far.handover?.partner = held
    connect(transfer)
    let how = transfer.kind == .pickup ? "taken by" : "transferred by"
    note("\(CallRecord.joinNote)\(far.id), \(how) \(transfer.name)", held)
    if call !== held {
      note("\(CallRecord.joinNote)\(far.id), transferred by \(transfer.name)", call)
    }
    if transfer.kind != .blind {
      note("\(CallRecord.joinNote)\(held.id), \(how) \(transfer.name)", far)
    }
    for session in [held, far] {
      tell(.sessionChanged(session: establishedRecord(session).encoded), call: session.id)
    }
    leave(transfer)
  }

  private func connect(_ transfer: Transfer) {
    let held = transfer.held
    held.application = transfer.next.application
    // The bridge that it was for is over.
    transfer.transferee.hold.hearsMusic = false
    transfer.target?.hold.hearsMusic = false
    if let mine = transfer.transferee.media, let theirs = transfer.target?.media {
      outbox.media.append(.bridge(mine.transport, theirs.transport))
    } else if let mine = transfer.transferee.media, let application = held.application {
      outbox.media.append(.play(mine.transport, application))
    }
    // Of two recordings that of the call that was handed on goes on.
    if transfer.far !== held { followRecording(transfer.far) }
    mediaAgreed(held)
  }

  /// What the application sends is what the transferee has chosen.
  private func answerForTarget(_ transfer: Transfer) -> Bool {
    guard let choice = chooseForApplication(), let line = transfer.attempt else {
      return false
    }
    let leg = transfer.transferee
    let next = transfer.next
    next.record.codec = adopt(choice, leg)
    endAttempt(next, line, 200, nil)
    transfer.attempt = nil
    giveUp(next, Failure(487, .completedElsewhere))
    answered(next)
    return true
  }

  /// The transferor hears how it ended, and is hung up behind that.
  private func leave(_ transfer: Transfer) {
    handleTimer(transfer.transferor, .ended)
    closeMedia(transfer.transferor)
    tellReferral(transfer.call, 200)
    if let consultation = transfer.consultation {
      hangUp(consultation, status: 200, .normalClearing)
      closeMedia(consultation)
      if transfer.next !== transfer.far { release(transfer.next, by: .system, .transferred) }
    }
    depart(transfer.call)
  }

  /// Hangs up whoever has been replaced, once nothing is to be told any more.
  func depart(_ session: Session) {
    guard let handover = session.handover, handover.referral == nil, session.state == .answered
    else { return }
    for leg in [session.caller, session.callee] {
      guard let leg, handover.hasLeft(leg) else { continue }
      hangUp(leg, status: 200, .normalClearing)
    }
    if case .none = handover.parties, handover.partner == nil {
      release(session, by: .system, .transferred)
    }
  }

  // MARK: The end of it

  /// The transfer is over, one way or the other.
  private func end(_ transfer: Transfer) {
    wheel.cancel(&transfer.timer)
    for session in transfer.sessions { session.handover?.transfer = nil }
  }

  /// It came to nothing. Who was connected stays so; what was made for it ends. `ending` is a call that is being
  /// released already.
  func fail(_ transfer: Transfer, _ status: Int, _ cause: Cause, ending: Session? = nil) {
    guard transfer.call.handover?.transfer === transfer else { return }
    // A call that ends in order takes the transfer with it.
    let status = status < 300 ? 487 : status
    let asked = transfer.asked
    end(transfer)
    if let open = asked?.inviteClient, open.purpose == .join, open.isPending { cancel(open) }
    if let asked { dropUnanswered(asked) }
    if let line = transfer.attempt { endAttempt(transfer.next, line, status, cause) }
    note("\(transfer.kind == .pickup ? "pickup" : "transfer") failed: \(status)", transfer.call)
    tellReferral(transfer.call, status)
    if transfer.kind != .attended {
      let isWanted = transfer.call !== ending && transfer.held !== ending
      let told = isWanted ? cause : transfer.next.state == .answered ? .normalClearing : .cancelled
      release(transfer.next, by: isWanted ? .system : .caller, told, status: status)
    }
    // The transferor did not wait for the outcome: nobody is left to go on with.
    if transfer.kind != .pickup, transfer.transferor.state == .ended {
      release(transfer.held, by: .system, .transferFailed)
    }
    if let consultation = transfer.consultation, consultation.state == .ended {
      release(transfer.far, by: .system, .transferFailed)
    }
  }

  /// A call that has to do with others ends.
  func released(
    _ session: Session, _ handover: Handover, by: ReleasedBy, _ cause: Cause, _ status: Int
  ) {
    if let transfer = handover.transfer { fail(transfer, status, cause, ending: session) }
    guard let partner = handover.partner else { return }
    handover.partner = nil
    partner.handover?.partner = nil
    release(partner, by: releaser(of: partner, by), cause)
  }

  /// Who let go, as the other call sees it: whoever has taken its absent party's place.
  private func releaser(of partner: Session, _ by: ReleasedBy) -> ReleasedBy {
    switch by {
    case .system, .operator: by
    case .caller, .callee: partner.handover?.remaining?.side == .a ? .callee : .caller
    }
  }

  /// Who hangs up asks nothing any more, and answers nothing: what the two sides were agreeing on comes to no end.
  /// The one that stays is asked anew when somebody else takes the place.
  private func withdrawOffers(_ leg: Leg, _ session: Session) {
    guard let other = session.other(leg) else { return }
    refuseReoffer(other, 491)
    if let open = other.inviteClient, open.purpose == .reInvite, open.isPending { cancel(open) }
    // It has offered in its 2xx, and the answer went with the BYE: there is no session to go on with.
    if other.ackHeld != nil { release(session, by: .system, .mediaUnacceptable) }
  }

  /// A BYE of somebody whose place is being, or has been, taken: it ends nothing but its own leg.
  func hasBeenReplaced(_ leg: Leg, _ session: Session) -> Bool {
    guard let handover = session.handover else { return false }
    if let transfer = handover.transfer, transfer.isLeaving(leg) {
      // Who hangs up does not wait for the outcome.
      if leg === transfer.transferor {
        endReferral(session)
        ringBack(transfer)
      }
      withdrawOffers(leg, session)
      // The call goes on without it, so nothing else tells its watchers.
      if !subscriptions.isEmpty { noteCall(session.record) }
      return true
    }
    guard handover.hasLeft(leg) else { return false }
    endReferral(session)
    depart(session)
    return true
  }
}
