import Base
import CryptoCore
import Foundation
import Testing

/// ES256 of RFC 8225 and RFC 8946, and the certificates of RFC 8226.
@Suite struct SigningTests {
  /// RFC 8225 §A prints a signature that neither of its two keys verifies, nor do these belong together: what it shows
  /// is the serialization (see `PASSporTTests`). Its private key is as good as any.
  @Test func theKeysOfRFC8225() throws {
    let pem = """
      -----BEGIN PRIVATE KEY-----
      MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgi7q2TZvN9VDFg8Vy
      qCP06bETrR2v8MRvr89rn4i+UAahRANCAAQWfaj1HUETpoNCrOtp9KA8o0V79IuW
      ARKt9C1cFPkyd3FBP4SeiNZxQhDrD0tdBHls3/wFe8++K2FrPyQF9vuh
      -----END PRIVATE KEY-----
      """
    let other = """
      -----BEGIN PUBLIC KEY-----
      MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8HNbQd/TmvCKwPKHkMF9fScavGeH
      78YTU8qLS8I5HLHSSmlATLcslQMhNC/OhlWBYC626nIlo7XeebYS7Sb37g==
      -----END PUBLIC KEY-----
      """
    let key = try #require(ES256PrivateKey(pem: Array(pem.utf8)))
    let printed = try #require(ES256PublicKey(pem: Array(other.utf8)))
    #expect(key.sign([1, 2, 3])?.count == ES256.signatureBytes)
    #expect(!key.belongs(to: printed))
  }

  /// RFC 8946 §3: the div, with the key of its appendix A.
  @Test func theExampleOfRFC8946() throws {
    let token =
      "eyJhbGciOiJFUzI1NiIsInBwdCI6ImRpdiIsInR5cCI6InBhc3Nwb3J0IiwieDV1Ij"
      + "oiaHR0cHM6Ly93d3cuZXhhbXBsZS5jb20vY2VydC5jZXIifQ.eyJkZXN0Ijp7InRuI"
      + "jpbIjEyMTU1NTUxMjE0Il19LCJkaXYiOnsidG4iOiIxMjE1NTU1NTEyMTMifSwiaWF"
      + "0IjoxNDQzMjA4MzQ1LCJvcmlnIjp7InRuIjoiMTIxNTU1NTEyMTIifX0"
    let signature =
      "xBHWipDEEJ8a6TsdX6xUXAnblsFiGUiAxwLiv0HLC9IICj6eG9jQd6WzeSSjHRBwxmChHhVIiMTSqIlk3yCNkg"
    try expectSigned(
      token, signature,
      """
      -----BEGIN PUBLIC KEY-----
      MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmzGM1VsO+3IqbMF54rQMaYKQftO4
      hUYm9wv5wutLgEd9FsiTy3+4+Wa2O7pffOXPC0QzO+yD8hGEXGP/2mZo6w==
      -----END PUBLIC KEY-----
      """)
  }

  private func expectSigned(_ token: String, _ text: String, _ pem: String) throws {
    let key = try #require(ES256PublicKey(pem: Array(pem.utf8)))
    let signed = Array(token.utf8)
    let decoded = Base64URL.decode(Array(text.utf8).rawSpan)
    let signature = try #require(decoded)
    func verifies(_ signature: [UInt8], _ bytes: [UInt8]) -> Bool {
      key.verifies(signature, of: bytes.rawSpan)
    }
    #expect(verifies(signature, signed))
    // A bit anywhere is enough.
    for at in [0, signed.count / 2, signed.count - 1] {
      var other = signed
      other[at] ^= 1
      #expect(!verifies(signature, other))
    }
    for at in [0, 31, 32, 63] {
      var other = signature
      other[at] ^= 1
      #expect(!verifies(other, signed))
    }
    #expect(!verifies(Array(signature.dropLast()), signed))
    #expect(!verifies([UInt8](repeating: 0, count: 64), signed))
    #expect(!verifies([UInt8](repeating: 0xff, count: 64), signed))
  }

  @Test func whatIsSignedIsVerified() throws {
    let key = try #require(ES256PrivateKey(pem: try Self.file("provider.key")))
    let certificate = try Self.anchors().judge(chain: try Self.file("provider.pem"), at: Self.now)
      .get()
    for size in [0, 1, 100, 5_000] {
      let bytes = [UInt8](repeating: UInt8(size & 255), count: size)
      let signature = try #require(key.sign(bytes))
      #expect(signature.count == ES256.signatureBytes)
      let isGood = certificate.key.verifies(signature, of: bytes.rawSpan)
      #expect(isGood)
    }
    #expect(key.belongs(to: certificate.key))
    let other = try #require(ES256PrivateKey(pem: try Self.file("range.key")))
    #expect(!other.belongs(to: certificate.key))
  }

  @Test func onlyKeysOnP256() throws {
    #expect(ES256PrivateKey(pem: try Self.file("p384.key")) == nil)
    #expect(ES256PrivateKey(pem: []) == nil)
    #expect(ES256PrivateKey(pem: try Self.file("provider.pem")) == nil)
    #expect(ES256PublicKey(pem: Array("-----BEGIN PUBLIC KEY-----\n".utf8)) == nil)
  }

  // MARK: Chains

  static func file(_ name: String) throws -> [UInt8] {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    return Array(try Data(contentsOf: tests.appending(path: "Golden/stir/\(name)")))
  }

  /// November 2023.
  static let now: Int64 = 1_700_000_000

  static func anchors(_ lists: String...) throws -> TrustAnchors {
    try #require(
      TrustAnchors(
        authorities: [try file("authority.pem")], lists: try lists.map { try file($0) }))
  }

  private func defect(_ name: String, _ anchors: TrustAnchors) throws -> CertificateDefect? {
    switch anchors.judge(chain: try Self.file(name), at: Self.now) {
    case .success: nil
    case .failure(let defect): defect
    }
  }

  @Test func chainsLeadToAnAuthority() throws {
    let anchors = try Self.anchors()
    let certificate = try anchors.judge(chain: try Self.file("provider.pem"), at: Self.now).get()
    #expect(certificate.authority?.providerCodes == ["709J"])
    #expect(certificate.subject == "/CN=Provider")
    #expect(certificate.begins < Self.now && Self.now < certificate.ends)
    #expect(
      try defect("stranger.pem", anchors) == .untrusted("unable to get local issuer certificate"))
    #expect(try defect("expired.pem", anchors) == .untrusted("certificate has expired"))
    #expect(try defect("plain.pem", anchors) == .withoutAuthority)
    #expect(try defect("p384.pem", anchors) == .unreadable)
    #expect(try defect("provider.key", anchors) == .unreadable)
    #expect(try defect("revoked.pem", anchors) == nil)
    // Before any of them.
    let early = anchors.judge(chain: try Self.file("provider.pem"), at: 0)
    #expect(throws: CertificateDefect.untrusted("certificate is not yet valid")) {
      try early.get()
    }
  }

  /// One whose list is out of date is still revoked, and the others are still believed.
  @Test(arguments: ["revocations.pem", "old-revocations.pem"])
  func whatIsRevokedIsNotBelieved(list: String) throws {
    let anchors = try Self.anchors(list)
    #expect(try defect("revoked.pem", anchors) == .untrusted("certificate revoked"))
    #expect(try defect("provider.pem", anchors) == nil)
    #expect((anchors.listsDue ?? 0 < Self.now) == (list == "old-revocations.pem"))
  }

  @Test func whatIsNoAuthorityIsRefused() throws {
    #expect(TrustAnchors(authorities: [[]]) == nil)
    #expect(TrustAnchors(authorities: [try Self.file("provider.key")]) == nil)
    #expect(
      TrustAnchors(authorities: [try Self.file("authority.pem")], lists: [Array("no list".utf8)])
        == nil)
  }

  // MARK: Numbers

  @Test func numbersOfACertificate() throws {
    let certificate = try Self.anchors().judge(chain: try Self.file("range.pem"), at: Self.now)
      .get()
    let authority = try #require(certificate.authority)
    for number in ["44123456", "44123555", "4930"] {
      #expect(authority.covers(number), "\(number)")
    }
    for number in [
      "44123455", "44123556", "4412345", "441234560", "4931", "", "4930x", "44123456#",
    ] {
      #expect(!authority.covers(number), "\(number)")
    }
  }

  /// RFC 8226 §9, as DER; what is cut anywhere is no list.
  @Test func listsAreReadWithinBounds() throws {
    let list = "3027a00616043730394aa113301116083434313233343536020101" + "a20616043439333002"
    #expect(NumberAuthority(der: Self.octets(list)) == nil)
    let good = Self.octets(
      "3021a00616043730394a" + "a10f300d1608343431323334353602" + "0164"
        + "a20616043439333 0".replacing(" ", with: ""))
    #expect(NumberAuthority(der: good)?.providerCodes == ["709J"])
    for count in 0..<good.count {
      #expect(NumberAuthority(der: Array(good.prefix(count))) == nil, "\(count)")
    }
    for at in good.indices {
      for bit in 0..<8 {
        var other = good
        other[at] ^= 1 << UInt8(bit)
        _ = NumberAuthority(der: other)?.covers("44123456")
      }
    }
    // §9: 90 and 20 more would be three digits; one alone is no range; a count below zero is none.
    for (start, count) in [("3930", "14"), ("3930", "01"), ("3930", "ff")] {
      let range = "300b" + "a109" + "3007" + "1602" + start + "0201" + count
      #expect(NumberAuthority(der: Self.octets(range)) == nil, "\(start) \(count)")
    }
    #expect(NumberAuthority(der: Self.octets("300ba10930071602393002010a"))?.covers("99") == true)
    #expect(NumberAuthority(der: Self.octets("3000")) == nil)
    #expect(NumberAuthority(der: Self.octets("30847fffffff")) == nil)
  }

  private static func octets(_ hex: String) -> [UInt8] {
    let digits = Array(hex.utf8)
    return stride(from: 0, to: digits.count - 1, by: 2).map {
      (digits[$0].hexDigitValue ?? 0) << 4 | (digits[$0 + 1].hexDigitValue ?? 0)
    }
  }
}
