package import Base

/// Walks a comma-separated list (`#rule` of RFC 3261 §7.3): commas in quoted strings and in `<>` don't
/// separate, empty elements are passed over.
package struct CommaList {
  private var at: Int
  private let end: Int

  package init(_ range: ByteRange) {
    at = range.start
    end = range.end
  }

  /// The next element without white space around it; `bytes` are those the range belongs to.
  package mutating func next(_ bytes: RawSpan) -> ByteRange? {
    let end = min(self.end, bytes.byteCount)
    while at < end {
      let start = at
      let comma = Self.endOfElement(bytes, start, end)
      at = comma &+ 1
      let element = bytes.trimmed(start, comma)
      if !element.isEmpty { return element }
    }
    return nil
  }

  private static func endOfElement(_ bytes: RawSpan, _ start: Int, _ end: Int) -> Int {
    var i = start
    while true {
      i = bytes.find(
        UInt8(ascii: ","), UInt8(ascii: "\""), UInt8(ascii: "<"), from: i, to: end)
      switch bytes.byte(at: i) {
      case UInt8(ascii: "\"") where i < end: i = bytes.endOfQuotedString(i, end) ?? end
      case UInt8(ascii: "<") where i < end: i = bytes.find(UInt8(ascii: ">"), from: i, to: end)
      default: return min(i, end)
      }
    }
  }
}
