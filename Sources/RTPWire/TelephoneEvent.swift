import Base

/// A report of a telephone event (RFC 4733 §2.3): four bytes of payload.
///
///     |     event     |E|R| volume    |          duration             |
package struct TelephoneEvent: Hashable, Sendable, BitwiseCopyable {
  /// 0...9, 10 for `*`, 11 for `#`, 12...15 for A to D; others are not DTMF.
  package var event: UInt8
  /// The packet reports the end of the event; it is sent three times (§2.5.1.4).
  package var end: Bool
  /// Power in -dBm0, 0...63.
  package var volume: UInt8
  /// Timestamp units since the packet's RTP timestamp.
  package var duration: UInt16

  package init(event: UInt8, end: Bool, volume: UInt8, duration: UInt16) {
    self.event = event
    self.end = end
    self.volume = min(volume, 63)
    self.duration = duration
  }

  /// Nil when the payload is too short. More than four bytes hold further events (§2.5.1.5); the first
  /// counts. The reserved bit is ignored.
  package init?(_ payload: borrowing RawSpan) {
    guard payload.byteCount >= 4 else { return nil }
    event = payload.byte(at: 0)
    end = payload.byte(at: 1) & 0x80 != 0
    volume = payload.byte(at: 1) & 0x3f
    duration = payload.bigEndian16(at: 2)
  }

  /// The key that a phone would show: "5", "*", "#", "A"; nil for events that are no DTMF (§3.2).
  package var digit: Character? {
    switch event {
    case 0...9: Character(Unicode.Scalar(0x30 + event))
    case 10: "*"
    case 11: "#"
    case 12...15: Character(Unicode.Scalar(0x41 + event - 12))
    default: nil
    }
  }

  /// Nothing when it does not fit.
  package func write(to packet: inout MutableRawSpan, at offset: Int = 0) {
    guard offset >= 0, offset <= packet.byteCount, packet.byteCount &- offset >= 4 else { return }
    packet.storeBytes(of: event, toByteOffset: offset, as: UInt8.self)
    packet.storeBytes(of: volume | (end ? 0x80 : 0), toByteOffset: offset &+ 1, as: UInt8.self)
    packet.storeBytes(of: duration.bigEndian, toByteOffset: offset &+ 2, as: UInt16.self)
  }
}
