package import Base

/// A command sequence (RFC 3261 §20.16).
package struct CSeq: Hashable, Sendable {
  /// Below 2^31 (§8.1.1.5).
  package var number: UInt32
  package var method: Method
  package var methodToken: ByteRange
}

/// `type/subtype` with parameters (RFC 3261 §20.15).
package struct MediaType: Hashable, Sendable {
  package var type: ByteRange
  package var subtype: ByteRange
  package var params: ByteRange

  package func isSDP(in bytes: RawSpan) -> Bool {
    bytes.matches(type, "application") && bytes.matches(subtype, "sdp")
  }
}

// The values that every element needs, decoded when asked for. Nil means absent or malformed alike;
// `defect()` tells the two apart where it matters.
extension Message {
  /// The first Via value: who sent this.
  package func topVia() -> Via? {
    guard let value = topViaRange else { return nil }
    return Via.parse(bytes, value)
  }

  /// The first element of the first Via field.
  package var topViaRange: ByteRange? {
    guard let field = first(.via) else { return nil }
    var list = CommaList(field)
    return list.next(bytes)
  }

  package var from: NameAddr? { nameAddr(.from) }
  package var to: NameAddr? { nameAddr(.to) }

  private func nameAddr(_ id: HeaderID) -> NameAddr? {
    guard let value = first(id) else { return nil }
    return NameAddr.parse(bytes, value)
  }

  /// The first Contact value; nil for `*` too (`hasContactWildcard`).
  package var contact: NameAddr? {
    guard let field = first(.contact) else { return nil }
    var list = CommaList(field)
    guard let value = list.next(bytes) else { return nil }
    return NameAddr.parse(bytes, value)
  }

  package var hasContactWildcard: Bool {
    first(.contact).map { NameAddr.isWildcard(bytes, $0) } ?? false
  }

  /// Empty where there is none.
  package var callID: ByteRange { first(.callID) ?? .none }

  package var cseq: CSeq? {
    guard let value = first(.cseq) else { return nil }
    var digits = value.start
    while digits < value.end, bytes.byte(at: digits).isASCIIDigit { digits &+= 1 }
    let token = bytes.trimmed(digits, value.end)
    guard token.start > digits, bytes.consists(token, of: .token), !token.isEmpty,
      let number = bytes.number(ByteRange(from: value.start, to: digits), limit: 0x7fff_ffff)
    else { return nil }
    return CSeq(
      number: number, method: Method.parse(bytes.extracting(token)), methodToken: token)
  }

  /// 0 to 255; nil too for a number beyond (RFC 3261 §20.22).
  package var maxForwards: Int? {
    guard let value = first(.maxForwards), let number = bytes.number(value, limit: 255) else {
      return nil
    }
    return Int(number)
  }

  /// Seconds, numbers beyond 32 bits becoming the largest (RFC 3261 §20.19, RFC 4475 §3.1.2.4).
  package var expires: UInt32? { first(.expires).flatMap { seconds($0) } }

  /// As the message says it; the length of `body` may differ, see `parse`.
  package var contentLength: Int? {
    first(.contentLength).flatMap { bytes.number($0) }.map { Int($0) }
  }

  package var contentType: MediaType? {
    guard let value = first(.contentType) else { return nil }
    let end = value.end
    let typeEnd = bytes.skip(.token, value.start, end)
    let slash = bytes.skipSpace(typeEnd, end)
    guard slash < end, bytes.byte(at: slash) == UInt8(ascii: "/") else { return nil }
    let subtype = bytes.skipSpace(slash &+ 1, end)
    let subtypeEnd = bytes.skip(.token, subtype, end)
    guard typeEnd > value.start, subtypeEnd > subtype else { return nil }
    return MediaType(
      type: ByteRange(from: value.start, to: typeEnd),
      subtype: ByteRange(from: subtype, to: subtypeEnd),
      params: ByteRange(from: subtypeEnd, to: end))
  }

  /// `delta-seconds`: digits alone, clamped to 32 bits; nil for anything else. Of a header's value or of
  /// a parameter such as Contact's `expires`.
  package func seconds(_ range: ByteRange) -> UInt32? {
    let (start, end) = bytes.bounds(range)
    guard start < end else { return nil }
    var value: UInt64 = 0
    for i in start..<end {
      let c = bytes.byte(at: i)
      guard c.isASCIIDigit else { return nil }
      value = min(value &* 10 &+ UInt64(c &- 0x30), UInt64(UInt32.max))
    }
    return UInt32(clamping: value)
  }

  /// Whether a list of tokens (Supported, Require, Allow …) holds one, in any case.
  package func lists(_ token: StaticString, in id: HeaderID) -> Bool {
    var walk = values(of: id)
    while let value = walk.next(bytes) {
      if bytes.matches(value, token) { return true }
    }
    return false
  }
}
