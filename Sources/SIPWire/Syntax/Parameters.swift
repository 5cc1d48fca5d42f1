package import Base

/// One `;name[=value]` of a header value or a URI.
package struct Parameter: Hashable, Sendable {
  package var name: ByteRange
  /// Empty without a value. A quoted value is without its quotes, its escapes still in it.
  package var value: ByteRange
}

/// Walks `*( SEMI name [ EQUAL value ] )` (RFC 3261 §25.1, generic-param): white space may stand around
/// the semicolons and equals signs, values are tokens, hosts, IPv6 addresses with or without brackets,
/// or quoted strings.
package struct Parameters {
  private var at: Int
  private let end: Int
  /// A parameter that breaks the grammar ended the walk.
  package private(set) var isMalformed = false

  /// `range` is empty or begins with a semicolon (or white space before one).
  package init(_ range: ByteRange) {
    at = range.start
    end = range.end
  }

  /// The next parameter; nil at the end, or at one that cannot be read.
  package mutating func next(_ bytes: RawSpan) -> Parameter? {
    let end = min(self.end, bytes.byteCount)
    at = bytes.skipSpace(at, end)
    guard at < end, !isMalformed else { return nil }
    guard bytes.byte(at: at) == UInt8(ascii: ";") else { return fail() }
    let nameStart = bytes.skipSpace(at &+ 1, end)
    let nameEnd = bytes.skip(.token, nameStart, end)
    guard nameEnd > nameStart else { return fail() }
    let name = ByteRange(from: nameStart, to: nameEnd)
    at = bytes.skipSpace(nameEnd, end)
    guard bytes.byte(at: at) == UInt8(ascii: "="), at < end else {
      return Parameter(name: name, value: .none)
    }
    let start = bytes.skipSpace(at &+ 1, end)
    if bytes.byte(at: start) == UInt8(ascii: "\""), start < end {
      guard let after = bytes.endOfQuotedString(start, end) else { return fail() }
      at = after
      return Parameter(name: name, value: ByteRange(from: start &+ 1, to: after &- 1))
    }
    at = bytes.skip(.parameterValue, start, end)
    guard at > start else { return fail() }
    return Parameter(name: name, value: ByteRange(from: start, to: at))
  }

  private mutating func fail() -> Parameter? {
    isMalformed = true
    return nil
  }

  /// The value of the first parameter of this name, in any case; empty for one without a value.
  package static func find(_ name: StaticString, _ bytes: RawSpan, _ range: ByteRange) -> ByteRange?
  {
    var parameters = Parameters(range)
    while let parameter = parameters.next(bytes) {
      if bytes.matches(parameter.name, name) { return parameter.value }
    }
    return nil
  }
}
