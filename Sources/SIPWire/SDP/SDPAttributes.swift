import Base

extension SDPParser {
  /// One a= line, of the session or of the m-line above it.
  mutating func attribute(
    _ line: ByteRange, _ bytes: RawSpan, _ sdp: inout SessionDescription
  ) throws(SDPParseError) {
    attributes &+= 1
    guard attributes <= SDPLimits.attributes else {
      throw SDPParseError(.tooManyAttributes, at: line.start)
    }
    let colon = bytes.find(UInt8(ascii: ":"), from: line.start, to: line.end)
    let name = ByteRange(from: line.start, to: colon)
    let value = ByteRange(from: min(colon &+ 1, line.end), to: line.end)
    guard !name.isEmpty, bytes.consists(name, of: .sdpToken) else {
      throw SDPParseError(.attribute, at: line.start)
    }
    if colon == line.end {
      flag(name, bytes, &sdp)
    } else if bytes.equals(name, "rtcp-xr") {
      extendedReports(value, bytes, &sdp)
    } else if bytes.equals(name, "fingerprint") {
      fingerprint(value, bytes, &sdp)
    } else if bytes.equals(name, "setup") {
      setup(value, bytes, &sdp)
    } else if inMedia {
      try mediaAttribute(name, value, bytes, &sdp)
    }
  }

  /// Of an m-line: in place of those of the session (RFC 8122 §5).
  private mutating func fingerprint(
    _ value: ByteRange, _ bytes: RawSpan, _ sdp: inout SessionDescription
  ) {
    guard let found = SDPFingerprint(value, bytes) else { return }
    guard inMedia else {
      if sessionFingerprints < SDPLimits.fingerprints {
        sdp.fingerprints.append(found)
        sessionFingerprints &+= 1
      }
      return
    }
    let line = sdp.media.count &- 1
    if !hasOwnFingerprint {
      hasOwnFingerprint = true
      sdp.media[line].fingerprints = sdp.fingerprints.count..<sdp.fingerprints.count
    }
    guard sdp.media[line].fingerprints.count < SDPLimits.fingerprints else { return }
    let first = sdp.media[line].fingerprints.lowerBound
    sdp.fingerprints.append(found)
    sdp.media[line].fingerprints = first..<sdp.fingerprints.count
  }

  private mutating func setup(
    _ value: ByteRange, _ bytes: RawSpan, _ sdp: inout SessionDescription
  ) {
    guard let found = SDPSetup(value, bytes) else { return }
    if inMedia {
      sdp.media[sdp.media.count &- 1].setup = found
    } else {
      sessionSetup = found
    }
  }

  /// `a=name`
  private mutating func flag(_ name: ByteRange, _ bytes: RawSpan, _ sdp: inout SessionDescription) {
    for direction in SDPDirection.allCases where bytes.equals(name, direction.attribute) {
      if inMedia {
        sdp.media[sdp.media.count &- 1].direction = direction
      } else {
        sessionDirection = direction
      }
      return
    }
    if inMedia, bytes.equals(name, "rtcp-mux") {
      sdp.media[sdp.media.count &- 1].hasRTCPMux = true
    }
  }

  /// `a=name:value` below an m-line.
  private func mediaAttribute(
    _ name: ByteRange, _ value: ByteRange, _ bytes: RawSpan, _ sdp: inout SessionDescription
  ) throws(SDPParseError) {
    let line = sdp.media.count &- 1
    if bytes.equals(name, "rtpmap") {
      guard rtpmap(value, bytes, &sdp) else { throw SDPParseError(.attribute, at: value.start) }
    } else if bytes.equals(name, "fmtp") {
      guard fmtp(value, bytes, &sdp) else { throw SDPParseError(.attribute, at: value.start) }
    } else if bytes.equals(name, "ptime") {
      sdp.media[line].packetTime = milliseconds(value, bytes)
    } else if bytes.equals(name, "maxptime") {
      sdp.media[line].maxPacketTime = milliseconds(value, bytes)
    } else if bytes.equals(name, "rtcp") {
      try rtcp(value, bytes, &sdp.media[line])
    } else if bytes.equals(name, "crypto") {
      crypto(value, bytes, &sdp)
    }
  }

  /// `format *(SP format)`, of which we know one (RFC 3611 §5.1). Of the session it holds for each line.
  private mutating func extendedReports(
    _ value: ByteRange, _ bytes: RawSpan, _ sdp: inout SessionDescription
  ) {
    var words = SDPWords(value)
    while let word = words.next(bytes) {
      guard bytes.equals(word, "voip-metrics") else { continue }
      if inMedia {
        sdp.media[sdp.media.count &- 1].wantsVoIPMetrics = true
      } else {
        sessionWantsVoIPMetrics = true
      }
    }
  }

  /// One that cannot be used is passed over, whatever it says (RFC 4568 §7.1.2): the next may do.
  private func crypto(_ value: ByteRange, _ bytes: RawSpan, _ sdp: inout SessionDescription) {
    let line = sdp.media.count &- 1
    guard sdp.media[line].transport.isRTP, sdp.media[line].crypto.count < SDPLimits.crypto,
      let crypto = SDPCrypto(value, bytes)
    else { return }
    let first =
      sdp.media[line].crypto.isEmpty ? sdp.crypto.count : sdp.media[line].crypto.lowerBound
    sdp.crypto.append(crypto)
    sdp.media[line].crypto = first..<sdp.crypto.count
  }

  /// `payload-type SP name "/" rate [ "/" channels ]` (§6.6). For a payload type that the m-line
  /// doesn't have, and for one that is mapped already, it says nothing.
  private func rtpmap(_ value: ByteRange, _ bytes: RawSpan, _ sdp: inout SessionDescription) -> Bool
  {
    guard sdp.media[sdp.media.count &- 1].transport.isRTP else { return true }
    var words = SDPWords(value)
    guard let token = words.next(bytes), let payloadType = bytes.number(token, limit: 127),
      let map = words.next(bytes), words.isAtEnd(bytes)
    else { return false }
    let nameEnd = bytes.find(UInt8(ascii: "/"), from: map.start, to: map.end)
    let rateEnd = bytes.find(UInt8(ascii: "/"), from: min(nameEnd &+ 1, map.end), to: map.end)
    let name = ByteRange(from: map.start, to: nameEnd)
    guard !name.isEmpty, bytes.consists(name, of: .sdpToken),
      let rate = bytes.number(ByteRange(from: nameEnd &+ 1, to: rateEnd)), rate > 0,
      let channels = channels(bytes, rateEnd, map.end)
    else { return false }
    guard let i = position(of: payloadType, in: sdp) else { return true }
    var format = sdp.formats[i]
    guard !format.hasRTPMap else { return true }
    format.name = name
    format.clockRate = rate
    format.channels = channels
    format.encoding = AudioEncoding.named(bytes.extracting(name))
    sdp.formats[i] = format
    return true
  }

  private func channels(_ bytes: RawSpan, _ slash: Int, _ end: Int) -> UInt8? {
    guard slash < end else { return 1 }
    return bytes.number(ByteRange(from: slash &+ 1, to: end), limit: 255)
      .map { UInt8(truncatingIfNeeded: $0) }
  }

  /// `format SP parameters` (§6.15)
  private func fmtp(_ value: ByteRange, _ bytes: RawSpan, _ sdp: inout SessionDescription) -> Bool {
    guard sdp.media[sdp.media.count &- 1].transport.isRTP else { return true }
    let space = bytes.find(0x20, from: value.start, to: value.end)
    guard let payloadType = bytes.number(ByteRange(from: value.start, to: space), limit: 127) else {
      return false
    }
    let parameters = bytes.trimmed(space, value.end)
    if let i = position(of: payloadType, in: sdp), sdp.formats[i].parameters.isEmpty {
      sdp.formats[i].parameters = parameters
    }
    return true
  }

  private func position(of payloadType: UInt32, in sdp: SessionDescription) -> Int? {
    guard let range = sdp.media.last?.formats else { return nil }
    return range.first { sdp.formats[$0].payloadType == payloadType }
  }

  /// Whole milliseconds; a fraction is cut off, and what cannot be read counts as not said.
  private func milliseconds(_ value: ByteRange, _ bytes: RawSpan) -> UInt16 {
    let dot = bytes.find(UInt8(ascii: "."), from: value.start, to: value.end)
    let number = bytes.number(bytes.trimmed(value.start, dot), limit: 65_535) ?? 0
    return UInt16(truncatingIfNeeded: number)
  }

  /// `port [ SP nettype SP addrtype SP address ]` (RFC 3605 §2.1)
  private func rtcp(_ value: ByteRange, _ bytes: RawSpan, _ media: inout SDPMedia)
    throws(SDPParseError)
  {
    var words = SDPWords(value)
    guard let token = words.next(bytes), let port = bytes.number(token, limit: 65_535), port > 0
    else { throw SDPParseError(.attribute, at: value.start) }
    media.rtcpPort = UInt16(truncatingIfNeeded: port)
    guard let network = words.next(bytes) else { return }
    guard let family = words.next(bytes), let text = words.next(bytes), words.isAtEnd(bytes) else {
      throw SDPParseError(.attribute, at: value.start)
    }
    media.rtcpAddress = try Self.address(bytes, network, family, text)
  }
}
