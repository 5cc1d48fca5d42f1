package import Base

/// A SIP, SIPS or tel URI as ranges (RFC 3261 §19.1, RFC 3966).
package struct SIPURI: Hashable, Sendable {
  @frozen package enum Scheme: UInt8, Sendable { case sip, sips, tel, other }

  package var scheme: Scheme
  /// Still escaped (`Escapes.string` reads it); empty where there is none. Of a tel URI, the number.
  package var user = ByteRange.none
  package var password = ByteRange.none
  /// An IPv6 address is without its brackets. Empty in a tel URI.
  package var host = ByteRange.none
  package var port: UInt16?
  /// From the first semicolon behind the host on.
  package var params = ByteRange.none
  /// Behind the question mark.
  package var headers = ByteRange.none
  /// Of a scheme that is none of ours, all behind the colon.
  package var opaque = ByteRange.none

  /// Nil for what breaks the grammar. Angle brackets or white space around it break it too.
  package static func parse(_ bytes: RawSpan, _ range: ByteRange) -> SIPURI? {
    let (start, end) = bytes.bounds(range)
    if end &- start > 4, bytes.word(at: start) & 0xffff_ffff == 0x3a70_6973 {  // "sip:"
      return sip(bytes, .sip, start &+ 4, end)
    }
    let colon = bytes.skip(.scheme, start, end)
    guard colon > start, bytes.byte(at: start).isASCIILetter, colon < end,
      bytes.byte(at: colon) == UInt8(ascii: ":")
    else { return nil }
    let name = ByteRange(from: start, to: colon)
    if bytes.matches(name, "sip") { return sip(bytes, .sip, colon &+ 1, end) }
    if bytes.matches(name, "sips") { return sip(bytes, .sips, colon &+ 1, end) }
    if bytes.matches(name, "tel") { return tel(bytes, colon &+ 1, end) }
    let rest = ByteRange(from: colon &+ 1, to: end)
    guard !rest.isEmpty, bytes.consists(rest, of: .uri) else { return nil }
    return SIPURI(scheme: .other, opaque: rest)
  }

  /// The value of a URI parameter in any case, still escaped; empty for one without a value.
  package func param(_ name: StaticString, in bytes: RawSpan) -> ByteRange? {
    var walk = URIParameters(params)
    while let parameter = walk.next(bytes) {
      if bytes.matches(parameter.name, name) { return parameter.value }
    }
    return nil
  }

  /// The host where it is an IPv4 or IPv6 address.
  package func hostAddress(in bytes: RawSpan) -> IPAddress? {
    IPAddress(parsing: bytes.extracting(host))
  }

  // MARK: Grammar

  /// `[ user [ ":" password ] "@" ] hostport uri-parameters [ "?" headers ]`
  private static func sip(_ bytes: RawSpan, _ scheme: Scheme, _ start: Int, _ end: Int) -> SIPURI? {
    var uri = SIPURI(scheme: scheme)
    var hostStart = start
    // The user part may hold `;` and `?` (§19.1.1), the host none of `@`: the first one decides.
    let at = bytes.find(UInt8(ascii: "@"), from: start, to: end)
    if at < end {
      guard uri.takeUserInfo(bytes, start, at) else { return nil }
      hostStart = at &+ 1
    }
    guard let hostPort = HostPort.parse(bytes, hostStart, end),
      hostPort.end == end || isAfterHost(bytes.byte(at: hostPort.end))
    else { return nil }
    uri.host = hostPort.host
    uri.port = hostPort.port
    let question = bytes.find(UInt8(ascii: "?"), from: hostPort.end, to: end)
    uri.params = ByteRange(from: hostPort.end, to: question)
    uri.headers = ByteRange(from: min(question &+ 1, end), to: end)
    guard uri.hasValidParameters(bytes), question == end || hasValidHeaders(bytes, uri.headers)
    else { return nil }
    return uri
  }

  private static func isAfterHost(_ c: UInt8) -> Bool {
    c == UInt8(ascii: ";") || c == UInt8(ascii: "?")
  }

  private mutating func takeUserInfo(_ bytes: RawSpan, _ start: Int, _ end: Int) -> Bool {
    let colon = bytes.find(UInt8(ascii: ":"), from: start, to: end)
    user = ByteRange(from: start, to: colon)
    password = ByteRange(from: min(colon &+ 1, end), to: end)
    return !user.isEmpty && Escapes.areValid(bytes, user, .user)
      && Escapes.areValid(bytes, password, .password)
  }

  private func hasValidParameters(_ bytes: RawSpan) -> Bool {
    var walk = URIParameters(params)
    var count = 0
    while walk.next(bytes) != nil { count &+= 1 }
    return !walk.isMalformed && count <= SIPLimits.uriParameters
  }

  /// `hname "=" hvalue *( "&" hname "=" hvalue )`
  private static func hasValidHeaders(_ bytes: RawSpan, _ headers: ByteRange) -> Bool {
    var at = headers.start
    for _ in 0..<SIPLimits.uriParameters {
      let end = bytes.find(UInt8(ascii: "&"), from: at, to: headers.end)
      let equals = bytes.find(UInt8(ascii: "="), from: at, to: end)
      guard equals > at, equals < end,
        Escapes.areValid(bytes, ByteRange(from: at, to: equals), .uriHeader),
        Escapes.areValid(bytes, ByteRange(from: equals &+ 1, to: end), .uriHeader)
      else { return false }
      if end == headers.end { return true }
      at = end &+ 1
    }
    return false
  }

  /// `telephone-subscriber`: digits and visual separators, then parameters (RFC 3966 §3).
  private static func tel(_ bytes: RawSpan, _ start: Int, _ end: Int) -> SIPURI? {
    let numberEnd = bytes.skip(.telephone, start, end)
    guard numberEnd > start else { return nil }
    let uri = SIPURI(
      scheme: .tel, user: ByteRange(from: start, to: numberEnd),
      params: ByteRange(from: numberEnd, to: end))
    return uri.hasValidParameters(bytes) ? uri : nil
  }
}

/// Walks `*( ";" pname [ "=" pvalue ] )` of a URI: no white space, no quotes, everything escaped.
package struct URIParameters {
  private var at: Int
  private let end: Int
  package private(set) var isMalformed = false

  package init(_ range: ByteRange) {
    at = range.start
    end = range.end
  }

  package mutating func next(_ bytes: RawSpan) -> Parameter? {
    guard at < end, !isMalformed else { return nil }
    let nameEnd = bytes.skip(.uriParameter, at &+ 1, end)
    let name = ByteRange(from: at &+ 1, to: nameEnd)
    guard bytes.byte(at: at) == UInt8(ascii: ";"), !name.isEmpty,
      Escapes.areValid(bytes, name, .uriParameter)
    else { return fail() }
    at = nameEnd
    guard at < end, bytes.byte(at: at) == UInt8(ascii: "=") else {
      return Parameter(name: name, value: .none)
    }
    let valueEnd = bytes.skip(.uriParameter, at &+ 1, end)
    let value = ByteRange(from: at &+ 1, to: valueEnd)
    guard !value.isEmpty, Escapes.areValid(bytes, value, .uriParameter) else { return fail() }
    at = valueEnd
    return Parameter(name: name, value: value)
  }

  private mutating func fail() -> Parameter? {
    isMalformed = true
    return nil
  }
}
