import Base
import CryptoCore
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// RFC 3711 §B.3, RFC 6188 §7.2, RFC 7714 §16 and §17.
@Suite struct SRTPVectorTests {
  @Test(arguments: [
    (
      SRTPSuite.aesCM128HMAC80, "e1f97a0d3e018be0d64fa32c06de4139" + "0ec675ad498afeebb6960b3aabe6",
      "c61e7a93744f39ee10734afe3ff7a087", "cebe321f6ff7716b6fd4ab49af256a156d38baa4",
      "30cbbc08863d8c85d49db34a9ae1"
    ),
    (
      .aesCM256HMAC80,
      "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6"
        + "3b04803de51ee7c96423ab5b78d2",
      "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4",
      "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05", "fa31791685ca444a9e07c6c64e93"
    ),
  ])
  func derivation(
    suite: SRTPSuite, master: String, encryption: String, authentication: String, salt: String
  ) throws {
    let key = try #require(SRTPKey(suite, secret: octets(master)))
    let keys = try #require(SRTPKeys(key, control: false))
    #expect(keys.encryption == octets(encryption))
    #expect(keys.authentication == octets(authentication))
    #expect(keys.salt == octets(salt))
  }

  static let salt = octets("517569642070726f2071756f")

  @Test(arguments: [
    (
      16,
      "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b"
        + "36de3adf8833899d7f27beb16a9152cf765ee4390cce"
    ),
    (
      32,
      "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f"
        + "1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13"
    ),
  ])
  func media(size: Int, sealed: String) throws {
    let plain = octets(
      "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e2070617274"
        + "65732074726573")
    let parsed = SRTPHeader(plain.span.rawSpan)
    let header = try #require(parsed)
    let transform = try #require(Transform(size, .seals))
    #expect(
      transform.run(plain, room: 16) { transform, bytes in
        transform.sealMedia(&bytes, length: plain.count, header, index: UInt64(header.sequence))
      } == octets(sealed))
    let opening = try #require(Transform(size, .opens))
    #expect(
      opening.run(octets(sealed), room: 0) { transform, bytes in
        transform.openMedia(
          &bytes, length: sealed.utf8.count / 2, header, index: UInt64(header.sequence), key: nil)
      } == plain)
  }

  @Test(arguments: [
    (
      16,
      "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda"
        + "4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4"
    ),
    (
      32,
      "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be"
        + "8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4"
    ),
  ])
  func control(size: Int, sealed: String) throws {
    let plain = octets(
      "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeef"
        + "deadbeefdeadbeefdeadbeef")
    let transform = try #require(Transform(size, .seals))
    #expect(
      transform.run(plain, room: 20) { transform, bytes in
        transform.sealControl(&bytes, length: plain.count, ssrc: 0x4d61_7273, index: 0x5d4)
      } == octets(sealed))
    let opening = try #require(Transform(size, .opens))
    #expect(
      opening.run(octets(sealed), room: 0) { transform, bytes in
        let length = sealed.utf8.count / 2
        guard let trailer = transform.controlTrailer(length: length, key: nil) else { return nil }
        return transform.openControl(
          &bytes, length: length, ssrc: 0x4d61_7273, trailer: trailer, key: nil)
      } == plain)
  }
}

/// AES-GCM with the RFC's session key of `size` bytes.
private final class Transform {
  private let value: SRTPTransform

  init?(_ size: Int, _ direction: AESGCM.Direction) {
    guard
      let value = SRTPTransform(
        encryption: (0..<size).map(UInt8.init), authentication: [], salt: SRTPVectorTests.salt,
        tagSize: 16, direction)
    else { return nil }
    self.value = value
  }

  func run(
    _ packet: [UInt8], room: Int,
    _ change: (borrowing SRTPTransform, inout MutableRawSpan) -> Int?
  ) -> [UInt8]? {
    var buffer = packet + [UInt8](repeating: 0, count: room)
    var span = buffer.mutableSpan
    var bytes = unsafe span.mutableBytes
    let length = change(value, &bytes)
    return length.map { Array(buffer[..<$0]) }
  }
}
