package import Base

/// One value of a Via header (RFC 3261 §20.42, RFC 3581).
package struct Via: Hashable, Sendable {
  package var transport: Transport
  package var transportToken: ByteRange
  /// sent-by without the port; an IPv6 address is without its brackets.
  package var host: ByteRange
  package var port: UInt16?
  /// Empty where there is none, as in RFC 2543.
  package var branch = ByteRange.none
  /// `rport` is there, with or without a value.
  package var hasRport = false
  package var rport: UInt16?
  package var received: ByteRange?
  package var maddr: ByteRange?
  package var ttl: UInt8?
  /// Everything behind sent-by, from the first semicolon.
  package var params = ByteRange.none

  /// Whether the branch begins with RFC 3261's magic cookie (§8.1.1.7).
  package func hasCookie(in bytes: RawSpan) -> Bool {
    bytes.hasPrefix("z9hG4bK", at: branch.start) && branch.count > 7
  }

  /// The address in sent-by, where that is one and not a name.
  package func hostAddress(in bytes: RawSpan) -> IPAddress? {
    IPAddress(parsing: bytes.extracting(host))
  }

  /// Nil for what breaks the grammar.
  package static func parse(_ bytes: RawSpan, _ range: ByteRange) -> Via? {
    let (start, end) = bytes.bounds(range)
    guard let (transport, token) = sentProtocol(bytes, start, end) else { return nil }
    let space = token.end
    let hostStart = bytes.skipSpace(space, end)
    guard hostStart > space,
      let sentBy = HostPort.parse(bytes, hostStart, end, allowsSpace: true)
    else { return nil }
    var via = Via(
      transport: transport, transportToken: token, host: sentBy.host, port: sentBy.port)
    via.params = ByteRange(from: sentBy.end, to: end)
    var parameters = Parameters(via.params)
    while let parameter = parameters.next(bytes) {
      guard via.take(parameter, bytes) else { return nil }
    }
    return parameters.isMalformed ? nil : via
  }

  /// `SIP / 2.0 / transport`, white space around each slash allowed; the range of the transport. Other
  /// protocols and versions are read too (the grammar has tokens there): a 505 needs them.
  private static func sentProtocol(
    _ bytes: RawSpan, _ start: Int, _ end: Int
  ) -> (Transport, ByteRange)? {
    // "SIP/2.0/UDP " as nearly everybody writes it: twelve bytes in two comparisons.
    if end &- start > 12, bytes.word(at: start) == 0x2f30_2e32_2f50_4953,
      bytes.word(at: start &+ 8) & 0xffff_ffff == 0x2050_4455
    {
      return (.udp, ByteRange(start &+ 8, 3))
    }
    var at = start
    for _ in 0..<2 {
      let token = bytes.skipSpace(at, end)
      let slash = bytes.skipSpace(bytes.skip(.token, token, end), end)
      guard slash > token, slash < end, bytes.byte(at: slash) == UInt8(ascii: "/") else {
        return nil
      }
      at = slash &+ 1
    }
    let transport = bytes.skipSpace(at, end)
    let transportEnd = bytes.skip(.token, transport, end)
    guard transportEnd > transport else { return nil }
    let token = ByteRange(from: transport, to: transportEnd)
    return (Transport.parse(bytes.extracting(token)), token)
  }

  /// False for a known parameter with an impossible value. The first of several wins.
  private mutating func take(_ parameter: Parameter, _ bytes: RawSpan) -> Bool {
    let value = parameter.value
    switch parameter.name.count {
    case 6 where branch.isEmpty && bytes.matches(parameter.name, "branch"):
      branch = value
      return !value.isEmpty
    case 5 where !hasRport && bytes.matches(parameter.name, "rport"):
      hasRport = true
      guard !value.isEmpty else { return true }
      rport = bytes.number(value, limit: 65_535).map(UInt16.init(truncatingIfNeeded:))
      return rport != nil
    case 8 where received == nil && bytes.matches(parameter.name, "received"): received = value
    case 5 where maddr == nil && bytes.matches(parameter.name, "maddr"): maddr = value
    case 3 where ttl == nil && bytes.matches(parameter.name, "ttl"):
      ttl = bytes.number(value, limit: 255).map(UInt8.init(truncatingIfNeeded:))
      return ttl != nil
    default: break
    }
    return true
  }
}
