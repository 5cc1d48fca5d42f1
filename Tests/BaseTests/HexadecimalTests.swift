import Base
import Testing

@Suite("Hexadecimal digits by the word, visible characters, addresses as text")
struct HexadecimalTests {
  private func word(_ text: String) -> UInt64 {
    var word: UInt64 = 0
    for (i, byte) in text.utf8.enumerated() { word |= UInt64(byte) << UInt64(8 * i) }
    return word
  }

  @Test("Every value reads back, in either case")
  func values() {
    var random = RandomSource(seed: 5)
    var samples: [UInt32] = [0, 9, 10, 15, 16, 0x1234_5678, 0x9abc_def0, .max]
    for _ in 0..<1_000 { samples.append(UInt32(truncatingIfNeeded: random.next())) }
    for value in samples {
      let hex = String(value, radix: 16)
      let text = String(repeating: "0", count: 8 - hex.count) + hex
      #expect(Hexadecimal.digits(value) == word(text))
      #expect(Hexadecimal.value(word(text)) == value)
      #expect(Hexadecimal.value(word(text.uppercased())) == value)
    }
  }

  @Test("Each octet that is no digit spoils the word, wherever it stands")
  func invalid() {
    for place in 0..<8 {
      for octet in UInt8.min...UInt8.max {
        let shift = UInt64(8 * place)
        let digits = word("0a9f0A9F") & ~(0xff << shift) | UInt64(octet) << shift
        #expect((Hexadecimal.value(digits) != nil) == (octet.hexDigitValue != nil))
      }
    }
  }

  @Test("Visible characters are told from the others at every place")
  func visible() {
    for count in 0...17 {
      let text = [UInt8](repeating: 0x41, count: count)
      check(text.rawSpan.isVisibleASCII)
      for place in 0..<count {
        for octet in UInt8.min...UInt8.max {
          var changed = text
          changed[place] = octet
          check(changed.rawSpan.isVisibleASCII == (0x20...0x7e).contains(octet))
        }
      }
    }
  }

  @Test(
    "An address is written as it is read",
    arguments: [
      "0.0.0.0:0", "1.2.3.4:5", "10.20.30.40:99", "100.200.9.99:100", "255.255.255.255:65535",
      "127.0.0.1:1000", "192.0.2.1:9999", "192.0.2.1:10000", "[::ffff:192.0.2.1]:5060",
      "[2001:db8::1]:5060",
    ])
  func addresses(_ text: String) throws {
    let address = try #require(SocketAddress(text))
    #expect(address.description == text)
    #expect(text.contains(address.ip.description))
  }
}
