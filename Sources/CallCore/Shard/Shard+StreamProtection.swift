import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// SRTP on the lines of RTP beside speech: each has keys or a handshake of its own (RFC 4568 §5, RFC 5763 §5), under the
// same rules as speech. In our offers such a line has what speech has there, and nothing plain stands beside speech that
// is encrypted: somebody who sees the padlock has no reason to think that the picture is for all to see.

extension Shard {
  // MARK: Reading

  /// The keys of a further line, the inner nil: it is plain; nil: it is not taken. `speech`: what the same description
  /// has said of the leg's first line; nil: nothing.
  func furtherSecurity(
    _ sdp: SessionDescription, _ bytes: RawSpan, line: Int, beside speech: RemoteMedia?, _ leg: Leg
  ) -> MediaSecurity?? {
    // UDPTL has no keys, and where it may go has been looked at.
    guard sdp.media[line].transport.isRTP else { return .some(nil) }
    let before = leg.further?[line]
    var agreed = before?.protection ?? LineProtection()
    let security: MediaSecurity?
    do throws(Cause) {
      security = try self.security(
        sdp, bytes, line: line, leg, &agreed, inForce: before?.remote?.security)
    } catch {
      keep(agreed, line, leg)
      return nil
    }
    keep(agreed, line, leg)
    let isSpeech = speech?.proto == .rtp
    guard security != nil || mayBePlain(leg, isSpeech ? speech?.security != nil : nil) else {
      return nil
    }
    return .some(security)
  }

  /// Whether a line may be plain beside speech that is encrypted or not; nil: there is no speech in the description.
  private func mayBePlain(_ leg: Leg, _ isSpeechEncrypted: Bool?) -> Bool {
    guard let isSpeechEncrypted else { return carriesPlain(leg) }
    return !isSpeechEncrypted && !requiresProtection(leg)
  }

  /// A line that has never been anything but plain has nothing to be kept.
  private func keep(_ agreed: LineProtection, _ line: Int, _ leg: Leg) {
    guard !agreed.isNone else { return }
    let further = leg.further ?? FurtherStreams()
    leg.further = further
    var stream = further[line] ?? FurtherStreams.Stream(line: line)
    stream.protection = agreed
    further[line] = stream
  }

  // MARK: Writing

  /// Whether `source`, whose line is to pass to `leg`, has it itself, and `leg` has not offered it in a way that was no
  /// good. One whose keys went with an earlier process is not known to have it until it has been asked.
  func hasTaken(_ line: Int, _ source: Leg?, _ leg: Leg) -> Bool {
    if answers(leg), !isTaken(line, leg) { return false }
    guard let source, source.protection.renewal?.stage != .asking else { return true }
    return isTaken(line, source) || source.further?[line]?.remote != nil
  }

  /// Of the peer's open offer, else of what is in force.
  private func isTaken(_ line: Int, _ leg: Leg) -> Bool {
    if let open = leg.reoffer?.remote { return open.further.contains { $0.line == line } }
    return leg.further?[line]?.remote != nil
  }

  /// How a further line of our description is protected, the inner nil: not at all; nil: it has to be rejected.
  /// `speech`: of the same description; nil: there is no speech in it.
  func ownProtection(
    _ leg: Leg, _ line: Int, _ media: SDPMedia, beside speech: SDPProtection??
  ) -> SDPProtection?? {
    guard media.transport.isRTP else { return .some(nil) }
    let before = leg.further?[line]
    var agreed = before?.protection ?? LineProtection()
    defer { keep(agreed, line, leg) }
    if answers(leg) {
      if let own = ownAnswer(agreed) { return .some(own) }
      return mayBePlain(leg, speech.map { $0 != nil }) ? .some(nil) : nil
    }
    do throws(Cause) {
      let own = try offer(leg, media, before?.remote?.security, &agreed, beside: speech)
      guard own != nil || mayBePlain(leg, speech.map { $0 != nil }) else { return nil }
      return .some(own)
    } catch {
      return nil
    }
  }

  /// Nil: plain RTP.
  private func offer(
    _ leg: Leg, _ media: SDPMedia, _ inForce: MediaSecurity?, _ agreed: inout LineProtection,
    beside speech: SDPProtection??
  ) throws(Cause) -> SDPProtection? {
    let isPlain = speech.map { $0 == nil } ?? carriesPlain(leg)
    if isPlain, inForce == nil {
      agreed.offer([])
      return nil
    }
    let own: SDPProtection? = speech ?? nil
    let hasHandshake =
      inForce.map { $0.handshake != nil } ?? own.map { $0.handshake != nil }
      ?? offersHandshake(leg)
    let transport = agreed.answer?.transport ?? own?.transport?.with(media.transport.hasFeedback)
    if hasHandshake {
      return try offerHandshake(&agreed, like: transport?.isPlainRTP == true ? nil : transport)
    }
    if let key = inForce?.sending {
      keepOffer(of: key, &agreed)
    } else if agreed.offered.isEmpty {
      try makeOffer(leg, &agreed)
    }
    // With the protocol of the keys; but who offered plain RTP with a key beside it is asked in the same way.
    return ownOffer(agreed, like: transport?.isPlainRTP == true ? transport : nil)
  }
}

extension SDPMedia.Transport {
  /// The same protocol with RTCP feedback (RFC 4585, RFC 5124) or without.
  fileprivate func with(_ feedback: Bool) -> SDPMedia.Transport {
    switch self {
    case .rtpAVP, .rtpAVPF: feedback ? .rtpAVPF : .rtpAVP
    case .rtpSAVP, .rtpSAVPF: feedback ? .rtpSAVPF : .rtpSAVP
    case .dtlsSAVP, .dtlsSAVPF: feedback ? .dtlsSAVPF : .dtlsSAVP
    case .udptl, .other: self
    }
  }
}
