import Base
import CryptoCore
import Testing

/// RFC 1321 §A.5, FIPS 180-4 (the examples of NIST's CSRC pages), RFC 4231.
@Suite struct DigestTests {
  @Test(arguments: [
    ("", "d41d8cd98f00b204e9800998ecf8427e"),
    ("a", "0cc175b9c0f1b6a831c399e269772661"),
    ("abc", "900150983cd24fb0d6963f7d28e17f72"),
    ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
    ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
    (
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
      "d174ab98d277d9f5a5611c2c9f419d9f"
    ),
    (
      "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
      "57edf4a22be3c955ac49da2e2107b67a"
    ),
  ])
  func md5(text: String, expected: String) {
    #expect(Digest.hash(.md5, text).description == expected)
  }

  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
  ])
  func sha256(text: String, expected: String) {
    #expect(Digest.hash(.sha256, text).description == expected)
  }

  @Test(arguments: [
    ("", "c672b8d1ef56ed28ab87c3622c5114069bdd3ad7b8f9737498d0c01ecef0967a"),
    ("abc", "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"),
    (
      "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
        + "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
      "3928e184fb8690f840da3988121d31be65cb9d3ef83ee6146feac861e19b563a"
    ),
  ])
  func sha512t256(text: String, expected: String) {
    #expect(Digest.hash(.sha512t256, text).description == expected)
  }

  /// RFC 7616 §3.9.1, whose response is a digest of digests in hexadecimal.
  @Test func partsAndReuse() {
    let context = DigestContext(.md5)
    #expect(context.isAvailable)
    func response() -> DigestValue {
      context.begin()
      context.update("Mufasa" as StaticString)
      context.update(":http-auth@example.org:" as StaticString)
      context.update("Circle of Life" as String)
      let a1 = context.finish()
      let a2 = context.hash(Array("GET:/dir/index.html".utf8).rawSpan)
      context.begin()
      context.update(a1.hex.rawSpan)
      context.update(":7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v:00000001:" as StaticString)
      context.update("f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ:auth:" as StaticString)
      context.update(a2.hex.rawSpan)
      return context.finish()
    }
    let expected = "8ca523f5e9506fed4657c9700eebdbec"
    #expect(response().description == expected)
    #expect(response() == response())
    func matches(_ text: String) -> Bool { response().matches(hex: Array(text.utf8).rawSpan) }
    #expect(matches(expected))
    #expect(matches(expected.uppercased()))
    #expect(!matches(String(expected.dropLast())))
    #expect(!matches(expected.dropLast() + "d"))
  }

  @Test func finishWithoutBeginEqualsNothing() {
    let context = DigestContext(.sha256)
    let empty = context.hash([UInt8]().rawSpan)
    let failed = context.finish()
    let matchesNothing = failed.matches(hex: [UInt8]().rawSpan)
    #expect(failed.count == 0 && failed != empty && failed != failed && !matchesNothing)
  }

  @Test(arguments: [
    (
      [UInt8](repeating: 0x0b, count: 20), Array("Hi There".utf8),
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    ),
    (
      Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    ),
    (
      [UInt8](repeating: 0xaa, count: 20), [UInt8](repeating: 0xdd, count: 50),
      "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
    ),
    (
      [UInt8](1...25), [UInt8](repeating: 0xcd, count: 50),
      "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"
    ),
    (
      [UInt8](repeating: 0xaa, count: 131),
      Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    ),
    (
      [UInt8](repeating: 0xaa, count: 131),
      Array(
        ("This is a test using a larger than block-size key and a larger than block-size data. "
          + "The key needs to be hashed before being used by the HMAC algorithm.").utf8),
      "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"
    ),
  ])
  func hmac(key: [UInt8], data: [UInt8], expected: String) {
    let context = HMACContext(key: key.rawSpan)
    let whole = context.authenticate(data.rawSpan)
    #expect(whole.description == expected)
    context.begin()
    context.update(data.rawSpan.slice(0, 5))
    context.update(data.rawSpan.slice(5, data.count))
    #expect(context.finish().description == expected)
    let once = HMAC.sha256(key: key.rawSpan, data.rawSpan)
    #expect(once == whole)
  }

  @Test func comparison() {
    func equal(_ a: [UInt8], _ b: [UInt8]) -> Bool { constantTimeEquals(a.rawSpan, b.rawSpan) }
    #expect(equal([1, 2, 3], [1, 2, 3]))
    #expect(!equal([1, 2, 3], [1, 2, 4]))
    #expect(!equal([1, 2, 3], [1, 2]))
    #expect(equal([], []))
  }
}
