package import Base

/// What our own descriptions say of us.
package struct SDPSession: Hashable, Sendable {
  /// Of the o= line: constant for a leg's dialog, and counted up with each change (RFC 3264 §8).
  package var id: UInt64
  package var version: UInt64
  /// Where the far end should send to.
  package var address: IPAddress

  package init(id: UInt64, version: UInt64, address: IPAddress) {
    self.id = id
    self.version = version
    self.address = address
  }
}

/// What becomes of each m-line of a description that we pass on.
package struct SDPLines: Sendable {
  package struct Line: Sendable {
    /// Our RTP port; 0 rejects the line.
    package var port: UInt16 = 0
    /// Nil: as the description has it.
    package var direction: SDPDirection?

    package init(port: UInt16 = 0, direction: SDPDirection? = nil) {
      self.port = port
      self.direction = direction
    }
  }

  /// How a line of RTP beside speech differs from the one that is passed on; apart from the line, because few do.
  struct Further: Sendable {
    var line: Int
    var protection: SDPProtection?
    var dropsFeedback: Bool
  }

  private var lines = InlineArray<16, Line>(repeating: Line())
  private var further: [Further] = []
  /// Of the line of speech; nil: plain RTP.
  package var protection: SDPProtection?
  /// Of the line of speech: it is without RTCP feedback, whatever the description says.
  package var dropsFeedback = false
  package var speech = SDPSpeech()

  /// Every line is rejected.
  package init() {}

  /// One line is anchored at our port, all others are rejected.
  package init(
    line: Int, port: UInt16, direction: SDPDirection? = nil, protection: SDPProtection? = nil
  ) {
    self.protection = protection
    self[line] = Line(port: port, direction: direction)
  }

  /// A line beyond `SDPLimits.mediaLines` is rejected, whatever it is set to.
  package subscript(i: Int) -> Line {
    get { lines.indices.contains(i) ? lines[i] : Line() }
    set { if lines.indices.contains(i) { lines[i] = newValue } }
  }

  /// Of a line of RTP beside speech; a line that is not named here is plain.
  package mutating func protect(
    _ line: Int, by protection: SDPProtection?, dropsFeedback: Bool = false
  ) {
    further.append(
      Further(line: line, protection: protection, dropsFeedback: dropsFeedback))
  }

  func further(_ line: Int) -> Further? { further.first { $0.line == line } }
}

/// How the formats of speech that are written differ from those of the description that is passed on, where we turn one
/// codec into another.
package struct SDPSpeech: Sendable {
  package struct Format: Hashable, Sendable {
    package var encoding: AudioEncoding
    package var payloadType: UInt8
    package var clockRate: UInt32

    package init(_ encoding: AudioEncoding, _ payloadType: UInt8, clockRate: UInt32 = 8_000) {
      self.encoding = encoding
      self.payloadType = payloadType
      self.clockRate = clockRate
    }
  }

  /// telephone-event (RFC 4733), which is for the one that is written to and its own digits.
  package enum Events: Hashable, Sendable {
    case asTheyAre, withheld
    /// The one of this payload type, and no other.
    case only(UInt8)
    /// This one beside those that the description that is passed on has, and in the place of them.
    case beside(Format)
    case added(Format)

    fileprivate var own: Format? {
      switch self {
      case .asTheyAre, .withheld, .only: nil
      case .beside(let format), .added(let format): format
      }
    }
  }

  package var events = Events.asTheyAre
  /// Of an answer: comfort noise (RFC 3389), which the one who is passed on has not named.
  package var hasComfortNoise = false
  /// Of an offer: behind those that it has.
  package var added: [Format] = []
  /// Of an answer: what only our own addition has brought.
  package var withheld: [AudioEncoding] = []
  /// Of an answer: in place of all that there are.
  package var replacement: Format?

  static let comfortNoise = Format(.comfortNoise, 13)

  package init() {}

  func keeps(_ format: SDPFormat) -> Bool {
    switch (format.encoding, events) {
    case (.telephoneEvent, .asTheyAre), (.telephoneEvent, .beside): return true
    case (.telephoneEvent, .withheld), (.telephoneEvent, .added): return false
    case (.telephoneEvent, .only(let type)): return format.payloadType == type
    case (.comfortNoise, _): return true
    default: return replacement == nil && !withheld.contains(format.encoding)
    }
  }

  /// The clock of the codec that the line names first.
  package func clockRate(
    of formats: ArraySlice<SDPFormat>, _ bytes: RawSpan, _ codecs: CodecFilter
  ) -> UInt32 {
    if let replacement { return replacement.clockRate }
    let first = formats.first {
      $0.encoding.isSpeech && codecs.allows($0, in: bytes) && keeps($0)
    }
    return first?.clockRate ?? added.first?.clockRate ?? 8_000
  }

  /// Something is written whatever is kept.
  package var isOfItsOwn: Bool { replacement != nil || !added.isEmpty }
}

/// The encodings that may be passed on.
package struct CodecFilter: Hashable, Sendable {
  private let names: [[UInt8]]

  package static let all = CodecFilter([])
  /// No speech at all.
  package static let none = CodecFilter([""])

  /// rtpmap names such as "PCMU" or "opus/48000", in any case; what follows a slash is not compared.
  /// Empty: all.
  package init(_ names: [String]) {
    self.names = names.map { Array($0.utf8.prefix { $0 != UInt8(ascii: "/") }) }
  }

  package func allows(_ encoding: AudioEncoding) -> Bool {
    names.isEmpty || names.contains { $0.rawSpan.equalsIgnoringCase(encoding.name) }
  }

  /// Comfort noise and telephone-event are no codecs: they come along with whatever speech there is.
  package func allows(_ format: SDPFormat, in bytes: RawSpan) -> Bool {
    guard !names.isEmpty, format.encoding.isSpeech else { return true }
    for name in names {
      if format.hasRTPMap {
        if bytes.extracting(format.name).equalsIgnoringCase(name.rawSpan) { return true }
      } else if format.encoding != .other, name.rawSpan.equalsIgnoringCase(format.encoding.name) {
        return true
      }
    }
    return false
  }
}

/// Writes session descriptions of our own. One that is passed on to the other side of a call is written
/// anew from what was understood of it: of an anchored line the formats with their rtpmap and fmtp, packet
/// times and direction, beside speech some attributes more (`further`); of every other line its place. No
/// address, name, key or unknown attribute of the far end can get through.
package enum SDPWriter {
  /// Whether an anchored line would have a format that carries speech.
  package static func keepsSpeech(
    _ sdp: SessionDescription, of bytes: RawSpan, line: Int, codecs: CodecFilter
  ) -> Bool {
    sdp.formats(of: line).contains { $0.encoding.isSpeech && codecs.allows($0, in: bytes) }
  }

  /// `sdp`, read from `bytes`, as ours. A line is anchored when it carries a stream that we pass, has a port in
  /// `lines`, and keeps a format, of audio one that carries speech; all others are rejected in their place. `codecs`
  /// is for speech, `others` for the rest; `count` lines are written and no more.
  package static func write(
    _ sdp: SessionDescription, of bytes: RawSpan, as session: SDPSession, lines: SDPLines,
    codecs: CodecFilter = .all, others: CodecFilter = .all, count: Int = .max,
    into out: inout OutputBuffer
  ) {
    head(session, &out)
    for (i, media) in sdp.media.enumerated().prefix(count) {
      let line = lines[i]
      let direction = line.direction ?? media.direction
      let formats = sdp.formats(of: i)
      let isKept =
        line.port != 0
        && (media.stream == .speech
          ? lines.speech.isOfItsOwn || keepsSpeech(sdp, of: bytes, line: i, codecs: codecs)
          : media.isFax || formats.contains { others.allows($0, in: bytes) })
      switch isKept ? media.stream : nil {
      case .speech:
        speech(media, formats, bytes, port: line.port, lines, codecs, &out)
        times(media.packetTime, media.maxPacketTime, &out)
        if media.wantsVoIPMetrics { out.append("a=rtcp-xr:voip-metrics\r\n") }
        keys(lines.protection, &out)
        attribute(direction.attribute, &out)
      case .fax:
        fax(media, bytes, port: line.port, direction, &out)
      case .video, .text, .application:
        out.append("m=")
        out.append(bytes, media.kindToken)
        out.append(" ")
        let own = lines.further(i)
        rtp(media, formats, bytes, port: line.port, own, others, &out)
        further(media, of: bytes, into: &out)
        for format in formats where others.allows(format, in: bytes) {
          describe(format, bytes, &out)
        }
        keys(own?.protection, &out)
        attribute(direction.attribute, &out)
      case nil: rejected(media, formats.first, bytes, &out)
      }
    }
  }

  private static func speech(
    _ media: SDPMedia, _ formats: ArraySlice<SDPFormat>, _ bytes: RawSpan, port: UInt16,
    _ lines: SDPLines, _ codecs: CodecFilter, _ out: inout OutputBuffer
  ) {
    out.append("m=audio ")
    out.append(decimal: Int(port))
    transport(
      lines.protection, feedback: media.transport.hasFeedback && !lines.dropsFeedback, &out)
    let own = lines.speech
    if let replacement = own.replacement { type(replacement.payloadType, &out) }
    for format in formats where codecs.allows(format, in: bytes) && own.keeps(format) {
      type(format.payloadType, &out)
    }
    for format in own.added { type(format.payloadType, &out) }
    if own.hasComfortNoise { type(SDPSpeech.comfortNoise.payloadType, &out) }
    if let events = own.events.own { type(events.payloadType, &out) }
    out.append("\r\n")
    if let replacement = own.replacement { describe(replacement, &out) }
    for format in formats where codecs.allows(format, in: bytes) && own.keeps(format) {
      describe(format, bytes, &out)
    }
    for format in own.added { describe(format, &out) }
    if own.hasComfortNoise { describe(SDPSpeech.comfortNoise, &out) }
    if let events = own.events.own { digits(events, &out) }
  }

  private static func type(_ payloadType: UInt8, _ out: inout OutputBuffer) {
    out.append(" ")
    out.append(decimal: Int(payloadType))
  }

  /// Behind `m=audio ` and its like: the rest of the line.
  private static func rtp(
    _ media: SDPMedia, _ formats: ArraySlice<SDPFormat>, _ bytes: RawSpan, port: UInt16,
    _ own: SDPLines.Further?, _ allowed: CodecFilter, _ out: inout OutputBuffer
  ) {
    out.append(decimal: Int(port))
    transport(
      own?.protection,
      feedback: media.transport.hasFeedback && own?.dropsFeedback != true, &out)
    for format in formats where allowed.allows(format, in: bytes) {
      type(format.payloadType, &out)
    }
    out.append("\r\n")
  }

  /// ITU-T T.38 annex D: the one format, and no direction but where the stream is held.
  private static func fax(
    _ media: SDPMedia, _ bytes: RawSpan, port: UInt16, _ direction: SDPDirection,
    _ out: inout OutputBuffer
  ) {
    out.append("m=image ")
    out.append(decimal: Int(port))
    out.append(" udptl t38\r\n")
    further(media, of: bytes, into: &out)
    if direction != .sendrecv { attribute(direction.attribute, &out) }
  }

  /// The protocol of an anchored line.
  static func transport(
    _ protection: SDPProtection?, feedback: Bool, _ out: inout OutputBuffer
  ) {
    let profile =
      protection.map { $0.transport ?? $0.profile(feedback: feedback) }
      ?? (feedback ? .rtpAVPF : .rtpAVP)
    switch profile {
    case .rtpSAVP: out.append(" RTP/SAVP")
    case .rtpSAVPF: out.append(" RTP/SAVPF")
    case .rtpAVPF: out.append(" RTP/AVPF")
    case .dtlsSAVP: out.append(" UDP/TLS/RTP/SAVP")
    case .dtlsSAVPF: out.append(" UDP/TLS/RTP/SAVPF")
    case .rtpAVP, .udptl, .other: out.append(" RTP/AVP")
    }
  }

  /// RFC 4568 §9.1, RFC 8122 §5. No lifetime and no MKI: both may be left out, and some peers read neither.
  static func keys(_ protection: SDPProtection?, _ out: inout OutputBuffer) {
    if let handshake = protection?.handshake { self.handshake(handshake, &out) }
    for line in protection?.lines ?? [] {
      out.append("a=crypto:")
      out.append(decimal: Int(line.tag))
      out.append(" ")
      out.append(line.suite.name)
      out.append(" inline:")
      Base64.append(line.secret.exposed, to: &out)
      out.append("\r\n")
    }
  }

  private static func handshake(_ own: SDPOwnHandshake, _ out: inout OutputBuffer) {
    out.append("a=fingerprint:sha-256 ")
    for (i, byte) in own.fingerprint.enumerated() {
      if i > 0 { out.append(byte: UInt8(ascii: ":")) }
      // RFC 8122 §5: the letters are large.
      out.append(byte: upperDigits[Int(byte >> 4)])
      out.append(byte: upperDigits[Int(byte & 15)])
    }
    out.append("\r\na=setup:")
    out.append(own.setup.name)
    out.append("\r\n")
  }

  private static let upperDigits = Array("0123456789ABCDEF".utf8)

  /// Rejects the m-lines of `sdp` from `line` on: what an answer that is too short leaves out.
  package static func reject(
    _ sdp: SessionDescription, of bytes: RawSpan, from line: Int, into out: inout OutputBuffer
  ) {
    for i in sdp.media.indices where i >= line {
      rejected(sdp.media[i], sdp.formats(of: i).first, bytes, &out)
    }
  }

  /// v=, o=, s=, c= and t=.
  static func head(_ session: SDPSession, _ out: inout OutputBuffer) {
    out.append("v=0\r\no=- ")
    out.append(decimal: UInt(session.id))
    out.append(" ")
    out.append(decimal: UInt(session.version))
    address(" IN", session.address, &out)
    out.append("s=-\r\n")
    address("c=IN", session.address, &out)
    out.append("t=0 0\r\n")
  }

  private static func address(_ prefix: StaticString, _ ip: IPAddress, _ out: inout OutputBuffer) {
    out.append(prefix)
    out.append(ip.family == .v4 ? " IP4 " : " IP6 ")
    out.append(ip, bracketed: false)
    out.append("\r\n")
  }

  /// A rejected line keeps its place, media and protocol, and needs a format (RFC 3264 §6).
  static func rejected(
    _ media: SDPMedia, _ format: SDPFormat?, _ bytes: RawSpan, _ out: inout OutputBuffer
  ) {
    out.append("m=")
    out.append(bytes, media.kindToken)
    out.append(" 0 ")
    out.append(bytes, media.transportToken)
    out.append(" ")
    if let format { out.append(bytes, format.token) } else { out.append("0") }
    out.append("\r\n")
  }

  private static func describe(_ format: SDPFormat, _ bytes: RawSpan, _ out: inout OutputBuffer) {
    if format.hasRTPMap {
      out.append("a=rtpmap:")
      out.append(decimal: Int(format.payloadType))
      out.append(" ")
      out.append(bytes, format.name)
      out.append("/")
      out.append(decimal: Int(format.clockRate))
      if format.channels > 1 {
        out.append("/")
        out.append(decimal: Int(format.channels))
      }
      out.append("\r\n")
    }
    // Format parameters are opaque to us; only plain text of them is passed on.
    guard !format.parameters.isEmpty, bytes.isPrintable(format.parameters) else { return }
    out.append("a=fmtp:")
    out.append(decimal: Int(format.payloadType))
    out.append(" ")
    out.append(bytes, format.parameters)
    out.append("\r\n")
  }

  static func times(_ packetTime: UInt16, _ maxPacketTime: UInt16, _ out: inout OutputBuffer) {
    if packetTime != 0 { number("a=ptime:", Int(packetTime), &out) }
    if maxPacketTime != 0 { number("a=maxptime:", Int(maxPacketTime), &out) }
  }

  private static func number(_ name: StaticString, _ value: Int, _ out: inout OutputBuffer) {
    out.append(name)
    out.append(decimal: value)
    out.append("\r\n")
  }

  static func attribute(_ name: StaticString, _ out: inout OutputBuffer) {
    out.append("a=")
    out.append(name)
    out.append("\r\n")
  }
}
