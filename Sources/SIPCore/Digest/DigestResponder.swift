package import Base
package import CryptoCore
package import SIPWire

/// The client's half of digest authentication: what answers a carrier's 401 or 407 (RFC 3261 §22.2, §22.3).
package enum DigestResponder {
  /// The challenge to answer among several of one response: the first with an algorithm that we have, as
  /// RFC 8760 §2.4 asks, since the server lists them by preference.
  package struct Challenge: Sendable {
    package var params: AuthParams
    package var scheme: DigestScheme
    package var quality: DigestQuality
    package var isProxy: Bool
    package var isStale: Bool

    package var algorithm: DigestAlgorithm { scheme.algorithm }
  }

  /// With a `realm` only challenges of that realm: whoever asks for another does not get an answer that it
  /// could use elsewhere.
  package static func choose(_ message: borrowing Message, realm: String? = nil) -> Challenge? {
    let isProxy = message.status == 407
    let id: HeaderID = isProxy ? .proxyAuthenticate : .wwwAuthenticate
    let bytes = message.bytes
    var i = message.next(id, after: -1)
    while let at = i {
      i = message.next(id, after: at)
      guard let params = AuthParams.parse(bytes, message.header(at).value), params.nonce != nil,
        let named = params.realm, let scheme = DigestScheme(bytes, params),
        let quality = params.quality(in: bytes)
      else { continue }
      if let realm, Quoting.string(bytes, named) != realm { continue }
      let isStale = params.stale.map { bytes.extracting($0).equalsIgnoringCase("true") } ?? false
      return Challenge(
        params: params, scheme: scheme, quality: quality, isProxy: isProxy, isStale: isStale)
    }
    return nil
  }

  /// One `Authorization` or `Proxy-Authorization` field for a challenge that is answered once. `bytes` are the
  /// challenge's.
  package static func write(
    _ challenge: Challenge, _ bytes: RawSpan, method: StaticString, uri: RawSpan, username: String,
    password: String, cnonce: UInt64, body: RawSpan = RawSpan(), context: DigestContext,
    into output: inout OutputBuffer
  ) {
    var session = DigestSession(challenge, bytes)
    session.write(
      method: method, uri: uri, username: username, password: password, cnonce: cnonce, body: body,
      context: context, into: &output)
  }
}

/// A challenge that is answered again and again, its nonce counted (RFC 7616 §3.4): what spares a round trip
/// for every REGISTER after the first.
package struct DigestSession: Hashable, Sendable {
  package let scheme: DigestScheme
  package let isProxy: Bool
  package private(set) var realm: [UInt8]
  private let quality: DigestQuality
  private var nonce: [UInt8]
  private let opaque: [UInt8]?
  /// As the server wrote it; nil: it named none.
  private let algorithmText: [UInt8]?
  private var count: UInt32 = 0
  /// One for the life of a nonce: A1 of a session depends on it.
  private var cnonce: [UInt8] = []

  package init(_ challenge: DigestResponder.Challenge, _ bytes: RawSpan) {
    scheme = challenge.scheme
    quality = challenge.quality
    isProxy = challenge.isProxy
    realm = bytes.array(challenge.params.realm ?? .none)
    nonce = bytes.array(challenge.params.nonce ?? .none)
    opaque = challenge.params.opaque.map { bytes.array($0) }
    algorithmText = challenge.params.algorithm.map { bytes.array($0) }
  }

  /// Without a count a nonce is answered once.
  package var isReusable: Bool { count == 0 || quality != .none }

  /// RFC 7615 §3.1: the nonce that the server wants next.
  package mutating func take(nextNonce: [UInt8]) {
    guard !nextNonce.isEmpty else { return }
    nonce = nextNonce
    count = 0
    cnonce = []
  }

  package mutating func write(
    method: StaticString, uri: RawSpan, username: String, password: String, cnonce fresh: UInt64,
    body: RawSpan = RawSpan(), context: DigestContext, into output: inout OutputBuffer
  ) {
    count &+= 1
    if cnonce.isEmpty { cnonce = Self.hex(fresh, digits: 16) }
    let counted = Self.hex(UInt64(count), digits: 8)
    let escaped = Self.quoted(username)
    let verb = Array(method.description.utf8)
    let name = Array(username.utf8)
    let response = digestResponse(
      context, isSession: scheme.isSession, quality: quality, username: name.rawSpan,
      realm: Quoting.string(realm.rawSpan, ByteRange(0, realm.count)), password: password,
      method: verb.rawSpan, uri: uri, nonce: nonce.rawSpan, count: counted.rawSpan,
      clientNonce: cnonce.rawSpan, body: body
    ).hex

    output.append(isProxy ? "Proxy-Authorization" : "Authorization")
    output.append(": Digest username=\"")
    output.append(escaped)
    output.append("\", realm=\"")
    output.append(realm)
    output.append("\", nonce=\"")
    output.append(nonce)
    output.append("\", uri=\"")
    output.append(uri)
    output.append("\", response=\"")
    output.append(response.rawSpan)
    output.append("\"")
    if let algorithmText {
      output.append(", algorithm=")
      output.append(algorithmText)
    }
    if quality != .none || scheme.isSession {
      output.append(", cnonce=\"")
      output.append(cnonce)
      output.append("\"")
    }
    if quality != .none {
      output.append(quality == .authInt ? ", qop=auth-int, nc=" : ", qop=auth, nc=")
      output.append(counted)
    }
    if let opaque {
      output.append(", opaque=\"")
      output.append(opaque)
      output.append("\"")
    }
    output.append("\r\n")
  }

  private static func hex(_ value: UInt64, digits: Int) -> [UInt8] {
    (0..<digits).map {
      .hexDigit(UInt8(truncatingIfNeeded: value >> UInt64(4 * (digits - 1 - $0))))
    }
  }

  /// The inside of a quoted string (RFC 3261 §25.1).
  private static func quoted(_ text: String) -> [UInt8] {
    var bytes: [UInt8] = []
    for byte in text.utf8 {
      if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
        bytes.append(UInt8(ascii: "\\"))
      }
      bytes.append(byte)
    }
    return bytes
  }
}
