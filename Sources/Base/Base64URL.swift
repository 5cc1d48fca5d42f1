/// Base 64 with the alphabet that needs no escape in a URL, without padding (RFC 4648 §5, RFC 7515 §2).
package enum Base64URL {
  /// Nil for a character that is none of the alphabet, for padding, for a length that cannot be, and for bits behind the
  /// last octet that are not zero: each text has one value and each value one text.
  package static func decode(_ text: RawSpan) -> [UInt8]? {
    guard text.byteCount % 4 != 1 else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.byteCount / 4 * 3 + 2)
    var word: UInt32 = 0
    var bits: UInt32 = 0
    for i in 0..<text.byteCount {
      guard let value = value(text.byte(at: i)) else { return nil }
      word = word &<< 6 | value
      bits &+= 6
      if bits >= 8 {
        bits &-= 8
        bytes.append(UInt8(truncatingIfNeeded: word &>> bits))
      }
    }
    return word & (1 &<< bits &- 1) == 0 ? bytes : nil
  }

  package static func append(_ bytes: some Sequence<UInt8>, to out: inout [UInt8]) {
    var word: UInt32 = 0
    var bits: UInt32 = 0
    for byte in bytes {
      word = word &<< 8 | UInt32(byte)
      bits &+= 8
      while bits >= 6 {
        bits &-= 6
        out.append(character(word &>> bits & 63))
      }
    }
    if bits > 0 { out.append(character(word &<< (6 &- bits) & 63)) }
  }

  private static func value(_ c: UInt8) -> UInt32? {
    switch c {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(c &- UInt8(ascii: "A"))
    case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(c &- UInt8(ascii: "a") &+ 26)
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(c &- UInt8(ascii: "0") &+ 52)
    case UInt8(ascii: "-"): 62
    case UInt8(ascii: "_"): 63
    default: nil
    }
  }

  private static func character(_ value: UInt32) -> UInt8 {
    let value = UInt8(truncatingIfNeeded: value)
    return switch value {
    case 0..<26: UInt8(ascii: "A") &+ value
    case 26..<52: UInt8(ascii: "a") &+ value &- 26
    case 52..<62: UInt8(ascii: "0") &+ value &- 52
    case 62: UInt8(ascii: "-")
    default: UInt8(ascii: "_")
    }
  }
}
