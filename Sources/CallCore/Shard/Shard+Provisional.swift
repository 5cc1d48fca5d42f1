import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// Provisional responses of the callee, and what the caller gets of them. Each leg is reliable (RFC 3262) for
// itself. Where both are, the caller's PRACK goes through with what is in it; where only the callee is, we
// acknowledge; where only the caller is, its PRACK ends here.

extension Shard {
  func provisional(
    _ leg: Leg, _ transaction: ClientTransaction, _ message: borrowing Message
  ) {
    if transaction.cancelWanted { cancel(transaction) }
    guard let session = leg.session, let branch = leg.branch else {
      return acknowledgeUnwanted(leg, message)
    }
    targetAnswered(session, branch, transaction)
    guard message.status > 100 else { return waitForMore(leg, branch) }
    var early: Int?
    if let rseq = message.rseq, message.lists("100rel", in: .require) {
      guard let known = noteReliable(session, leg, message, rseq) else { return }
      early = known
    }
    // RFC 6228: a branch that is over says nothing of the others.
    guard message.status != 199 else {
      if let early { sendPrack(leg, early) }
      return waitForMore(leg, branch)
    }
    noteAbilities(leg, message)
    noteCalleeID(session, message)
    wheel.cancel(&leg.responseTimer)
    rings(leg, session)
    let fork = early.map { leg.early[$0].fork } ?? fork(of: leg, session, message)
    ringCaller(session, branch, leg, message, fork: fork, early: early)
  }

  /// A reliable response of a callee that nobody waits for any more: acknowledged, so that it goes on to the end
  /// that it was asked for, unless it has an offer, which nobody will answer.
  private func acknowledgeUnwanted(_ leg: Leg, _ message: borrowing Message) {
    guard leg.state == .abandoned, message.status > 100, let rseq = message.rseq,
      message.lists("100rel", in: .require),
      let early = noteReliable(nil, leg, message, rseq)
    else { return }
    let verdict = leg.early[early].exchange.handle(
      .reliable, from: .them, hasDescription: hasDescription(message))
    if verdict != .offer { sendPrack(leg, early) }
  }

  /// Each early dialog of the callee (forked or of a later hop) is one of its own for the caller, with a tag
  /// of its own, so that no answer contradicts an earlier one (§13.2.2.4).
  func fork(of leg: Leg, _ session: Session, _ message: borrowing Message) -> UInt8 {
    let tag = message.to?.tag ?? .none
    if tag.isEmpty {
      let fork = leg.forks.last ?? leg.untaggedFork ?? session.nextFork()
      if leg.forks.isEmpty { leg.untaggedFork = fork }
      return fork
    }
    let key = tagKey(message)
    if let known = leg.earlyTags.firstIndex(of: key) { return leg.forks[known] }
    guard leg.earlyTags.count < 16 else { return leg.forks.last ?? 15 }
    let fork = leg.untaggedFork ?? session.nextFork()
    leg.untaggedFork = nil
    leg.earlyTags.append(key)
    leg.forks.append(fork)
    return fork
  }

  /// The early dialog of a reliable response that is new; nil for one that was seen before, came too early
  /// (RFC 3262 §4: one higher than the last, or it is not acknowledged), or begins one dialog too many.
  private func noteReliable(
    _ session: Session?, _ leg: Leg, _ message: borrowing Message, _ rseq: UInt32
  ) -> Int? {
    let key = tagKey(message)
    if let known = leg.early.firstIndex(where: { $0.key == key }) {
      guard rseq == leg.early[known].rseq &+ 1 else {
        counters.retransmissionsReceived &+= 1
        return nil
      }
      leg.early[known].rseq = rseq
      return known
    }
    guard message.to?.tag.isEmpty == false, leg.early.count < EarlyDialog.limit,
      let dialog = calledDialog(leg, message)
    else { return nil }
    var early = EarlyDialog(
      fork: session.map { fork(of: leg, $0, message) } ?? .max, key: key, dialog: dialog,
      destination: leg.destination,
      exchange: leg.exchange, rseq: rseq)
    swap(&leg.dialog, &early.dialog)
    early.destination = nextHop(leg)
    swap(&leg.dialog, &early.dialog)
    leg.early.append(early)
    return leg.early.count - 1
  }

  private func ringCaller(
    _ session: Session, _ branch: Branch, _ leg: Leg, _ message: borrowing Message, fork: UInt8,
    early: Int?
  ) {
    if session.caller == nil, session.handover != nil {
      return targetRings(session, branch, leg, message, fork: fork, early: early)
    }
    guard let caller = session.caller, let server = caller.inviteServer, server.isProceeding else {
      return
    }
    let has = hasDescription(message)
    let verdict = step(
      leg, fork, early == nil ? .provisional : .reliable, from: .them, hasDescription: has)
    if verdict == .answer || verdict == .offer, let early, !keepAnswer(leg, early, message) {
      return lost(session, branch, 488, .mediaUnacceptable)
    }
    let isReliable =
      caller.abilities.contains(.onlyReliable)
      || early != nil && caller.abilities.contains(.reliable)
    if verdict == .offer, !isReliable {
      // We did not say that it might (RFC 3262 §5): there is no way to an answer before the caller's ACK.
      return lost(session, branch, 488, .mediaUnacceptable)
    }
    let passes = verdict == .offer || passesEarlyMedia(leg, message)
    let hasBody =
      passes && writeProvisionalBody(session, leg, caller, message, fork: fork, verdict: verdict)
    if verdict == .offer, !hasBody { return lost(session, branch, 488, .mediaUnacceptable) }
    var due: UInt32 = 0
    if let early {
      // What was not passed on as it came is acknowledged here; so is what the caller need not acknowledge.
      if isReliable, hasBody || !has {
        due = leg.early[early].rseq
      } else {
        sendPrack(leg, early)
      }
    }
    if session.record.ringing == nil {
      session.record.ringing = now
      session.record.state = .ringing
      tell(.callRinging, call: session.id)
    }
    caller.fork = fork
    let shown = shownStatus(message.status, isSilent: has && !hasBody)
    if isReliable {
      // The caller holds what the callee only previewed for an answer, and may offer anew in its PRACK.
      if verdict == .preview, hasBody { keepDescription(leg, fork, message) }
      owe(caller, shown, fork: fork, hasBody: hasBody, due: due)
    } else {
      respond(
        server, shown, fork: fork, leg: caller, withBody: hasBody,
        extra: earlyMediaHeader(caller, hasBody: hasBody))
    }
    restart(&session.progressTimer, .progress, .seconds(60), session.handle)
    if hasBody { body.abandon() }
  }

  /// Without the media that it announced a 183 would leave the caller in silence: it rings by itself.
  private func shownStatus(_ status: Int, isSilent: Bool) -> Int {
    if status == 180 || status == 182 { return status }
    return isSilent ? 180 : 183
  }

  /// The description for the caller's provisional response in `body`, if one may be there.
  private func writeProvisionalBody(
    _ session: Session, _ leg: Leg, _ caller: Leg, _ message: borrowing Message, fork: UInt8,
    verdict: OfferAnswer.Verdict
  ) -> Bool {
    switch (verdict, exchange(of: caller, fork).state) {
    case (.answer, .open(by: .them, in: .invite)), (.preview, .open(by: .them, in: .invite)),
      (.offer, .wanted(from: .us)):
      break
    default: return false
    }
    guard describes(message, leg),
      relay(
        offered, message.bytes.extracting(message.body), from: leg, to: caller,
        answering: verdict == .offer ? nil : session.openOffer)
    else { return false }
    hear(session, leg)
    numbersAnnounced(session, leg, message.bytes.extracting(message.body))
    return true
  }

  /// What comes reliably holds: the 200 need not repeat it (RFC 3261 §13.2.1, RFC 6337 patterns 3 and 4).
  func keepAnswer(_ leg: Leg, _ early: Int, _ message: borrowing Message) -> Bool {
    guard readDescription(message, leg) != nil,
      let stored = blocks.store(message.bytes.extracting(message.body))
    else { return false }
    blocks.free(&leg.early[early].description)
    leg.early[early].description = stored
    return true
  }

  // MARK: Early media by policy (RFC 3960, RFC 5009)

  private func passesEarlyMedia(_ leg: Leg, _ message: borrowing Message) -> Bool {
    switch leg.earlyMedia {
    case .pass: return true
    case .ringback: return false
    case .authorized:
      let bytes = message.bytes
      var values = message.values(of: .pEarlyMedia)
      while let value = values.next(bytes) {
        let word = bytes.extracting(value)
        if word.equalsIgnoringCase("sendrecv") || word.equalsIgnoringCase("sendonly") {
          return true
        }
      }
      return false
    }
  }

  /// A caller who asked for it is told that what it hears is meant for it (RFC 5009 §8).
  func earlyMediaHeader(_ caller: Leg, hasBody: Bool) -> StaticString {
    hasBody && caller.abilities.contains(.earlyMedia) ? "P-Early-Media: sendrecv\r\n" : ""
  }

  // MARK: Reliable responses to the caller (RFC 3262 §3)

  /// Sends a provisional response reliably, now or when the one before it has been acknowledged.
  private func owe(_ caller: Leg, _ status: Int, fork: UInt8, hasBody: Bool, due: UInt32) {
    guard caller.provisional.isClear, caller.owed.isEmpty else {
      guard caller.owed.count < OwedProvisional.limit else { return }
      var block = Block.none
      if hasBody {
        guard let stored = body.withOpenBytes({ blocks.store($0) }) else { return }
        block = stored
      }
      caller.owed.append(OwedProvisional(status: status, fork: fork, body: block, due: due))
      return
    }
    sendReliable(caller, status, fork: fork, hasBody: hasBody, due: due)
  }

  /// `body` holds the description, if any.
  private func sendReliable(
    _ caller: Leg, _ status: Int, fork: UInt8, hasBody: Bool, due: UInt32
  ) {
    guard let server = caller.inviteServer, server.isProceeding else { return }
    let at = shownDialog(caller, fork)
    caller.early[at].rseq &+= 1
    let rseq = caller.early[at].rseq
    caller.early[at].due = due
    // The answer may have been given since this one was queued; it is not given twice.
    let includes = hasBody && !caller.early[at].exchange.isIdle
    _ = caller.early[at].exchange.handle(.reliable, from: .us, hasDescription: includes)
    respond(
      server, status, fork: fork, leg: caller, withBody: includes,
      extra: earlyMediaHeader(caller, hasBody: includes), rseq: rseq)
    handleProvisional(caller, .sent(rseq: rseq, fork: fork, hasDescription: includes))
  }

  /// The caller's side of one of the dialogs that it has been shown.
  private func shownDialog(_ caller: Leg, _ fork: UInt8) -> Int {
    if let known = caller.early.firstIndex(where: { $0.fork == fork }) { return known }
    caller.early.append(
      EarlyDialog(
        fork: fork, key: HashKey(low: 0, high: 0), destination: caller.destination,
        exchange: caller.exchange, rseq: UInt32(truncatingIfNeeded: random.next()) >> 2,
        remoteCSeq: caller.remoteCSeq))
    return caller.early.count - 1
  }

  func handleProvisional(_ leg: Leg, _ event: ReliableProvisional.Event) {
    var effects: [TransactionEffect] = []
    leg.provisional.handle(event, timers: timers, into: &effects)
    for effect in effects {
      switch effect {
      case .resend: resendProvisional(leg)
      case .start(.resend, let after):
        restart(&leg.provisionalResend, .provisionalResend, after, leg.handle)
      case .start(.expire, let after):
        restart(&leg.provisionalExpiry, .provisionalExpire, after, leg.handle)
      case .stop(.resend): wheel.cancel(&leg.provisionalResend)
      case .stop(.expire): wheel.cancel(&leg.provisionalExpiry)
      case .timedOut: provisionalGivenUp(leg)
      case .deliver, .acknowledge, .terminated: break
      }
    }
  }

  /// The transaction's last response is the one outstanding: nothing else is sent before its PRACK.
  private func resendProvisional(_ leg: Leg) {
    guard let server = leg.inviteServer, server.isProceeding, !server.response.isNone else {
      return
    }
    counters.retransmissionsSent &+= 1
    resend(
      server.response, to: server.replyTo, server.listener, connectPort: server.connectPort,
      serial: server.serial, side: server.side)
  }

  func fireProvisional(_ handle: SlabHandle, _ timer: TransactionTimer) {
    guard let leg = leg(handle) else { return }
    switch timer {
    case .resend: leg.provisionalResend = .none
    case .expire: leg.provisionalExpiry = .none
    }
    handleProvisional(leg, .fired(timer))
  }

  /// 64·T1 without a PRACK: the INVITE is refused (§3).
  private func provisionalGivenUp(_ leg: Leg) {
    guard let session = leg.session, session.state != .released else { return }
    release(session, by: .system, .provisionalUnacknowledged)
  }

  /// What waited behind an acknowledged response: the next one, or the 200.
  func sendOwed(_ session: Session, _ caller: Leg) {
    guard caller.provisional.isClear else { return }
    if let held = caller.heldSuccess { return sendHeldSuccess(session, caller, held) }
    guard !caller.owed.isEmpty else { return }
    var next = caller.owed.removeFirst()
    body.begin()
    body.append(blocks.bytes(next.body))
    sendReliable(caller, next.status, fork: next.fork, hasBody: !next.body.isNone, due: next.due)
    body.abandon()
    blocks.free(&next.body)
  }

  private func sendHeldSuccess(_ session: Session, _ caller: Leg, _ held: HeldSuccess) {
    guard let server = caller.inviteServer, server.isProceeding else { return }
    caller.heldSuccess = nil
    var block = held.body
    caller.fork = held.fork
    body.begin()
    body.append(blocks.bytes(block))
    sendSuccess(caller, server, hasBody: !block.isNone)
    body.abandon()
    blocks.free(&block)
    answered(session)
  }

  /// A final response, or the end: nothing provisional is sent or awaited any more.
  func endProvisionals(_ leg: Leg) {
    if !leg.provisional.isClear { handleProvisional(leg, .final) }
    for i in leg.owed.indices { blocks.free(&leg.owed[i].body) }
    leg.owed = []
    if var held = leg.heldSuccess { blocks.free(&held.body) }
    leg.heldSuccess = nil
  }

  // MARK: The dialogs

  /// The dialog that a final response settled on keeps what was agreed in it early; the others are over.
  func settle(_ leg: Leg, fork: UInt8) {
    // A callee's dialog goes by the number that the caller knows it by.
    if leg.isOurs { leg.fork = fork }
    // Which branch is which is asked while the INVITE is open.
    leg.earlyTags = []
    leg.forks = []
    leg.untaggedFork = nil
    guard !leg.early.isEmpty else { return }
    for i in leg.early.indices {
      if leg.early[i].fork == fork {
        leg.exchange = leg.early[i].exchange
        leg.remoteCSeq = max(leg.remoteCSeq, leg.early[i].remoteCSeq)
        leg.lastRSeq = leg.isOurs ? 0 : leg.early[i].rseq
        if !leg.early[i].description.isNone {
          blocks.free(&leg.description)
          leg.description = leg.early[i].description
          leg.early[i].description = .none
        }
      }
      blocks.free(&leg.early[i].description)
      blocks.free(&leg.early[i].dialog.text)
    }
    leg.early = []
  }

  func exchange(of leg: Leg, _ fork: UInt8) -> OfferAnswer {
    leg.early.first { $0.fork == fork }?.exchange ?? leg.exchange
  }

  /// A message of one of the leg's dialogs passes its offer/answer machine.
  func step(
    _ leg: Leg, _ fork: UInt8, _ carrier: OfferAnswer.Carrier, from party: OfferAnswer.Party,
    hasDescription: Bool
  ) -> OfferAnswer.Verdict {
    if let i = leg.early.firstIndex(where: { $0.fork == fork }) {
      return leg.early[i].exchange.handle(carrier, from: party, hasDescription: hasDescription)
    }
    // Of an early dialog that is over.
    guard leg.state != .confirmed || leg.fork == fork else { return .repetition }
    return leg.exchange.handle(carrier, from: party, hasDescription: hasDescription)
  }

  func stepBack(_ leg: Leg, _ fork: UInt8, _ carrier: OfferAnswer.Carrier) {
    if let i = leg.early.firstIndex(where: { $0.fork == fork }) {
      leg.early[i].exchange.refused(carrier)
    } else if leg.state != .confirmed || leg.fork == fork {
      leg.exchange.refused(carrier)
    }
  }

  /// The other side of a dialog: of a caller's early one the branch that it stands for.
  func counterpart(_ session: Session, _ leg: Leg, _ fork: UInt8) -> Leg? {
    guard leg.side == .a, session.state == .routing, let strand = session.strand else {
      return session.other(leg)
    }
    // A callee that answers unreliably has no early dialog of this kind, only forks.
    return strand.ringing.first { $0.early.contains { $0.fork == fork } }
      ?? strand.ringing.first { $0.forks.contains(fork) }
  }

  func hasDescription(_ message: borrowing Message) -> Bool {
    !message.body.isEmpty && acceptsSDP(message)
  }

  /// Allow and Supported hold for the dialog until they are said anew (RFC 3261 §20.5).
  func noteAbilities(_ leg: Leg, _ message: borrowing Message) {
    if message.first(.allow) != nil {
      leg.abilities.set(.update, message.lists("UPDATE", in: .allow))
      leg.abilities.set(.info, message.lists("INFO", in: .allow))
    }
    if message.first(.supported) != nil || message.first(.require) != nil {
      let needs = message.lists("100rel", in: .require)
      leg.abilities.set(
        .timer, message.lists("timer", in: .supported) || message.lists("timer", in: .require))
      if message.method == .invite {
        leg.abilities.set(.reliable, needs || message.lists("100rel", in: .supported))
        leg.abilities.set(.onlyReliable, needs)
      }
    }
    if message.method == .invite, message.lists("supported", in: .pEarlyMedia) {
      leg.abilities.insert(.earlyMedia)
    }
  }
}

extension PeerAbilities {
  mutating func set(_ ability: PeerAbilities, _ isThere: Bool) {
    if isThere { insert(ability) } else { remove(ability) }
  }
}
