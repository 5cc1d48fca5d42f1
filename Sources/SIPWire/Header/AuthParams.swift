package import Base

/// The parameters of a Digest challenge or of Digest credentials (RFC 3261 §20.7, §20.27, §20.44,
/// RFC 7616, RFC 8760). Quoted values are without their quotes, escapes still in them
/// (`Quoting`); nil where a parameter is absent.
package struct AuthParams: Hashable, Sendable {
  package var realm: ByteRange?
  package var nonce: ByteRange?
  package var opaque: ByteRange?
  package var algorithm: ByteRange?
  /// In credentials one value; in a challenge the list of those offered (`CommaList`).
  package var qop: ByteRange?
  package var uri: ByteRange?
  package var response: ByteRange?
  package var username: ByteRange?
  package var cnonce: ByteRange?
  package var nc: ByteRange?
  package var stale: ByteRange?
  package var domain: ByteRange?
  package var userhash: ByteRange?
  /// Of Authentication-Info (RFC 7615 §3.1), which has no scheme before its parameters.
  package var nextnonce: ByteRange?
  package var rspauth: ByteRange?

  /// One header field's value. Nil for a scheme other than Digest, for what breaks the grammar, and for
  /// a parameter that comes twice (two readers might believe different ones).
  package static func parse(_ bytes: RawSpan, _ range: ByteRange) -> AuthParams? {
    let (from, end) = bytes.bounds(range)
    let start = bytes.skipSpace(from, end)
    let schemeEnd = bytes.skip(.token, start, end)
    guard bytes.matches(ByteRange(from: start, to: schemeEnd), "digest"), schemeEnd < end,
      bytes.byte(at: schemeEnd).isLinearSpace
    else { return nil }
    return parameters(bytes, schemeEnd, end)
  }

  /// Authentication-Info: the parameters alone.
  package static func parseInfo(_ bytes: RawSpan, _ range: ByteRange) -> AuthParams? {
    let (start, end) = bytes.bounds(range)
    return parameters(bytes, start, end)
  }

  /// Whether `auth` is among the values of `qop`.
  package func offersAuth(in bytes: RawSpan) -> Bool {
    guard let qop else { return false }
    var list = CommaList(qop)
    while let option = list.next(bytes) {
      if bytes.matches(option, "auth") { return true }
    }
    return false
  }

  /// `name = ( token / quoted-string )`, comma-separated.
  private static func parameters(_ bytes: RawSpan, _ start: Int, _ end: Int) -> AuthParams? {
    var result = AuthParams()
    var at = start
    while true {
      let nameStart = bytes.skipSpace(at, end)
      let nameEnd = bytes.skip(.token, nameStart, end)
      let equals = bytes.skipSpace(nameEnd, end)
      guard nameEnd > nameStart, equals < end, bytes.byte(at: equals) == UInt8(ascii: "=") else {
        return nil
      }
      let valueStart = bytes.skipSpace(equals &+ 1, end)
      guard let (value, after) = value(bytes, valueStart, end),
        result.take(bytes, ByteRange(from: nameStart, to: nameEnd), value)
      else { return nil }
      let comma = bytes.skipSpace(after, end)
      if comma == end { return result }
      guard bytes.byte(at: comma) == UInt8(ascii: ",") else { return nil }
      at = comma &+ 1
    }
  }

  private static func value(_ bytes: RawSpan, _ start: Int, _ end: Int) -> (ByteRange, Int)? {
    if start < end, bytes.byte(at: start) == UInt8(ascii: "\"") {
      guard let after = bytes.endOfQuotedString(start, end) else { return nil }
      return (ByteRange(from: start &+ 1, to: after &- 1), after)
    }
    let after = bytes.skip(.parameterValue, start, end)
    return after > start ? (ByteRange(from: start, to: after), after) : nil
  }

  /// False for a parameter that is there already. Unknown ones are passed over (RFC 7616 §3.3).
  private mutating func take(_ bytes: RawSpan, _ name: ByteRange, _ value: ByteRange) -> Bool {
    switch name.count {
    case 2 where bytes.matches(name, "nc"): Self.set(&nc, value)
    case 3 where bytes.matches(name, "qop"): Self.set(&qop, value)
    case 3 where bytes.matches(name, "uri"): Self.set(&uri, value)
    case 5 where bytes.matches(name, "realm"): Self.set(&realm, value)
    case 5 where bytes.matches(name, "nonce"): Self.set(&nonce, value)
    case 5 where bytes.matches(name, "stale"): Self.set(&stale, value)
    case 6 where bytes.matches(name, "opaque"): Self.set(&opaque, value)
    case 6 where bytes.matches(name, "cnonce"): Self.set(&cnonce, value)
    case 6 where bytes.matches(name, "domain"): Self.set(&domain, value)
    case 7 where bytes.matches(name, "rspauth"): Self.set(&rspauth, value)
    case 8 where bytes.matches(name, "response"): Self.set(&response, value)
    case 8 where bytes.matches(name, "username"): Self.set(&username, value)
    case 8 where bytes.matches(name, "userhash"): Self.set(&userhash, value)
    case 9 where bytes.matches(name, "algorithm"): Self.set(&algorithm, value)
    case 9 where bytes.matches(name, "nextnonce"): Self.set(&nextnonce, value)
    default: true
    }
  }

  private static func set(_ slot: inout ByteRange?, _ value: ByteRange) -> Bool {
    guard slot == nil else { return false }
    slot = value
    return true
  }
}
