import Base
import Testing

/// RFC 4648 §10.
@Suite struct Base64Tests {
  @Test(arguments: [
    ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="),
    ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"),
  ])
  func vectors(plain: String, encoded: String) {
    var out = OutputBuffer(byteLimit: 100, recordLimit: 2)
    out.begin()
    Base64.append(Array(plain.utf8), to: &out)
    let count = out.openBytes.byteCount
    #expect(String(decoding: out.openBytes.array(ByteRange(0, count)), as: UTF8.self) == encoded)
    #expect(decode(encoded) == Array(plain.utf8))
    #expect(decode(String(encoded.prefix { $0 != "=" })) == Array(plain.utf8))
  }

  @Test(arguments: ["A", "AAAAA", "AA*A", "A===", "AA=A", "AA-_", "AAAA===="])
  func refused(text: String) { #expect(decode(text) == nil) }

  private func decode(_ text: String) -> [UInt8]? {
    let bytes = Array(text.utf8)
    return Base64.decode(bytes.span.rawSpan)
  }
}
