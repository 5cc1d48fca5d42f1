import Base
import MediaControl
import RTPWire

// How a flow gets into the kernel and out of it, without a gap, a duplicate or a change of order.
//
// In: the program passes everything up and notes the last sequence number, until the worker has sent the very
// packet that was noted last; from there on the program goes on (`ckp_entry`). Out: whatever the program does not
// carry goes up, and everything behind it too, until the worker has caught up again; or the worker takes the flow
// back because the call needs it, and waits for the packet that the program has in hand (`ckp_take_back`). While the program relays, its figures are the flow's only ones: the worker
// gave it its own to go on from, and takes them back.

extension Worker {
  /// Offers both directions between `slot` and what it is bridged with, where that is all that happens to
  /// their packets.
  mutating func offerPassage(_ slot: Int) {
    let peer = Int(transports[slot].peer)
    guard fastPath.isOn, peer >= 0 else { return }
    for (from, to) in [(slot, peer), (peer, slot)] where transports[from].passage == .socket {
      guard fastPath.isAtRest(from), let lane = lane(from, to) else { continue }
      fastPath.open(from, lane)
      transports[from].passage = .offered
    }
  }

  /// Nil unless everything that a packet of `slot` needs is to leave by `peer`.
  private func lane(_ slot: Int, _ peer: Int) -> Lane? {
    let (near, far) = (transports[slot], transports[peer])
    guard converters[slot] == nil, near.interlude == .none, far.interlude == .none,
      near.recorder < 0, far.recorder < 0, near.isOpen, far.isOpen,
      !near.isProtected, !far.isProtected, !near.isRenamed, fastPath.hasEntry(slot),
      near.remote.isRelayedPlain(to: far.remote),
      near.digits.isDisjoint(with: [.tones, .replaced])
    else { return nil }
    guard near.latch.state == .fixed, far.latch.state == .fixed, !far.target.isNowhere else {
      return nil
    }
    // Packets that are too long for the far end are cut anew.
    let longest = UInt16(far.remote.maxPacketTime)
    guard longest == 0 || near.remote.packetTime <= longest else { return nil }
    let (source, target) = (near.latch.address, far.latch.address)
    // What goes to ourselves or comes from there meets the program again on its way.
    guard !destinations.isOwn(source), !destinations.isOwn(target) else { return nil }
    guard source.ip.family == target.ip.family, !source.ip.needsScope, !target.ip.needsScope else {
      return nil
    }
    guard let way = fastPath.way(to: target, from: ports.address(ofSlot: peer)) else { return nil }
    return Lane(
      source: source, local: way.local, target: target, interface: way.interface,
      longest: way.longest, trafficClass: ports.trafficClass,
      payloadTypes: carriedTypes(near, far))
  }

  /// Those with the clock of the agreed one; telephone-event is for user space, and 72 to 76 are RTCP that
  /// lost its way (RFC 3550 §5.1).
  private func carriedTypes(_ near: Transport, _ far: Transport) -> PayloadTypes {
    var types = PayloadTypes()
    let rate = near.clockRate(near.remote.payloadType)
    for type in UInt8(0)..<128 where !(72...76).contains(type) {
      guard !near.remote.isEvent(type), !far.remote.isEvent(type) else { continue }
      guard near.remote.speech.conversion(of: type, for: far.remote.speech) == nil else { continue }
      if near.clockRate(type) == rate { types.insert(type) }
    }
    return types
  }

  /// A packet came up of a flow that the kernel was to relay: it is the worker's until further notice.
  mutating func recall(_ slot: Int) {
    fastPath.takeBack(slot)
    readPassage(slot)
    transports[slot].passage = .offered
    counters.kernelFlows -= 1
  }

  /// The packet was sent on: if nothing waits behind it, the program can go on from here.
  mutating func handOver(_ header: RTPHeader, _ length: Int, _ slot: Int) {
    let peer = Int(transports[slot].peer)
    guard peer >= 0, let lane = fastPath.lane(slot), header.payload.start == RTPHeader.size,
      header.payload.end == length, lane.payloadTypes.contains(header.payloadType),
      header.ssrc == streams[slot].reception.ssrc
    else { return }
    guard let flow = flow(header, slot, peer) else { return }
    var run = streams[slot].reception.run
    // The program's clock is the monotonic one.
    run.lastArrival = run.lastArrival &- wall &+ now.nanoseconds
    if fastPath.arm(slot, behind: header.sequence, flow, run) {
      transports[slot].passage = .kernel
      counters.kernelFlows += 1
    } else if fastPath.isBehind(slot, at: header.sequence) {
      fastPath.behind = slot
    }
  }

  /// A worker that has more to do than it can would never see the last packet of any flow, and so would never get
  /// rid of one. So it stays with a flow that the kernel could take until it has caught up there. Bounded, since
  /// the others wait.
  mutating func catchUp(_ slot: Int) {
    for _ in 0..<Self.mostAtOnce where fastPath.behind == slot {
      fastPath.behind = -1
      let before = counters.received
      receiveMedia(slot)
      if counters.received == before { break }
    }
    fastPath.behind = -1
  }

  private static var mostAtOnce: Int { 32 }

  private func flow(_ header: RTPHeader, _ slot: Int, _ peer: Int) -> LaneFlow? {
    var flow = LaneFlow(ssrc: header.ssrc, shown: header.ssrc)
    flow.tick = LaneFlow.tick(clockRate: transports[slot].clockRate(header.payloadType))
    flow.highestTimestamp = header.timestamp
    guard transports[peer].isRenumbered else { return flow }
    let outgoing = streams[peer].outgoing
    guard outgoing.isMapped, outgoing.mappedSSRC == header.ssrc else { return nil }
    flow.shown = outgoing.ssrc
    flow.sequenceOffset = outgoing.sequenceOffset
    flow.timestampOffset = outgoing.timestampOffset
    flow.highestTimestamp = outgoing.timestamp &- outgoing.timestampOffset
    return flow
  }

  /// Brings the figures of `slot` and of what it is bridged with up to date.
  mutating func readPassages(_ slot: Int) {
    let peer = Int(transports[slot].peer)
    if transports[slot].passage == .kernel { readPassage(slot) }
    if peer >= 0, transports[peer].passage == .kernel { readPassage(peer) }
  }

  private mutating func readPassage(_ slot: Int) {
    guard let (whole, timestamp, new) = fastPath.read(slot) else {
      // There is a packet at this very moment; its figures come with the next reading.
      transports[slot].lastHeard = now
      transports[slot].lastMedia = now
      return
    }
    guard new > 0 else { return }
    var run = whole
    let last = Instant(nanoseconds: run.lastArrival)
    transports[slot].lastHeard = max(transports[slot].lastHeard, last)
    transports[slot].lastMedia = max(transports[slot].lastMedia, last)
    run.lastArrival = run.lastArrival &- now.nanoseconds &+ wall
    streams[slot].reception.run = run
    let peer = Int(transports[slot].peer)
    guard peer >= 0 else { return }
    transports[peer].sent &+= new
    guard transports[peer].isRenumbered else { return }
    let offset = streams[peer].outgoing.sequenceOffset
    streams[peer].outgoing.sequence = UInt16(truncatingIfNeeded: run.highest) &+ offset
    streams[peer].outgoing.timestamp = timestamp &+ streams[peer].outgoing.timestampOffset
    streams[peer].outgoing.wall = run.lastArrival
  }

  /// Both directions go by the sockets from now on.
  mutating func takeBack(_ slot: Int) {
    guard fastPath.isOn else { return }
    let peer = Int(transports[slot].peer)
    for slot in [slot, peer] where slot >= 0 && transports[slot].passage != .socket {
      if transports[slot].passage == .kernel { recall(slot) }
      fastPath.clear(slot)
      transports[slot].passage = .socket
    }
  }

  /// Routes, interfaces or policies have changed: lanes whose way is another now are made anew, some at a time.
  mutating func followRoutes() {
    guard let slots = fastPath.nextToCompare(at: now, of: transports.count) else { return }
    for slot in slots where transports[slot].isOpen && transports[slot].peer >= 0 {
      if transports[slot].passage != .socket,
        lane(slot, Int(transports[slot].peer)) != fastPath.lane(slot)
      {
        takeBack(slot)
      }
      offerPassage(slot)
    }
  }
}

extension RemoteMedia {
  /// Packets that `self` sends are what `other` gets: both directions open, and one format.
  fileprivate func isRelayedPlain(to other: RemoteMedia) -> Bool {
    proto != .udptl && other.proto == proto && weReceive && other.weSend && codec == other.codec
      && payloadType == other.payloadType
      && clockRate == other.clockRate && !other.treatment.contains(.even)
  }
}

extension IPAddress {
  /// A link-local IPv6 address says nothing without its interface.
  fileprivate var needsScope: Bool { family == .v6 && isLinkLocal }
}
