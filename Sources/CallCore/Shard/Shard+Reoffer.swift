import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// An offer inside a dialog, whatever it came in, on its way through: what the other side answers decides, and a
// refusal leaves everything as it was (RFC 3261 §14, RFC 3311, RFC 6141).

extension Shard {
  /// No INVITE and no offer under way in either direction.
  func isQuiet(_ leg: Leg) -> Bool {
    leg.state == .confirmed && leg.inviteServer == nil && !leg.awaitsAck
      && leg.inviteClient?.isPending != true && leg.ackHeld == nil && leg.exchange.isIdle
      && leg.reoffer == nil
  }

  /// Takes an offer of the peer's, or its wish for one, to the other side, or answers it here where the other
  /// side has no part in it. `step` has said that it may be made.
  func passOffer(
    _ session: Session, _ leg: Leg, _ transaction: ServerTransaction,
    _ carrier: OfferAnswer.Carrier, _ message: borrowing Message, fork: UInt8
  ) {
    let reoffer = Reoffer(server: transaction, carrier: carrier, fork: fork)
    leg.reoffer = reoffer
    guard !message.body.isEmpty else {
      if carrier == .invite { respond(transaction, 100) }
      return ask(session, about: leg)
    }
    guard let remote = readDescription(message, leg) else { return refuseReoffer(leg, 488) }
    let lines = offered.media.count
    guard let stored = blocks.store(message.bytes.extracting(message.body)) else {
      return refuseReoffer(leg, 503)
    }
    reoffer.remote = remote
    reoffer.lines = lines
    reoffer.offer = stored
    // The same as before is a sign of life (RFC 4028 §7.4) and nobody else's business.
    let known = description(of: leg, fork, session)
    let isUnchanged = blocks.bytes(known).equals(blocks.bytes(stored))
    if isUnchanged || (session.state != .answered && !canAsk(session, about: leg)) {
      return answerHere(session, leg)
    }
    if carrier == .invite { respond(transaction, 100) }
    ask(session, about: leg)
  }

  private func ask(_ session: Session, about leg: Leg) {
    guard let reoffer = leg.reoffer, let other = counterpart(session, leg, reoffer.fork) else {
      return refuseReoffer(leg, 488)
    }
    other.challengesAnswered = 0
    reoffer.asked = other
    if !passOn(session, leg, to: other) { refuseReoffer(leg, 488) }
  }

  /// Whether the other side's early dialog can be offered anything now (RFC 3311 §5.1, RFC 6337 §2.2).
  private func canAsk(_ session: Session, about leg: Leg) -> Bool {
    guard let reoffer = leg.reoffer, let other = counterpart(session, leg, reoffer.fork),
      let early = other.early.first(where: { $0.fork == reoffer.fork })
    else { return false }
    if reoffer.carrier == .prack, duePrack(session, reoffer.fork) != nil { return true }
    return other.abilities.contains(.update) && early.exchange.isIdle && early.exchange.isAgreed
      && other.provisional.isClear
  }

  /// Sends the open offer of `source` to `leg` in whichever way that side allows: UPDATE for UPDATE where it
  /// is known there, a re-INVITE for everything else.
  private func passOn(
    _ session: Session, _ source: Leg, to leg: Leg,
    answering challenge: DigestResponder.Challenge? = nil, of bytes: RawSpan = RawSpan()
  ) -> Bool {
    guard let reoffer = source.reoffer else { return false }
    var hasBody = false
    if !reoffer.offer.isNone {
      let before = leg.said
      if challenge == nil { leg.sdpVersion &+= 1 }
      let text = blocks.bytes(reoffer.offer)
      guard (try? SessionDescription.parse(text, into: &offered)) != nil,
        relay(offered, text, from: source, to: leg)
      else {
        if challenge == nil { leg.sdpVersion &-= 1 }
        leg.said = before
        return false
      }
      hasBody = true
    }
    defer { if hasBody { body.abandon() } }
    if session.state == .answered {
      if reoffer.carrier == .update, hasBody, leg.abilities.contains(.update) {
        return sendUpdate(leg, early: nil, hasBody: true, .update, challenge, bytes)
      }
      return sendReInvite(leg, hasBody: hasBody, .reInvite, challenge, bytes)
    }
    guard let early = leg.early.firstIndex(where: { $0.fork == reoffer.fork }) else { return false }
    if reoffer.carrier == .prack {
      if let due = takeDuePrack(session, reoffer.fork) {
        return sendPrack(due.leg, due.early, rseq: due.rseq, hasBody: hasBody)
      }
      if challenge != nil {
        return sendPrack(leg, early, hasBody: hasBody, answering: challenge, of: bytes)
      }
    }
    return sendUpdate(leg, early: early, hasBody: hasBody, .update, challenge, bytes)
  }

  func sendReInvite(
    _ leg: Leg, hasBody: Bool, _ purpose: ClientTransaction.Purpose,
    _ challenge: DigestResponder.Challenge? = nil, _ bytes: RawSpan = RawSpan()
  ) -> Bool {
    guard
      let transaction = openWithin(leg, nil, "INVITE", .invite, purpose, challenge, bytes)
    else { return false }
    _ = leg.exchange.handle(.invite, from: .us, hasDescription: hasBody)
    writeContact(leg, into: &outbox.datagrams)
    writeTimerRequest(leg, isRefresh: true)
    writeCapabilities(into: &outbox.datagrams)
    writeUserAgent()
    writeBody(present: hasBody, into: &outbox.datagrams)
    leg.inviteClient = transaction
    launch(transaction)
    return true
  }

  func sendUpdate(
    _ leg: Leg, early: Int?, hasBody: Bool, _ purpose: ClientTransaction.Purpose,
    _ challenge: DigestResponder.Challenge? = nil, _ bytes: RawSpan = RawSpan()
  ) -> Bool {
    guard
      let transaction = openWithin(leg, early, "UPDATE", .update, purpose, challenge, bytes)
    else { return false }
    _ = step(leg, transaction.fork, .update, from: .us, hasDescription: hasBody)
    writeContact(leg, into: &outbox.datagrams)
    if early == nil { writeTimerRequest(leg, isRefresh: true) }
    writeCapabilities(into: &outbox.datagrams)
    writeUserAgent()
    writeBody(present: hasBody, into: &outbox.datagrams)
    launch(transaction)
    return true
  }

  // MARK: The other side's answer

  func reInviteAnswered(
    _ leg: Leg, _ transaction: ClientTransaction, _ message: borrowing Message
  ) {
    guard isOutcome(message, of: transaction) else { return }
    leg.inviteClient = nil
    guard let session = leg.session, session.state == .answered, leg.state == .confirmed,
      let other = session.other(leg), let reoffer = other.reoffer, reoffer.server.isProceeding
    else { return reInviteUnwanted(leg, transaction, message) }
    if message.status < 300 {
      noteAccepted(leg, transaction, message)
      return reInviteAccepted(session, leg, transaction, message, other)
    }
    leg.exchange.refused(.invite)
    reofferRefused(session, leg, other, message)
  }

  /// The first final response to a re-INVITE of ours: not a provisional one, and not its 2xx again.
  func isOutcome(_ message: borrowing Message, of transaction: ClientTransaction) -> Bool {
    if message.status < 200 {
      if transaction.cancelWanted { cancel(transaction) }
      return false
    }
    if message.status < 300, transaction.acceptedTag != nil {
      repeatAcknowledgement(transaction, message)
      return false
    }
    return true
  }

  /// What a 2xx to a re-INVITE of ours says of the dialog, whatever it answers.
  func noteAccepted(
    _ leg: Leg, _ transaction: ClientTransaction, _ message: borrowing Message
  ) {
    transaction.acceptedTag = HashKey(low: 0, high: 0)
    refreshTarget(leg, message)
    noteAbilities(leg, message)
    timerAgreed(leg, message)
  }

  /// Nobody waits for this answer any more.
  private func reInviteUnwanted(
    _ leg: Leg, _ transaction: ClientTransaction, _ message: borrowing Message
  ) {
    leg.exchange.refused(.invite)
    guard message.status < 300 else { return }
    transaction.acceptedTag = HashKey(low: 0, high: 0)
    acknowledge(leg, transaction, withBody: false)
    // It crossed our CANCEL: this side has changed and the other has not.
    if let session = leg.session, disagree(session, leg) {
      release(session, by: .system, .cancelled)
    }
  }

  /// Whether something that one side alone has agreed to leaves the two apart. Where one has hung up, and somebody
  /// else is about to take its place, the other is asked anew.
  private func disagree(_ session: Session, _ leg: Leg) -> Bool {
    leg.state == .confirmed && session.other(leg)?.state == .confirmed
  }

  private func reInviteAccepted(
    _ session: Session, _ leg: Leg, _ transaction: ClientTransaction,
    _ message: borrowing Message, _ other: Leg
  ) {
    let verdict = leg.exchange.handle(
      .success, from: .them, hasDescription: hasDescription(message))
    if verdict == .answer {
      acceptReoffer(session, leg, other, message)
      return acknowledge(leg, transaction, withBody: false)
    }
    // The peer offers in its 2xx, because it was asked to; its answer is in the other side's ACK.
    guard verdict == .offer, let reoffer = other.reoffer,
      writeReply(leg, other, message, answering: nil)
    else {
      acknowledge(leg, transaction, withBody: false)
      refuseReoffer(other, 488)
      // An offer that gets no answer leaves the peer in a state that nobody has agreed to.
      if verdict == .offer {
        release(session, by: .system, leg.protection.refusal ?? .mediaUnacceptable)
      }
      return
    }
    keepDescription(leg, leg.fork, message)
    leg.ackHeld = transaction
    reply(other, reoffer)
    changed(session)
  }

  /// What `leg` said as ours for `other`, in `body`: the answer to what that has offered, or an offer.
  private func writeReply(
    _ leg: Leg, _ other: Leg, _ message: borrowing Message, answering offer: OpenOffer?
  ) -> Bool {
    guard describes(message, leg, orNone: offer != nil) else { return false }
    other.sdpVersion &+= 1
    return relay(
      offered, message.bytes.extracting(message.body), from: leg, to: other, answering: offer)
  }

  /// `leg` agreed to what `other` offered: both change, and `other` is told.
  func acceptReoffer(
    _ session: Session, _ leg: Leg, _ other: Leg, _ message: borrowing Message
  ) {
    guard let reoffer = other.reoffer else { return }
    guard writeReply(leg, other, message, answering: reoffer.open) else {
      refuseReoffer(other, 488)
      // The two would go on with different ideas of the session.
      if session.state == .answered {
        release(session, by: .system, leg.protection.refusal ?? .mediaUnacceptable)
      }
      return
    }
    noteMedia(session, offered, message.bytes.extracting(message.body))
    keepDescription(leg, reoffer.fork, message)
    setDescription(other, reoffer.fork, reoffer.offer)
    reoffer.offer = .none
    if let remote = reoffer.remote { follow(remote, other) }
    dropRefused(other, by: leg)
    reply(other, reoffer)
    if session.state == .answered { changed(session) }
  }

  /// Sends what `body` holds as the 2xx of the request that made the offer.
  private func reply(_ leg: Leg, _ reoffer: Reoffer) {
    leg.reoffer = nil
    switch reoffer.carrier {
    case .invite: sendSuccess(leg, reoffer.server, hasBody: true)
    case .prack:
      _ = step(leg, reoffer.fork, .prackSuccess, from: .us, hasDescription: true)
      respond(reoffer.server, 200, leg: leg, withBody: true)
    case .update, .provisional, .reliable, .success, .ack, .prackSuccess, .updateSuccess:
      _ = step(leg, reoffer.fork, .updateSuccess, from: .us, hasDescription: true)
      respond(reoffer.server, 200, leg: leg, withBody: true)
    }
    body.abandon()
  }

  func changed(_ session: Session) {
    mediaAgreed(session)
    tell(.sessionChanged(session: establishedRecord(session).encoded), call: session.id)
  }

  /// Answers an offer from what the other side last said, without asking it: nothing changes for it. Only its
  /// address may differ from the peer's last offer; a change of direction needs both sides.
  private func answerHere(_ session: Session, _ leg: Leg) {
    guard let reoffer = leg.reoffer, let remote = reoffer.remote, let main = remote.main,
      let before = leg.media?.remote, before.proto == main.proto, before.weSend == main.weSend,
      before.weReceive == main.weReceive, writeOwnAnswer(session, leg, reoffer)
    else { return refuseReoffer(leg, 488) }
    let isNew = !blocks.bytes(leg.description).equals(blocks.bytes(reoffer.offer))
    setDescription(leg, reoffer.fork, reoffer.offer)
    reoffer.offer = .none
    follow(remote, leg)
    reply(leg, reoffer)
    if isNew { tellMoved(leg) }
  }

  private func writeOwnAnswer(_ session: Session, _ leg: Leg, _ reoffer: Reoffer) -> Bool {
    guard let other = counterpart(session, leg, reoffer.fork) else { return false }
    let far = blocks.bytes(description(of: other, reoffer.fork, session))
    let text = blocks.bytes(reoffer.offer)
    guard (try? SessionDescription.parse(far, into: &known)) != nil,
      (try? SessionDescription.parse(text, into: &offered)) != nil,
      let line = mainLine(known, other), let own = mainLine(offered, leg),
      known.media[line].stream == offered.media[own].stream
    else { return false }
    let (theirs, asked) = (known.media[line].direction, offered.media[own].direction)
    let isHeld = known.rtpAddress(of: line)?.ip.isUnspecified == true
    let direction = SDPDirection(
      sends: (theirs.sends || hasMusic(other) && !theirs.receives) && asked.receives,
      receives: theirs.receives && !isHeld && asked.sends)
    // What the other side speaks, line by line.
    let codecs = CodecFilter(formatNames(known, far) { $0 == line })
    let others = CodecFilter(formatNames(known, far) { $0 != line })
    let speech =
      mayConvert(other, leg)
      ? speechHere(
        reoffer.remote?.main?.speech ?? SpeechFormats(),
        ownFormats(known, far, of: line, other),
        hasCommon: SDPWriter.keepsSpeech(offered, of: text, line: own, codecs: codecs), leg)
      : SDPSpeech()
    guard
      var lines = lines(
        offered, text, from: other, to: leg, codecs: codecs, speech: speech, direction: direction)
    else { return false }
    for i in offered.media.indices where i != own {
      let isThere = known.media.indices.contains(i) && known.media[i].port != 0
      if !isThere || known.media[i].stream != offered.media[i].stream { lines[i].port = 0 }
    }
    return saysAgain(leg) {
      write(
        offered, text, lines, for: leg, codecs: codecs, others: others, answering: reoffer.open)
    }
  }

  func formatNames(
    _ sdp: SessionDescription, _ bytes: RawSpan, in isMeant: (Int) -> Bool
  ) -> [String] {
    sdp.media.indices.filter { isMeant($0) && sdp.media[$0].port != 0 }.flatMap { line in
      sdp.formats(of: line).filter { $0.encoding.isSpeech }.map {
        $0.hasRTPMap ? bytes.string($0.name) : "\($0.encoding.name)"
      }
    }
  }

  // MARK: Refusals

  func updateAnswered(_ leg: Leg, _ transaction: ClientTransaction, _ message: borrowing Message) {
    guard let session = leg.session, let other = counterpart(session, leg, transaction.fork),
      let reoffer = other.reoffer, isSame(reoffer, transaction, session),
      reoffer.server.isProceeding
    else {
      stepBack(leg, transaction.fork, .update)
      // It crossed the end of the request that it was for: the sides disagree.
      if message.status < 300, let session = leg.session, session.state == .answered,
        leg.fork == transaction.fork, disagree(session, leg)
      {
        release(session, by: .system, .cancelled)
      }
      return
    }
    guard message.status < 300 else {
      stepBack(leg, transaction.fork, .update)
      return reofferRefused(session, leg, other, message)
    }
    noteAbilities(leg, message)
    if session.state == .answered {
      refreshTarget(leg, message)
      timerAgreed(leg, message)
    }
    let verdict = step(
      leg, transaction.fork, .updateSuccess, from: .them, hasDescription: hasDescription(message))
    guard verdict == .answer else { return refuseReoffer(other, 488) }
    acceptReoffer(session, leg, other, message)
  }

  /// Whether the request was sent for the offer. The two dialogs of one call go by one number; those of calls that
  /// have been joined have each its own.
  private func isSame(
    _ reoffer: Reoffer, _ transaction: ClientTransaction, _ session: Session
  ) -> Bool {
    reoffer.fork == transaction.fork || session.handover?.partner != nil
  }

  /// A final refusal by the side that was asked.
  private func reofferRefused(
    _ session: Session, _ leg: Leg, _ other: Leg, _ message: borrowing Message
  ) {
    let status = message.status
    if status == 401 || status == 407, leg.credentials != nil, leg.challengesAnswered < 2,
      let challenge = DigestResponder.choose(message)
    {
      leg.challengesAnswered += 1
      if passOn(session, other, to: leg, answering: challenge, of: message.bytes) { return }
    }
    // It does not know UPDATE after all.
    if status == 405 || status == 501, leg.abilities.contains(.update) {
      leg.abilities.remove(.update)
      if session.state == .answered, passOn(session, other, to: leg) { return }
    }
    // The interval of a session timer concerns this side alone: the next refresh has a longer one.
    if status == 422, raiseInterval(leg, message), passOn(session, other, to: leg) { return }
    refuseReoffer(other, status.saysNothingToOthers ? 502 : max(status, 400))
    // §12.2.1.2: the peer no longer knows the dialog.
    if session.state == .answered, status == 481 || status == 408 {
      release(session, by: .system, .carrierRejected)
    }
  }

  /// A branch that rang is over, and with it the early dialog that stood for it: who made an offer there need not wait
  /// for its answer.
  func refuseReoffer(_ caller: Leg, askedOf branch: Leg) {
    guard let reoffer = caller.reoffer, reoffer.asked === branch else { return }
    refuseReoffer(caller, 488)
  }

  func refuseReoffer(_ leg: Leg, _ status: Int) {
    guard let reoffer = leg.reoffer else { return }
    leg.reoffer = nil
    blocks.free(&reoffer.offer)
    if let asked = reoffer.asked { dropUnanswered(asked) }
    dropUnanswered(leg)
    stepBack(leg, reoffer.fork, reoffer.carrier)
    if reoffer.server.isProceeding {
      respond(
        reoffer.server, status, fork: leg.fork, leg: leg,
        retryAfter: status == 500 ? retryWait() : 0)
    }
    guard reoffer.carrier == .invite else { return }
    leg.inviteServer?.leg = nil
    leg.inviteServer = nil
  }

  /// RFC 3261 §14.2: 0 to 10 seconds, at random; at least one, since some peers take 0 for never.
  func retryWait() -> Int { Int(random.next() % 10) + 1 }

  /// The side that was asked kept silent, or cannot be reached.
  func reofferTimedOut(_ leg: Leg, _ transaction: ClientTransaction) {
    if transaction.purpose == .reInvite { leg.inviteClient = nil }
    guard let session = leg.session, session.state != .released else { return }
    if let other = counterpart(session, leg, transaction.fork), let reoffer = other.reoffer,
      isSame(reoffer, transaction, session)
    {
      refuseReoffer(other, 408)
    }
    stepBack(leg, transaction.fork, .update)
    guard session.state == .answered, leg.state == .confirmed, leg.fork == transaction.fork
    else { return }
    release(session, by: .system, .carrierTimeout)
  }

  /// The peer takes its re-INVITE back: the session stays as it was.
  func cancelReoffer(_ leg: Leg) {
    guard let server = leg.inviteServer, server.isProceeding else { return }
    refuseReoffer(leg, 487)
    guard let session = leg.session else { return }
    if let open = session.other(leg)?.inviteClient, open.isPending { cancel(open) }
  }
}
