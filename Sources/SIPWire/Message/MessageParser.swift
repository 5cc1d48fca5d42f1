import Base

// RFC 3261 §7 over one datagram (§18.3). Where the RFC leaves room, or practice and safety disagree:
// - Line breaks before the start line are skipped (§7.5). A line ends with CRLF and nothing else: CR or
//   LF alone is an error, because two readers that differ over it see different header fields.
// - Exactly one space separates the parts of a start line (RFC 4475 §3.1.2.8 to .10); the space before
//   an empty reason phrase may be missing.
// - Control characters (zero among them) are errors in every line, except HTAB, and except behind a
//   backslash, as a quoted string may hold them (RFC 4475 §3.1.1.2).
// - A field may go on over lines that begin with white space (§7.3.1); its value then holds the break.
// - A datagram without Content-Length has all the rest as its body; octets beyond it are ignored; a body
//   that is cut short is an error (§18.3). Equal Content-Length fields count as one (RFC 4475 §3.3.9).

/// A start line as it was read.
struct StartLine {
  /// 0 in a request.
  var status: UInt16 = 0
  var method = Method.other
  /// Method token of a request.
  var token = ByteRange.none
  /// Request-URI, or reason phrase.
  var text = ByteRange.none
  /// Just after the line's CRLF.
  var end = 0
}

extension Message {
  /// Reads a datagram. What the message says of header fields lives in `index` until its next use.
  @_lifetime(copy bytes)
  package static func parse(_ bytes: RawSpan, using index: HeaderIndex) throws(SIPParseError)
    -> Message
  {
    index.begin()
    guard bytes.byteCount <= SIPLimits.messageBytes else {
      throw SIPParseError(.messageTooLong, at: SIPLimits.messageBytes)
    }
    let line = try startLine(bytes)
    let isRequest = line.status == 0
    var contentLength = ContentLength()
    var at = line.end
    do throws(SIPParseError) {
      while let field = try field(bytes, &at, index) {
        if field.id == .contentLength { try contentLength.take(bytes, field.value) }
        guard index.append(field) else { throw SIPParseError(.tooManyHeaders, at: at) }
      }
    } catch {
      throw SIPParseError(error.reason, at: error.offset, headersUsable: isRequest)
    }
    let rest = bytes.byteCount &- at
    let length = contentLength.value ?? rest
    guard length <= rest else {
      throw SIPParseError(.truncatedBody, at: contentLength.offset, headersUsable: isRequest)
    }
    return Message(bytes, index, line, body: ByteRange(at, length))
  }

  /// Reads what can be read of a request that `parse` refused, so that it can be refused by an answer.
  /// Nil where none is possible: not a request, an ACK, or one of Via, From, To, Call-ID and CSeq is
  /// missing. Lines that are no header fields are passed over, and there is no body.
  @_lifetime(copy bytes)
  package static func parseLenient(_ bytes: RawSpan, using index: HeaderIndex) -> Message? {
    index.begin()
    let end = min(bytes.byteCount, SIPLimits.messageBytes)
    guard let line = lenientRequestLine(bytes, end), line.method != .ack else { return nil }
    var at = line.end
    var budget = 2 &* SIPLimits.headerFields
    while budget > 0, at < end {
      budget &-= 1
      let start = at
      do throws(SIPParseError) {
        guard let field = try field(bytes, &at, index), index.append(field) else { break }
      } catch {
        // On after the line break; the bad line is lost.
        at = bytes.find(0x0a, from: max(start, error.offset), to: end) &+ 1
      }
    }
    let message = Message(bytes, index, line, body: .none)
    guard message.first(.via) != nil, message.first(.from) != nil, message.first(.to) != nil,
      message.first(.callID) != nil, message.first(.cseq) != nil
    else { return nil }
    return message
  }

  // MARK: Start line

  private static func startLine(_ bytes: RawSpan) throws(SIPParseError) -> StartLine {
    let start = skipLineBreaks(bytes)
    guard start < bytes.byteCount else { throw SIPParseError(.empty, at: 0) }
    let end = try lineEnd(bytes, start)
    if isVersion2(bytes, start), bytes.byte(at: start &+ 7) == 0x20 {
      return try statusLine(bytes, start, end)
    }
    return try requestLine(bytes, start, end)
  }

  @inline(__always)
  private static func skipLineBreaks(_ bytes: RawSpan) -> Int {
    var i = 0
    while i < bytes.byteCount, bytes.byte(at: i) == 0x0d || bytes.byte(at: i) == 0x0a { i &+= 1 }
    return i
  }

  /// "SIP/2.0" in any case (§7.1).
  @inline(__always)
  private static func isVersion2(_ bytes: RawSpan, _ at: Int) -> Bool {
    lowercased(bytes.word(at: at) & 0x00ff_ffff_ffff_ffff) == 0x0030_2e32_2f70_6973
  }

  /// `SIP/2.0 SP 3DIGIT SP reason`
  private static func statusLine(_ bytes: RawSpan, _ start: Int, _ end: Int)
    throws(SIPParseError) -> StartLine
  {
    let code = start &+ 8
    guard let status = bytes.number(ByteRange(code, min(3, end &- code))),
      100...699 ~= status, code &+ 3 == end || bytes.byte(at: code &+ 3) == 0x20
    else { throw SIPParseError(.startLine, at: code) }
    let reason = min(code &+ 4, end)
    return StartLine(
      status: UInt16(truncatingIfNeeded: status), text: ByteRange(from: reason, to: end),
      end: end &+ 2)
  }

  /// `method SP Request-URI SP SIP/2.0`
  private static func requestLine(_ bytes: RawSpan, _ start: Int, _ end: Int)
    throws(SIPParseError) -> StartLine
  {
    let space = bytes.find(0x20, from: start, to: end)
    let token = ByteRange(from: start, to: space)
    guard !token.isEmpty, space < end, bytes.consists(token, of: .token) else {
      throw SIPParseError(.startLine, at: start)
    }
    let uri = space &+ 1
    let uriEnd = bytes.find(0x20, from: uri, to: end)
    let version = uriEnd &+ 1
    guard uriEnd > uri, hasVersionForm(bytes, version, end) else {
      throw SIPParseError(.startLine, at: uriEnd, headersUsable: true)
    }
    guard version &+ 7 == end, isVersion2(bytes, version) else {
      throw SIPParseError(.version, at: version, headersUsable: true)
    }
    return StartLine(
      method: Method.parse(bytes.extracting(token)), token: token,
      text: ByteRange(from: uri, to: uriEnd), end: end &+ 2)
  }

  /// `"SIP" "/" 1*DIGIT "." 1*DIGIT` up to `end`.
  private static func hasVersionForm(_ bytes: RawSpan, _ start: Int, _ end: Int) -> Bool {
    guard bytes.hasPrefix("SIP/", at: start) else { return false }
    let dot = bytes.find(UInt8(ascii: "."), from: start &+ 4, to: end)
    return isDigits(bytes, start &+ 4, dot) && isDigits(bytes, dot &+ 1, end)
  }

  private static func isDigits(_ bytes: RawSpan, _ start: Int, _ end: Int) -> Bool {
    var i = start
    while i < end, bytes.byte(at: i).isASCIIDigit { i &+= 1 }
    return i > start && i == end
  }

  /// A line of `token SP anything`, where the token isn't a SIP version.
  private static func lenientRequestLine(_ bytes: RawSpan, _ end: Int) -> StartLine? {
    let start = skipLineBreaks(bytes)
    let lineEnd = bytes.find(0x0a, from: start, to: end)
    let space = bytes.find(0x20, from: start, to: lineEnd)
    let token = ByteRange(from: start, to: space)
    guard lineEnd < end, space < lineEnd, !token.isEmpty, bytes.consists(token, of: .token) else {
      return nil
    }
    return StartLine(
      method: Method.parse(bytes.extracting(token)), token: token,
      text: bytes.trimmed(space, lineEnd), end: lineEnd &+ 1)
  }

  // MARK: Header fields

  /// The field at `at`, which moves behind it; nil at the empty line, `at` being behind that.
  @inline(__always)
  private static func field(_ bytes: RawSpan, _ at: inout Int, _ index: HeaderIndex)
    throws(SIPParseError) -> IndexedField?
  {
    let start = at
    let colon = bytes.find(
      UInt8(ascii: ":"), from: start, to: start &+ SIPLimits.headerNameBytes &+ 1)
    var nameEnd = colon
    while nameEnd > start, isBlank(bytes.byte(at: nameEnd &- 1)) { nameEnd &-= 1 }
    let id = index.id(ofName: bytes, start, nameEnd &- start)
    if id == .other, try isEndOfHeaders(bytes, start, nameEnd, colon) {
      at = start &+ 2
      return nil
    }
    var first = colon &+ 1
    while isBlank(bytes.byte(at: first)) { first &+= 1 }
    var end = bytes.findControl(from: first, to: bytes.byteCount)
    // CR, LF, and no white space that would go on with the line. The rest is out of the way.
    let lineBreak = bytes.word(at: end)
    if lineBreak & 0xffff != 0x0a0d || isBlank(UInt8(truncatingIfNeeded: lineBreak &>> 16)) {
      end = try foldedEnd(bytes, first)
    }
    at = end &+ 2
    guard at <= SIPLimits.headerBytes else {
      throw SIPParseError(.headersTooLong, at: SIPLimits.headerBytes)
    }
    while end > first, bytes.byte(at: end &- 1).isLinearSpace { end &-= 1 }
    // An empty first line of a folded value.
    if bytes.byte(at: first) == 0x0d { first = min(bytes.skipSpace(first, end), end) }
    return IndexedField(
      nameOffset: UInt16(truncatingIfNeeded: start),
      valueOffset: UInt16(truncatingIfNeeded: first),
      valueCount: UInt16(truncatingIfNeeded: end &- first),
      nameCount: UInt8(truncatingIfNeeded: nameEnd &- start), id: id)
  }

  @inline(__always)
  private static func isBlank(_ c: UInt8) -> Bool { c == 0x20 || c == 0x09 }

  /// What a name that is none of ours is: false for any other token before a colon, true for the empty
  /// line.
  @inline(never)
  private static func isEndOfHeaders(_ bytes: RawSpan, _ start: Int, _ nameEnd: Int, _ colon: Int)
    throws(SIPParseError) -> Bool
  {
    if bytes.byte(at: start) == 0x0d, bytes.byte(at: start &+ 1) == 0x0a {
      guard start &+ 2 <= SIPLimits.headerBytes else {
        throw SIPParseError(.headersTooLong, at: start)
      }
      return true
    }
    guard start < bytes.byteCount else { throw SIPParseError(.incomplete, at: start) }
    let valid = bytes.skip(.token, start, nameEnd)
    guard nameEnd > start, valid == nameEnd, colon &- start <= SIPLimits.headerNameBytes,
      bytes.byte(at: colon) == UInt8(ascii: ":")
    else {
      throw SIPParseError(.headerName, at: valid)
    }
    return false
  }

  /// Where the value at `start` ends that goes on over several lines, or holds control characters: the
  /// offset of its last CRLF.
  @inline(never)
  private static func foldedEnd(_ bytes: RawSpan, _ start: Int) throws(SIPParseError) -> Int {
    var end = try lineEnd(bytes, start)
    while isBlank(bytes.byte(at: end &+ 2)) { end = try lineEnd(bytes, end &+ 2) }
    return end
  }

  /// The offset of the CRLF that ends the line at `start`.
  private static func lineEnd(_ bytes: RawSpan, _ start: Int) throws(SIPParseError) -> Int {
    var i = start
    while true {
      i = bytes.findControl(from: i, to: bytes.byteCount)
      if bytes.byte(at: i) == 0x0d, bytes.byte(at: i &+ 1) == 0x0a { return i }
      guard i < bytes.byteCount else { throw SIPParseError(.incomplete, at: i) }
      try acceptControl(bytes, start, i)
      i &+= 1
    }
  }

  /// HTAB anywhere, and a quoted-pair other than of CR and LF.
  private static func acceptControl(_ bytes: RawSpan, _ line: Int, _ i: Int)
    throws(SIPParseError)
  {
    switch bytes.byte(at: i) {
    case 0x09: return
    case 0x0d, 0x0a: throw SIPParseError(.lineEnd, at: i)
    default:
      guard i > line, bytes.byte(at: i &- 1) == UInt8(ascii: "\\") else {
        throw SIPParseError(.controlCharacter, at: i)
      }
    }
  }
}

/// What the Content-Length fields of a message agree on.
private struct ContentLength {
  var value: Int?
  var offset = 0

  mutating func take(_ bytes: RawSpan, _ range: ByteRange) throws(SIPParseError) {
    guard let number = bytes.number(range), value == nil || value == Int(number) else {
      throw SIPParseError(.contentLength, at: range.start)
    }
    value = Int(number)
    offset = range.start
  }
}
