package import Base

// RFC 8866 §5 and §9, with the tolerance that the field asks for:
// - LF alone ends a line as CRLF does (§5), and the last line may end with the text.
// - v= and o= must be first, in this order. Behind them the lines of a section may stand in any order, as
//   peers mix up a=, b= and c=; s= and t= may be missing. What may stand once is refused when it comes
//   twice, except that further c= lines of an m-line (layered multicast) are not read.
// - A type letter that isn't in the grammar refuses the whole description (§5).
// - Formats of RTP lines are payload types, 0 to 127. A payload type named twice counts once.

extension SessionDescription {
  /// Reads the part `range` of `bytes`, by default all; every range of the result is relative to
  /// `bytes`. After an error `description` is empty.
  package static func parse(
    _ bytes: RawSpan, _ range: ByteRange? = nil, into description: inout SessionDescription
  ) throws(SDPParseError) {
    description.removeAll()
    let (start, end) = bytes.bounds(range ?? ByteRange(0, bytes.byteCount))
    do throws(SDPParseError) {
      var parser = SDPParser(at: start, end: end)
      try parser.parse(bytes, &description)
    } catch {
      description.removeAll()
      throw error
    }
  }
}

struct SDPParser {
  var at: Int
  let end: Int
  var seen: UInt32 = 0
  var attributes = 0
  var sessionAddress: IPAddress?
  var sessionDirection = SDPDirection.sendrecv
  var sessionWantsVoIPMetrics = false
  var sessionSetup: SDPSetup?
  /// The first of `SessionDescription.fingerprints`.
  var sessionFingerprints = 0
  var hasOwnFingerprint = false
  /// Behind an m-line.
  var inMedia = false
  var hasOwnConnection = false

  init(at: Int, end: Int) {
    self.at = at
    self.end = end
  }

  mutating func parse(_ bytes: RawSpan, _ sdp: inout SessionDescription) throws(SDPParseError) {
    guard at < end else { throw SDPParseError(.empty, at: at) }
    guard end &- at <= SDPLimits.bytes else { throw SDPParseError(.tooLong, at: at) }
    try parseHead(bytes, &sdp)
    while let (type, value) = try line(bytes) {
      try take(type, value, bytes, &sdp)
    }
    try checkConnection(sdp)
    endSection(&sdp, at: end)
  }

  /// What stands below the last m-line ends here.
  private func endSection(_ sdp: inout SessionDescription, at end: Int) {
    guard !sdp.media.isEmpty else { return }
    let start = sdp.media[sdp.media.count &- 1].section.start
    sdp.media[sdp.media.count &- 1].section = ByteRange(from: start, to: max(start, end))
  }

  /// v= and o=.
  private mutating func parseHead(_ bytes: RawSpan, _ sdp: inout SessionDescription)
    throws(SDPParseError)
  {
    guard let (v, version) = try line(bytes), v == UInt8(ascii: "v"), bytes.equals(version, "0")
    else { throw SDPParseError(.version, at: at) }
    guard let (o, origin) = try line(bytes), o == UInt8(ascii: "o") else {
      throw SDPParseError(.order, at: at)
    }
    var words = SDPWords(origin)
    guard words.next(bytes) != nil, let id = words.next(bytes), let number = words.next(bytes),
      words.next(bytes) != nil, words.next(bytes) != nil, words.next(bytes) != nil,
      words.isAtEnd(bytes), isNumber(bytes, id), isNumber(bytes, number)
    else { throw SDPParseError(.origin, at: origin.start) }
    sdp.sessionID = id
    sdp.sessionVersion = number
  }

  /// `1*DIGIT`, of any length.
  private func isNumber(_ bytes: RawSpan, _ range: ByteRange) -> Bool {
    for i in range.start..<range.end where !bytes.byte(at: i).isASCIIDigit { return false }
    return !range.isEmpty
  }

  /// The next line as its letter and its value; nil at the end.
  private mutating func line(_ bytes: RawSpan) throws(SDPParseError) -> (UInt8, ByteRange)? {
    let start = at
    guard start < end else { return nil }
    var lineEnd = start
    // Tabs and other control characters may stand in text (byte-string); zero, CR and LF not.
    while true {
      lineEnd = bytes.findControl(from: lineEnd, to: end)
      let c = bytes.byte(at: lineEnd)
      if lineEnd == end || c == 0x0a || c == 0x0d { break }
      guard c != 0 else { throw SDPParseError(.line, at: lineEnd) }
      lineEnd &+= 1
    }
    at = min(lineEnd &+ 1, end)
    if lineEnd < end, bytes.byte(at: lineEnd) == 0x0d {
      guard at < end, bytes.byte(at: at) == 0x0a else {
        throw SDPParseError(.line, at: lineEnd)
      }
      at &+= 1
    }
    guard lineEnd &- start <= SDPLimits.lineBytes else {
      throw SDPParseError(.lineTooLong, at: start)
    }
    // An empty line at the very end is a common slip.
    if lineEnd == start, at >= end { return nil }
    guard lineEnd &- start >= 2, bytes.byte(at: start &+ 1) == UInt8(ascii: "=") else {
      throw SDPParseError(.line, at: start)
    }
    return (bytes.byte(at: start), ByteRange(from: start &+ 2, to: lineEnd))
  }

  private mutating func take(
    _ type: UInt8, _ value: ByteRange, _ bytes: RawSpan, _ sdp: inout SessionDescription
  ) throws(SDPParseError) {
    switch type {
    case UInt8(ascii: "a"): try attribute(value, bytes, &sdp)
    case UInt8(ascii: "m"): try media(value, bytes, &sdp)
    case UInt8(ascii: "c"): try connection(value, bytes, &sdp)
    case UInt8(ascii: "s"), UInt8(ascii: "u"), UInt8(ascii: "z"):
      guard !inMedia else { throw SDPParseError(.order, at: value.start) }
      try once(type, value)
    case UInt8(ascii: "e"), UInt8(ascii: "p"), UInt8(ascii: "t"), UInt8(ascii: "r"):
      guard !inMedia else { throw SDPParseError(.order, at: value.start) }
    case UInt8(ascii: "i"), UInt8(ascii: "k"): try once(type, value)
    case UInt8(ascii: "b"): break
    case UInt8(ascii: "v"), UInt8(ascii: "o"): throw SDPParseError(.order, at: value.start)
    default: throw SDPParseError(.line, at: value.start &- 2)
    }
  }

  /// Refuses the second line of a type in one section.
  private mutating func once(_ type: UInt8, _ value: ByteRange) throws(SDPParseError) {
    let bit: UInt32 = 1 &<< UInt32(type &- UInt8(ascii: "a"))
    guard seen & bit == 0 else { throw SDPParseError(.order, at: value.start) }
    seen |= bit
  }

  // MARK: c=

  private mutating func connection(
    _ value: ByteRange, _ bytes: RawSpan, _ sdp: inout SessionDescription
  ) throws(SDPParseError) {
    if inMedia, hasOwnConnection { return }
    if !inMedia { try once(UInt8(ascii: "c"), value) }
    var words = SDPWords(value)
    guard let network = words.next(bytes), let family = words.next(bytes),
      let address = words.next(bytes), words.isAtEnd(bytes)
    else { throw SDPParseError(.connection, at: value.start) }
    let ip = try Self.address(bytes, network, family, address)
    guard inMedia else {
      sessionAddress = ip
      return
    }
    hasOwnConnection = true
    sdp.media[sdp.media.count &- 1].address = ip
  }

  /// The address without multicast's `/ttl` and `/count`. A host name is not supported: resolving it
  /// would make media wait for DNS.
  static func address(
    _ bytes: RawSpan, _ network: ByteRange, _ family: ByteRange, _ text: ByteRange
  ) throws(SDPParseError) -> IPAddress {
    let wanted: IPAddress.Family
    if bytes.matches(family, "IP4") {
      wanted = .v4
    } else if bytes.matches(family, "IP6") {
      wanted = .v6
    } else {
      throw SDPParseError(.unsupportedAddress, at: family.start)
    }
    let end = bytes.find(UInt8(ascii: "/"), from: text.start, to: text.end)
    guard bytes.matches(network, "IN"),
      let address = IPAddress(parsing: bytes.slice(text.start, end)), address.family == wanted
    else { throw SDPParseError(.unsupportedAddress, at: text.start) }
    return address
  }

  /// A line that wants packets must say where to (RFC 8866 §5.7).
  private func checkConnection(_ sdp: SessionDescription) throws(SDPParseError) {
    guard let last = sdp.media.last, last.port != 0, last.address == nil else { return }
    throw SDPParseError(.missingConnection, at: last.kindToken.start)
  }

  // MARK: m=

  private mutating func media(
    _ value: ByteRange, _ bytes: RawSpan, _ sdp: inout SessionDescription
  ) throws(SDPParseError) {
    try checkConnection(sdp)
    guard sdp.media.count < SDPLimits.mediaLines else {
      throw SDPParseError(.tooManyMedia, at: value.start)
    }
    var words = SDPWords(value)
    guard let kind = words.next(bytes), bytes.consists(kind, of: .sdpToken),
      let port = words.next(bytes), let transport = words.next(bytes),
      bytes.consists(transport, of: .sdpProtocol), let (number, count) = ports(bytes, port)
    else { throw SDPParseError(.media, at: value.start) }
    let first = sdp.formats.count
    let parsed = SDPMedia.Transport.parse(bytes.extracting(transport))
    endSection(&sdp, at: value.start &- 2)
    try formats(&words, parsed, bytes, &sdp)
    sdp.media.append(
      SDPMedia(
        kind: SDPMedia.Kind.parse(bytes.extracting(kind)), kindToken: kind, port: number,
        portCount: count, transport: parsed, transportToken: transport,
        formats: first..<sdp.formats.count, address: sessionAddress,
        direction: sessionDirection, section: ByteRange(at, 0),
        wantsVoIPMetrics: sessionWantsVoIPMetrics,
        fingerprints: 0..<sessionFingerprints, setup: sessionSetup))
    inMedia = true
    hasOwnConnection = false
    hasOwnFingerprint = false
    seen = 0
  }

  /// `port [ "/" count ]`
  private func ports(_ bytes: RawSpan, _ range: ByteRange) -> (UInt16, UInt16)? {
    let slash = bytes.find(UInt8(ascii: "/"), from: range.start, to: range.end)
    guard let port = bytes.number(ByteRange(from: range.start, to: slash), limit: 65_535) else {
      return nil
    }
    guard slash < range.end else { return (UInt16(truncatingIfNeeded: port), 1) }
    guard
      let count = bytes.number(ByteRange(from: slash &+ 1, to: range.end), limit: 65_535), count > 0
    else { return nil }
    return (UInt16(truncatingIfNeeded: port), UInt16(truncatingIfNeeded: count))
  }

  private func formats(
    _ words: inout SDPWords, _ transport: SDPMedia.Transport, _ bytes: RawSpan,
    _ sdp: inout SessionDescription
  ) throws(SDPParseError) {
    let first = sdp.formats.count
    var budget = SDPLimits.formats
    while let token = words.next(bytes) {
      guard budget > 0 else { throw SDPParseError(.tooManyFormats, at: token.start) }
      budget &-= 1
      guard bytes.consists(token, of: .sdpToken) else {
        throw SDPParseError(.media, at: token.start)
      }
      guard transport.isRTP else {
        sdp.formats.append(
          SDPFormat(token: token, payloadType: 255, encoding: .other, clockRate: 0))
        continue
      }
      guard let number = bytes.number(token, limit: 127) else {
        throw SDPParseError(.media, at: token.start)
      }
      let payloadType = UInt8(truncatingIfNeeded: number)
      if sdp.formats[first...].contains(where: { $0.payloadType == payloadType }) { continue }
      let assigned = AudioEncoding.assigned(to: payloadType)
      sdp.formats.append(
        SDPFormat(
          token: token, payloadType: payloadType, encoding: assigned.encoding,
          clockRate: assigned.rate))
    }
    guard words.isAtEnd(bytes), sdp.formats.count > first else {
      throw SDPParseError(.media, at: words.at)
    }
  }
}

extension SDPMedia.Kind {
  fileprivate static func parse(_ token: RawSpan) -> SDPMedia.Kind {
    if token.equalsIgnoringCase("audio") { return .audio }
    if token.equalsIgnoringCase("video") { return .video }
    if token.equalsIgnoringCase("image") { return .image }
    if token.equalsIgnoringCase("application") { return .application }
    if token.equalsIgnoringCase("text") { return .text }
    return .other
  }
}

extension SDPMedia.Transport {
  fileprivate static func parse(_ token: RawSpan) -> SDPMedia.Transport {
    if token.equalsIgnoringCase("RTP/AVP") { return .rtpAVP }
    if token.equalsIgnoringCase("RTP/AVPF") { return .rtpAVPF }
    if token.equalsIgnoringCase("RTP/SAVP") { return .rtpSAVP }
    if token.equalsIgnoringCase("RTP/SAVPF") { return .rtpSAVPF }
    if token.equalsIgnoringCase("UDP/TLS/RTP/SAVP") { return .dtlsSAVP }
    if token.equalsIgnoringCase("UDP/TLS/RTP/SAVPF") { return .dtlsSAVPF }
    if token.equalsIgnoringCase("udptl") { return .udptl }
    return .other
  }
}
