package import Base

/// What an application of ours and a far end agreed to speak.
package struct SDPChoice: Hashable, Sendable {
  /// Position of the m-line.
  package var line: Int
  package var codec: SDPSpeech.Format
  /// Nil: the far end sends digits in no way that we read.
  package var telephoneEvent: SDPSpeech.Format?
  /// The answer names comfort noise (RFC 3389), as the offer does.
  package var hasComfortNoise = false

  package init(line: Int, codec: SDPSpeech.Format, telephoneEvent: SDPSpeech.Format?) {
    self.line = line
    self.codec = codec
    self.telephoneEvent = telephoneEvent
  }
}

// Descriptions for our own applications, 20 ms a packet.
extension SDPWriter {
  /// Payload type of telephone-event in our own offers.
  package static let telephoneEvent: UInt8 = 101

  /// What the first audio line offers that we speak: the first law of G.711, which is what our clips are kept in, else the
  /// first of the others; nil where there is none.
  package static func choose(
    from sdp: SessionDescription, speaking isSpoken: (SDPFormat) -> Bool
  ) -> SDPChoice? {
    guard let line = sdp.firstAudio else { return nil }
    let formats = sdp.formats(of: line)
    let isLaw = { (format: SDPFormat) in format.encoding == .pcmu || format.encoding == .pcma }
    guard
      let codec = formats.first(where: { isLaw($0) && isSpoken($0) })
        ?? formats.first(where: isSpoken)
    else { return nil }
    func digits(_ clockRate: UInt32) -> SDPFormat? {
      formats.first { $0.encoding == .telephoneEvent && $0.clockRate == clockRate }
    }
    let events =
      digits(codec.clockRate) ?? digits(8_000) ?? digits(16_000) ?? digits(32_000) ?? digits(48_000)
    return SDPChoice(
      line: line,
      codec: SDPSpeech.Format(codec.encoding, codec.payloadType, clockRate: codec.clockRate),
      telephoneEvent: events.map {
        SDPSpeech.Format(.telephoneEvent, $0.payloadType, clockRate: $0.clockRate)
      })
  }

  /// An offer of one audio line with both laws of G.711.
  package static func offer(
    as session: SDPSession, port: UInt16, direction: SDPDirection = .sendrecv,
    protection: SDPProtection? = nil, into out: inout OutputBuffer
  ) {
    head(session, &out)
    out.append("m=audio ")
    out.append(decimal: Int(port))
    transport(protection, feedback: false, &out)
    out.append(" 0 8 101\r\n")
    describe(SDPSpeech.Format(.pcmu, 0), &out)
    describe(SDPSpeech.Format(.pcma, 8), &out)
    digits(SDPSpeech.Format(.telephoneEvent, telephoneEvent), &out)
    times(20, 0, &out)
    keys(protection, &out)
    attribute(direction.attribute, &out)
  }

  /// The answer to an offer in which `choice` was found: that line at our port, all others rejected.
  package static func answer(
    to sdp: SessionDescription, of bytes: RawSpan, choice: SDPChoice, as session: SDPSession,
    port: UInt16, direction: SDPDirection = .sendrecv, protection: SDPProtection? = nil,
    into out: inout OutputBuffer
  ) {
    head(session, &out)
    for (i, media) in sdp.media.enumerated() {
      guard i == choice.line else {
        rejected(media, sdp.formats(of: i).first, bytes, &out)
        continue
      }
      out.append("m=audio ")
      out.append(decimal: Int(port))
      transport(protection, feedback: media.transport.hasFeedback, &out)
      out.append(" ")
      out.append(decimal: Int(choice.codec.payloadType))
      if let event = choice.telephoneEvent {
        out.append(" ")
        out.append(decimal: Int(event.payloadType))
      }
      if choice.hasComfortNoise {
        out.append(" ")
        out.append(decimal: Int(SDPSpeech.comfortNoise.payloadType))
      }
      out.append("\r\n")
      describe(choice.codec, &out)
      if let event = choice.telephoneEvent { digits(event, &out) }
      if choice.hasComfortNoise { describe(SDPSpeech.comfortNoise, &out) }
      times(20, 0, &out)
      keys(protection, &out)
      let offered = media.direction
      let agreed = SDPDirection(
        sends: direction.sends && offered.receives, receives: direction.receives && offered.sends)
      attribute(agreed.attribute, &out)
    }
  }

  /// A format of ours, with its parameters where it needs any.
  static func describe(_ format: SDPSpeech.Format, _ out: inout OutputBuffer) {
    map(format.payloadType, format.encoding, format.clockRate, &out)
    // Silence is coded as speech is: the default of the other side would be annex B (RFC 4856 §2.1.9).
    if format.encoding == .g729 {
      parameters(format.payloadType, &out)
      out.append("annexb=no\r\n")
    }
    // What a packet says of the one before it is made use of (RFC 7587 §6.1).
    if format.encoding == .opus {
      parameters(format.payloadType, &out)
      out.append("useinbandfec=1\r\n")
    }
  }

  private static func map(
    _ payloadType: UInt8, _ encoding: AudioEncoding, _ clockRate: UInt32, _ out: inout OutputBuffer
  ) {
    out.append("a=rtpmap:")
    out.append(decimal: Int(payloadType))
    out.append(" ")
    out.append(encoding.name)
    out.append("/")
    out.append(decimal: Int(clockRate))
    // Always written so, however many channels there are (RFC 7587 §7).
    if encoding == .opus { out.append("/2") }
    out.append("\r\n")
  }

  private static func parameters(_ payloadType: UInt8, _ out: inout OutputBuffer) {
    out.append("a=fmtp:")
    out.append(decimal: Int(payloadType))
    out.append(" ")
  }

  /// The events 0 to 15: the sixteen digits (RFC 4733 §2.4.1).
  static func digits(_ events: SDPSpeech.Format, _ out: inout OutputBuffer) {
    map(events.payloadType, .telephoneEvent, events.clockRate, &out)
    parameters(events.payloadType, &out)
    out.append("0-15\r\n")
  }
}
