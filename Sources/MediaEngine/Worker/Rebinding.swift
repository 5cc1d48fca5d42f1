import Base
import MediaControl
import RTPWire

// A NAT that gives the far end another port in the middle of a call. A latch that never moved would leave it mute
// until the call ends; one that followed anybody would be RTP bleed. So a packet from elsewhere is the far end's only
// where the old address has been silent for a while and the packet goes on with the very flow that was heard from
// there (SSRC and sequence number, which a stranger must guess), from an address that SDP or signalling named; or
// where it is protected by the far end's key.

extension Worker {
  /// No packet of the old address for so long: ten packets of 20 ms.
  private static var silenceBeforeMove: Interval { .milliseconds(200) }
  /// Packets that may be missing between: a minute's.
  private static var longestGap: UInt16 { 3_000 }

  /// Whether the packet is the far end's from its new address, which is learnt then.
  mutating func follow(_ source: SocketAddress, _ header: RTPHeader, _ slot: Int) -> Bool {
    guard mayHaveMoved(to: source, slot) else { return false }
    let remote = transports[slot].remote
    let isNamed = source.ip == remote.rtp.ip || source.ip == remote.signallingSource
    guard isNamed || remote.latch == .window else { return false }
    let reception = streams[slot].reception
    guard header.ssrc == reception.ssrc,
      (1...Self.longestGap).contains(header.sequence &- reception.highestSequence)
    else { return false }
    move(slot, to: source)
    return true
  }

  /// The old address is silent, and the new one is not ourselves.
  mutating func mayHaveMoved(to source: SocketAddress, _ slot: Int) -> Bool {
    guard transports[slot].latch.state == .fixed, streams[slot].reception.started,
      !destinations.isOwn(source)
    else { return false }
    readPassages(slot)
    return now - transports[slot].lastMedia >= Self.silenceBeforeMove
  }

  /// RTCP has to show anew where it comes from.
  mutating func move(_ slot: Int, to source: SocketAddress) {
    takeBack(slot)
    transports[slot].latch.move(to: source)
    transports[slot].controlLatch = SourceLatch()
    counters.moves &+= 1
    aim(slot)
    offerPassage(slot)
    facts.append(.latched(transports[slot].id, source, at: now))
  }
}
