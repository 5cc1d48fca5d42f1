import Base
import SIPWire
import Testing

private let key128 = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"

private func read(_ lines: [String], profile: String = "RTP/SAVP") throws -> (
  [UInt8], SessionDescription
) {
  let crypto = lines.map { "a=crypto:\($0)\r\n" }.joined()
  let bytes = Array(
    ("v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
      + "m=audio 4000 \(profile) 0\r\n\(crypto)").utf8)
  var sdp = SessionDescription()
  try SessionDescription.parse(bytes.rawSpan, into: &sdp)
  return (bytes, sdp)
}

/// a=crypto (RFC 4568 §9): what is understood, and what is passed over.
@Suite struct SDPCryptoTests {
  /// The example of §7.1.5, whose keys are 30 bytes.
  @Test func theExampleOfTheRFC() throws {
    let (bytes, sdp) = try read([
      "1 AES_CM_128_HMAC_SHA1_80 inline:\(key128)|2^20|1:4 FEC_ORDER=FEC_SRTP",
      "2 F8_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm|2^20|1:4;"
        + "inline:QUJjZGVmMTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5|2^20|2:4 FEC_ORDER=FEC_SRTP",
    ])
    #expect(sdp.firstAudio == 0)
    #expect(sdp.crypto(of: 0).map(\.tag) == [1])
    let line = try #require(sdp.crypto(of: 0).first)
    #expect(line.suite == .aesCM128HMAC80 && line.identifier == 1 && line.identifierSize == 4)
    #expect(line.key(in: bytes.rawSpan)?.count == 30)
    #expect(line.key(in: bytes.rawSpan)?.first == 0x59)
  }

  @Test(arguments: [
    "AES_CM_128_HMAC_SHA1_80 inline:\(key128)", "aes_cm_128_hmac_sha1_80 INLINE:\(key128)",
    "AES_CM_128_HMAC_SHA1_32 inline:\(key128)|2^48", "AES_CM_128_HMAC_SHA1_80 inline:\(key128)|1:1",
    "AES_CM_128_HMAC_SHA1_80 inline:\(key128)|4294967296",
    "AES_CM_128_HMAC_SHA1_80  inline:\(key128)  KDR=0 WSH=64 -VENDOR=x ",
    "AEAD_AES_128_GCM inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nw==",
    "AEAD_AES_128_GCM inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nw",
    "AEAD_AES_256_GCM inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM=",
    "AES_256_CM_HMAC_SHA1_80 "
      + "inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NQ==",
  ])
  func usable(line: String) throws {
    let (bytes, sdp) = try read(["9 " + line])
    let crypto = try #require(sdp.crypto(of: 0).first)
    #expect(crypto.tag == 9)
    #expect(crypto.key(in: bytes.rawSpan)?.count == crypto.suite.secretSize)
  }

  @Test(arguments: [
    "", "1", "1 AES_CM_128_HMAC_SHA1_80", "x AES_CM_128_HMAC_SHA1_80 inline:\(key128)",
    "1234567890 AES_CM_128_HMAC_SHA1_80 inline:\(key128)",
    "1 AES_CM_128_NULL_AUTH inline:\(key128)", "1 AES_CM_128_HMAC_SHA1_80 uri:\(key128)",
    "1 AES_CM_128_HMAC_SHA1_80 inline:", "1 AES_CM_128_HMAC_SHA1_80 inline:\(key128)A",
    "1 AES_CM_128_HMAC_SHA1_80 inline:\(key128.dropLast(4))",
    "1 AES_CM_128_HMAC_SHA1_80 inline:\(key128.dropLast(1))*",
    "1 AES_CM_128_HMAC_SHA1_80 inline:\(key128)|2^",
    "1 AES_CM_128_HMAC_SHA1_80 inline:\(key128)|1:5",
    "1 AES_CM_128_HMAC_SHA1_80 inline:\(key128)|256:1",
    "1 AES_CM_128_HMAC_SHA1_80 inline:\(key128)|1:0",
    "1 AES_CM_128_HMAC_SHA1_80 inline:\(key128)|2^20|2^20",
    "1 AES_CM_128_HMAC_SHA1_80 inline:\(key128)|1:1|2^20",
    "1 AES_CM_128_HMAC_SHA1_80 inline:\(key128);inline:\(key128)",
    "1 AES_CM_128_HMAC_SHA1_80 inline:\(key128) UNENCRYPTED_SRTP",
    "1 AES_CM_128_HMAC_SHA1_80 inline:\(key128) UNENCRYPTED_SRTCP",
    "1 AES_CM_128_HMAC_SHA1_80 inline:\(key128) UNAUTHENTICATED_SRTP",
    "1 AES_CM_128_HMAC_SHA1_80 inline:\(key128) KDR=4",
    "1 AES_CM_128_HMAC_SHA1_80 inline:\(key128) FEC_KEY=inline:\(key128)",
    "1 AES_CM_128_HMAC_SHA1_80 inline:\(key128) SOMETHING",
  ])
  func passedOver(line: String) throws {
    let (_, sdp) = try read([line])
    #expect(sdp.crypto(of: 0).isEmpty)
    #expect(sdp.firstAudio == nil)
  }

  @Test func linesAreBounded() throws {
    let (_, sdp) = try read((1...100).map { "\($0) AES_CM_128_HMAC_SHA1_80 inline:\(key128)" })
    #expect(sdp.crypto(of: 0).map(\.tag) == Array(1...16))
    #expect(sdp.crypto(of: 1).isEmpty && sdp.crypto(of: -1).isEmpty)
  }

  /// The same speech offered twice: the protected line is meant.
  @Test func theProtectedLineComesFirst() throws {
    let text =
      "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
      + "m=audio 4000 RTP/AVP 0\r\nm=audio 4002 RTP/SAVP 0\r\n"
      + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:\(key128)\r\nm=audio 4004 UDP/TLS/RTP/SAVP 0\r\n"
    let bytes = Array(text.utf8)
    var sdp = SessionDescription()
    try SessionDescription.parse(bytes.rawSpan, into: &sdp)
    #expect(sdp.firstAudio == 1)
    let without = Array(text.replacing("a=crypto", with: "a=cryptic").utf8)
    try SessionDescription.parse(without.rawSpan, into: &sdp)
    #expect(sdp.firstAudio == 0)
  }

  @Test(arguments: [
    ("RTP/AVP", " RTP/SAVP "), ("RTP/AVPF", " RTP/SAVPF "), ("RTP/SAVP", " RTP/SAVP "),
  ])
  func written(profile: String, expected: String) throws {
    let (bytes, sdp) = try read(
      ["1 AES_CM_128_HMAC_SHA1_80 inline:\(key128)"], profile: profile)
    let secret = [UInt8](repeating: 0xfb, count: 44)
    func text(_ protection: SDPProtection?) -> String {
      var out = OutputBuffer(byteLimit: 4_096, recordLimit: 4)
      out.begin()
      SDPWriter.write(
        sdp, of: bytes.rawSpan, as: SDPSession(id: 1, version: 1, address: .loopbackV4),
        lines: SDPLines(line: 0, port: 30_000, protection: protection), into: &out)
      return String(
        decoding: out.openBytes.array(ByteRange(0, out.openBytes.byteCount)), as: UTF8.self)
    }
    let line = SDPOwnCrypto(tag: 3, suite: .aeadAES256GCM, secret: Redacted(secret))
    let ours = text(SDPProtection(transport: nil, lines: [line]))
    #expect(ours.contains(expected))
    #expect(ours.contains("\r\na=crypto:3 AEAD_AES_256_GCM inline:+/v7+/v7"))
    #expect(!ours.contains(key128))
    let again = Array(ours.utf8)
    var read = SessionDescription()
    try SessionDescription.parse(again.rawSpan, into: &read)
    #expect(read.crypto(of: 0).first?.key(in: again.rawSpan) == secret)
    // What the far end had of keys does not pass.
    let plain = text(nil)
    #expect(
      !plain.contains("crypto")
        && plain.contains(profile.contains("F") ? " RTP/AVPF " : " RTP/AVP "))
  }

  /// What is written down has the same lines, and none of the keys.
  @Test func blanked() throws {
    let (bytes, sdp) = try read([
      "1 AES_CM_128_HMAC_SHA1_80 inline:\(key128)|2^20|1:4 WSH=64",
      "2 AEAD_AES_128_GCM INLINE:\(key128.dropLast(4))QQ==", "3 OTHER \(key128)",
    ])
    var text = bytes + Array("k=clear:\(key128) or so\r\na=key-mgmt:mikey \(key128)\r\n".utf8)
    var output = OutputBuffer(byteLimit: 4_096, recordLimit: 1)
    for _ in 0..<2 {
      output.begin()
      SDPKeyBlanking.write(text.rawSpan, into: &output)
      text = output.withOpenBytes { $0.array(ByteRange(0, $0.byteCount)) }
      output.abandon()
    }
    let written = String(decoding: text, as: UTF8.self)
    #expect(!written.contains(key128.prefix(6)) && !written.contains("or so"))
    #expect(written.contains("inline:AAAA") && written.contains("AAA|2^20|1:4 WSH=64\r\n"))
    #expect(written.contains("AA==\r\n"))
    var again = SessionDescription()
    try SessionDescription.parse(text.rawSpan, into: &again)
    #expect(again.firstAudio == sdp.firstAudio)
    #expect(again.crypto(of: 0).map(\.suite) == sdp.crypto(of: 0).map(\.suite))
    let keys = again.crypto(of: 0).compactMap { $0.key(in: text.rawSpan) }
    #expect(keys.count == 2 && keys.allSatisfy { $0.allSatisfy { $0 == 0 } })
  }
}
