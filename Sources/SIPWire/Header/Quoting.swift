package import Base

/// The inside of quoted strings (RFC 3261 §25.1).
package enum Quoting {
  /// Text without the backslashes of quoted-pairs, fit for display as `RawSpan.string` is.
  package static func string(_ bytes: RawSpan, _ range: ByteRange) -> String {
    text(bytes, range).rawSpan.displayText
  }

  private static func text(_ bytes: RawSpan, _ range: ByteRange) -> [UInt8] {
    var text: [UInt8] = []
    let (start, end) = bytes.bounds(range)
    var i = start
    while i < end {
      if bytes.byte(at: i) == UInt8(ascii: "\\"), i &+ 1 < end { i &+= 1 }
      text.append(bytes.byte(at: i))
      i &+= 1
    }
    return text
  }

  /// The text without those backslashes where there are any; nil: the range is the text itself.
  package static func unquoted(_ bytes: RawSpan, _ range: ByteRange) -> [UInt8]? {
    let (start, end) = bytes.bounds(range)
    for i in start..<end where bytes.byte(at: i) == UInt8(ascii: "\\") {
      return text(bytes, range)
    }
    return nil
  }

  /// Whether the inside of a quoted string means `text`, case included.
  package static func equals(_ bytes: RawSpan, _ range: ByteRange, _ text: RawSpan) -> Bool {
    let (start, end) = bytes.bounds(range)
    var i = start
    var k = 0
    while i < end {
      if bytes.byte(at: i) == UInt8(ascii: "\\"), i &+ 1 < end { i &+= 1 }
      guard k < text.byteCount, bytes.byte(at: i) == text.byte(at: k) else { return false }
      i &+= 1
      k &+= 1
    }
    return k == text.byteCount
  }
}
