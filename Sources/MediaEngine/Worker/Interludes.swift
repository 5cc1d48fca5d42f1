import Base
import MediaControl
import RTPWire

/// What a far end hears in the place of the other side that holds it.
enum Interlude: UInt8, Sendable {
  case none
  /// The other side speaks, or has spoken a moment ago.
  case waiting
  case playing
}

// Music on hold (RFC 5359 §2.3): an application stands in the place of the other side while that says nothing. Who holds
// may have music of its own, so the first packet of it ends ours at once, and passes; ours goes on when it has been silent
// for a while. Either way the far end hears one flow, whose numbers and time go on.
//
// What each side reports of such a flow is nothing to the other, so RTCP ends here meanwhile.

extension Worker {
  /// Who may speak and does not for so long is taken to have no music.
  private static var patience: Interval { .milliseconds(500) }

  /// False for a transport that is not there. Music that cannot be played is silence, as it was before.
  mutating func interpose(_ id: MediaTransportID, _ application: MediaApplication?) -> Bool {
    guard let slot = slots[id] else { return false }
    endInterlude(slot)
    let peer = Int(transports[slot].peer)
    guard let application, peer >= 0, transports[slot].remote.proto == .rtp,
      !applications[slot].isActive, !transports[slot].hearsNotice,
      let prepared = Application(application, announcements, settings)
    else { return true }
    takeBack(slot)
    for end in [slot, peer] { beginOwnFlow(end) }
    // A flow that was passed on until now has its last packet when that came.
    if transports[peer].lastMedia != .zero {
      let since = UInt64(clamping: (now - transports[peer].lastMedia).nanoseconds)
      streams[slot].outgoing.wall = min(streams[slot].outgoing.wall, wall &- min(since, wall))
    }
    for end in [slot, peer] where !transports[end].endsReports {
      transports[end].endsReports = true
      timers.arm(timer(.report, end), at: now + reportDelay(halves: 1))
    }
    transports[slot].interlude = .waiting
    applications[slot] = prepared
    timers.arm(timer(.application, slot), at: now)
    return true
  }

  /// Whether it is time for the music; it is asked again when it may be.
  mutating func interludeBegins(_ slot: Int) -> Bool {
    let peer = Int(transports[slot].peer)
    guard peer >= 0 else { return false }
    let last = transports[peer].lastMedia
    if transports[peer].remote.weReceive, last != .zero, now - last < Self.patience {
      timers.arm(timer(.application, slot), at: last + Self.patience)
      return false
    }
    transports[slot].interlude = .playing
    converters[slot] = nil
    // What is kept of the side that holds is not heard into the music.
    endPlayout(peer)
    applications[slot].isFirst = true
    applications[slot].due = now
    // The time that nobody spoke, up to the first packet of ours.
    let packet = transports[slot].packetMilliseconds
    let elapsed = streams[slot].outgoing.wall == 0 ? 0 : silence(slot, atLeast: packet)
    let rate = UInt64(transports[slot].remote.codec.clockRate)
    let gap = (elapsed &- min(elapsed, UInt64(packet))) &* rate / 1_000
    streams[slot].outgoing.timestamp &+= UInt32(truncatingIfNeeded: gap)
    return true
  }

  /// The other side speaks: its packet in the buffer is next, and the music waits.
  mutating func breakInterlude(_ slot: Int) {
    transports[slot].interlude = .waiting
    let peer = Int(transports[slot].peer)
    goOn(slot, peer)
    timers.arm(timer(.application, slot), at: now + Self.patience)
  }

  /// Both hear each other again, in the flows that they know.
  mutating func endInterlude(_ slot: Int) {
    guard transports[slot].interlude != .none else { return }
    let peer = Int(transports[slot].peer)
    transports[slot].interlude = .none
    applications[slot] = Application()
    timers.cancel(timer(.application, slot))
    guard peer >= 0 else { return }
    goOn(slot, peer)
    let converts = transports[slot].converts || transports[peer].converts
    for end in [slot, peer] where !converts && transports[peer].interlude == .none {
      transports[end].endsReports = false
      timers.cancel(timer(.report, end))
    }
    offerPassage(slot)
  }

  /// What comes from `peer` next takes the place behind what `slot` has heard last.
  private mutating func goOn(_ slot: Int, _ peer: Int) {
    converters[slot] = nil
    if peer >= 0 { converters[peer] = nil }
    streams[slot].outgoing.isMapped = false
  }
}
