import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// PRACK, sent to a callee and received from a caller (RFC 3262 §3, §4, §5).

extension Shard {
  // MARK: To the callee

  /// Acknowledges a reliable response of an early dialog, the last one unless another is named. `body` holds what
  /// goes with it, if anything.
  @discardableResult
  func sendPrack(
    _ leg: Leg, _ early: Int, rseq: UInt32? = nil, hasBody: Bool = false,
    answering challenge: DigestResponder.Challenge? = nil, of bytes: RawSpan = RawSpan()
  ) -> Bool {
    guard let invite = leg.inviteClient else { return false }
    let fork = leg.early[early].fork
    let rseq = rseq ?? leg.early[early].rseq
    guard
      let transaction = openWithin(leg, early, "PRACK", .prack, .prack, challenge, bytes)
    else { return false }
    transaction.fork = fork
    outbox.datagrams.append("RAck: ")
    outbox.datagrams.append(decimal: Int(rseq))
    outbox.datagrams.append(" ")
    outbox.datagrams.append(decimal: Int(invite.cseq))
    outbox.datagrams.append(" INVITE\r\n")
    writeUserAgent()
    writeBody(present: hasBody, into: &outbox.datagrams)
    _ = leg.early[early].exchange.handle(.prack, from: .us, hasDescription: hasBody)
    launch(transaction)
    return true
  }

  /// Opens a request in a dialog (an early one, or the leg's own), written up to its CSeq, Route, and
  /// credentials. Nil: no transaction to be had.
  func openWithin(
    _ leg: Leg, _ early: Int?, _ name: StaticString, _ method: Method,
    _ purpose: ClientTransaction.Purpose, _ challenge: DigestResponder.Challenge? = nil,
    _ bytes: RawSpan = RawSpan()
  ) -> ClientTransaction? {
    let shown = leg.fork
    if let early { leg.fork = leg.early[early].fork }
    if let early, leg.isOurs { exchangeDialog(leg, early) }
    defer {
      if let early, leg.isOurs { exchangeDialog(leg, early) }
      leg.fork = shown
    }
    leg.localCSeq &+= 1
    guard let transaction = openClient(method, purpose, cseq: leg.localCSeq, leg: leg) else {
      return nil
    }
    transaction.fork = leg.fork
    outbox.datagrams.begin()
    writeRequestLine(leg, name)
    writeVia(transaction, into: &outbox.datagrams)
    writeDialog(leg, name, cseq: leg.localCSeq)
    if let challenge, let credentials = leg.credentials {
      writeCredentials(challenge, bytes, name, leg, credentials)
    }
    return transaction
  }

  /// Exchanges the leg's dialog for an early one of a callee's, and back when called again.
  private func exchangeDialog(_ leg: Leg, _ early: Int) {
    swap(&leg.dialog, &leg.early[early].dialog)
    swap(&leg.destination, &leg.early[early].destination)
  }

  func prackAnswered(_ leg: Leg, _ transaction: ClientTransaction, _ message: borrowing Message) {
    guard let session = leg.session, let caller = session.other(leg),
      let reoffer = caller.reoffer, reoffer.carrier == .prack, reoffer.fork == transaction.fork
    else {
      if message.status < 300 {
        _ = step(
          leg, transaction.fork, .prackSuccess, from: .them,
          hasDescription: hasDescription(message))
      }
      return
    }
    guard message.status < 300 else {
      stepBack(leg, transaction.fork, .prack)
      return refuseReoffer(caller, message.status == 401 || message.status == 407 ? 502 : 488)
    }
    let verdict = step(
      leg, transaction.fork, .prackSuccess, from: .them, hasDescription: hasDescription(message))
    guard verdict == .answer else { return refuseReoffer(caller, 488) }
    acceptReoffer(session, leg, caller, message)
  }

  /// Without its PRACK the callee gives its INVITE up by itself (§3); an offer in it has failed.
  func prackTimedOut(_ leg: Leg, _ transaction: ClientTransaction) {
    stepBack(leg, transaction.fork, .prack)
    guard let caller = leg.session.flatMap({ $0.other(leg) }), let reoffer = caller.reoffer,
      reoffer.carrier == .prack, reoffer.fork == transaction.fork
    else { return }
    refuseReoffer(caller, 408)
  }

  // MARK: From the caller

  func prackReceived(
    _ leg: Leg, _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey,
    _ fork: UInt8, _ arrival: Arrival
  ) {
    guard let rack = message.rack else {
      return replyInDialog(message, fields, key, 400, leg, arrival)
    }
    guard rack.method == .invite, acknowledges(leg, rack, fork) else {
      // One whose response was overtaken by the 200 is as good as any (§3).
      let isLate = leg.state == .confirmed && leg.lastRSeq != 0 && rack.rseq == leg.lastRSeq
      return replyInDialog(
        message, fields, key, isLate && message.body.isEmpty ? 200 : 481, leg, arrival)
    }
    guard let transaction = makeServer(message, fields, key, arrival) else {
      return replyStateless(message, fields, 503, arrival, leg: leg)
    }
    transaction.serial = leg.call.serial
    transaction.side = leg.side
    handleProvisional(leg, .prack(rseq: rack.rseq, fork: fork))
    guard let session = leg.session else { return respond(transaction, 481, leg: leg) }
    acknowledgedReliably(session, leg, transaction, message, fork)
    sendOwed(session, leg)
  }

  private func acknowledges(_ leg: Leg, _ rack: ResponseAcknowledgement, _ fork: UInt8) -> Bool {
    guard case .awaiting(let rseq, let branch, _, _) = leg.provisional.state else { return false }
    return rseq == rack.rseq && branch == fork && leg.inviteServer?.cseq == rack.cseq
  }

  private func acknowledgedReliably(
    _ session: Session, _ leg: Leg, _ transaction: ServerTransaction,
    _ message: borrowing Message, _ fork: UInt8
  ) {
    let verdict = step(leg, fork, .prack, from: .them, hasDescription: hasDescription(message))
    switch verdict {
    case .nothing, .repetition, .preview:
      respond(transaction, 200, leg: leg)
      passPrack(session, leg, fork)
    case .answer:
      guard passPrackAnswer(session, leg, message, fork) else {
        respond(transaction, 488, leg: leg)
        return release(session, by: .system, .mediaUnacceptable)
      }
      respond(transaction, 200, leg: leg)
    case .offer:
      passOffer(session, leg, transaction, .prack, message, fork: fork)
      // However the offer fares, the callee's response has been acknowledged.
      if leg.reoffer == nil { passPrack(session, leg, fork) }
    case .missing:
      // Our offer has no answer, and will get none (RFC 3262 §5).
      respond(transaction, 400, leg: leg)
      release(session, by: .system, .mediaUnacceptable)
    case .glare, .busy, .misplaced:
      respond(transaction, 488, leg: leg)
      passPrack(session, leg, fork)
    }
  }

  /// The callee's response that the one outstanding towards the caller stands for, if its PRACK is still to be sent.
  func duePrack(_ session: Session, _ fork: UInt8) -> (leg: Leg, early: Int, rseq: UInt32)? {
    guard let caller = session.caller,
      let mine = caller.early.first(where: { $0.fork == fork }), mine.due != 0,
      let callee = counterpart(session, caller, fork), callee.state == .early,
      let early = callee.early.firstIndex(where: { $0.fork == fork })
    else { return nil }
    return (callee, early, mine.due)
  }

  /// Whatever becomes of it, it is sent once.
  func takeDuePrack(_ session: Session, _ fork: UInt8) -> (leg: Leg, early: Int, rseq: UInt32)? {
    let due = duePrack(session, fork)
    if let caller = session.caller, let at = caller.early.firstIndex(where: { $0.fork == fork }) {
      caller.early[at].due = 0
    }
    return due
  }

  private func passPrack(_ session: Session, _ leg: Leg, _ fork: UInt8) {
    guard let (callee, early, rseq) = takeDuePrack(session, fork) else { return }
    sendPrack(callee, early, rseq: rseq)
  }

  /// The caller's answer to what the callee offered in its reliable response (RFC 6337 pattern 4).
  private func passPrackAnswer(
    _ session: Session, _ leg: Leg, _ message: borrowing Message, _ fork: UInt8
  ) -> Bool {
    guard describes(message, leg) else { return false }
    // The offer was ours: what an application or a hop that is gone would have said.
    guard let (callee, early, rseq) = takeDuePrack(session, fork) else { return true }
    // Another early dialog may have been told something before.
    if callee.said != 0 { callee.sdpVersion &+= 1 }
    guard
      relay(
        offered, message.bytes.extracting(message.body), from: leg, to: callee,
        answering: OpenOffer(text: callee.early[early].description))
    else { return false }
    defer { body.abandon() }
    noteMedia(session, offered, message.bytes.extracting(message.body))
    keepDescription(leg, fork, message)
    return sendPrack(callee, early, rseq: rseq, hasBody: true)
  }
}
