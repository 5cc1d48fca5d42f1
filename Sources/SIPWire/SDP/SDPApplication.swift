package import Base

/// What an application of ours and a far end agreed to speak.
package struct SDPChoice: Hashable, Sendable {
  /// Position of the m-line.
  package var line: Int
  /// PCMU or PCMA.
  package var encoding: AudioEncoding
  package var payloadType: UInt8
  /// Nil: the far end sends digits in no way that we read.
  package var telephoneEvent: UInt8?

  package init(line: Int, encoding: AudioEncoding, payloadType: UInt8, telephoneEvent: UInt8?) {
    self.line = line
    self.encoding = encoding
    self.payloadType = payloadType
    self.telephoneEvent = telephoneEvent
  }
}

// Descriptions for our own applications, which speak PCMU, PCMA and telephone-event, 20 ms a packet.
extension SDPWriter {
  /// Payload type of telephone-event in our own offers.
  package static let telephoneEvent: UInt8 = 101

  /// The first offered codec that we speak, in the first audio line; nil where there is none.
  package static func choose(from sdp: SessionDescription) -> SDPChoice? {
    guard let line = sdp.firstAudio else { return nil }
    let formats = sdp.formats(of: line)
    let isOurs = { (format: SDPFormat) in
      (format.encoding == .pcmu || format.encoding == .pcma) && format.clockRate == 8_000
        && format.channels == 1
    }
    guard let codec = formats.first(where: isOurs) else { return nil }
    let digits = formats.first { $0.encoding == .telephoneEvent && $0.clockRate == 8_000 }
    return SDPChoice(
      line: line, encoding: codec.encoding, payloadType: codec.payloadType,
      telephoneEvent: digits?.payloadType)
  }

  /// An offer of one audio line with all that we speak.
  package static func offer(
    as session: SDPSession, port: UInt16, direction: SDPDirection = .sendrecv,
    protection: SDPProtection? = nil, into out: inout OutputBuffer
  ) {
    head(session, &out)
    out.append("m=audio ")
    out.append(decimal: Int(port))
    transport(protection, feedback: false, &out)
    out.append(" 0 8 101\r\n")
    map(0, .pcmu, &out)
    map(8, .pcma, &out)
    digits(telephoneEvent, &out)
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
      out.append(decimal: Int(choice.payloadType))
      if let event = choice.telephoneEvent {
        out.append(" ")
        out.append(decimal: Int(event))
      }
      out.append("\r\n")
      map(choice.payloadType, choice.encoding, &out)
      if let event = choice.telephoneEvent { digits(event, &out) }
      times(20, 0, &out)
      keys(protection, &out)
      let offered = media.direction
      let agreed = SDPDirection(
        sends: direction.sends && offered.receives, receives: direction.receives && offered.sends)
      attribute(agreed.attribute, &out)
    }
  }

  /// Of an encoding with a clock of 8000 Hz.
  static func map(
    _ payloadType: UInt8, _ encoding: AudioEncoding, _ out: inout OutputBuffer
  ) {
    out.append("a=rtpmap:")
    out.append(decimal: Int(payloadType))
    out.append(" ")
    out.append(encoding.name)
    out.append("/8000\r\n")
  }

  /// The events 0 to 15: the sixteen digits (RFC 4733 §2.4.1).
  private static func digits(_ payloadType: UInt8, _ out: inout OutputBuffer) {
    map(payloadType, .telephoneEvent, &out)
    out.append("a=fmtp:")
    out.append(decimal: Int(payloadType))
    out.append(" 0-15\r\n")
  }
}
