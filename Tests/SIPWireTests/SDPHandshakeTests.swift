import Base
import SIPWire
import Testing

private func digits(_ count: Int, small: Bool = false) -> String {
  (0..<count).map { i in
    let text = String(160 + i % 90, radix: 16, uppercase: !small)
    return text
  }.joined(separator: ":")
}

private func read(
  _ lines: [String], session: [String] = [], profile: String = "UDP/TLS/RTP/SAVP"
) throws -> ([UInt8], SessionDescription) {
  let text =
    "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    + session.map { "a=\($0)\r\n" }.joined() + "m=audio 4000 \(profile) 0\r\n"
    + lines.map { "a=\($0)\r\n" }.joined()
  let bytes = Array(text.utf8)
  var sdp = SessionDescription()
  try SessionDescription.parse(bytes.rawSpan, into: &sdp)
  return (bytes, sdp)
}

/// a=fingerprint (RFC 8122 §5) and a=setup (RFC 4145 §4): what is understood, what is passed over, and what we write.
@Suite struct SDPHandshakeTests {
  /// The line of the example in RFC 8122 §5, with another digest.
  @Test func usable() throws {
    let (bytes, sdp) = try read([
      "fingerprint:SHA-256 " + digits(32, small: true), "setup:actpass", "tls-id:abc3dl",
    ])
    #expect(sdp.firstAudio == 0)
    #expect(sdp.media[0].setup == .actpass && sdp.media[0].hasHandshake)
    let line = try #require(sdp.fingerprints(of: 0).first)
    #expect(line.algorithm == .sha256)
    #expect(line.digest(in: bytes.rawSpan) == (0..<32).map { UInt8(160 + $0) })
  }

  @Test func severalLinesOfWhichTheStrongOnesCount() throws {
    let (_, sdp) = try read([
      "fingerprint:sha-1 " + digits(20), "fingerprint:sha-512 " + digits(64),
      "fingerprint:md5 " + digits(16), "fingerprint:sha-384 " + digits(48),
      "fingerprint:sha-224 " + digits(28),
    ])
    #expect(sdp.fingerprints(of: 0).map(\.algorithm) == [.sha512, .sha384])
    #expect(sdp.firstAudio == 0)
  }

  @Test(arguments: [
    "", "sha-256", "sha-256 ", "sha-1 " + digits(20), "sha-256 " + digits(31),
    "sha-256 " + digits(33), "sha-384 " + digits(32), "sha-256 " + digits(32) + " more",
    "sha-256 " + digits(31) + ":G0", "sha-256 " + digits(31) + ":A",
    "sha-256 " + digits(32).replacing(":", with: "-"), "sha-2567 " + digits(32),
  ])
  func passedOver(value: String) throws {
    let (_, sdp) = try read(["fingerprint:" + value, "setup:active"])
    #expect(sdp.fingerprints(of: 0).isEmpty)
    #expect(sdp.firstAudio == nil)
  }

  @Test(arguments: [
    ("active", SDPSetup.active), ("passive", .passive), ("ActPass", .actpass),
    ("holdconn", .holdconn), (" active ", .active),
  ])
  func setups(text: String, setup: SDPSetup) throws {
    #expect(try read(["setup:" + text]).1.media[0].setup == setup)
    #expect(try read([], session: ["setup:" + text]).1.media[0].setup == setup)
  }

  @Test func unknownSetup() throws {
    #expect(try read(["setup:sometimes"]).1.media[0].setup == nil)
    #expect(try read(["setup:"]).1.media[0].setup == nil)
  }

  /// RFC 8122 §5: the session's hold for every line that has none of its own.
  @Test func ofTheSession() throws {
    let text =
      "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
      + "a=setup:passive\r\na=fingerprint:sha-256 \(digits(32))\r\n"
      + "m=audio 4000 UDP/TLS/RTP/SAVPF 0\r\na=setup:active\r\n"
      + "m=video 4002 UDP/TLS/RTP/SAVPF 96\r\na=fingerprint:sha-512 \(digits(64))\r\n"
      + "m=audio 4004 UDP/TLS/RTP/SAVPF 0\r\n"
    let bytes = Array(text.utf8)
    var sdp = SessionDescription()
    try SessionDescription.parse(bytes.rawSpan, into: &sdp)
    #expect(sdp.media.map(\.setup) == [.active, .passive, .passive])
    #expect(
      (0..<3).map { sdp.fingerprints(of: $0).map(\.algorithm) } == [
        [.sha256], [.sha512], [.sha256],
      ])
    #expect(sdp.fingerprints(of: 3).isEmpty && sdp.fingerprints(of: -1).isEmpty)
  }

  @Test func linesAreBounded() throws {
    let many = [String](repeating: "fingerprint:sha-256 " + digits(32), count: 100)
    #expect(try read(many).1.fingerprints(of: 0).count == 8)
    let (_, sdp) = try read(many, session: many)
    #expect(sdp.fingerprints.count == 16 && sdp.fingerprints(of: 0).count == 8)
  }

  /// Both kinds of keys: the protocol says which are meant. RTP/SAVP with a fingerprint alone is an old way to say DTLS,
  /// and beside plain RTP it says nothing.
  @Test(arguments: [
    ("UDP/TLS/RTP/SAVP", true, true), ("RTP/SAVP", true, false), ("RTP/SAVP", false, true),
    ("RTP/SAVPF", false, true), ("RTP/AVP", false, false),
  ])
  func theProtocolDecides(profile: String, hasKey: Bool, isHandshake: Bool) throws {
    let key =
      "crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
    let (_, sdp) = try read(
      ["fingerprint:sha-256 " + digits(32)] + (hasKey ? [key] : []), profile: profile)
    #expect(sdp.media[0].hasHandshake == isHandshake)
    #expect(sdp.firstAudio == 0)
  }

  @Test(arguments: [
    ("RTP/AVP", " UDP/TLS/RTP/SAVP "), ("RTP/AVPF", " UDP/TLS/RTP/SAVPF "),
    ("UDP/TLS/RTP/SAVP", " UDP/TLS/RTP/SAVP "), ("UDP/TLS/RTP/SAVPF", " UDP/TLS/RTP/SAVPF "),
  ])
  func written(profile: String, expected: String) throws {
    let (bytes, sdp) = try read(
      ["fingerprint:sha-256 " + digits(32), "setup:passive", "tls-id:CANARY"],
      session: ["fingerprint:sha-512 " + digits(64), "setup:holdconn"], profile: profile)
    func text(_ protection: SDPProtection?) -> String {
      var out = OutputBuffer(byteLimit: 4_096, recordLimit: 4)
      out.begin()
      SDPWriter.write(
        sdp, of: bytes.rawSpan, as: SDPSession(id: 1, version: 1, address: .loopbackV4),
        lines: SDPLines(line: 0, port: 30_000, protection: protection), into: &out)
      return String(
        decoding: out.openBytes.array(ByteRange(0, out.openBytes.byteCount)), as: UTF8.self)
    }
    let digest = (0..<32).map { UInt8($0 * 8) }
    let ours = text(
      SDPProtection(
        transport: nil, handshake: SDPOwnHandshake(fingerprint: digest, setup: .actpass)))
    #expect(ours.contains(expected))
    #expect(
      ours.contains(
        "\r\na=fingerprint:sha-256 00:08:10:18:20:28:30:38:40:48:50:58:60:68:70:78:80:88:90:98:A0:A8:"
          + "B0:B8:C0:C8:D0:D8:E0:E8:F0:F8\r\na=setup:actpass\r\n"))
    // Once each, and nothing of the far end's.
    #expect(ours.components("fingerprint") == 1 && ours.components("setup") == 1)
    #expect(!ours.contains("CANARY"))
    let again = Array(ours.utf8)
    var read = SessionDescription()
    try SessionDescription.parse(again.rawSpan, into: &read)
    #expect(read.fingerprints(of: 0).first?.digest(in: again.rawSpan) == digest)
    let plain = text(nil)
    #expect(!plain.contains("fingerprint") && !plain.contains("setup"))
    #expect(plain.contains(profile.hasSuffix("F") ? " RTP/AVPF " : " RTP/AVP "))
  }
}

extension String {
  fileprivate func components(_ part: String) -> Int { ranges(of: part).count }
}
