package import Base

/// A session description (RFC 8866) as ranges over the bytes it was read from. Made once and read into
/// again and again: its arrays keep their memory.
///
/// What none of our decisions needs (names, times, bandwidths, k= lines, unknown attributes) is checked for
/// its form and not kept, so it cannot be passed on by accident either.
package struct SessionDescription: Sendable {
  /// Of the o= line: who this is, and its version (RFC 3264 §8 compares them).
  package var sessionID = ByteRange.none
  package var sessionVersion = ByteRange.none
  package var media: [SDPMedia] = []
  /// The formats of all m-lines, one after the other (`SDPMedia.formats`).
  package var formats: [SDPFormat] = []
  /// The usable a=crypto lines of all m-lines (`SDPMedia.crypto`).
  package var crypto: [SDPCrypto] = []
  /// The usable a=fingerprint lines of the session and of all m-lines (`SDPMedia.fingerprints`).
  package var fingerprints: [SDPFingerprint] = []

  package init() {}

  /// The position of the m-line of audio that we take: the first one over SRTP with a key that we can use, since
  /// who offers the same speech twice means it so, else the first over plain RTP. Rejected ones (port 0) are none.
  package var firstAudio: Int? {
    media.firstIndex { $0.kind == .audio && $0.port != 0 && $0.isProtected }
      ?? media.firstIndex { $0.kind == .audio && $0.port != 0 && $0.transport.isPlainRTP }
  }

  /// The usable a=crypto lines of an m-line, in the order of preference.
  package func crypto(of line: Int) -> ArraySlice<SDPCrypto> {
    guard media.indices.contains(line) else { return [] }
    return crypto[media[line].crypto.clamped(to: crypto.indices)]
  }

  /// The usable a=fingerprint lines that hold for an m-line: its own, else those of the session.
  package func fingerprints(of line: Int) -> ArraySlice<SDPFingerprint> {
    guard media.indices.contains(line) else { return [] }
    return fingerprints[media[line].fingerprints.clamped(to: fingerprints.indices)]
  }

  /// Where the peer wants RTP of this m-line; nil when the line is rejected or unknown. The unspecified
  /// address means hold as RFC 2543 had it, and is no destination.
  package func rtpAddress(of line: Int) -> SocketAddress? {
    guard media.indices.contains(line), media[line].port != 0 else { return nil }
    return media[line].address.map { SocketAddress($0, media[line].port) }
  }

  /// Where it wants RTCP: the a=rtcp attribute (RFC 3605), the same port with a=rtcp-mux (RFC 5761), else
  /// the next higher port.
  package func rtcpAddress(of line: Int) -> SocketAddress? {
    guard let rtp = rtpAddress(of: line) else { return nil }
    let description = media[line]
    if let port = description.rtcpPort {
      return SocketAddress(description.rtcpAddress ?? rtp.ip, port)
    }
    if description.hasRTCPMux { return rtp }
    return rtp.port < .max ? SocketAddress(rtp.ip, rtp.port &+ 1) : nil
  }

  /// The formats of an m-line, in the order of preference; none for a line that isn't there.
  package func formats(of line: Int) -> ArraySlice<SDPFormat> {
    guard media.indices.contains(line) else { return [] }
    return formats[media[line].formats.clamped(to: formats.indices)]
  }

  mutating func removeAll() {
    sessionID = .none
    sessionVersion = .none
    media.removeAll(keepingCapacity: true)
    formats.removeAll(keepingCapacity: true)
    crypto.removeAll(keepingCapacity: true)
    fingerprints.removeAll(keepingCapacity: true)
  }
}

/// The direction of a stream, seen from the one who wrote the description (RFC 3264 §5.1).
@frozen
package enum SDPDirection: UInt8, Sendable, CaseIterable {
  case sendrecv, sendonly, recvonly, inactive

  package init(sends: Bool, receives: Bool) {
    switch (sends, receives) {
    case (true, true): self = .sendrecv
    case (true, false): self = .sendonly
    case (false, true): self = .recvonly
    case (false, false): self = .inactive
    }
  }

  package var sends: Bool { self == .sendrecv || self == .sendonly }
  package var receives: Bool { self == .sendrecv || self == .recvonly }

  /// The same stream seen from the other end.
  package var reversed: SDPDirection { SDPDirection(sends: receives, receives: sends) }

  package var attribute: StaticString {
    switch self {
    case .sendrecv: "sendrecv"
    case .sendonly: "sendonly"
    case .recvonly: "recvonly"
    case .inactive: "inactive"
    }
  }
}

/// One m-line and what stands below it.
package struct SDPMedia: Hashable, Sendable {
  @frozen package enum Kind: UInt8, Sendable { case audio, video, image, application, text, other }

  /// The proto field. RTP/SAVP and its like carry SRTP, udptl fax.
  @frozen package enum Transport: UInt8, Sendable {
    case rtpAVP, rtpAVPF, rtpSAVP, rtpSAVPF, dtlsSAVP, dtlsSAVPF, udptl, other

    package var isRTP: Bool { self != .udptl && self != .other }
    package var isPlainRTP: Bool { self == .rtpAVP || self == .rtpAVPF }
    /// SRTP with keys in a=crypto (RFC 4568).
    package var isSecureRTP: Bool { self == .rtpSAVP || self == .rtpSAVPF }
    /// SRTP with keys by DTLS (RFC 5764 §8).
    package var isDTLS: Bool { self == .dtlsSAVP || self == .dtlsSAVPF }
    /// With RTCP feedback (RFC 4585).
    package var hasFeedback: Bool { self == .rtpAVPF || self == .rtpSAVPF || self == .dtlsSAVPF }
  }

  package var kind: Kind
  package var kindToken: ByteRange
  /// 0: not wanted, or no longer.
  package var port: UInt16
  package var portCount: UInt16
  package var transport: Transport
  package var transportToken: ByteRange
  /// Positions in `SessionDescription.formats`.
  package var formats: Range<Int>
  /// Of this line's c=, else of the session's; nil only in a line with port 0.
  package var address: IPAddress?
  /// Of this line, else of the session, else sendrecv.
  package var direction: SDPDirection
  /// The lines below it.
  package var section: ByteRange
  /// Milliseconds of audio a packet; 0 where it isn't said.
  package var packetTime: UInt16 = 0
  package var maxPacketTime: UInt16 = 0
  package var rtcpPort: UInt16?
  package var rtcpAddress: IPAddress?
  package var hasRTCPMux = false
  /// Its writer asks for VoIP metrics in RTCP XR (RFC 3611 §5.1).
  package var wantsVoIPMetrics = false
  /// Positions in `SessionDescription.crypto`.
  package var crypto: Range<Int> = 0..<0
  /// Positions in `SessionDescription.fingerprints`.
  package var fingerprints: Range<Int> = 0..<0
  /// Of this line, else of the session; nil: not said.
  package var setup: SDPSetup?

  /// Fax in real time by ITU-T T.38.
  package var isFax: Bool { kind == .image && transport == .udptl }
  /// Over SRTP with keys by DTLS, from one whose certificate is named. Before it had a protocol of its own, and by some
  /// to this day, that has been said as RTP/SAVP without a key.
  package var hasHandshake: Bool {
    (transport.isDTLS || transport.isSecureRTP && crypto.isEmpty) && !fingerprints.isEmpty
  }
  /// Over SRTP, with a key that we can use or can come to.
  package var isProtected: Bool { transport.isSecureRTP && !crypto.isEmpty || hasHandshake }
  /// Held by this description's writer: it won't receive, by direction or by RFC 2543's address.
  package var isHold: Bool { !direction.receives || address?.isUnspecified == true }
}

/// One format of an m-line.
package struct SDPFormat: Hashable, Sendable {
  /// As it stands in the m-line.
  package var token: ByteRange
  /// 0 to 127, or 255 in a line that isn't RTP.
  package var payloadType: UInt8
  package var encoding: AudioEncoding
  /// Of the rtpmap; empty where there is none.
  package var name = ByteRange.none
  /// In Hz, by rtpmap or by RFC 3551's table; 0 where neither says.
  package var clockRate: UInt32
  package var channels: UInt8 = 1
  /// The value of its fmtp; empty where there is none.
  package var parameters = ByteRange.none

  package var hasRTPMap: Bool { !name.isEmpty }
}

/// Encodings that decisions depend on; all others are told apart by their names only.
@frozen
package enum AudioEncoding: UInt8, Sendable, CaseIterable {
  case other, pcmu, pcma, gsm, g722, g723, g728, g729, ilbc, l16, opus, comfortNoise, telephoneEvent

  /// The name of rtpmap; empty for `.other`.
  package var name: StaticString {
    switch self {
    case .other: ""
    case .pcmu: "PCMU"
    case .pcma: "PCMA"
    case .gsm: "GSM"
    case .g722: "G722"
    case .g723: "G723"
    case .g728: "G728"
    case .g729: "G729"
    case .ilbc: "iLBC"
    case .l16: "L16"
    case .opus: "opus"
    case .comfortNoise: "CN"
    case .telephoneEvent: "telephone-event"
    }
  }

  /// Carries speech, rather than comfort noise or digits beside it.
  package var isSpeech: Bool { self != .comfortNoise && self != .telephoneEvent }

  /// What RFC 3551 §6 assigns to a payload type without an rtpmap, at its clock rate.
  package static func assigned(to payloadType: UInt8) -> (encoding: AudioEncoding, rate: UInt32) {
    switch payloadType {
    case 0: (.pcmu, 8_000)
    case 3: (.gsm, 8_000)
    case 4: (.g723, 8_000)
    case 8: (.pcma, 8_000)
    case 9: (.g722, 8_000)
    case 13: (.comfortNoise, 8_000)
    case 15: (.g728, 8_000)
    case 18: (.g729, 8_000)
    default: (.other, 0)
    }
  }

  /// The payload type that RFC 3551 §6 assigns; nil: none.
  package var assignedType: UInt8? {
    switch self {
    case .pcmu: 0
    case .gsm: 3
    case .g723: 4
    case .pcma: 8
    case .g722: 9
    case .comfortNoise: 13
    case .g728: 15
    case .g729: 18
    // L16's 10 and 11 have 44 100 Hz, which is nothing that we have a use for.
    case .other, .ilbc, .l16, .opus, .telephoneEvent: nil
    }
  }

  static func named(_ name: RawSpan) -> AudioEncoding {
    switch name.byteCount {
    case 4 where name.equals("PCMU"): return .pcmu
    case 4 where name.equals("PCMA"): return .pcma
    case 15 where name.equals("telephone-event"): return .telephoneEvent
    default: return namedInAnyCase(name)
    }
  }

  private static func namedInAnyCase(_ name: RawSpan) -> AudioEncoding {
    for encoding in [
      AudioEncoding.pcmu, .pcma, .telephoneEvent, .g722, .g729, .opus, .comfortNoise, .gsm, .ilbc,
      .g723, .g728, .l16,
    ] where name.equalsIgnoringCase(encoding.name) {
      return encoding
    }
    return .other
  }
}
