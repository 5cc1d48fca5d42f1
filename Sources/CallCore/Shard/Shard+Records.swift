import Base
import MediaControl

extension Shard {
  /// The established call as recovery, hand-over or a second node would read it: a `SessionRecord`, written
  /// straight from the call.
  func establishedRecord(_ session: Session) -> EncodedSession {
    let (one, other) = session.own
    recordText.begin()
    SessionRecord.write(
      call: session.id, tenant: session.record.tenant, from: session.record.from,
      to: session.record.to, legs: (one == nil ? 0 : 1) + (other == nil ? 0 : 1),
      into: &recordText)
    if let one { write(one) }
    if let other { write(other) }
    defer { recordText.abandon() }
    return EncodedSession(
      encoded: recordText.withOpenBytes { $0.array(ByteRange(0, $0.byteCount)) })
  }

  private func write(_ leg: Leg) {
    let text = blocks.bytes(leg.text)
    let state = SessionRecord.LegState(
      side: leg.side, isOurs: leg.isOurs, tagOwner: leg.tagHandle.packed, fork: leg.fork,
      localCSeq: leg.localCSeq, remoteCSeq: leg.remoteCSeq, destination: leg.destination,
      source: leg.source, listener: leg.listener, network: UInt16(clamping: leg.network),
      sdpSession: leg.sdpSession, sdpVersion: leg.sdpVersion, media: leg.media?.local,
      remoteRTP: leg.media?.remote?.rtp, remoteRTCP: leg.media?.remote?.rtcp)
    SessionRecord.write(
      state, callID: text.extracting(leg.callID), local: text.extracting(leg.local),
      remote: text.extracting(leg.remote), remoteTag: text.extracting(leg.remoteTag),
      target: text.extracting(leg.target), routes: text.extracting(leg.routes), into: &recordText)
  }
}

/// The bytes of a `SessionRecord`.
struct EncodedSession {
  var encoded: [UInt8]
}
