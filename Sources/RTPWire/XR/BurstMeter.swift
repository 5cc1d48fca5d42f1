/// Bursts and gaps of lost packets as RFC 3611 §4.7.2 defines them: a burst begins and ends with a loss and has no `gmin`
/// packets received in a row in it; what lies between bursts is a gap, with losses that stand alone.
package struct BurstMeter: Hashable, Sendable, BitwiseCopyable {
  package static let gmin: UInt32 = 16

  /// Of the bursts that are over, and of what cannot become one any more.
  private var bursts: UInt32 = 0
  private var burstPackets: UInt32 = 0
  private var burstLosses: UInt32 = 0
  private var packets: UInt32 = 0
  private var losses: UInt32 = 0
  /// Of losses that are near enough to each other: how many, and from the first of them to the last.
  private var openLosses: UInt32 = 0
  private var openPackets: UInt32 = 0
  /// Received since the last of them.
  private var received: UInt32 = 0

  package init() {}

  /// The next packet in the order of their numbers.
  package mutating func count(isLost: Bool) {
    packets &+= 1
    guard isLost else {
      received &+= 1
      return
    }
    losses &+= 1
    if openLosses > 0, received < Self.gmin {
      openLosses &+= 1
      openPackets &+= received &+ 1
    } else {
      close()
      openLosses = 1
      openPackets = 1
    }
    received = 0
  }

  private mutating func close() {
    guard openLosses > 1 else { return }
    bursts &+= 1
    burstPackets &+= openPackets
    burstLosses &+= openLosses
  }

  package struct Figures: Hashable, Sendable {
    package var bursts: UInt32 = 0
    /// Lost of the packets in bursts, and in gaps; 0...1.
    package var burstDensity = 0.0
    package var gapDensity = 0.0
    /// Mean length of a burst; and what lies in gaps for each burst, all of it where there is none (§A.2).
    package var burstPackets = 0.0
    package var gapPackets = 0.0
  }

  /// The report is taken to be followed by as many packets as end a burst.
  package var figures: Figures {
    var all = self
    all.close()
    var figures = Figures()
    figures.bursts = all.bursts
    let inGaps = all.packets &- min(all.burstPackets, all.packets)
    if all.burstPackets > 0 {
      figures.burstDensity = Double(all.burstLosses) / Double(all.burstPackets)
      figures.burstPackets = Double(all.burstPackets) / Double(max(all.bursts, 1))
    }
    if inGaps > 0 {
      figures.gapDensity = Double(all.losses &- min(all.burstLosses, all.losses)) / Double(inGaps)
      figures.gapPackets = Double(inGaps) / Double(max(all.bursts, 1))
    }
    return figures
  }
}
