import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// re-INVITE and UPDATE as they arrive: which may be taken, which must wait (RFC 3261 §14.2, RFC 3311 §5.2).

extension Shard {
  func reInviteReceived(
    _ leg: Leg, _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey,
    _ arrival: Arrival
  ) {
    if !message.body.isEmpty, !acceptsBody(message) {
      return replyInDialog(message, fields, key, 415, leg, arrival)
    }
    guard let session = leg.session, session.state == .answered, leg.state == .confirmed else {
      return replyInDialog(message, fields, key, 491, leg, arrival)
    }
    // One that is still open, of theirs 500, of ours 491.
    if leg.inviteServer != nil || leg.reoffer != nil {
      return replyInDialog(message, fields, key, 500, leg, arrival, retryAfter: retryWait())
    }
    if leg.inviteClient?.isPending == true || !leg.exchange.isIdle || leg.ackHeld != nil {
      return replyInDialog(message, fields, key, 491, leg, arrival)
    }
    if isBeingJoined(session) || session.other(leg).map({ !isQuiet($0) }) ?? false {
      return replyInDialog(message, fields, key, 491, leg, arrival)
    }
    noteAbilities(leg, message)
    if let least = refusedInterval(leg, message) {
      return replyInDialog(message, fields, key, 422, leg, arrival, minSE: least)
    }
    guard let transaction = makeServer(message, fields, key, arrival) else {
      return replyStateless(message, fields, 503, arrival, leg: leg)
    }
    transaction.serial = leg.call.serial
    transaction.side = leg.side
    transaction.leg = leg
    leg.inviteServer = transaction
    refreshTarget(leg, message)
    _ = leg.exchange.handle(.invite, from: .them, hasDescription: hasDescription(message))
    if session.application != nil {
      return answerForApplication(session, leg, transaction, message)
    }
    passOffer(session, leg, transaction, .invite, message, fork: leg.fork)
  }

  func updateReceived(
    _ leg: Leg, _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey,
    _ fork: UInt8, _ arrival: Arrival
  ) {
    if !message.body.isEmpty, !acceptsSDP(message) {
      return replyInDialog(message, fields, key, 415, leg, arrival)
    }
    guard let session = leg.session, session.state != .released,
      leg.state == .confirmed || leg.state == .early
    else { return replyInDialog(message, fields, key, 481, leg, arrival) }
    noteAbilities(leg, message)
    if let least = refusedInterval(leg, message) {
      return replyInDialog(message, fields, key, 422, leg, arrival, minSE: least)
    }
    let has = hasDescription(message)
    if has, leg.reoffer != nil {
      return replyInDialog(message, fields, key, 500, leg, arrival, retryAfter: retryWait())
    }
    if has, leg.state == .confirmed, !isFree(session, leg) || isBeingJoined(session) {
      return replyInDialog(message, fields, key, 491, leg, arrival)
    }
    let verdict = step(leg, fork, .update, from: .them, hasDescription: has)
    switch verdict {
    case .glare: return replyInDialog(message, fields, key, 491, leg, arrival)
    case .busy, .misplaced:
      return replyInDialog(message, fields, key, 500, leg, arrival, retryAfter: retryWait())
    case .nothing, .offer, .answer, .preview, .repetition, .missing: break
    }
    guard let transaction = makeServer(message, fields, key, arrival) else {
      if has { stepBack(leg, fork, .update) }
      return replyStateless(message, fields, 503, arrival, leg: leg)
    }
    transaction.serial = leg.call.serial
    transaction.side = leg.side
    if leg.state == .confirmed { refreshTarget(leg, message) }
    guard verdict == .offer else { return respond(transaction, 200, leg: leg) }
    if session.application != nil {
      return answerForApplication(session, leg, transaction, message)
    }
    passOffer(session, leg, transaction, .update, message, fork: fork)
  }

  /// Of a transfer whose sides are being asked nobody may offer anything besides.
  private func isBeingJoined(_ session: Session) -> Bool {
    session.handover?.transfer?.asked != nil
  }

  /// An offer may go through: no INVITE is under way on either side, and nothing waits for an ACK.
  private func isFree(_ session: Session, _ leg: Leg) -> Bool {
    guard session.state == .answered, leg.inviteClient?.isPending != true, !leg.awaitsAck,
      leg.ackHeld == nil
    else { return false }
    return session.other(leg).map { isQuiet($0) } ?? true
  }
}
