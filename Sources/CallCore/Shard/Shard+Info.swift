import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// INFO with digits (application/dtmf-relay, application/dtmf) goes through to the other side, in the way in which that
// has its digits (`Shard+Digits`); what else an INFO
// may carry is between a peer and its own kind (RFC 6086 §1) and ends here.

extension Shard {
  private static let infoLimit = 256

  func infoReceived(
    _ leg: Leg, _ message: borrowing Message, _ fields: RequestFields, _ key: HashKey,
    _ arrival: Arrival
  ) {
    // Without a body it asks whether the dialog is alive (RFC 2976 §2.2).
    if message.body.isEmpty { return replyInDialog(message, fields, key, 200, leg, arrival) }
    guard Int(message.body.count) <= Self.infoLimit, let digits = InfoDigits(message) else {
      return replyInDialog(message, fields, key, 415, leg, arrival)
    }
    guard leg.passesInfo, let session = leg.session, session.state == .answered else {
      return replyInDialog(message, fields, key, 405, leg, arrival)
    }
    // Phones send it on each key, so whatever an application makes of it it is welcome.
    guard let other = session.other(leg) else {
      digitPassed(session, leg, from: .info, to: nil)
      return replyInDialog(message, fields, key, 200, leg, arrival)
    }
    if heeds(session, leg, digits) {
      return replyInDialog(message, fields, key, 200, leg, arrival)
    }
    if sayByMedia(session, leg, other, digits) {
      return replyInDialog(message, fields, key, 200, leg, arrival)
    }
    guard other.passesInfo, other.state == .confirmed else {
      return replyInDialog(message, fields, key, 405, leg, arrival)
    }
    // One at a time: digits must not overtake each other.
    guard leg.infoServer == nil, infoQueues[other.handle]?.isAsked != true else {
      return replyInDialog(message, fields, key, 500, leg, arrival, retryAfter: 1)
    }
    guard let transaction = makeServer(message, fields, key, arrival) else {
      return replyStateless(message, fields, 503, arrival, leg: leg)
    }
    transaction.serial = leg.call.serial
    transaction.side = leg.side
    leg.infoServer = transaction
    if !sendInfo(other, digits) { infoAnswered(other, 503) }
    digitPassed(session, leg, from: .info, to: .info)
  }

  func sendInfo(_ leg: Leg, _ digits: InfoDigits) -> Bool {
    guard let transaction = openWithin(leg, nil, "INFO", .info, .info) else { return false }
    writeUserAgent()
    outbox.datagrams.append(
      digits.isRelay
        ? "Content-Type: application/dtmf-relay\r\n" : "Content-Type: application/dtmf\r\n")
    body.begin()
    digits.write(into: &body)
    outbox.datagrams.append("Content-Length: ")
    outbox.datagrams.append(decimal: body.position)
    outbox.datagrams.append("\r\n\r\n")
    body.withOpenBytes { outbox.datagrams.append($0) }
    body.abandon()
    launch(transaction)
    return true
  }

  /// The dialog is over before the other side has answered: no transaction may stay without a final response.
  func refuseInfo(_ leg: Leg) {
    if !infoQueues.isEmpty { infoQueues[leg.handle] = nil }
    forgetCode(leg)
    guard let server = leg.infoServer else { return }
    leg.infoServer = nil
    if server.isProceeding { respond(server, 487, leg: leg) }
  }

  /// What the other side said of it, or that it said nothing.
  func infoAnswered(_ leg: Leg, _ status: Int) {
    if ownInfoAnswered(leg, status) { return }
    guard let session = leg.session, let sender = session.other(leg),
      let server = sender.infoServer
    else { return }
    sender.infoServer = nil
    sayNext(leg)
    guard server.isProceeding else { return }
    respond(server, status.saysNothingToOthers ? 502 : max(status, 200), leg: sender)
  }
}
