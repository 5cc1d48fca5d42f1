import Base
import CryptoCore
import SIPCore
import SIPWire
import Testing

@Suite("Digest authentication (RFC 3261 22, RFC 7616, RFC 8760)")
struct DigestTests {
  private let secret = (0..<32).map { UInt8($0) &* 7 }

  @Test("RFC 7616 3.9.1: MD5 and SHA-256 of the same request")
  func vectors() {
    for (algorithm, expected) in [
      (DigestAlgorithm.md5, "8ca523f5e9506fed4657c9700eebdbec"),
      (.sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ] {
      let text =
        "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", "
        + "nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, "
        + "cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"x\", "
        + "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
      let bytes = Array(text.utf8)
      let span = bytes.rawSpan
      guard let params = AuthParams.parse(span, ByteRange(0, bytes.count)),
        let username = params.username, let uri = params.uri, let nonce = params.nonce
      else {
        Issue.record("credentials did not parse")
        return
      }
      let method = Array("GET".utf8)
      let value = digestResponse(
        DigestContext(algorithm), span, username: username, realm: "http-auth@example.org",
        password: "Circle of Life", method: method.rawSpan, uri: uri, nonce: nonce, nc: params.nc,
        cnonce: params.cnonce)
      #expect(value.hex.description == expected)
    }
  }

  /// The nonce of a fresh challenge.
  private func challenge(
    _ verifier: inout DigestVerifier, _ algorithm: DigestAlgorithm, at now: Instant
  ) -> String {
    var output = OutputBuffer(byteLimit: 4_096, recordLimit: 4)
    output.begin()
    verifier.writeChallenge(
      realm: "sip.test", algorithm: algorithm, isStale: false, at: now, into: &output)
    let text = output.openBytes.displayText
    let start = text.range(after: "nonce=\"")
    return String(start.prefix { $0 != "\"" })
  }

  private func answer(
    _ verifier: inout DigestVerifier, nonce: String, password: String = "secret",
    count: String? = "00000001", algorithm: DigestAlgorithm = .md5, at now: Instant
  ) -> DigestVerifier.Verdict {
    let qop = count.map { ", qop=auth, nc=\($0), cnonce=\"abc\"" } ?? ""
    let name = algorithm == .sha256 ? "SHA-256" : "MD5"
    let hash = { (text: String) in Digest.hash(algorithm, text).hex.description }
    let a1 = hash("alice:sip.test:\(password)")
    let a2 = hash("INVITE:sip:bob@sip.test")
    let middle = count.map { "\(nonce):\($0):abc:auth" } ?? nonce
    let response = hash("\(a1):\(middle):\(a2)")
    let text =
      "Digest username=\"alice\", realm=\"sip.test\", nonce=\"\(nonce)\", algorithm=\(name), "
      + "uri=\"sip:bob@sip.test\", response=\"\(response)\"\(qop)"
    let bytes = Array(text.utf8)
    guard let params = AuthParams.parse(bytes.rawSpan, ByteRange(0, bytes.count)) else {
      return .refused
    }
    let method = Array("INVITE".utf8)
    return verifier.verify(
      bytes.rawSpan, params, method: method.rawSpan, realm: "sip.test", password: "secret",
      allowing: [.md5, .sha256], at: now)
  }

  @Test("The right password is accepted once per count, a wrong one never")
  func counts() {
    guard var verifier = DigestVerifier(secret: secret) else {
      Issue.record("no verifier")
      return
    }
    let now = Instant(nanoseconds: 5_000_000_000)
    for algorithm in [DigestAlgorithm.md5, .sha256] {
      let nonce = challenge(&verifier, algorithm, at: now)
      #expect(
        answer(&verifier, nonce: nonce, password: "guess", algorithm: algorithm, at: now)
          == .refused)
      #expect(answer(&verifier, nonce: nonce, algorithm: algorithm, at: now) == .accepted)
      #expect(answer(&verifier, nonce: nonce, algorithm: algorithm, at: now) == .stale)
      for (count, verdict) in [
        ("00000003", DigestVerifier.Verdict.accepted), ("00000002", .accepted),
        ("00000003", .stale), ("00000100", .accepted), ("00000004", .stale), ("zzzzzzzz", .stale),
      ] {
        #expect(
          answer(&verifier, nonce: nonce, count: count, algorithm: algorithm, at: now) == verdict)
      }
    }
  }

  @Test("A nonce lives 300 s, and one that is not ours is stale")
  func expiry() {
    guard var verifier = DigestVerifier(secret: secret) else {
      Issue.record("no verifier")
      return
    }
    let start = Instant(nanoseconds: 5_000_000_000)
    let nonce = challenge(&verifier, .md5, at: start)
    #expect(answer(&verifier, nonce: nonce, at: start + .seconds(299)) == .accepted)
    #expect(
      answer(&verifier, nonce: nonce, count: "00000002", at: start + .seconds(302)) == .stale)
    #expect(
      answer(&verifier, nonce: "00112233445566778899aabbccddeeff", at: start) == .stale)
    #expect(answer(&verifier, nonce: "short", at: start) == .stale)
  }

  @Test("A client without counts may use a nonce once")
  func legacy() {
    guard var verifier = DigestVerifier(secret: secret) else {
      Issue.record("no verifier")
      return
    }
    let now = Instant(nanoseconds: 1)
    let nonce = challenge(&verifier, .md5, at: now)
    #expect(answer(&verifier, nonce: nonce, count: nil, at: now) == .accepted)
    #expect(answer(&verifier, nonce: nonce, count: nil, at: now) == .stale)
    #expect(answer(&verifier, nonce: nonce, count: "00000001", at: now) == .stale)
  }
}

extension String {
  fileprivate func range(after marker: String) -> Substring {
    var rest = self[...]
    while !rest.isEmpty, !rest.hasPrefix(marker) { rest = rest.dropFirst() }
    return rest.dropFirst(marker.count)
  }
}
