internal import Base

/// The numbers that a certificate speaks for: TNAuthorizationList of RFC 8226 §9, read from its DER.
///
///     TNAuthorizationList ::= SEQUENCE SIZE (1..MAX) OF TNEntry
///     TNEntry ::= CHOICE { spc [0] IA5String, range [1] SEQUENCE { start IA5String, count INTEGER (2..MAX) },
///                          one [2] IA5String }            -- explicit tags
package struct NumberAuthority: Hashable, Sendable {
  package static let most = 10_000

  /// Of providers: whoever has one may speak for all numbers of that provider, which no certificate lists.
  package private(set) var providerCodes: [String] = []
  /// Blocks of numbers of as many digits as `first` has.
  private var ranges: [Range] = []

  private struct Range: Hashable {
    var digits: Int
    var first: UInt64
    var last: UInt64
  }

  /// Nil for what is no such list, has no entry or more than `most`.
  package init?(der: [UInt8]) {
    var reader = DERReader(der)
    guard let list = reader.take(0x30), reader.isAtEnd else { return nil }
    var entries = DERReader(list)
    while !entries.isAtEnd {
      guard ranges.count + providerCodes.count < Self.most, let (tag, value) = entries.next() else {
        return nil
      }
      var entry = DERReader(value)
      switch tag {
      case 0xa0:
        guard let code = entry.take(0x16), entry.isAtEnd, (1...64).contains(code.count) else {
          return nil
        }
        providerCodes.append(String(decoding: code, as: UTF8.self))
      case 0xa1:
        guard let pair = entry.take(0x30), entry.isAtEnd, takeRange(pair) else { return nil }
      case 0xa2:
        guard let text = entry.take(0x16), entry.isAtEnd else { return nil }
        // One with `#` or `*` in it is valid, and the number of nobody who calls.
        if let number = Self.number(text) {
          ranges.append(Range(digits: text.count, first: number, last: number))
        }
      default: return nil
      }
    }
    if ranges.isEmpty, providerCodes.isEmpty { return nil }
  }

  private mutating func takeRange(_ pair: ArraySlice<UInt8>) -> Bool {
    var reader = DERReader(pair)
    guard let start = reader.take(0x16), let count = reader.take(0x02), reader.isAtEnd,
      let first = Self.number(start), (1...8).contains(count.count),
      let high = count.first, high < 0x80
    else { return false }
    let size = count.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    var limit: UInt64 = 1
    for _ in 0..<start.count { limit *= 10 }
    // §9: the range may not run into numbers of more digits.
    guard size >= 2, size <= limit, first < limit - size + 1 else { return false }
    ranges.append(Range(digits: start.count, first: first, last: first + size - 1))
    return true
  }

  /// Of 1 to 15 digits, so that no arithmetic on it overflows.
  private static func number(_ text: some Collection<UInt8>) -> UInt64? {
    guard (1...15).contains(text.count), text.allSatisfy(\.isASCIIDigit) else { return nil }
    return text.reduce(0) { $0 * 10 + UInt64($1 - 0x30) }
  }

  /// Of numbers, those of a single one among them.
  package var blocks: Int { ranges.count }

  /// Whether it may speak for this canonical number (RFC 8224 §8.3).
  package func covers(_ number: String) -> Bool {
    if !providerCodes.isEmpty { return true }
    let text = Array(number.utf8)
    guard let value = Self.number(text) else { return false }
    return ranges.contains { $0.digits == text.count && $0.first <= value && value <= $0.last }
  }
}

/// Elements of DER one after another, with definite lengths of at most four octets.
struct DERReader {
  private var rest: ArraySlice<UInt8>

  init(_ bytes: some Sequence<UInt8>) { rest = ArraySlice(bytes) }

  var isAtEnd: Bool { rest.isEmpty }

  /// Tag and content; nil at the end and for what is not DER.
  mutating func next() -> (tag: UInt8, value: ArraySlice<UInt8>)? {
    guard let tag = rest.popFirst(), tag & 0x1f != 0x1f, let first = rest.popFirst() else {
      return nil
    }
    var length = Int(first)
    if first >= 0x80 {
      length = 0
      guard (0x81...0x84).contains(first) else { return nil }
      for _ in 0..<(first & 0x7f) {
        guard let octet = rest.popFirst() else { return nil }
        length = length << 8 | Int(octet)
      }
    }
    guard length <= rest.count else { return nil }
    let value = rest.prefix(length)
    rest = rest.dropFirst(length)
    return (tag, value)
  }

  mutating func take(_ tag: UInt8) -> ArraySlice<UInt8>? {
    guard let (found, value) = next(), found == tag else { return nil }
    return value
  }
}
