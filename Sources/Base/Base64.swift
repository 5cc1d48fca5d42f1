/// Base 64 (RFC 4648 §4).
package enum Base64 {
  /// Nil for a character that is none of the alphabet and for a length that cannot be. Padding may be missing, as
  /// some peers leave it out.
  package static func decode(_ text: RawSpan) -> [UInt8]? {
    var end = text.byteCount
    while end > 0, text.byteCount &- end < 2, text.byte(at: end &- 1) == UInt8(ascii: "=") {
      end &-= 1
    }
    guard end % 4 != 1 else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(end / 4 * 3 + 2)
    var word: UInt32 = 0
    for i in 0..<end {
      guard let value = value(text.byte(at: i)) else { return nil }
      word = word &<< 6 | value
      if i % 4 == 3 {
        for shift: UInt32 in [16, 8, 0] { bytes.append(UInt8(truncatingIfNeeded: word &>> shift)) }
        word = 0
      }
    }
    switch end % 4 {
    case 2: bytes.append(UInt8(truncatingIfNeeded: word &>> 4))
    case 3:
      bytes.append(UInt8(truncatingIfNeeded: word &>> 10))
      bytes.append(UInt8(truncatingIfNeeded: word &>> 2))
    default: break
    }
    return bytes
  }

  package static func append(_ bytes: [UInt8], to out: inout OutputBuffer) {
    eachCharacter(of: bytes) { out.append(byte: $0) }
  }

  package static func text(_ bytes: [UInt8]) -> String {
    var characters: [UInt8] = []
    characters.reserveCapacity((bytes.count + 2) / 3 * 4)
    eachCharacter(of: bytes) { characters.append($0) }
    return characters.rawSpan.displayText
  }

  @inline(__always)
  private static func eachCharacter(of bytes: [UInt8], _ put: (UInt8) -> Void) {
    var at = 0
    while at < bytes.count {
      let count = min(3, bytes.count &- at)
      var word: UInt32 = 0
      for i in 0..<3 { word = word &<< 8 | (i < count ? UInt32(bytes[at &+ i]) : 0) }
      for i in 0..<4 {
        let value = UInt8(truncatingIfNeeded: word &>> UInt32(18 &- 6 &* i) & 0x3f)
        put(i <= count ? character(value) : UInt8(ascii: "="))
      }
      at &+= 3
    }
  }

  private static func value(_ c: UInt8) -> UInt32? {
    switch c {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(c &- UInt8(ascii: "A"))
    case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(c &- UInt8(ascii: "a") &+ 26)
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(c &- UInt8(ascii: "0") &+ 52)
    case UInt8(ascii: "+"): 62
    case UInt8(ascii: "/"): 63
    default: nil
    }
  }

  private static func character(_ value: UInt8) -> UInt8 {
    switch value {
    case 0..<26: UInt8(ascii: "A") &+ value
    case 26..<52: UInt8(ascii: "a") &+ value &- 26
    case 52..<62: UInt8(ascii: "0") &+ value &- 52
    case 62: UInt8(ascii: "+")
    default: UInt8(ascii: "/")
    }
  }
}
