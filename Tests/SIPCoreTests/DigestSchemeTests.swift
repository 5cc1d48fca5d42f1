import Base
import CryptoCore
import SIPCore
import SIPWire
import Testing

/// What RFC 7616 knows beside plain MD5: sessions, bodies, several challenges, counts.
@Suite("Digest schemes (RFC 7616, RFC 8760)")
struct DigestSchemeTests {
  private let body = Array("v=0\r\n".utf8)

  /// Computed with Python's hashlib from §3.4.1 to §3.4.4 as they are written.
  @Test(
    "Responses",
    arguments: [
      ("MD5", "auth", "f8b88133d1004c2c0471c480212b6ca5"),
      ("MD5-sess", "auth", "aac10e654751b37747b9fa97cc516653"),
      ("MD5", "auth-int", "791ba22151710adca66cdad7d378d78a"),
      ("MD5-sess", "auth-int", "b18887d0bd0c9a4550c25bf213d6681a"),
      ("SHA-256-sess", "auth", "388229f2971b65865d471dc52c55dd7bc69506e5c095bfa93d74617900efd80a"),
      (
        "SHA-512-256", "auth-int",
        "54151ad2b1558a088266be623a2551a027c7e51e6f42d24f4bfe96fd3e6db80a"
      ),
    ])
  func responses(algorithm: String, qop: String, expected: String) {
    let text = challenge(
      "realm=\"sip.test\", nonce=\"abc\", algorithm=\(algorithm), qop=\"\(qop)\"")
    let field = answer([text]) ?? ""
    #expect(field.contains("response=\"\(expected)\""), "\(field)")
    #expect(field.contains("qop=\(qop), nc=00000001"))
    #expect(field.contains("algorithm=\(algorithm)"))
  }

  private func challenge(_ text: String) -> String { "WWW-Authenticate: Digest \(text)\r\n" }

  private func withResponse<Result>(
    _ headers: [String], _ body: (borrowing Message) -> Result
  ) -> Result? {
    let text =
      "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
      + "To: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 REGISTER\r\n" + headers.joined()
      + "Content-Length: 0\r\n\r\n"
    let bytes = Array(text.utf8)
    guard let message = try? Message.parse(bytes.rawSpan, using: HeaderIndex()) else { return nil }
    return body(message)
  }

  private func answer(_ headers: [String], realm: String? = nil) -> String? {
    withResponse(headers) { message in
      guard let challenge = DigestResponder.choose(message, realm: realm) else { return nil }
      var output = OutputBuffer(byteLimit: 4_096, recordLimit: 1)
      output.begin()
      let uri = Array("sip:sip.test".utf8)
      DigestResponder.write(
        challenge, message.bytes, method: "REGISTER", uri: uri.rawSpan, username: "alice",
        password: "secret", cnonce: 0x1234, body: body.rawSpan,
        context: DigestContext(challenge.algorithm), into: &output)
      return output.openBytes.string(ByteRange(0, output.position))
    } ?? nil
  }

  /// RFC 8760 §2.4: the server lists by preference, and the first that is known is answered.
  @Test func firstKnownChallenge() {
    let all = [
      challenge("realm=\"r\", nonce=\"1\", algorithm=SHA3-1024, qop=\"auth\""),
      challenge("realm=\"r\", nonce=\"2\", algorithm=SHA-512-256, qop=\"auth\""),
      challenge("realm=\"r\", nonce=\"3\", algorithm=MD5, qop=\"auth\""),
    ]
    #expect(answer(all)?.contains("nonce=\"2\"") == true)
    #expect(answer(Array(all.reversed()))?.contains("nonce=\"3\"") == true)
    #expect(answer([all[0]]) == nil)
  }

  /// D2: credentials go to the realm that they are for.
  @Test func onlyTheRealm() {
    let all = [
      challenge("realm=\"evil\", nonce=\"1\", qop=\"auth\""),
      challenge("realm=\"sip.test\", nonce=\"2\", qop=\"auth\""),
    ]
    #expect(answer(all, realm: "sip.test")?.contains("nonce=\"2\"") == true)
    #expect(answer([all[0]], realm: "sip.test") == nil)
    #expect(answer(all)?.contains("nonce=\"1\"") == true)
  }

  @Test func unknownQualityIsNotAnswered() {
    #expect(answer([challenge("realm=\"r\", nonce=\"1\", qop=\"vendor\"")]) == nil)
    #expect(answer([challenge("realm=\"r\", nonce=\"1\", qop=\"vendor, auth\"")]) != nil)
  }

  /// A nonce that is used again is counted; without qop it is used once; a new one begins anew.
  @Test func counting() {
    var counts: [String] = []
    let wasRead = withResponse([challenge("realm=\"r\", nonce=\"1\", qop=\"auth\"")]) { message in
      guard let challenge = DigestResponder.choose(message) else { return false }
      var session = DigestSession(challenge, message.bytes)
      for round in 0..<4 {
        if round == 2 { session.take(nextNonce: Array("next".utf8)) }
        var output = OutputBuffer(byteLimit: 4_096, recordLimit: 1)
        output.begin()
        session.write(
          method: "REGISTER", uri: body.rawSpan, username: "a", password: "b",
          cnonce: UInt64(round), context: DigestContext(.md5), into: &output)
        let text = output.openBytes.string(ByteRange(0, output.position))
        counts.append(
          text.firstRange(of: "nc=").map { String(text[$0.upperBound...].prefix(8)) } ?? "")
      }
      return true
    }
    #expect(wasRead == true)
    #expect(counts == ["00000001", "00000002", "00000001", "00000002"])
  }

  // MARK: The server's side

  private func verdict(
    algorithm: String = "MD5", qop: String = "auth", from source: UInt16 = 7,
    to other: UInt16 = 7, bodySent: [UInt8]? = nil
  ) -> DigestVerifier.Verdict {
    guard var verifier = DigestVerifier(secret: (0..<32).map { UInt8($0) }) else { return .refused }
    let now = Instant(nanoseconds: 9_000_000_000)
    var output = OutputBuffer(byteLimit: 4_096, recordLimit: 2)
    output.begin()
    verifier.writeChallenge(
      realm: "sip.test", algorithm: .md5, isStale: false, source: source, at: now, into: &output)
    let offered = output.openBytes.string(ByteRange(0, output.position))
      .replacing("algorithm=MD5", with: "algorithm=\(algorithm)")
      .replacing("qop=\"auth\"", with: "qop=\"\(qop)\"")
    guard let field = answer([offered.filter { $0 != "\u{FFFD}" } + "\r\n"]) else {
      return .refused
    }
    let value = Array(field.drop { $0 != " " }.dropFirst().filter { $0 != "\u{FFFD}" }.utf8)
    guard let params = AuthParams.parse(value.rawSpan, ByteRange(0, value.count)) else {
      return .refused
    }
    let method = Array("REGISTER".utf8)
    let sent = bodySent ?? body
    return verifier.verify(
      value.rawSpan, params, method: method.rawSpan, realm: "sip.test", password: "secret",
      allowing: [.md5, .sha256], body: sent.rawSpan, source: other, at: now + .seconds(1))
  }

  @Test func sessionsAndBodiesAreVerified() {
    for algorithm in ["MD5", "MD5-sess", "SHA-256-sess"] {
      for qop in ["auth", "auth-int"] {
        #expect(verdict(algorithm: algorithm, qop: qop) == .accepted, "\(algorithm) \(qop)")
      }
    }
    #expect(verdict(qop: "auth-int", bodySent: Array("v=1\r\n".utf8)) == .refused)
    #expect(verdict(qop: "auth", bodySent: Array("v=1\r\n".utf8)) == .accepted)
    #expect(verdict(algorithm: "SHA-512-256") == .refused, "not among those that are allowed")
  }

  /// D3: what was heard on the way is worth nothing from elsewhere.
  @Test func nonceIsForOneAddress() {
    #expect(verdict(from: 7, to: 7) == .accepted)
    #expect(verdict(from: 7, to: 8) == .stale)
  }
}
