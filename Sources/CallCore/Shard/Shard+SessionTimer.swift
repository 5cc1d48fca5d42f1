import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

/// A leg's session timer and what is known of the peer's wishes.
struct LegTimer {
  var machine = SessionTimer()
  var id = TimerID.none
  /// What our side of the leg wishes; expiry 0: no session timers.
  var policy = SessionTimerPolicy(expires: 0, minimum: SessionTimerPolicy.leastMinimum)
  /// What we ask for: raised by each 422.
  var seconds: UInt32 = 0
  /// The largest Min-SE that the peer has named; 0: none.
  var peerMinimum: UInt32 = 0
  /// What the 2xx to the peer's last INVITE or UPDATE will grant.
  var grant: (seconds: UInt32, refresher: SessionTimer.Refresher)?
  /// 422 in a row (RELIABILITY C6).
  var raises = 0

  static let maxRaises = 2
  /// Shorter than any that the RFC allows; a peer that says less would have us send without pause.
  static let leastInterval: UInt32 = 10
}

// Session timers (RFC 4028), on each leg for itself: whoever vanishes is missed, on hold too, and the call with
// everything that it held is over by the end of the interval.

extension Shard {
  // MARK: What a peer asks for

  /// Reads a peer's INVITE or UPDATE. The Min-SE for a 422, where its interval is too short.
  func refusedInterval(_ leg: Leg, _ message: borrowing Message) -> UInt32? {
    let request = timerRequest(message)
    leg.timer.peerMinimum = max(leg.timer.peerMinimum, request.minimum ?? 0)
    leg.timer.grant = nil
    switch leg.timer.policy.grant(request) {
    case .none: return nil
    case .tooSmall(let least): return least
    case .granted(let seconds, let refresher):
      leg.timer.grant = (seconds, refresher)
      return nil
    }
  }

  func timerRequest(_ message: borrowing Message) -> SessionTimerRequest {
    let expires = message.sessionExpires
    return SessionTimerRequest(
      supported: message.lists("timer", in: .supported) || message.lists("timer", in: .require),
      expires: expires?.seconds, minimum: message.minSE, senderRefreshes: expires?.byClient)
  }

  func dialogPolicy(of caller: CallerKind) -> DialogPolicy {
    switch caller {
    case .user, .phone: DialogPolicy()
    case .trunk(let trunk): DialogPolicy(configuration.trunks[trunk])
    }
  }

  /// Before a call is made of it: the Min-SE for a 422 to a first INVITE.
  func tooShortInterval(_ message: borrowing Message, _ caller: CallerKind) -> UInt32? {
    guard message.first(.sessionExpires) != nil else { return nil }
    let grant = dialogPolicy(of: caller).timerPolicy.grant(timerRequest(message))
    if case .tooSmall(let least) = grant { return least }
    return nil
  }

  func refuseInterval(
    _ message: borrowing Message, _ fields: RequestFields, _ least: UInt32, _ arrival: Arrival
  ) {
    countRefusal(message.method, 422, .sessionIntervalTooSmall, arrival)
    beginStateless(message, fields, 422, arrival)
    outbox.datagrams.append("Min-SE: ")
    outbox.datagrams.append(decimal: Int(least))
    outbox.datagrams.append("\r\n")
    endStateless(message, fields, arrival)
  }

  /// Session-Expires of a 2xx of ours; Require only where the peer is to refresh (§9).
  func writeTimerGrant(_ leg: Leg, into output: inout OutputBuffer) {
    guard let grant = leg.timer.grant else { return }
    output.append("Session-Expires: ")
    output.append(decimal: Int(grant.seconds))
    output.append(grant.refresher == .them ? ";refresher=uac\r\n" : ";refresher=uas\r\n")
    if grant.refresher == .them { output.append("Require: timer\r\n") }
  }

  /// A 2xx of ours to INVITE or UPDATE has left: the interval begins anew.
  func timerGranted(_ leg: Leg) {
    guard let grant = leg.timer.grant else { return }
    leg.timer.seconds = grant.seconds
    handleTimer(leg, .agreed(grant.refresher, .seconds(Int(grant.seconds))))
  }

  // MARK: What we ask for

  /// Session-Expires and Min-SE of an INVITE or UPDATE of ours (§7.1, §7.4).
  func writeTimerRequest(_ leg: Leg, isRefresh: Bool) {
    let policy = leg.timer.policy
    guard policy.expires > 0 else { return }
    if leg.timer.seconds == 0 { leg.timer.seconds = max(policy.expires, policy.minimum) }
    outbox.datagrams.append("Session-Expires: ")
    outbox.datagrams.append(decimal: Int(leg.timer.seconds))
    if isRefresh, let refresher = leg.timer.machine.refresher {
      outbox.datagrams.append(refresher == .us ? ";refresher=uac" : ";refresher=uas")
    } else if !isRefresh, policy.refresher == .us {
      outbox.datagrams.append(";refresher=uac")
    }
    outbox.datagrams.append("\r\n")
    let least = max(leg.timer.peerMinimum, policy.minimum)
    if least > SessionTimerPolicy.leastMinimum || leg.timer.peerMinimum > 0 {
      outbox.datagrams.append("Min-SE: ")
      outbox.datagrams.append(decimal: Int(least))
      outbox.datagrams.append("\r\n")
    }
  }

  /// A 2xx of the peer's to an INVITE or UPDATE of ours settles the timer (§7.2).
  func timerAgreed(_ leg: Leg, _ message: borrowing Message) {
    // Where none is wished for, a refresh of ours has only shown that somebody is there.
    guard leg.timer.policy.expires > 0 else { return handleTimer(leg, .refused) }
    leg.timer.raises = 0
    guard let expiry = message.sessionExpires else {
      // It doesn't know the timer: the refreshes are ours alone, and for our own sake.
      let seconds = max(leg.timer.seconds, LegTimer.leastInterval)
      return handleTimer(leg, .agreed(.us, .seconds(Int(seconds))))
    }
    let seconds = max(expiry.seconds, LegTimer.leastInterval)
    leg.timer.seconds = seconds
    handleTimer(leg, .agreed(expiry.byClient == false ? .them : .us, .seconds(Int(seconds))))
  }

  /// A 422: the next request asks for what the peer demands. False: it has demanded too often.
  func raiseInterval(_ leg: Leg, _ message: borrowing Message) -> Bool {
    guard let least = message.minSE, leg.timer.raises < LegTimer.maxRaises,
      least > leg.timer.seconds, leg.timer.policy.expires > 0
    else { return false }
    leg.timer.raises += 1
    leg.timer.peerMinimum = max(leg.timer.peerMinimum, least)
    leg.timer.seconds = least
    return true
  }

  // MARK: The timer

  func handleTimer(_ leg: Leg, _ event: SessionTimer.Event) {
    var effects: [SessionTimer.Effect] = []
    leg.timer.machine.handle(event, into: &effects)
    for effect in effects {
      switch effect {
      case .start(let after): restart(&leg.timer.id, .sessionTimer, after, leg.handle)
      case .stop: wheel.cancel(&leg.timer.id)
      case .refresh: refresh(leg)
      case .expired: expired(leg)
      }
    }
  }

  func sessionTimerDue(_ handle: SlabHandle) {
    guard let leg = leg(handle) else { return }
    leg.timer.id = .none
    handleTimer(leg, .fired)
  }

  /// UPDATE without an offer where the peer knows it, else a re-INVITE that says the same as before (§7.4).
  private func refresh(_ leg: Leg) {
    guard let session = leg.session, session.state == .answered, leg.state == .confirmed else {
      return handleTimer(leg, .postponed(.seconds(2)))
    }
    if leg.abilities.contains(.update) {
      if sendUpdate(leg, early: nil, hasBody: false, .refresh) { return }
    } else if isQuiet(leg), writeSameOffer(session, leg) {
      defer { body.abandon() }
      if sendReInvite(leg, hasBody: true, .refresh) { return }
    }
    handleTimer(leg, .postponed(.seconds(2)))
  }

  /// What we said last, with the same version: nothing has changed. Where we answered less than we would offer, or have
  /// forgotten it, it is another description and has another version (RFC 3264 §8).
  private func writeSameOffer(_ session: Session, _ leg: Leg) -> Bool {
    saysAgain(leg) { writeOfferAgain(session, leg) }
  }

  private func writeOfferAgain(_ session: Session, _ leg: Leg) -> Bool {
    guard let other = session.other(leg) else { return writeOffer(leg) }
    let text = blocks.bytes(other.description)
    guard (try? SessionDescription.parse(text, into: &offered)) != nil else { return false }
    return relay(
      offered, text, from: other, to: leg,
      speech: speechAgain(offered, text, from: other, to: leg))
  }

  private func expired(_ leg: Leg) {
    guard let session = leg.session, session.state == .answered else { return }
    release(session, by: .system, .sessionExpired)
  }

  // MARK: What becomes of a refresh

  func refreshAnswered(_ leg: Leg, _ transaction: ClientTransaction, _ message: borrowing Message) {
    let isInvite = transaction.method == .invite
    if isInvite {
      guard message.status >= 200 else { return }
      if message.status < 300, transaction.acceptedTag != nil {
        return repeatAcknowledgement(transaction, message)
      }
      leg.inviteClient = nil
    }
    guard message.status < 300 else {
      // An UPDATE that refreshes offers nothing; an exchange that is open is somebody else's.
      if isInvite { leg.exchange.refused(.invite) }
      return refreshRefused(leg, transaction, message)
    }
    if isInvite {
      transaction.acceptedTag = HashKey(low: 0, high: 0)
      let verdict = leg.exchange.handle(
        .success, from: .them, hasDescription: hasDescription(message))
      if verdict == .answer, describes(message, leg) { keepDescription(leg, leg.fork, message) }
      refreshTarget(leg, message)
      acknowledge(leg, transaction, withBody: false)
    } else {
      refreshTarget(leg, message)
    }
    noteAbilities(leg, message)
    leg.challengesAnswered = 0
    timerAgreed(leg, message)
  }

  private func refreshRefused(
    _ leg: Leg, _ transaction: ClientTransaction, _ message: borrowing Message
  ) {
    let soon = Interval.milliseconds(10)
    switch message.status {
    case 408, 481: handleTimer(leg, .lost)
    case 491: handleTimer(leg, .postponed(glareWait(leg)))
    case 422 where raiseInterval(leg, message): handleTimer(leg, .postponed(soon))
    case 405 where transaction.method == .update, 501 where transaction.method == .update:
      leg.abilities.remove(.update)
      handleTimer(leg, .postponed(soon))
    case 401, 407:
      if !answersRefreshChallenge(leg, transaction, message) { handleTimer(leg, .refused) }
    default: handleTimer(leg, .refused)
    }
  }

  private func answersRefreshChallenge(
    _ leg: Leg, _ transaction: ClientTransaction, _ message: borrowing Message
  ) -> Bool {
    guard leg.credentials != nil, leg.challengesAnswered < 2, let session = leg.session,
      let challenge = DigestResponder.choose(message)
    else { return false }
    leg.challengesAnswered += 1
    if transaction.method == .update {
      return sendUpdate(leg, early: nil, hasBody: false, .refresh, challenge, message.bytes)
    }
    guard writeSameOffer(session, leg) else { return false }
    defer { body.abandon() }
    return sendReInvite(leg, hasBody: true, .refresh, challenge, message.bytes)
  }

  /// §14.1 of RFC 3261: the owner of the Call-ID waits 2.1 to 4 s, the other 0 to 2 s, in steps of 10 ms.
  func glareWait(_ leg: Leg) -> Interval {
    let draw = random.next()
    return leg.isOurs
      ? .milliseconds(2_100 + Int(draw % 191) * 10) : .milliseconds(Int(draw % 201) * 10)
  }

  func refreshTimedOut(_ leg: Leg, _ transaction: ClientTransaction) {
    if transaction.method == .invite {
      leg.inviteClient = nil
      leg.exchange.refused(.invite)
    }
    handleTimer(leg, .lost)
  }
}
