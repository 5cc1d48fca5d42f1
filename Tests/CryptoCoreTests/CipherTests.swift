import Base
import CryptoCore
import Testing

/// The key streams of RFC 3711 §B.2 and RFC 6188 §7.1, and RFC 2202 §3.
@Suite struct CipherTests {
  @Test(arguments: [
    (
      "2b7e151628aed2a6abf7158809cf4f3c",
      [
        "e03ead0935c95e80e166b16dd92b4eb4", "d23513162b02d0f72a43a2fe4a5f97ab",
        "41e95b3bb0a2e8dd477901e4fca894c0",
      ],
      [
        "ec8cdf7398607cb0f2d21675ea9ea1e4", "362b7c3c6773516318a077d7fc5073ae",
        "6a2cc3787889374fbeb4c81b17ba6c44",
      ]
    ),
    (
      "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98",
      [
        "92bdd28a93c3f52511c677d08b5515a4", "9da71b2378a854f67050756ded165bac",
        "63c4868b7096d88421b563b8c94c9a31",
      ],
      [
        "cea518c90fd91ced9cbb18c078a54711", "3dbc4814f4da5f00a08772b63c6a046d",
        "6eb246913062a16891433e97dd01a57f",
      ]
    ),
  ])
  func keyStream(key: String, first: [String], last: [String]) throws {
    let key = try #require(octets(key))
    // A context that has been used serves as well as a new one.
    let counter = try #require(Shared(key))
    for _ in 0..<2 {
      let start = CipherBlock(high: 0xf0f1_f2f3_f4f5_f6f7, low: 0xf8f9_fafb_fcfd_0000)
      let stream = try #require(counter.stream(start, 0xff02 * 16))
      #expect(hex(stream[..<48]) == first.joined())
      #expect(hex(stream[(0xfeff * 16)...]) == last.joined())
    }
  }

  @Test func onlyTheRangeIsTouched() throws {
    let counter = try #require(Shared([UInt8](repeating: 1, count: 16)))
    var bytes = [UInt8](repeating: 0, count: 40)
    var span = bytes.mutableSpan
    var raw = unsafe span.mutableBytes
    let start = CipherBlock(high: 1, low: 2)
    let isOutside = counter.value.apply(start, to: &raw, from: 5, to: 41)
    #expect(!isOutside)
    let done = counter.value.apply(start, to: &raw, from: 5, to: 26)
    #expect(done)
    #expect(bytes[..<5].allSatisfy { $0 == 0 } && bytes[26...].allSatisfy { $0 == 0 })
    #expect(hex(bytes[5..<26]) == hex((counter.stream(start, 21) ?? [])[...]))
  }

  @Test(arguments: [0, 15, 17, 24, 33])
  func keysOfOtherSizesAreRefused(size: Int) {
    let key = [UInt8](repeating: 0, count: size)
    let hasGalois = AESGCM(key: key.span.rawSpan, .seals) != nil
    #expect(Shared(key) == nil && !hasGalois)
  }

  @Test(arguments: [
    (
      [UInt8](repeating: 0x0b, count: 20), Array("Hi There".utf8),
      "b617318655057264e28bc0b6fb378c8ef146be00"
    ),
    (
      Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
      "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
    ),
    (
      [UInt8](repeating: 0xaa, count: 20), [UInt8](repeating: 0xdd, count: 50),
      "125d7342b9ac11cd91a39af48aa17b4f63f175d3"
    ),
  ])
  func hmac(key: [UInt8], text: [UInt8], expected: String) throws {
    let mac = try #require(SharedMAC(key))
    let wanted = try #require(octets(expected))
    #expect(mac.matches(text, wanted, at: 0, count: 20))
    #expect(mac.matches(text, wanted, at: 0, count: 4))
    #expect(!mac.matches(text, wanted, at: 1, count: 4))
    #expect(!mac.matches(text, wanted, at: 17, count: 4))
    // The last four bytes of a text as its trailer.
    let trailer = text.suffix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    #expect(mac.matches(text.dropLast(4), wanted, at: 0, count: 20, trailer: trailer))
    #expect(!mac.matches(text.dropLast(4), wanted, at: 0, count: 20, trailer: trailer ^ 1))
  }
}

/// What cannot be copied cannot be an operand of `#require`.
private final class Shared {
  let value: AESCounter
  init?(_ key: [UInt8]) {
    guard let value = AESCounter(key: key.span.rawSpan) else { return nil }
    self.value = value
  }

  func stream(_ start: CipherBlock, _ count: Int) -> [UInt8]? {
    value.keyStream(start, count: count)
  }
}

private final class SharedMAC {
  let value: HMACSHA1
  init?(_ key: [UInt8]) {
    guard let value = HMACSHA1(key: key.span.rawSpan) else { return nil }
    self.value = value
  }

  func matches(
    _ text: some Collection<UInt8>, _ wanted: [UInt8], at start: Int, count: Int,
    trailer: UInt32? = nil
  ) -> Bool {
    let bytes = Array(text)
    let tag = value.tag(bytes.span.rawSpan, count: bytes.count, trailer: trailer)
    return tag?.matches(wanted.span.rawSpan, at: start, count: count) == true
  }
}

private func octets(_ text: String) -> [UInt8]? {
  let digits = text.compactMap(\.hexDigitValue)
  guard digits.count == text.count, digits.count % 2 == 0 else { return nil }
  return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] * 16 + digits[$0 + 1]) }
}

private func hex(_ bytes: ArraySlice<UInt8>) -> String {
  bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
}
