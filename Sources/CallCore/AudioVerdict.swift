import Base
import MediaControl

/// Why one side of a call is not heard, or hears nothing.
package enum SilenceReason: String, Sendable, CaseIterable {
  /// Its packets come from an address that neither SDP nor signalling named, and SDP's is a private one.
  case natNotLatched = "nat-not-latched"
  /// The same, and SDP's is a public one.
  case wrongAddress = "wrong-address"
  /// We have told it a private address to send to, and it is on a public one.
  case ownAddress = "own-address"
  /// Nothing comes from it at all.
  case blocked
  /// What comes has a payload type that no description names.
  case payloadType = "payload-type"
  /// What comes is not protected by the key that was agreed on.
  case wrongKey = "wrong-key"
  /// Nobody has finished the DTLS handshake that brings the keys.
  case noHandshake = "no-handshake"
  /// Whoever has finished it has another certificate than SDP names.
  case wrongFingerprint = "wrong-fingerprint"
  /// What comes is not RTP.
  case notRTP = "not-rtp"
  /// Its RTCP comes, so the way is free, and no RTP.
  case farEndSilent = "far-end-silent"
  /// Its SDP names an address that media may not be sent to.
  case forbiddenAddress = "forbidden-address"
  /// It says by RTCP that nothing of what we send arrives.
  case notArriving = "not-arriving"

  /// The side itself is not heard; otherwise it hears nothing.
  package var isInbound: Bool {
    switch self {
    case .natNotLatched, .wrongAddress, .ownAddress, .blocked, .payloadType, .wrongKey,
      .noHandshake, .wrongFingerprint, .notRTP, .farEndSilent:
      true
    case .forbiddenAddress, .notArriving: false
    }
  }
}

/// What was found out of a side within three seconds of the answer, or of a change of the session.
package struct AudioVerdict: Hashable, Sendable {
  package var side: LegSide
  package var reason: SilenceReason
  /// In words, with the addresses.
  package var text: String

  package init(side: LegSide, reason: SilenceReason, text: String) {
    self.side = side
    self.reason = reason
    self.text = text
  }
}

/// One side as a verdict sees it: what it said, what we said to it, and what came.
struct AudioWitness {
  var side: LegSide
  var evidence: MediaEvidence
  var remote: RemoteMedia
  /// What our SDP names for it.
  var own: SocketAddress
  /// Payload types that either side's description names.
  var isKnown: (UInt8) -> Bool

  /// Nil: nothing speaks against it. What it does not send explains more than what it does not hear, so that
  /// comes first.
  var verdict: AudioVerdict? {
    if let reason = notHeard ?? hearsNothing {
      return AudioVerdict(side: side, reason: reason, text: text(reason))
    }
    return nil
  }

  private var notHeard: SilenceReason? {
    guard evidence.packets == 0 else {
      return isKnown(evidence.payloadType) ? nil : .payloadType
    }
    switch evidence.handshake {
    case .settled: break
    case .unfinished: return .noHandshake
    case .wrongFingerprint: return .wrongFingerprint
    }
    if evidence.unopened > 0 { return .wrongKey }
    if evidence.refused > 0 { return remote.rtp.ip.isPrivate ? .natNotLatched : .wrongAddress }
    if evidence.malformed > 0 { return .notRTP }
    if evidence.controlPackets > 0 { return .farEndSilent }
    if !evidence.isAimed { return .forbiddenAddress }
    return own.ip.isPrivate && !remote.signallingSource.isPrivate ? .ownAddress : .blocked
  }

  private var hearsNothing: SilenceReason? {
    if !evidence.isAimed { return .forbiddenAddress }
    return evidence.sent > 0 && evidence.reportedLoss == 255 ? .notArriving : nil
  }

  private func text(_ reason: SilenceReason) -> String {
    let who = side == .a ? "the caller" : "the callee"
    let complaint = reason.isInbound ? "\(who) is not heard" : "\(who) hears nothing"
    return "\(complaint): \(reason.rawValue): \(explanation(reason))"
  }

  private func explanation(_ reason: SilenceReason) -> String {
    switch reason {
    case .natNotLatched, .wrongAddress:
      "\(evidence.refused) packets came from \(evidence.refusedSource), but its SDP names \(remote.rtp) and it signals"
        + " from \(remote.signallingSource)"
    case .ownAddress:
      "it was told to send to \(own), which cannot be reached from \(remote.signallingSource)"
    case .blocked: "nothing at all came to \(own), neither RTP nor RTCP"
    case .payloadType:
      "it sends payload type \(evidence.payloadType), which no description names"
    case .wrongKey:
      "\(evidence.unopened) packets came that the agreed key does not open: another key, or none at all"
    case .noHandshake:
      "the DTLS handshake that brings the keys between \(own) and \(remote.rtp) has not been finished"
    case .wrongFingerprint:
      "whoever answered the DTLS handshake with \(own) has another certificate than its SDP names"
    case .notRTP: "\(evidence.malformed) packets came to \(own) that are not RTP"
    case .farEndSilent: "its RTCP comes to \(own), so the way is free, but it sends no RTP"
    case .forbiddenAddress:
      "its SDP names \(remote.rtp), where media is not sent to, and nothing has shown where else it is"
    case .notArriving: "it reports that all of the \(evidence.sent) packets sent to it were lost"
    }
  }
}
