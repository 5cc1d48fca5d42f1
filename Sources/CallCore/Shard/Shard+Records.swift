import Base
import MediaControl

extension Shard {
  /// The established call as recovery, hand-over or a second node would read it.
  func establishedRecord(_ session: Session) -> SessionRecord {
    SessionRecord(
      call: session.id, tenant: session.record.tenant, from: session.record.from,
      to: session.record.to,
      legs: [session.caller, session.callee].compactMap { leg in leg.map { record(of: $0) } })
  }

  private func record(of leg: Leg) -> SessionRecord.LegRecord {
    let text = blocks.bytes(leg.text)
    return SessionRecord.LegRecord(
      side: leg.side, isOurs: leg.isOurs, tagOwner: leg.tagHandle.packed, fork: leg.fork,
      localCSeq: leg.localCSeq, remoteCSeq: leg.remoteCSeq, destination: leg.destination,
      source: leg.source, listener: leg.listener, network: UInt16(clamping: leg.network),
      callID: text.array(leg.callID), local: text.array(leg.local), remote: text.array(leg.remote),
      remoteTag: text.array(leg.remoteTag), target: text.array(leg.target),
      routes: text.array(leg.routes), sdpSession: leg.sdpSession, sdpVersion: leg.sdpVersion,
      media: leg.media?.local, remoteRTP: leg.media?.remote?.rtp,
      remoteRTCP: leg.media?.remote?.rtcp)
  }
}
