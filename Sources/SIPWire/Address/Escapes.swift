package import Base

/// `%` escapes of URIs (RFC 3261 §19.1.2, §25.1 `escaped`).
package enum Escapes {
  /// Whether `range` has members of `set` alone, each `%` followed by two hexadecimal digits.
  static func areValid(_ bytes: RawSpan, _ range: ByteRange, _ set: OctetSet) -> Bool {
    let (start, end) = bytes.bounds(range)
    guard bytes.skip(set, start, end) == end else { return false }
    var i = bytes.find(UInt8(ascii: "%"), from: start, to: end)
    while i < end {
      guard i &+ 2 < end, octet(bytes, i) != nil else { return false }
      i = bytes.find(UInt8(ascii: "%"), from: i &+ 3, to: end)
    }
    return true
  }

  /// The text of `range` with its escapes resolved. A `%` that begins none stands for itself.
  /// Characters unfit for display become U+FFFD, as in `RawSpan.string`.
  package static func string(_ bytes: RawSpan, _ range: ByteRange) -> String {
    let (start, end) = bytes.bounds(range)
    if bytes.find(UInt8(ascii: "%"), from: start, to: end) == end { return bytes.string(range) }
    var decoded: [UInt8] = []
    var reader = EscapedOctets(bytes, range)
    while let octet = reader.next(bytes) { decoded.append(octet.value) }
    return decoded.rawSpan.displayText
  }

  /// Whether two escaped texts mean the same, case included (§19.1.4).
  package static func equal(
    _ a: RawSpan, _ aRange: ByteRange, _ b: RawSpan, _ bRange: ByteRange,
    ignoringCase: Bool = false
  ) -> Bool {
    var left = EscapedOctets(a, aRange)
    var right = EscapedOctets(b, bRange)
    while true {
      guard let x = left.next(a) else { return right.next(b) == nil }
      guard let y = right.next(b), x.means(y, ignoringCase) else { return false }
    }
  }

  /// The octet that the escape at `i` stands for.
  static func octet(_ bytes: RawSpan, _ i: Int) -> UInt8? {
    guard let high = bytes.byte(at: i &+ 1).hexDigitValue,
      let low = bytes.byte(at: i &+ 2).hexDigitValue
    else { return nil }
    return high &<< 4 | low
  }
}

/// Walks a text octet by octet, escapes resolved.
private struct EscapedOctets {
  struct Octet {
    var value: UInt8
    var wasEscaped: Bool

    /// "Characters other than those in the reserved set are equivalent to their escapes" (§19.1.4).
    func means(_ other: Octet, _ ignoringCase: Bool) -> Bool {
      let same =
        ignoringCase
        ? value.asciiLowercased == other.value.asciiLowercased : value == other.value
      return same && (wasEscaped == other.wasEscaped || !isReserved)
    }

    private var isReserved: Bool {
      switch value {
      case UInt8(ascii: ";"), UInt8(ascii: "/"), UInt8(ascii: "?"), UInt8(ascii: ":"),
        UInt8(ascii: "@"), UInt8(ascii: "&"), UInt8(ascii: "="), UInt8(ascii: "+"),
        UInt8(ascii: "$"), UInt8(ascii: ","):
        true
      default: false
      }
    }
  }

  private var at: Int
  private let end: Int

  init(_ bytes: RawSpan, _ range: ByteRange) {
    (at, end) = bytes.bounds(range)
  }

  mutating func next(_ bytes: RawSpan) -> Octet? {
    guard at < end else { return nil }
    let c = bytes.byte(at: at)
    if c == UInt8(ascii: "%"), at &+ 2 < end, let octet = Escapes.octet(bytes, at) {
      at &+= 3
      return Octet(value: octet, wasEscaped: true)
    }
    at &+= 1
    return Octet(value: c, wasEscaped: false)
  }
}
