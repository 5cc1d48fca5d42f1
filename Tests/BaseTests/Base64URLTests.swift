import Base
import Testing

@Suite struct Base64URLTests {
  private func decode(_ text: String) -> [UInt8]? { Base64URL.decode(Array(text.utf8).rawSpan) }

  @Test(arguments: [
    ("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE"),
  ])
  func vectors(plain: String, text: String) {
    var written: [UInt8] = []
    Base64URL.append(plain.utf8, to: &written)
    #expect(String(decoding: written, as: UTF8.self) == text)
    #expect(decode(text) == Array(plain.utf8))
  }

  /// RFC 4648 §5: 62 and 63.
  @Test func theOtherAlphabet() {
    var written: [UInt8] = []
    Base64URL.append([0xfb, 0xff, 0xfe], to: &written)
    #expect(String(decoding: written, as: UTF8.self) == "-__-")
    #expect(decode("-__-") == [0xfb, 0xff, 0xfe])
  }

  @Test(arguments: ["Zg==", "Z", "Zm9vY", "Zh", "Zm9", "Zm8=", "Zm+v", "Zm/v", "Zm 9", "é"])
  func whatIsNoneOrHasASecondSpelling(text: String) {
    #expect(decode(text) == nil, "\(text)")
  }
}
