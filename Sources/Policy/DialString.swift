/// What people and machines write where a number is meant.
package enum DialString {
  /// The number without the visual separators of RFC 3966 §3 and without parameters; `+` stays, and
  /// so does every text that is no number ("alice.smith").
  ///
  /// Failures: `.addressIncomplete` for an empty one, `.numberUnknown` for one that is too long or has
  /// bytes that no user part of a URI carries.
  static func normalized(_ dialled: String) throws(Cause) -> String {
    var digits = 0
    var separators = 0
    var others = 0
    var end = 0
    scan: for byte in dialled.utf8 {
      switch byte {
      case UInt8(ascii: ";"): break scan
      case 0x30...0x39, UInt8(ascii: "*"), UInt8(ascii: "#"): digits += 1
      case UInt8(ascii: "+") where end == 0: break
      case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "("), UInt8(ascii: ")"),
        UInt8(ascii: " "):
        separators += 1
      case 0x21...0x7e: others += 1
      default: throw .numberUnknown
      }
      end += 1
      if end > ResourceLimits.dialStringLength { throw .numberUnknown }
    }
    guard digits + others > 0 else { throw .addressIncomplete }
    if end == dialled.utf8.count, separators == 0 || others > 0 { return dialled }
    let kept = dialled.utf8.prefix(end)
    guard others == 0 else { return String(kept) ?? "" }
    return String(decoding: kept.filter { isDialSymbol($0) }, as: UTF8.self)
  }

  /// The other spelling of an international number, which carriers send as they like.
  package static func withOtherPlus(_ number: String) -> String {
    number.utf8.first == UInt8(ascii: "+") ? String(number.dropFirst()) : "+" + number
  }

  static func isDialSymbol(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, UInt8(ascii: "+"), UInt8(ascii: "*"), UInt8(ascii: "#"): true
    default: false
    }
  }

  /// Digits, `*`, `#`, and a `+` at most in front.
  static func isDialString(_ text: String) -> Bool {
    var position = 0
    for byte in text.utf8 {
      guard isDialSymbol(byte), byte != UInt8(ascii: "+") || position == 0 else { return false }
      position += 1
    }
    return true
  }
}
