import Base

/// `host [ ":" port ]` (RFC 3261 §25.1): hostport of a URI, and sent-by, which may have white space around the
/// colon.
struct HostPort {
  /// Without brackets.
  var host: ByteRange
  var port: UInt16?
  /// Where it ends; what follows is the caller's to judge.
  var end: Int

  static func parse(
    _ bytes: RawSpan, _ start: Int, _ end: Int, allowsSpace: Bool = false
  ) -> HostPort? {
    guard let (host, after) = host(bytes, start, end) else { return nil }
    let colon = allowsSpace ? bytes.skipSpace(after, end) : after
    guard colon < end, bytes.byte(at: colon) == UInt8(ascii: ":") else {
      return HostPort(host: host, port: nil, end: after)
    }
    let digits = allowsSpace ? bytes.skipSpace(colon &+ 1, end) : colon &+ 1
    var digitsEnd = digits
    while digitsEnd < end, bytes.byte(at: digitsEnd).isASCIIDigit { digitsEnd &+= 1 }
    guard let port = bytes.number(ByteRange(from: digits, to: digitsEnd), limit: 65_535), port > 0
    else { return nil }
    return HostPort(host: host, port: UInt16(truncatingIfNeeded: port), end: digitsEnd)
  }

  private static func host(_ bytes: RawSpan, _ start: Int, _ end: Int) -> (ByteRange, Int)? {
    guard start < end else { return nil }
    if bytes.byte(at: start) == UInt8(ascii: "[") {
      let close = bytes.skip(.ipv6, start &+ 1, end)
      guard close < end, bytes.byte(at: close) == UInt8(ascii: "]"), close > start &+ 2 else {
        return nil
      }
      return (ByteRange(from: start &+ 1, to: close), close &+ 1)
    }
    let hostEnd = bytes.skip(.host, start, end)
    return hostEnd > start ? (ByteRange(from: start, to: hostEnd), hostEnd) : nil
  }
}
