package import Base
package import CryptoCore
package import SIPWire

/// A key that calls are signed with, and where its certificate can be had.
package struct SigningCredential: Sendable {
  package let name: String
  package let url: String
  let key: ES256PrivateKey
  /// Nil: what others will read at the URL is not known, and nothing is held back.
  let certificate: PassportCertificate?
  /// The tokens' headers, which are the same for all of their kind.
  private let shaken: [UInt8]
  private let div: [UInt8]

  package init(
    name: String, url: String, key: ES256PrivateKey, certificate: PassportCertificate? = nil
  ) {
    self.name = name
    self.url = url
    self.key = key
    self.certificate = certificate
    shaken = PASSporT.header(.shaken, x5u: url)
    div = PASSporT.header(.div, x5u: url)
  }

  /// An Identity header field with its line's end (RFC 8224 §4.1); nil where libcrypto fails.
  package func sign(_ token: PASSporT) -> [UInt8]? {
    var line = token.signingInput(token.type == .div ? div : shaken)
    guard let signature = key.sign(line) else { return nil }
    line.append(UInt8(ascii: "."))
    Base64URL.append(signature, to: &line)
    return Array("Identity: ".utf8) + line
      + Array(";info=<\(url)>;alg=ES256;ppt=\(token.type.rawValue)\r\n".utf8)
  }
}

package struct IdentitySettings: Hashable, Sendable {
  /// How old a PASSporT may be, and how far in the future (RFC 8224 §6.2 step 4).
  package var freshness = Interval.seconds(60)
  /// How long a call waits for certificates.
  package var patience = Interval.seconds(2)
  /// How long a certificate is kept at most, whatever its server says, and how long it is remembered that one could not
  /// be had.
  package var maxAge = Interval.seconds(86_400)
  package var failureAge = Interval.seconds(30)
  /// Certificates that are known, calls that wait for one, and PASSporTs that are remembered as used.
  package var certificates = 1_000
  package var waiting = 500
  package var replays = 100_000

  package init() {}
}

/// The time of day at an instant, as it was read.
package struct WallAnchor: Hashable, Sendable {
  /// Since 1970.
  package var milliseconds: UInt64
  package var at: Instant

  package init(milliseconds: UInt64, at: Instant) {
    self.milliseconds = milliseconds
    self.at = at
  }

  /// Seconds since 1970.
  func seconds(at now: Instant) -> Int64 {
    Int64(clamping: milliseconds / 1_000) &+ Int64(clamping: (now - at).nanoseconds / 1_000_000_000)
  }
}

/// What a shard signs and verifies with; replaced whole when files change.
package struct IdentityMaterial: Sendable {
  /// Nil: nothing is verified.
  package var trust: TrustAnchors?
  package var credentials: [SigningCredential] = []
  package var settings = IdentitySettings()
  package var wall: WallAnchor
  /// What `origid` is made with, so that nobody else can make it of a customer's name.
  package let originSecret: Redacted<[UInt8]>

  package init(wall: WallAnchor, originSecret: [UInt8]) {
    self.wall = wall
    self.originSecret = Redacted(originSecret)
  }

  /// RFC 8588 §5: a name for the customer that a call can be traced to by us, and by nobody else (§10). It stays the same
  /// as long as certificate, customer and secret do: a UUID of version 8 (RFC 9562 §5.8).
  package func origid(url: String, tenant: String, account: String) -> String {
    let text = Array([url, tenant, account].joined(separator: "\n").utf8)
    let name = HMAC.sha256(key: originSecret.exposed.rawSpan, text.rawSpan)
    var digits = Array(name.description.utf8.prefix(32))
    guard digits.count == 32 else { return "unknown" }
    digits[12] = UInt8(ascii: "8")
    digits[16] = UInt8(ascii: "a")
    let parts = [0..<8, 8..<12, 12..<16, 16..<20, 20..<32]
    return parts.map { String(decoding: digits[$0], as: UTF8.self) }.joined(separator: "-")
  }
}

/// What came of the request for a certificate.
package enum CertificateAnswer: Sendable {
  /// PEM, and how long its server allows it to be kept.
  case fetched([UInt8], maxAge: Interval)
  /// In words for people.
  case failed(String)
}

package struct IdentityCounters: Hashable, Sendable {
  package var signedFull: UInt64 = 0
  package var signedPartial: UInt64 = 0
  package var signedGateway: UInt64 = 0
  package var signedDiversions: UInt64 = 0
  package var signingFailures: UInt64 = 0
  /// Calls whose Identity went on.
  package var passed: UInt64 = 0
  package var verified: UInt64 = 0
  package var absent: UInt64 = 0
  /// By what was wrong.
  package var stale: UInt64 = 0
  package var unavailable: UInt64 = 0
  package var untrusted: UInt64 = 0
  package var invalid: UInt64 = 0
  /// Certificates that were asked for, those that could not be had, and those that are known.
  package var fetches: UInt64 = 0
  package var fetchFailures: UInt64 = 0
  package var certificates = 0
  /// Calls that wait for one, and those that could not since too many did.
  package var waiting = 0
  package var waitsRefused: UInt64 = 0
  /// Tokens that came again in another call, and those that were forgotten too early for want of room.
  package var replays: UInt64 = 0
  package var replaysForgotten: UInt64 = 0
  package init() {}
}
