import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// The ACK for a 2xx is a transaction of its own and belongs to the dialog (RFC 3261 §13.2.2.4).

extension Shard {
  /// Sends the ACK and keeps it: it answers every repetition of the 2xx for as long as the transaction lives.
  func acknowledge(_ leg: Leg, _ transaction: ClientTransaction, withBody: Bool) {
    guard !leg.text.isNone else { return }
    writeAcknowledgement(leg, cseq: transaction.cseq, withBody: withBody)
    blocks.free(&transaction.acknowledgement)
    if clients.isLive(transaction.handle) { transaction.acknowledgement = keepOpenRecord() }
    transaction.acknowledgeTo = leg.destination
    secure(leg)
    send(
      to: leg.destination, leg.listener, connectPort: connectPort(leg), serial: leg.call.serial,
      side: leg.side)
  }

  func writeAcknowledgement(_ leg: Leg, cseq: UInt32, withBody: Bool) {
    outbox.datagrams.begin()
    writeRequestLine(leg, "ACK")
    // An ACK for a 2xx is answered by nobody: its branch need only be unlike any other.
    writeViaStart(leg.listener, into: &outbox.datagrams)
    outbox.datagrams.append(hex: random.next(), digits: 16)
    outbox.datagrams.append(hex: random.next(), digits: 16)
    writeListens(to: leg.watched, into: &outbox.datagrams)
    outbox.datagrams.append("\r\n")
    writeDialog(leg, "ACK", cseq: cseq)
    writeBody(present: withBody, into: &outbox.datagrams)
    changeByRules(leg, .ack, status: 0)
  }

  func repeatAcknowledgement(
    _ transaction: ClientTransaction, _ message: borrowing Message
  ) {
    guard message.status >= 200, message.status < 300, !transaction.acknowledgement.isNone,
      let destination = transaction.acknowledgeTo
    else { return }
    resend(
      transaction.acknowledgement, to: destination, transaction.listener,
      serial: transaction.serial, side: transaction.side)
  }
}
