package import Base

/// `name-addr / addr-spec` with the header's parameters: From, To, Contact, Route and their like
/// (RFC 3261 §20, §25.1).
package struct NameAddr: Hashable, Sendable {
  /// Without quotes, its escapes still in it (`Quoting.string` reads them); empty where there is none.
  package var display: ByteRange
  /// Without the angle brackets; checked for characters only, `SIPURI.parse` reads it.
  package var uri: ByteRange
  /// The header's parameters, from the first semicolon behind the URI on.
  package var params: ByteRange
  /// Empty where there is none.
  package var tag: ByteRange

  /// Nil for what breaks the grammar. A display name without quotes may hold more than tokens.
  package static func parse(_ bytes: RawSpan, _ range: ByteRange) -> NameAddr? {
    let (from, end) = bytes.bounds(range)
    let start = bytes.skipSpace(from, end)
    var display = ByteRange.none
    var at = start
    if at < end, bytes.byte(at: at) == UInt8(ascii: "\"") {
      guard let after = bytes.endOfQuotedString(at, end) else { return nil }
      display = ByteRange(from: at &+ 1, to: after &- 1)
      at = bytes.skipSpace(after, end)
    } else {
      at = endOfText(bytes, at, end)
      if bytes.byte(at: at) != UInt8(ascii: "<") || at >= end {
        return addrSpec(bytes, start, at, end)
      }
      display = bytes.trimmed(start, at)
    }
    guard at < end, bytes.byte(at: at) == UInt8(ascii: "<") else { return nil }
    let close = bytes.skip(.uri, at &+ 1, end)
    guard close < end, bytes.byte(at: close) == UInt8(ascii: ">"), close > at &+ 1 else {
      return nil
    }
    let uri = ByteRange(from: at &+ 1, to: close)
    return with(bytes, display, uri, ByteRange(from: close &+ 1, to: end))
  }

  /// `Contact: *` (§10.2.2).
  package static func isWildcard(_ bytes: RawSpan, _ range: ByteRange) -> Bool {
    let (start, end) = bytes.bounds(range)
    return bytes.equals(bytes.trimmed(start, end), "*")
  }

  /// The value of a header parameter in any case, empty for one without a value.
  package func param(_ name: StaticString, in bytes: RawSpan) -> ByteRange? {
    Parameters.find(name, bytes, params)
  }

  /// Up to what ends a display name or an addr-spec.
  private static func endOfText(_ bytes: RawSpan, _ start: Int, _ end: Int) -> Int {
    var i = start
    while i < end {
      switch bytes.byte(at: i) {
      case UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "\""), UInt8(ascii: ","),
        UInt8(ascii: ";"):
        return i
      default: i &+= 1
      }
    }
    return end
  }

  /// Without brackets a URI may hold neither semicolon, comma nor question mark (§20.10): a semicolon
  /// begins the header's parameters.
  private static func addrSpec(_ bytes: RawSpan, _ start: Int, _ stop: Int, _ end: Int)
    -> NameAddr?
  {
    let uri = bytes.trimmed(start, stop)
    guard !uri.isEmpty, bytes.consists(uri, of: .uri),
      bytes.find(UInt8(ascii: "?"), from: uri.start, to: uri.end) == uri.end
    else { return nil }
    return with(bytes, .none, uri, ByteRange(from: stop, to: end))
  }

  private static func with(
    _ bytes: RawSpan, _ display: ByteRange, _ uri: ByteRange, _ params: ByteRange
  ) -> NameAddr? {
    guard hasScheme(bytes, uri) else { return nil }
    var tag: ByteRange?
    var walk = Parameters(params)
    while let parameter = walk.next(bytes) {
      guard bytes.matches(parameter.name, "tag") else { continue }
      // RFC 3261 §7.3.1: no parameter comes twice; of two tags each reader could believe another one.
      guard tag == nil else { return nil }
      tag = parameter.value
    }
    guard !walk.isMalformed else { return nil }
    return NameAddr(display: display, uri: uri, params: params, tag: tag ?? .none)
  }

  private static func hasScheme(_ bytes: RawSpan, _ uri: ByteRange) -> Bool {
    // "sip:", as nearly always.
    if uri.count > 4, bytes.word(at: uri.start) & 0xffff_ffff == 0x3a70_6973 { return true }
    let end = bytes.skip(.scheme, uri.start, uri.end)
    return bytes.byte(at: uri.start).isASCIILetter && bytes.byte(at: end) == UInt8(ascii: ":")
      && end &+ 1 < uri.end
  }
}
