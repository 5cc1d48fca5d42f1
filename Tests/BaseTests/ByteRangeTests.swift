import Base
import Testing

@Suite struct ByteRangeTests {
  @Test func construction() {
    #expect(ByteRange(-3, -1) == ByteRange.none)
    #expect(ByteRange(3, 4).end == 7)
    #expect(ByteRange(from: 5, to: 2).isEmpty)
    #expect(ByteRange(Int.max, Int.max).end == Int(UInt32.max) * 2)
    #expect(MemoryLayout<ByteRange>.size == 8)
  }

  @Test func aWrongRangeReadsTooLittle() {
    let bytes = Array("abcdef".utf8)
    func text(_ range: ByteRange) -> String { bytes.rawSpan.string(range) }
    #expect(text(ByteRange(1, 3)) == "bcd")
    #expect(text(ByteRange(4, 100)) == "ef")
    #expect(text(ByteRange(100, 4)) == "")
    #expect(text(ByteRange(Int.max, Int.max)) == "")
    func slice(_ a: Int, _ b: Int) -> String { bytes.rawSpan.slice(a, b).displayText }
    #expect(slice(-5, 2) == "ab")
    #expect(slice(4, 2) == "")
    #expect(slice(0, .max) == "abcdef")
    func byte(_ i: Int) -> UInt8 { bytes.rawSpan.byte(at: i) }
    #expect(byte(-1) == 0 && byte(6) == 0 && byte(5) == 0x66)
    func word(_ i: Int) -> UInt64 { bytes.rawSpan.word(at: i) }
    #expect(word(4) == 0x6665)
    #expect(word(0) == 0x0000_6665_6463_6261)
    #expect(word(-1) == 0x0066_6564_6362_6100)
    func big(_ i: Int) -> UInt32 { bytes.rawSpan.bigEndian32(at: i) }
    #expect(big(1) == 0x6263_6465)
    #expect(big(4) == 0x6566_0000)
  }

  @Test func equality() {
    func same(_ a: String, _ b: String) -> Bool {
      Array(a.utf8).rawSpan.equals(Array(b.utf8).rawSpan)
    }
    #expect(same("", "") && same("0123456789", "0123456789"))
    #expect(!same("0123456789", "0123456780") && !same("01234567", "012345678"))
    #expect(!same("x12345678", "012345678"))
    let invite = Array("INVITE".utf8)
    func equals(_ text: StaticString) -> Bool { invite.rawSpan.equals(text) }
    func alike(_ text: StaticString) -> Bool { invite.rawSpan.equalsIgnoringCase(text) }
    #expect(equals("INVITE") && !equals("INVITe") && !equals("INVIT") && !equals("INVITEX"))
    #expect(alike("invite") && alike("InViTe") && !alike("inv1te"))
    // '[' and '{' differ by the same bit as letters do.
    let brackets = Array("[@`".utf8)
    func bracketsAlike(_ text: StaticString) -> Bool {
      brackets.rawSpan.equalsIgnoringCase(text)
    }
    #expect(bracketsAlike("[@`") && !bracketsAlike("{@`") && !bracketsAlike("[`@"))
    let one = Array("x".utf8)
    func single(_ text: StaticString) -> Bool { one.rawSpan.equals(text) }
    #expect(single("x") && !single("y"))
  }

  @Test func decimals() {
    func value(_ text: String) -> UInt64? {
      let bytes = Array(text.utf8)
      return bytes.rawSpan.decimal(ByteRange(0, bytes.count))
    }
    #expect(value("0") == 0 && value("0042") == 42)
    #expect(value("18446744073709551615") == .max)
    #expect(value("18446744073709551616") == nil && value("99999999999999999999999") == nil)
    #expect(value("") == nil && value("-1") == nil && value("1 ") == nil && value("1a") == nil)
    let bytes = Array("12".utf8)
    let past = bytes.rawSpan.decimal(ByteRange(1, 5))
    #expect(past == nil, "a range beyond the span is not a shorter number")
  }

  @Test func displayTextIsHarmless() {
    func shown(_ bytes: [UInt8]) -> String { bytes.rawSpan.displayText }
    #expect(shown(Array("Zoë 電話".utf8)) == "Zoë 電話")
    #expect(
      shown([0x61, 0, 0x1b, 0x5b, 0x0d, 0x0a, 0x7f]) == "a\u{FFFD}\u{FFFD}[\u{FFFD}\u{FFFD}\u{FFFD}"
    )
    #expect(shown([0x61, 0xff, 0x62]) == "a\u{FFFD}b")
    #expect(shown(Array("a\u{202e}b\u{85}".utf8)) == "a\u{FFFD}b\u{FFFD}")
  }

  @Test func hexDigits() {
    #expect(UInt8(ascii: "f").hexDigitValue == 15 && UInt8(ascii: "F").hexDigitValue == 15)
    #expect(UInt8(ascii: "g").hexDigitValue == nil && UInt8(ascii: "@").hexDigitValue == nil)
    for n in UInt8(0)..<16 { #expect(UInt8.hexDigit(n).hexDigitValue == n) }
  }
}
