import Base
import SIPWire

/// Reads an input in every way there is and checks what comes back: the property tests and the fuzz
/// targets (Fuzz/run.sh compiles this file too) share it.
///
/// Every function returns what is wrong, or nil.
struct Exercise: ~Copyable {
  private let index = HeaderIndex()
  private let otherIndex = HeaderIndex()
  private var sdp = SessionDescription()
  private var out = OutputBuffer(byteLimit: 1 << 20, recordLimit: 16)
  private var problem: String?

  mutating func datagram(_ bytes: RawSpan) -> String? {
    problem = nil
    do throws(SIPParseError) {
      let message = try Message.parse(bytes, using: index)
      read(message)
      if message.isRequest != (message.status == 0) { fail("status") }
      if !message.isRequest, !(100...699 ~= message.status) { fail("status range") }
      // What was accepted strictly is read leniently too, when an answer to it could be made.
      if message.isRequest, message.method != .ack, message.defect() == nil,
        Message.parseLenient(bytes, using: otherIndex) == nil
      {
        fail("lenient is stricter")
      }
      _ = sessionDescription(bytes, message.body)
    } catch {
      check(error.offset >= 0 && error.offset <= bytes.byteCount, "error offset")
    }
    if let message = Message.parseLenient(bytes, using: index) { read(message) }
    return problem
  }

  /// Reads `range` of the bytes as a session description and writes it again.
  mutating func sessionDescription(_ bytes: RawSpan, _ range: ByteRange) -> String? {
    do throws(SDPParseError) {
      try SessionDescription.parse(bytes, range, into: &sdp)
      readSDP(bytes, range)
      rewrite(bytes)
    } catch {
      check(error.offset >= 0 && error.offset <= bytes.byteCount, "SDP error offset")
      check(sdp.media.isEmpty && sdp.formats.isEmpty, "SDP left over")
    }
    return problem
  }

  private mutating func check(_ holds: Bool, _ what: String) {
    if !holds { fail(what) }
  }

  private mutating func fail(_ what: String) {
    if problem == nil { problem = what }
  }

  private mutating func inside(_ range: ByteRange?, _ bytes: RawSpan, _ what: String) {
    guard let range, !range.isEmpty else { return }
    check(range.end <= bytes.byteCount, what)
  }

  // MARK: Messages

  private mutating func read(_ m: Message) {
    let bytes = m.bytes
    for range in [m.methodToken, m.requestURI, m.reason, m.body, m.callID] {
      inside(range, bytes, "start line or body")
    }
    check(m.body.end <= bytes.byteCount, "body")
    for i in 0..<m.headerCount { readField(m, i) }
    for id in HeaderID.allCases { readList(m, id) }
    readVia(m.topVia(), bytes)
    readName(m.from, bytes)
    readName(m.to, bytes)
    readName(m.contact, bytes)
    readURI(bytes, m.requestURI)
    if let cseq = m.cseq {
      check(cseq.number < 1 << 31, "CSeq")
      inside(cseq.methodToken, bytes, "CSeq method")
    }
    if let type = m.contentType {
      inside(type.type, bytes, "type")
      inside(type.subtype, bytes, "subtype")
      _ = type.isSDP(in: bytes)
    }
    _ = (m.maxForwards, m.expires, m.contentLength, m.hasContactWildcard)
    _ = (m.rseq, m.minSE, m.retryAfter, m.minExpires, m.releaseReason)
    readExtensions(m)
    _ = m.lists("timer", in: .supported)
    if m.defect() == nil {
      check(m.topVia() != nil && m.from != nil && m.to != nil && m.cseq != nil, "fit without")
      check(!m.callID.isEmpty, "fit without Call-ID")
    }
  }

  /// RFC 3262, 4028, 6665, 7989, and the digits of INFO.
  private mutating func readExtensions(_ m: Message) {
    if let event = m.event {
      inside(event.package, m.bytes, "Event")
      inside(event.params, m.bytes, "Event parameters")
    }
    if let rack = m.rack { check(rack.cseq < 1 << 31, "RAck") }
    if let uuid = m.sessionUUID { check(uuid.count == 32 && uuid.end <= m.bytes.byteCount, "UUID") }
    _ = m.sessionExpires
    guard let digits = InfoDigits(m) else { return }
    check(digits.event <= 16 && 0...65_535 ~= digits.milliseconds, "digit")
    out.removeAll()
    out.begin()
    digits.write(into: &out)
    let isSignal = out.withOpenBytes { $0.slice(0, 7).equals("Signal=") }
    out.abandon()
    check(!digits.isRelay || isSignal, "digit as it is written")
  }

  private mutating func readField(_ m: Message, _ i: Int) {
    let field = m.header(i)
    check(!field.name.isEmpty, "header name")
    inside(field.name, m.bytes, "header name")
    inside(field.value, m.bytes, "header value")
    check(field.value.start > field.name.end, "header order")
    var line = m.bytes.extracting(field.name)
    check(line.byteCount == Int(field.name.count), "header name")
    check(line.firstIndex(of: 0x0d) == nil, "line break in name")
    line = m.bytes.extracting(field.value)
    // A line break in a value goes on with white space: nothing in it can be taken for a field.
    for k in 0..<line.byteCount {
      if line.byte(at: k) == 0x0a {
        let next = line.byte(at: k + 1)
        check(next == 0x20 || next == 0x09 || k + 1 == line.byteCount, "smuggled line")
        check(line.byte(at: k - 1) == 0x0d, "bare LF")
      }
      if line.byte(at: k) == 0x0d { check(line.byte(at: k + 1) == 0x0a, "bare CR") }
    }
    _ = AuthParams.parse(m.bytes, field.value).map { $0.offersAuth(in: m.bytes) }
    _ = AuthParams.parseInfo(m.bytes, field.value)
    readName(NameAddr.parse(m.bytes, field.value), m.bytes)
    readVia(Via.parse(m.bytes, field.value), m.bytes)
    readURI(m.bytes, field.value)
    _ = m.seconds(field.value)
  }

  private mutating func readList(_ m: Message, _ id: HeaderID) {
    var fields = 0
    var at = -1
    while let next = m.next(id, after: at) {
      check(next > at, "next")
      at = next
      fields += 1
    }
    check(fields == m.count(id), "count")
    check((fields == 0) == (m.first(id) == nil), "first")
    var list = m.values(of: id)
    var last = -1
    while let value = list.next(m.bytes) {
      check(!value.isEmpty && value.start > last, "element")
      inside(value, m.bytes, "element")
      last = value.start
    }
  }

  private mutating func readVia(_ via: Via?, _ bytes: RawSpan) {
    guard let via else { return }
    for range in [via.transportToken, via.host, via.branch, via.received, via.maddr] {
      inside(range, bytes, "Via")
    }
    check(!via.host.isEmpty && via.port != 0, "sent-by")
    _ = (via.hasCookie(in: bytes), via.hostAddress(in: bytes))
  }

  private mutating func readName(_ name: NameAddr?, _ bytes: RawSpan) {
    guard let name else { return }
    for range in [name.display, name.uri, name.params, name.tag] {
      inside(range, bytes, "name-addr")
    }
    check(!name.uri.isEmpty, "URI of name-addr")
    _ = name.param("expires", in: bytes)
    _ = Quoting.string(bytes, name.display)
    readURI(bytes, name.uri)
  }

  private mutating func readURI(_ bytes: RawSpan, _ range: ByteRange) {
    guard let uri = SIPURI.parse(bytes, range) else { return }
    for part in [uri.user, uri.password, uri.host, uri.params, uri.headers, uri.opaque] {
      inside(part, bytes, "URI")
    }
    check(uri.host.isEmpty == (uri.scheme == .tel || uri.scheme == .other), "host")
    check(uri.port != 0, "port")
    check(uri.equals(uri, in: bytes, otherIn: bytes) || hasTwins(uri, bytes), "URI equals itself")
    _ = (uri.hostAddress(in: bytes), uri.param("transport", in: bytes))
    _ = Escapes.string(bytes, uri.user)
  }

  /// A parameter or header that comes twice makes a URI differ from itself, which is no harm.
  private func hasTwins(_ uri: SIPURI, _ bytes: RawSpan) -> Bool {
    if !uri.headers.isEmpty { return true }
    var names: Set<[UInt8]> = []
    var walk = URIParameters(uri.params)
    while let parameter = walk.next(bytes) {
      let name = Escapes.string(bytes, parameter.name).lowercased()
      if !names.insert(Array(name.utf8)).inserted { return true }
    }
    return false
  }

  // MARK: Session descriptions

  private mutating func readSDP(_ bytes: RawSpan, _ range: ByteRange) {
    check(sdp.media.count <= SDPLimits.mediaLines, "media lines")
    for (i, media) in sdp.media.enumerated() {
      inside(media.kindToken, bytes, "media")
      inside(media.transportToken, bytes, "proto")
      check(!sdp.formats(of: i).isEmpty, "no format")
      check(media.formats.count <= SDPLimits.formats, "formats")
      check(media.port == 0 || sdp.rtpAddress(of: i) != nil, "address")
      _ = (sdp.rtcpAddress(of: i), media.isHold)
      for format in sdp.formats(of: i) {
        inside(format.token, bytes, "format")
        inside(format.name, bytes, "rtpmap")
        inside(format.parameters, bytes, "fmtp")
        check((format.payloadType == 255) == !media.transport.isRTP, "payload type")
      }
    }
  }

  /// What we write of it is read as the same, and has no address but ours.
  private mutating func rewrite(_ bytes: RawSpan) {
    var lines = SDPLines()
    for i in sdp.media.indices { lines[i].port = 40_000 }
    let ours = SDPSession(id: .max, version: 0, address: .loopbackV4)
    out.removeAll()
    out.begin()
    SDPWriter.write(sdp, of: bytes, as: ours, lines: lines, into: &out)
    var again = SessionDescription()
    do throws(SDPParseError) {
      try SessionDescription.parse(out.openBytes, into: &again)
    } catch {
      fail("written SDP is refused: \(error)")
    }
    check(again.media.count == sdp.media.count, "written lines")
    for (i, media) in again.media.enumerated() where i < sdp.media.count {
      check(media.kind == sdp.media[i].kind, "written kind")
      check(media.port == 0 || media.address == .loopbackV4, "written address")
      let kept = media.port == 0 || media.isFax ? 1 : sdp.media[i].formats.count
      check(media.formats.count == kept, "written formats")
    }
    writeAnswer(bytes, ours)
  }

  /// What comes of an answer that is passed on to the one who made `offer`: as many lines as were offered, each in its
  /// place or rejected, and no address but ours (RFC 3264 §6).
  mutating func answer(_ bytes: RawSpan, to offer: RawSpan) -> String? {
    problem = nil
    var offered = SessionDescription()
    do throws(SDPParseError) {
      try SessionDescription.parse(offer, into: &offered)
      try SessionDescription.parse(bytes, into: &sdp)
    } catch {
      return nil
    }
    var lines = SDPLines()
    for i in sdp.media.indices where i < offered.media.count && offered.media[i].port != 0 {
      lines[i].port = 40_000
    }
    out.removeAll()
    out.begin()
    SDPWriter.write(
      sdp, of: bytes, as: SDPSession(id: 1, version: 1, address: .loopbackV4), lines: lines,
      count: offered.media.count, into: &out)
    if offered.media.count > sdp.media.count {
      SDPWriter.reject(offered, of: offer, from: sdp.media.count, into: &out)
    }
    var again = SessionDescription()
    do throws(SDPParseError) {
      try SessionDescription.parse(out.openBytes, into: &again)
    } catch {
      return "a passed answer is refused: \(error)"
    }
    check(again.media.count == offered.media.count, "an answer of other lines than its offer")
    for (i, media) in again.media.enumerated() where media.port != 0 {
      check(media.address == .loopbackV4, "an address that is not ours")
      check(i < offered.media.count && offered.media[i].port != 0, "a rejected line is taken up")
    }
    return problem
  }

  private mutating func writeAnswer(_ bytes: RawSpan, _ ours: SDPSession) {
    let isSpoken = { (format: SDPFormat) in format.encoding == .pcmu || format.encoding == .opus }
    guard let choice = SDPWriter.choose(from: sdp, speaking: isSpoken) else { return }
    out.begin()
    SDPWriter.answer(to: sdp, of: bytes, choice: choice, as: ours, port: 40_000, into: &out)
    var again = SessionDescription()
    do throws(SDPParseError) {
      try SessionDescription.parse(out.openBytes, into: &again)
      check(again.media.count == sdp.media.count, "answered lines")
      check(again.firstAudio == choice.line, "answered line")
    } catch {
      fail("written answer is refused: \(error)")
    }
  }
}
