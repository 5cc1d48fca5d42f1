package import Base
package import CryptoCore
package import SIPWire

/// The server's half of digest authentication: RFC 3261 §22, RFC 7616, RFC 8760.
///
/// A challenge costs no memory: its nonce is the time of its making and 16 bits of a hash of whom it was
/// given to, sealed: somebody at another address can do nothing with it. Only after somebody has proved
/// the password with a nonce is its count kept, so that a captured request can't be sent again; and that
/// table is bounded, at its limit an answer is "stale", which a client meets by trying again.
package struct DigestVerifier: ~Copyable {
  package enum Verdict: Equatable, Sendable {
    case accepted
    /// The password was right, the nonce is too old, was used up, or isn't from this process.
    case stale
    case refused
  }

  /// How long a nonce is good for; also how long its count is kept.
  package static let lifetime = Interval.seconds(300)
  private static let mark: UInt64 = 0xd16e

  private let seal: TokenSeal
  private let md5 = DigestContext(.md5)
  private let sha256 = DigestContext(.sha256)
  private let sha512t256 = DigestContext(.sha512t256)
  private var serial: UInt64
  /// Counts of nonces in use: the highest nc in the upper half, a bit for each of the 32 up to it below.
  private var recent: KeyTable<UInt64>
  private var older: KeyTable<UInt64>
  private var turned = Instant.zero
  /// Nonces issued before this are not taken any more: their counts had to make room.
  private var floor = Instant.zero
  private let limit: Int

  /// Nil when the secret is shorter than 32 bytes or libcrypto has no AES.
  package init?(secret: [UInt8], limit: Int = 262_144) {
    guard secret.count >= 32, let seal = TokenSeal(key: Array(secret[16..<32])) else { return nil }
    self.seal = seal
    self.limit = limit
    serial = UInt64(secret[0]) << 8 | UInt64(secret[1])
    recent = KeyTable(limit: limit)
    older = KeyTable(limit: limit)
  }

  package func context(_ algorithm: DigestAlgorithm) -> DigestContext {
    switch algorithm {
    case .md5: md5
    case .sha256: sha256
    case .sha512t256: sha512t256
    }
  }

  /// A challenge's header field, whole, for one algorithm.
  package mutating func writeChallenge(
    realm: String, algorithm: DigestAlgorithm, isStale: Bool, source: UInt16 = 0,
    at now: Instant, into output: inout OutputBuffer
  ) {
    serial = (serial &+ 1) & 0xffff_ffff_ffff
    let issued = (now.nanoseconds / 1_000_000) & 0xffff_ffff_ffff
    let (high, low) = seal.seal(Self.mark << 48 | issued, UInt64(source) << 48 | serial)
    output.append("WWW-Authenticate: Digest realm=\"")
    output.append(realm)
    output.append("\", nonce=\"")
    output.append(hex: high, digits: 16)
    output.append(hex: low, digits: 16)
    output.append("\", algorithm=")
    output.append(algorithm.token)
    if isStale { output.append(", stale=true") }
    output.append(", qop=\"auth\"\r\n")
  }

  /// Whether `credentials` prove `password` for `method`, by one of the algorithms that were offered. The
  /// work is the same for any wrong answer. `source` is what the nonce was given to (`writeChallenge`).
  package mutating func verify(
    _ bytes: RawSpan, _ credentials: AuthParams, method: RawSpan, realm: String, password: String,
    allowing algorithms: [DigestAlgorithm], body: RawSpan = RawSpan(), source: UInt16 = 0,
    at now: Instant
  ) -> Verdict {
    guard let username = credentials.username, let nonce = credentials.nonce,
      let uri = credentials.uri, let response = credentials.response,
      let scheme = DigestScheme(bytes, credentials), algorithms.contains(scheme.algorithm),
      let quality = credentials.chosenQuality(in: bytes),
      // A session key is made of a client nonce.
      !scheme.isSession || credentials.cnonce != nil
    else { return .refused }
    let expected = digestResponse(
      context(scheme.algorithm), isSession: scheme.isSession, quality: quality,
      username: bytes.extracting(username), realm: realm, password: password, method: method,
      uri: bytes.extracting(uri), nonce: bytes.extracting(nonce),
      count: bytes.extracting(credentials.nc ?? .none),
      clientNonce: bytes.extracting(credentials.cnonce ?? .none), body: body)
    guard expected.matches(hex: bytes.extracting(response)) else { return .refused }
    return spend(
      bytes.extracting(nonce), source,
      count: quality == .none ? nil : bytes.nonceCount(credentials.nc), at: now)
  }

  /// The nonce must be ours and fresh, and its count not seen before. Without a count (RFC 2069 clients) a
  /// nonce is good for one request.
  private mutating func spend(
    _ nonce: RawSpan, _ source: UInt16, count: UInt32?, at now: Instant
  ) -> Verdict {
    guard nonce.byteCount == 32, let high = nonce.hexWord(0), let low = nonce.hexWord(16) else {
      return .stale
    }
    let (head, tail) = seal.open(high, low)
    let issued = Instant(nanoseconds: (head & 0xffff_ffff_ffff) &* 1_000_000)
    guard head >> 48 == Self.mark, UInt16(truncatingIfNeeded: tail >> 48) == source,
      now - issued <= Self.lifetime, issued >= floor,
      now - issued >= .milliseconds(-1)
    else { return .stale }
    turn(now)
    let key = HashKey(low: low, high: high)
    let seen = recent.find(key) ?? older.find(key) ?? 0
    guard let next = Self.accept(count ?? .max, after: seen) else { return .stale }
    if recent.count >= limit, recent.find(key) == nil { makeRoom(now) }
    guard recent.insert(key, next) else {
      return .stale
    }
    return .accepted
  }

  /// Whether the nonce is one that we gave to `source`, however long ago: whoever has it gets what we send there.
  package func wasGiven(_ nonce: RawSpan, to source: UInt16) -> Bool {
    guard nonce.byteCount == 32, let high = nonce.hexWord(0), let low = nonce.hexWord(16) else {
      return false
    }
    let (head, tail) = seal.open(high, low)
    return head >> 48 == Self.mark && UInt16(truncatingIfNeeded: tail >> 48) == source
  }

  /// A window of 32 like the one of RFC 4303 §3.4.3: requests may overtake each other on UDP.
  private static func accept(_ count: UInt32, after seen: UInt64) -> UInt64? {
    let highest = UInt32(seen >> 32)
    let window = UInt32(truncatingIfNeeded: seen)
    guard count > 0 else { return nil }
    if count > highest {
      let shift = count - highest
      let moved = shift >= 32 ? 0 : window << shift
      return UInt64(count) << 32 | UInt64(moved | 1)
    }
    let back = highest - count
    guard back < 32, window & (1 << back) == 0 else { return nil }
    return seen | UInt64(1 << back)
  }

  /// Full before its time: the older half goes, and with it every nonce that it might have counted.
  private mutating func makeRoom(_ now: Instant) {
    floor = max(floor, turned)
    turned = now
    swap(&recent, &older)
    recent.removeAll()
  }

  /// Counts older than a nonce's life go, half a table at a time.
  private mutating func turn(_ now: Instant) {
    guard now - turned > Self.lifetime else { return }
    turned = now
    swap(&recent, &older)
    recent.removeAll()
  }
}

/// The same with ranges of one message, as most of it stands there.
package func digestResponse(
  _ context: DigestContext, _ bytes: RawSpan, username: ByteRange, realm: String, password: String,
  method: RawSpan, uri: ByteRange, nonce: ByteRange, nc: ByteRange?, cnonce: ByteRange?
) -> DigestValue {
  digestResponse(
    context, isSession: false, quality: nc != nil && cnonce != nil ? .auth : .none,
    username: bytes.extracting(username), realm: realm, password: password, method: method,
    uri: bytes.extracting(uri), nonce: bytes.extracting(nonce),
    count: bytes.extracting(nc ?? .none), clientNonce: bytes.extracting(cnonce ?? .none),
    body: RawSpan())
}

extension RawSpan {
  /// Sixteen hexadecimal digits from `start`.
  fileprivate func hexWord(_ start: Int) -> UInt64? {
    var value: UInt64 = 0
    for i in start..<(start + 16) {
      guard let digit = byte(at: i).hexDigitValue else { return nil }
      value = value << 4 | UInt64(digit)
    }
    return value
  }

  /// `nc-value`: eight hexadecimal digits; 0, which is never accepted, for anything else.
  fileprivate func nonceCount(_ range: ByteRange?) -> UInt32 {
    guard let range, range.count == 8 else { return 0 }
    var value: UInt32 = 0
    for i in range.start..<range.end {
      guard let digit = byte(at: i).hexDigitValue else { return 0 }
      value = value << 4 | UInt32(digit)
    }
    return value
  }
}

extension AuthParams {
  /// The `qop` of credentials with what it needs beside it; nil for one that is not known or not whole.
  fileprivate func chosenQuality(in bytes: RawSpan) -> DigestQuality? {
    guard let qop else { return DigestQuality.none }
    guard nc != nil, cnonce != nil else { return nil }
    if bytes.extracting(qop).equalsIgnoringCase("auth") { return .auth }
    return bytes.extracting(qop).equalsIgnoringCase("auth-int") ? .authInt : nil
  }
}

extension DigestAlgorithm {
  /// As the header field names it (RFC 8760 §2.1).
  var token: StaticString {
    switch self {
    case .md5: "MD5"
    case .sha256: "SHA-256"
    case .sha512t256: "SHA-512-256"
    }
  }
}
