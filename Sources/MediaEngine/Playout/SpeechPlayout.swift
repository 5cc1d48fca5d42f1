import Base
import RTPWire

/// Speech of one direction that is played out evenly: what waits, and when the next packet is due. An object, because few
/// directions have one.
final class SpeechPlayout {
  var buffer: JitterBuffer
  let period: Interval
  /// When the next packet leaves; while nothing is said, when the last one was due.
  var due = Instant.zero
  var isTicking = false
  /// The digit that came last, by its time stamp, and where it went: all its packets have one (RFC 4733 §2.2.1).
  private var digit: (timestamp: UInt32, sent: UInt32)?
  /// The counters of `buffer` that have been told of.
  var told = JitterBuffer.Counters()

  init(_ buffer: JitterBuffer, packetMilliseconds: Int) {
    self.buffer = buffer
    period = .milliseconds(packetMilliseconds)
  }

  /// Where a digit stands: now, since it does not wait.
  func time(ofDigit header: RTPHeader, now position: UInt32) -> UInt32 {
    if let digit, digit.timestamp == header.timestamp { return digit.sent }
    digit = (header.timestamp, position)
    return position
  }
}
