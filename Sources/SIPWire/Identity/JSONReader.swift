import Base

/// Reads one JSON text (RFC 8259) member by member, within bounds that a token of a peer may not pass: depth, length of
/// strings, members of an object. What breaks the grammar makes every further step nil.
///
/// A name that stands twice in an object is refused: RFC 8259 §4 leaves open which of the two counts, and two readers
/// that differ in that are how a signed claim comes to mean something else.
package struct JSONReader {
  static let depth = 5
  static let members = 32
  static let stringBytes = 1_024

  private let bytes: [UInt8]
  private var at = 0

  package init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// Whether nothing but white space is left.
  package mutating func isAtEnd() -> Bool {
    skipSpace()
    return at == bytes.count
  }

  /// Calls `member` with each name; it must read or `skip` the value, and says whether it could.
  package mutating func object(_ member: (inout JSONReader, String) -> Bool) -> Bool {
    guard take(UInt8(ascii: "{")) else { return false }
    if take(UInt8(ascii: "}")) { return true }
    var names: Set<String> = []
    repeat {
      guard names.count < Self.members, let name = string(), names.insert(name).inserted,
        take(UInt8(ascii: ":")), member(&self, name)
      else { return false }
    } while take(UInt8(ascii: ","))
    return take(UInt8(ascii: "}"))
  }

  /// A list of strings, of at most `most`.
  package mutating func strings(most: Int) -> [String]? {
    guard take(UInt8(ascii: "[")) else { return nil }
    var found: [String] = []
    if take(UInt8(ascii: "]")) { return found }
    repeat {
      guard found.count < most, let text = string() else { return nil }
      found.append(text)
    } while take(UInt8(ascii: ","))
    return take(UInt8(ascii: "]")) ? found : nil
  }

  /// A whole number that is not negative and has no fraction or exponent.
  package mutating func unsigned() -> UInt64? {
    skipSpace()
    let start = at
    while at < bytes.count, bytes[at].isASCIIDigit { at += 1 }
    guard at > start, at == start + 1 || bytes[start] != UInt8(ascii: "0") else { return nil }
    if at < bytes.count,
      [UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E")].contains(bytes[at])
    {
      return nil
    }
    return bytes.rawSpan.decimal(ByteRange(from: start, to: at))
  }

  /// With its escapes resolved.
  package mutating func string() -> String? {
    guard take(UInt8(ascii: "\"")) else { return nil }
    var text: [UInt8] = []
    while at < bytes.count, text.count <= Self.stringBytes {
      let c = bytes[at]
      at += 1
      switch c {
      case UInt8(ascii: "\""): return String(validating: text, as: UTF8.self)
      case UInt8(ascii: "\\"): guard escape(into: &text) else { return nil }
      case 0..<0x20: return nil
      default: text.append(c)
      }
    }
    return nil
  }

  private mutating func escape(into text: inout [UInt8]) -> Bool {
    guard at < bytes.count else { return false }
    let c = bytes[at]
    at += 1
    switch c {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(c)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0c)
    case UInt8(ascii: "n"): text.append(0x0a)
    case UInt8(ascii: "r"): text.append(0x0d)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"):
      guard var value = unit() else { return false }
      if 0xd800...0xdbff ~= value {
        guard at + 1 < bytes.count, bytes[at] == UInt8(ascii: "\\"),
          bytes[at + 1] == UInt8(ascii: "u")
        else { return false }
        at += 2
        guard let low = unit(), 0xdc00...0xdfff ~= low else { return false }
        value = 0x10000 + (value - 0xd800) << 10 + (low - 0xdc00)
      }
      guard let scalar = Unicode.Scalar(value) else { return false }
      text.append(contentsOf: String(Character(scalar)).utf8)
    default: return false
    }
    return true
  }

  private mutating func unit() -> UInt32? {
    guard at + 4 <= bytes.count else { return nil }
    var value: UInt32 = 0
    for byte in bytes[at..<(at + 4)] {
      guard let digit = byte.hexDigitValue else { return nil }
      value = value << 4 | UInt32(digit)
    }
    at += 4
    return value
  }

  /// A value of any kind: of a string what it says, of others what stands there.
  package mutating func text() -> String? {
    skipSpace()
    if at < bytes.count, bytes[at] == UInt8(ascii: "\"") { return string() }
    let start = at
    return skip() ? String(validating: bytes[start..<at], as: UTF8.self) : nil
  }

  /// Passes over a value of any kind.
  package mutating func skip(depth: Int = 0) -> Bool {
    skipSpace()
    guard at < bytes.count, depth < Self.depth else { return false }
    switch bytes[at] {
    case UInt8(ascii: "{"): return object { reader, _ in reader.skip(depth: depth + 1) }
    case UInt8(ascii: "["): return skipList(depth: depth)
    case UInt8(ascii: "\""): return string() != nil
    case UInt8(ascii: "t"): return word("true")
    case UInt8(ascii: "f"): return word("false")
    case UInt8(ascii: "n"): return word("null")
    default: return number()
    }
  }

  private mutating func skipList(depth: Int) -> Bool {
    guard take(UInt8(ascii: "[")) else { return false }
    if take(UInt8(ascii: "]")) { return true }
    var count = 0
    repeat {
      count += 1
      guard count <= Self.members, skip(depth: depth + 1) else { return false }
    } while take(UInt8(ascii: ","))
    return take(UInt8(ascii: "]"))
  }

  /// RFC 8259 §6.
  private mutating func number() -> Bool {
    if at < bytes.count, bytes[at] == UInt8(ascii: "-") { at += 1 }
    let start = at
    guard digits() else { return false }
    if at - start > 1, bytes[start] == UInt8(ascii: "0") { return false }
    if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
      at += 1
      guard digits() else { return false }
    }
    if at < bytes.count, bytes[at] | 0x20 == UInt8(ascii: "e") {
      at += 1
      if at < bytes.count, bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") {
        at += 1
      }
      guard digits() else { return false }
    }
    return true
  }

  private mutating func digits() -> Bool {
    let start = at
    while at < bytes.count, bytes[at].isASCIIDigit { at += 1 }
    return at > start
  }

  private mutating func word(_ text: String) -> Bool {
    guard bytes[at...].starts(with: text.utf8) else { return false }
    at += text.utf8.count
    return true
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    skipSpace()
    guard at < bytes.count, bytes[at] == byte else { return false }
    at += 1
    return true
  }

  private mutating func skipSpace() {
    while at < bytes.count, [0x20, 0x09, 0x0a, 0x0d].contains(bytes[at]) { at += 1 }
  }
}
