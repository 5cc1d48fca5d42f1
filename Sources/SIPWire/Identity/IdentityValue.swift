package import Base

/// One value of the Identity header field (RFC 8224 §4): a signed PASSporT and where its certificate is.
///
///     Identity: eyJhbGciOi….eyJhdHRlc3Qi….rq3pjT1h…;info=<https://cert.example.org/p.cer>;alg=ES256;ppt=shaken
package struct IdentityValue: Hashable, Sendable {
  /// Octets of a value; more is none.
  package static let most = 4_096

  package var header: ByteRange
  package var payload: ByteRange
  package var signature: ByteRange
  /// What the signature is of: header, dot, payload.
  package var signed: ByteRange
  /// The URL between `<` and `>`; empty where there is none.
  package var info = ByteRange.none
  package var alg = ByteRange.none
  /// Without the quotes that some write.
  package var ppt = ByteRange.none

  /// The compact form leaves header and payload out, for the verifier to write anew.
  package var isCompact: Bool { header.isEmpty || payload.isEmpty }

  /// Nil for what breaks the grammar.
  package static func parse(_ bytes: RawSpan, _ range: ByteRange) -> IdentityValue? {
    let end = min(range.end, bytes.byteCount)
    guard range.start < end, end - range.start <= most else { return nil }
    let limit = bytes.find(
      UInt8(ascii: ";"), UInt8(ascii: " "), UInt8(ascii: "\t"), from: range.start, to: end)
    guard let one = bytes.dot(from: range.start, to: limit),
      let two = bytes.dot(from: one + 1, to: limit), bytes.dot(from: two + 1, to: limit) == nil,
      two + 1 < limit
    else { return nil }
    var value = IdentityValue(
      header: ByteRange(from: range.start, to: one), payload: ByteRange(from: one + 1, to: two),
      signature: ByteRange(from: two + 1, to: limit), signed: ByteRange(from: range.start, to: two))
    return value.readParameters(bytes, from: limit, to: end) ? value : nil
  }

  private init(header: ByteRange, payload: ByteRange, signature: ByteRange, signed: ByteRange) {
    self.header = header
    self.payload = payload
    self.signature = signature
    self.signed = signed
  }

  private mutating func readParameters(_ bytes: RawSpan, from start: Int, to end: Int) -> Bool {
    var at = bytes.skipSpace(start, end)
    while at < end {
      guard bytes.byte(at: at) == UInt8(ascii: ";") else { return false }
      let first = bytes.skipSpace(at + 1, end)
      let nameEnd = bytes.skip(.token, first, end)
      guard nameEnd > first else { return false }
      let name = ByteRange(from: first, to: nameEnd)
      at = bytes.skipSpace(nameEnd, end)
      guard bytes.byte(at: at) == UInt8(ascii: "="), at < end else { continue }
      at = bytes.skipSpace(at + 1, end)
      guard let (value, next) = Self.value(bytes, at, end) else { return false }
      at = bytes.skipSpace(next, end)
      if bytes.matches(name, "info") {
        guard info.isEmpty, bytes.byte(at: value.start - 1) == UInt8(ascii: "<") else {
          return false
        }
        info = value
      } else if bytes.matches(name, "alg") {
        guard alg.isEmpty else { return false }
        alg = value
      } else if bytes.matches(name, "ppt") {
        guard ppt.isEmpty else { return false }
        ppt = value
      }
    }
    return true
  }

  /// `<URI>`, `"text"` or a token, without what encloses it; and where it ends.
  private static func value(_ bytes: RawSpan, _ at: Int, _ end: Int) -> (ByteRange, Int)? {
    switch bytes.byte(at: at) {
    case UInt8(ascii: "<"):
      let close = bytes.find(UInt8(ascii: ">"), from: at, to: end)
      return close < end ? (ByteRange(from: at + 1, to: close), close + 1) : nil
    case UInt8(ascii: "\""):
      guard let next = bytes.endOfQuotedString(at, end) else { return nil }
      return (ByteRange(from: at + 1, to: next - 1), next)
    default:
      let next = bytes.skip(.token, at, end)
      return next > at ? (ByteRange(from: at, to: next), next) : nil
    }
  }
}

extension RawSpan {
  fileprivate func dot(from start: Int, to end: Int) -> Int? {
    let at = find(UInt8(ascii: "."), from: start, to: end)
    return at < end ? at : nil
  }
}
