package import Base

/// The digits of an INFO, as `application/dtmf-relay` (Signal= and Duration= lines) or `application/dtmf` (the digit
/// alone). Neither has a standard; both are what gateways and phones send.
package struct InfoDigits: Hashable, Sendable {
  /// As `application/dtmf-relay`.
  package let isRelay: Bool
  /// 0 to 9, *, #, A to D, and ! for a flash of the hook.
  private let signal: UInt8
  /// Milliseconds; nil where it isn't said.
  private let duration: Int?

  private static let signals = Array("0123456789*#ABCD!".utf8)
  /// Where a body does not say how long it was.
  package static let usualMilliseconds = 160

  /// The event of RFC 4733 §3.2.
  package var event: UInt8 { UInt8(Self.signals.firstIndex(of: signal) ?? 0) }
  package var milliseconds: Int { duration ?? Self.usualMilliseconds }

  /// A digit that came in another way; nil: its event is none of these.
  package init?(event: UInt8, milliseconds: Int) {
    guard Self.signals.indices.contains(Int(event)) else { return nil }
    isRelay = true
    signal = Self.signals[Int(event)]
    duration = milliseconds
  }

  /// Nil: the body is of another type, or none of these.
  package init?(_ message: borrowing Message) {
    guard let type = message.contentType,
      message.bytes.extracting(type.type).equalsIgnoringCase("application")
    else { return nil }
    let subtype = message.bytes.extracting(type.subtype)
    isRelay = subtype.equalsIgnoringCase("dtmf-relay")
    guard isRelay || subtype.equalsIgnoringCase("dtmf") else { return nil }
    var signal: UInt8?
    var duration: Int?
    let bytes = message.bytes
    var at = message.body.start
    while at < message.body.end {
      let end = bytes.find(0x0a, from: at, to: message.body.end)
      let line = Self.trimmed(bytes, ByteRange(from: at, to: end))
      at = end &+ 1
      let equals = bytes.find(UInt8(ascii: "="), from: line.start, to: line.end)
      let name = Self.trimmed(bytes, ByteRange(from: line.start, to: equals))
      let value = Self.trimmed(bytes, ByteRange(from: min(equals &+ 1, line.end), to: line.end))
      if bytes.matches(name, "Signal") {
        signal = Self.signal(bytes, value, isEvent: true)
      } else if bytes.matches(name, "Duration") {
        duration = bytes.number(value, limit: 65_535).map { Int($0) }
      } else if !isRelay, signal == nil, equals == line.end, !line.isEmpty {
        signal = Self.signal(bytes, line, isEvent: false)
      }
    }
    guard let signal else { return nil }
    self.signal = signal
    self.duration = duration
  }

  private static func signal(_ bytes: RawSpan, _ value: ByteRange, isEvent: Bool) -> UInt8? {
    guard isEvent || value.count == 1, let number = bytes.number(value, limit: 16) else {
      guard value.count == 1 else { return nil }
      let sign = bytes.byte(at: value.start)
      switch sign {
      case UInt8(ascii: "*"), UInt8(ascii: "#"), UInt8(ascii: "!"),
        UInt8(ascii: "A")...UInt8(ascii: "D"):
        return sign
      case UInt8(ascii: "a")...UInt8(ascii: "d"): return sign &- 0x20
      default: return nil
      }
    }
    // Some write the events of RFC 4733 §3.2: 10 and 11 for * and #, then A to D, and the flash.
    return signals[Int(number)]
  }

  private static func trimmed(_ bytes: RawSpan, _ range: ByteRange) -> ByteRange {
    var (start, end) = (range.start, range.end)
    while start < end, isSpace(bytes.byte(at: start)) { start &+= 1 }
    while end > start, isSpace(bytes.byte(at: end &- 1)) { end &-= 1 }
    return ByteRange(from: start, to: end)
  }

  private static func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x09 || byte == 0x0d
  }

  package func write(into out: inout OutputBuffer) {
    if isRelay { out.append("Signal=") }
    out.append(byte: signal)
    guard isRelay else { return }
    out.append("\r\n")
    guard let duration else { return }
    out.append("Duration=")
    out.append(decimal: duration)
    out.append("\r\n")
  }
}
