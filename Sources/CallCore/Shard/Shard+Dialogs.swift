import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// What happens between a 2xx and the end: ACK, re-INVITE, BYE, and the leg's own end.

extension Shard {
  // MARK: Answered

  /// The callee answered: the caller is told, and from now on both sides may speak.
  func connected(
    _ session: Session, _ leg: Leg, _ transaction: ClientTransaction,
    _ message: borrowing Message, fork: UInt8
  ) {
    if session.caller == nil, session.handover != nil {
      return targetAnswered(session, leg, transaction, message)
    }
    guard let caller = session.caller, let server = caller.inviteServer, server.isProceeding else {
      acknowledge(leg, transaction, withBody: false)
      return release(session, by: .caller, .cancelled)
    }
    let verdict = leg.exchange.handle(
      .success, from: .them, hasDescription: hasDescription(message))
    let reply = exchange(of: caller, fork)
    guard let hasBody = writeAnswer(session, leg, caller, message, verdict, reply) else {
      // No answer to our offer, or none that we can anchor: the call can't have media.
      acknowledge(leg, transaction, withBody: false)
      if let branch = leg.branch, (session.strand?.ringing.count ?? 0) > 1 {
        return lost(session, branch, 488, leg.protection.refusal ?? .mediaUnacceptable)
      }
      return release(session, by: .system, leg.protection.refusal ?? .mediaUnacceptable)
    }
    caller.fork = fork
    // RFC 3262 §3: no 2xx before the description in the provisional response is acknowledged.
    let isHeld = caller.provisional.holdsSuccess
    if isHeld {
      let kept = hasBody ? body.withOpenBytes { blocks.store($0) } ?? .none : .none
      caller.heldSuccess = HeldSuccess(body: kept, fork: fork)
    } else {
      sendSuccess(caller, server, hasBody: hasBody)
    }
    if hasBody { body.abandon() }
    if verdict == .offer {
      // The callee offers in its 2xx; its answer is in the caller's ACK (RFC 3264, RFC 6337 pattern 2).
      leg.ackHeld = transaction
    } else {
      acknowledge(leg, transaction, withBody: false)
    }
    choose(session, leg)
    if !isHeld { answered(session) }
  }

  /// What the caller's 200 says, in `body`: the callee's answer or offer as ours, nothing where the caller has
  /// its answer already. Nil: there is nothing to be said.
  private func writeAnswer(
    _ session: Session, _ leg: Leg, _ caller: Leg, _ message: borrowing Message,
    _ verdict: OfferAnswer.Verdict, _ reply: OfferAnswer
  ) -> Bool? {
    switch verdict {
    case .answer, .offer:
      guard describes(message, leg) else { return nil }
      keepDescription(leg, leg.fork, message)
    case .nothing, .repetition:
      // The answer came in a reliable provisional response (pattern 3).
      guard describesAgain(leg) else { return nil }
    case .preview, .missing, .glare, .busy, .misplaced: return nil
    }
    let text = blocks.bytes(leg.description)
    if session.record.codec.isEmpty || verdict == .answer {
      noteMedia(session, offered, text)
    }
    switch reply.state {
    case .open(by: .them, in: .invite), .wanted(from: .us): break
    // Agreed, or offered, in a reliable provisional response; an offer in a PRACK or an UPDATE is answered in the
    // response to that (RFC 6337 §2.2).
    case .idle, .open, .wanted: return false
    }
    let offer: OpenOffer? = if case .open = reply.state { session.openOffer } else { nil }
    return relay(offered, text, from: leg, to: caller, answering: offer) ? true : nil
  }

  /// Reads the peer's description in force once more.
  func describesAgain(_ leg: Leg) -> Bool {
    let text = blocks.bytes(leg.description)
    guard (try? SessionDescription.parse(text, into: &offered)) != nil,
      let remote = remoteMedia(offered, text, leg)
    else { return false }
    follow(remote, leg)
    return true
  }

  /// The moment that counts for the record, and what recovery will read.
  func answered(_ session: Session) {
    session.state = .answered
    identities?.answered(session.id.serial)
    session.record.state = .answered
    session.record.answer = now
    session.record.status = 200
    beginToll(session)
    counters.callsAnswered &+= 1
    if let caller = session.caller, caller.description.isNone {
      caller.description = session.offer
      session.offer = .none
    }
    blocks.free(&session.offer)
    mediaAgreed(session)
    watchQuality(session)
    noteProtection(session)
    tell(
      .callAnswered(session.record, session: establishedRecord(session).encoded), call: session.id)
  }

  /// What the answer has come to, for the record.
  func noteMedia(_ session: Session, _ sdp: SessionDescription, _ bytes: RawSpan) {
    let name = codecName(sdp, bytes)
    if !name.isEmpty { session.record.codec = name }
    noteStreams(session, sdp)
  }

  private func codecName(_ sdp: SessionDescription, _ bytes: RawSpan) -> String {
    guard let line = sdp.firstAudio,
      let format = sdp.formats(of: line).first(where: { $0.encoding.isSpeech })
    else { return sdp.media.contains { $0.isFax && $0.port != 0 } ? "T.38" : "" }
    let name = format.hasRTPMap ? bytes.string(format.name) : "\(format.encoding.name)"
    return name + "/" + String(format.clockRate)
  }

  /// The 2xx with what `body` holds, repeated by us until the ACK comes (§13.3.1.4).
  func sendSuccess(_ leg: Leg, _ server: ServerTransaction, hasBody: Bool = true) {
    // An offer in one of the early dialogs that this ends.
    if let reoffer = leg.reoffer, reoffer.fork != leg.fork { refuseReoffer(leg, 488) }
    settle(leg, fork: leg.fork)
    endProvisionals(leg)
    leg.state = .confirmed
    let verdict = leg.exchange.handle(.success, from: .us, hasDescription: hasBody)
    leg.answerExpectedInAck = verdict == .offer
    respond(server, 200, fork: leg.fork, leg: leg, withBody: hasBody)
    leg.awaitsAck = true
    blocks.free(&leg.success)
    leg.success = server.response
    server.response = .none
    leg.successInterval = timers.t1
    restart(&leg.successTimer, .successResend, timers.t1, leg.handle)
    restart(&leg.successDeadline, .successDeadline, timers.lifetime, leg.handle)
  }

  func resendSuccess(_ handle: SlabHandle) {
    guard let leg = leg(handle) else { return }
    leg.successTimer = .none
    guard !leg.success.isNone else { return }
    counters.retransmissionsSent &+= 1
    let server = leg.inviteServer
    resend(
      leg.success, to: server?.replyTo ?? leg.source, server?.listener ?? leg.listener,
      connectPort: server?.connectPort ?? 0, serial: leg.call.serial, side: leg.side)
    leg.successInterval = min(leg.successInterval * 2, timers.t2)
    restart(&leg.successTimer, .successResend, leg.successInterval, leg.handle)
  }

  /// 64·T1 without an ACK: the dialog is confirmed, and ended (§13.3.1.4).
  func giveUpSuccess(_ handle: SlabHandle) {
    guard let leg = leg(handle) else { return }
    leg.successDeadline = .none
    stopSuccess(leg)
    if leg.byeWanted {
      leg.byeWanted = false
      return sendBye(leg)
    }
    guard let session = leg.session, session.state == .answered else { return sendBye(leg) }
    release(session, by: .system, .acknowledgementMissing)
  }

  private func stopSuccess(_ leg: Leg) {
    leg.awaitsAck = false
    wheel.cancel(&leg.successTimer)
    wheel.cancel(&leg.successDeadline)
    blocks.free(&leg.success)
  }

  /// The ACK for a 2xx of ours.
  func acknowledged(_ leg: Leg, _ message: borrowing Message, _ fields: RequestFields) {
    // §13.2.2.4: an ACK is for the INVITE of its CSeq; a repeated one of an earlier INVITE is for nothing.
    guard leg.awaitsAck, leg.inviteServer?.cseq ?? fields.cseq.number == fields.cseq.number else {
      counters.retransmissionsReceived &+= 1
      return
    }
    stopSuccess(leg)
    if let server = leg.inviteServer { forgetResponses(server) }
    leg.inviteServer?.leg = nil
    leg.inviteServer = nil
    if leg.byeWanted {
      leg.byeWanted = false
      return sendBye(leg)
    }
    guard leg.answerExpectedInAck else { return }
    leg.answerExpectedInAck = false
    answerArrived(leg, message)
  }

  /// The answer to an offer that was in our 2xx: for an application its far end, else passed on in the ACK
  /// that the other side waits for.
  private func answerArrived(_ leg: Leg, _ message: borrowing Message) {
    guard let session = leg.session, session.state == .answered else { return }
    leg.protection.refusal = nil
    let verdict = leg.exchange.handle(.ack, from: .them, hasDescription: hasDescription(message))
    let isUsable = verdict == .answer && describes(message, leg)
    if isUsable { keepDescription(leg, leg.fork, message) }
    if replacementAgreed(leg, session, isUsable: isUsable) { return }
    guard let other = session.other(leg) else {
      guard isUsable else {
        return release(session, by: .system, leg.protection.refusal ?? .mediaUnacceptable)
      }
      return mediaAgreed(session)
    }
    guard let held = other.ackHeld else {
      // The offer was made for the callee's answer (a trunk with `earlyOffer`), which has its ACK.
      guard isUsable else {
        return release(session, by: .system, leg.protection.refusal ?? .mediaUnacceptable)
      }
      return mediaAgreed(session)
    }
    other.ackHeld = nil
    var hasBody = false
    if isUsable {
      other.sdpVersion &+= 1
      hasBody = relay(
        offered, message.bytes.extracting(message.body), from: leg, to: other,
        answering: OpenOffer(text: other.description))
    }
    _ = other.exchange.handle(.ack, from: .us, hasDescription: hasBody)
    acknowledge(other, held, withBody: hasBody)
    if hasBody { body.abandon() }
    guard hasBody else {
      return release(session, by: .system, leg.protection.refusal ?? .mediaUnacceptable)
    }
    noteMedia(session, offered, message.bytes.extracting(message.body))
    mediaAgreed(session)
  }

  // MARK: CANCEL and BYE from the peer

  func cancelledByPeer(_ leg: Leg) {
    guard let session = leg.session, leg.side == .a, session.state != .answered else {
      return cancelReoffer(leg)
    }
    release(session, by: .caller, .cancelled)
  }

  func byeReceived(
    _ leg: Leg, _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey,
    _ arrival: Arrival
  ) {
    // The end of a call is accepted whatever is lacking.
    if let transaction = makeServer(message, fields, key, arrival) {
      transaction.serial = leg.call.serial
      transaction.side = leg.side
      respond(transaction, 200)
    } else {
      replyStateless(message, fields, 200, arrival, leg: leg)
    }
    let session = leg.session
    // §15.1.2: an INVITE that is still open is answered 487.
    refuseReoffer(leg, 487)
    if let server = leg.inviteServer, server.isProceeding { respond(server, 487, leg: leg) }
    stopSuccess(leg)
    if let held = leg.ackHeld {
      leg.ackHeld = nil
      acknowledge(leg, held, withBody: false)
    }
    end(leg)
    guard let session, session.state != .released, !hasBeenReplaced(leg, session) else { return }
    guard session.state == .answered else {
      // The callee was acknowledged while the caller's 200 waited for a PRACK (RFC 3262 §3).
      if leg.side == .b { return release(session, by: .callee, .unreachable, status: 480) }
      return release(session, by: .caller, .cancelled)
    }
    release(session, by: leg.side == .a ? .caller : .callee, byeCause(session, message))
  }

  // MARK: Hanging up

  /// What a leg gets when its call ends: its state decides.
  func hangUp(_ leg: Leg, status: Int, _ cause: Cause) {
    handleTimer(leg, .ended)
    refuseReoffer(leg, 487)
    endProvisionals(leg)
    leg.byeReason = releaseCode(leg, cause)
    switch leg.state {
    case .early:
      guard !leg.isOurs else { return abandon(leg) }
      if let server = leg.inviteServer, server.isProceeding {
        respond(
          server, cause == .cancelled ? 487 : status, fork: leg.fork, leg: leg,
          extra: cause.retryHeader, reason: cause == .cancelled ? 0 : leg.byeReason)
      }
      end(leg)
    case .confirmed:
      if let server = leg.inviteServer, server.isProceeding { respond(server, 487, leg: leg) }
      if let held = leg.ackHeld {
        leg.ackHeld = nil
        acknowledge(leg, held, withBody: false)
      }
      // §15: the callee's side must not send BYE before the ACK or the end of waiting for it.
      if leg.awaitsAck { leg.byeWanted = true } else { sendBye(leg) }
    case .abandoned, .ending, .ended: break
    }
  }

  /// A leg of ours that nobody waits for any more.
  func abandon(_ leg: Leg) {
    switch leg.state {
    case .early:
      guard let transaction = leg.inviteClient else { return end(leg) }
      leg.state = .abandoned
      cancel(transaction)
    case .confirmed: sendBye(leg)
    case .abandoned, .ending, .ended: break
    }
  }

  func sendBye(
    _ leg: Leg, answering challenge: DigestResponder.Challenge? = nil, of bytes: RawSpan = RawSpan()
  ) {
    guard leg.state == .confirmed || leg.state == .abandoned else { return }
    leg.localCSeq &+= 1
    guard let transaction = openClient(.bye, .bye, cseq: leg.localCSeq, leg: leg) else {
      return end(leg)
    }
    leg.state = .ending
    outbox.datagrams.begin()
    writeRequestLine(leg, "BYE")
    writeVia(transaction, into: &outbox.datagrams)
    writeDialog(leg, "BYE", cseq: leg.localCSeq)
    if let challenge, let credentials = leg.credentials {
      writeCredentials(challenge, bytes, "BYE", leg, credentials)
    }
    if leg.isCompletedElsewhere {
      outbox.datagrams.append(Self.completedElsewhere)
    } else {
      writeReason(leg.byeReason, into: &outbox.datagrams)
    }
    writeUserAgent()
    writeBody(present: false, into: &outbox.datagrams)
    launch(transaction)
  }

  /// The final answer to a BYE or CANCEL of ours; any will do (§15.1.1), but a challenge that can be met is
  /// met: a carrier that is not told of the end goes on counting.
  func requestAnswered(_ transaction: ClientTransaction, _ message: borrowing Message) {
    switch transaction.sender {
    case .registration(let upstream): return registrationAnswered(upstream, message)
    case .subscription(let subscription): return notifyAnswered(subscription, message.status)
    case .passed(let passed): return passedAnswered(passed, message)
    case .probe: return probeAnswered(transaction, message)
    case .report(let publication):
      return qualityReportAnswered(publication, transaction, message)
    case .none: break
    }
    guard let leg = transaction.leg else { return }
    switch transaction.purpose {
    case .bye: byeAnswered(leg, message)
    case .prack: prackAnswered(leg, transaction, message)
    case .update: updateAnswered(leg, transaction, message)
    case .refresh: refreshAnswered(leg, transaction, message)
    case .info: infoAnswered(leg, message.status)
    case .notify: notifyAnswered(leg, message.status)
    case .invite, .reInvite, .join, .cancel, .register, .probe, .report, .renewal: break
    }
  }

  private func byeAnswered(_ leg: Leg, _ message: borrowing Message) {
    if message.status == 401 || message.status == 407, leg.state == .ending,
      leg.credentials != nil, leg.challengesAnswered < 3,
      let challenge = DigestResponder.choose(message, realm: leg.realm)
    {
      leg.challengesAnswered += 1
      leg.state = .confirmed
      return sendBye(leg, answering: challenge, of: message.bytes)
    }
    end(leg)
  }

  /// No final answer in 64·T1, or ICMP said that nobody is there.
  func clientTimedOut(_ transaction: ClientTransaction, isTransport: Bool) {
    switch transaction.sender {
    case .registration(let upstream):
      return registrationTimedOut(upstream, isTransport: isTransport)
    case .subscription(let subscription): return notifyAnswered(subscription, 408)
    case .passed(let passed): return passedUnanswered(passed, isTransport: isTransport)
    case .probe: return probeFailed(transaction, isTransport ? .unreachable : .silent)
    case .report: return qualityReportEnded(status: isTransport ? 503 : 408)
    case .none: break
    }
    guard let leg = transaction.leg else { return }
    switch transaction.purpose {
    case .cancel, .register, .probe, .report: break
    case .bye:
      strangerUnreached(leg)
      end(leg)
    case .reInvite, .update: reofferTimedOut(leg, transaction)
    case .prack: prackTimedOut(leg, transaction)
    case .refresh: refreshTimedOut(leg, transaction)
    case .info: infoAnswered(leg, 408)
    case .join: joinTimedOut(leg)
    case .renewal: renewalTimedOut(leg)
    case .notify: notifyAnswered(leg, 408)
    case .invite:
      leg.inviteClient = nil
      let session = leg.session
      if isTransport, let session, leg.branch != nil, session.state == .routing, movesBack(leg) {
        leg.localCSeq &-= 1
        if sendInvite(leg, session) { return }
      }
      end(leg)
      guard let session, let branch = leg.branch else { return }
      targetFailed(branch, isTransport ? .unreachable : .silent)
      lost(
        session, branch, isTransport ? 503 : 408,
        isTransport ? .transportFailed : .carrierTimeout)
    }
  }

  /// Nothing more will be sent in this dialog. The slot goes when its call has no more use for it.
  func end(_ leg: Leg) {
    guard leg.state != .ended else { return }
    leg.state = .ended
    handleTimer(leg, .ended)
    if leg.protection.renewal != nil { endRenewal(leg) }
    refuseReoffer(leg, 487)
    refuseInfo(leg)
    endProvisionals(leg)
    settle(leg, fork: .max)
    stopSuccess(leg)
    closeMedia(leg)
    removeIfDone(leg)
  }

  func removeIfDone(_ leg: Leg) {
    guard leg.state == .ended, leg.session == nil, legs.isLive(leg.handle) else { return }
    if let server = leg.inviteServer, server.leg === leg { server.leg = nil }
    leg.inviteServer = nil
    leg.inviteClient?.leg = nil
    leg.inviteClient = nil
    leg.ackHeld = nil
    blocks.free(&leg.dialog.text)
    blocks.free(&leg.description)
    if !recovered.isEmpty { recovered.remove(leg.handle) }
    _ = legs.remove(leg.handle)
    reportDrained()
  }
}
