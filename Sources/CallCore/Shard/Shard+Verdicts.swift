import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// One-way audio: some time after the answer, and after each change, both sides are looked at. Whoever is not heard, or
// hears nothing, gets a verdict that says why; where its media comes later after all, that is said too.

extension Shard {
  /// The verdict is there within three seconds of the answer, and most phones have said something before.
  static let verdictAfter = Interval.milliseconds(2_500)

  func examine(_ leg: Leg, _ isTwoWay: Bool) {
    guard let media = leg.media else { return }
    let milliseconds = isTwoWay ? UInt32(clamping: Self.verdictAfter.milliseconds) : 0
    outbox.media.append(.examine(media.transport, afterMilliseconds: milliseconds))
  }

  func examined(_ leg: Leg, _ evidence: MediaEvidence) {
    guard let session = leg.session, session.state == .answered, !leg.mediaClosing,
      let media = leg.media, let remote = media.remote
    else { return }
    if leg.protection.renewal?.stage == .doubted {
      return renewalExamined(session, leg, evidence)
    }
    let other = session.other(leg)
    let witness = AudioWitness(
      side: leg.side, evidence: evidence, remote: remote,
      own: SocketAddress(mediaAddress(leg), media.local.port),
      isKnown: { type in
        type == remote.payloadType || remote.isEvent(type)
          || self.names(type, leg) || other.map { self.names(type, $0) } ?? false
      })
    guard let verdict = witness.verdict else { return }
    leg.isUnheard = verdict.reason.isInbound
    note(verdict.text, session)
    tell(.audioVerdict(verdict), call: session.id)
  }

  /// Media of a side comes that a verdict said was not heard.
  func heardAfterAll(_ leg: Leg) {
    guard leg.isUnheard, let session = leg.session else { return }
    leg.isUnheard = false
    note((leg.side == .a ? "the caller" : "the callee") + " is heard after all", session)
  }

  /// Whether the peer's description in force names the payload type.
  private func names(_ type: UInt8, _ leg: Leg) -> Bool {
    guard !leg.description.isNone else { return false }
    var sdp = SessionDescription()
    guard (try? SessionDescription.parse(blocks.bytes(leg.description), into: &sdp)) != nil,
      let line = sdp.firstAudio
    else { return false }
    return sdp.formats(of: line).contains { $0.payloadType == type }
  }
}
