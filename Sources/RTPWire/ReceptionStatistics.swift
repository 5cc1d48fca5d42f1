import Base

/// What was received of one RTP source: sequence numbers by RFC 3550 §A.1, loss by §A.3, jitter by §A.8.
///
/// Where it departs from the appendix: no probation (its packets passed a check of their source address
/// already); duplicates are told apart by a window of 128 sequence numbers and never hide a loss; a
/// restart or a new SSRC begins a new run, and what the earlier runs lost stays counted.
package struct ReceptionStatistics: Sendable, BitwiseCopyable {
  /// A gap of this many is a restart, and so is a step back of this many (§A.1).
  package static let maxDropout = 3_000
  package static let maxMisorder = 100
  /// A step of transit time above this is a clock that was set, not jitter.
  package static let maxTransitStep: Int64 = 5_000_000_000

  package private(set) var ssrc: UInt32 = 0
  package private(set) var started = false
  /// Every packet that was taken, duplicates included.
  package private(set) var packets: UInt64 = 0
  package private(set) var octets: UInt64 = 0
  package private(set) var duplicates: UInt64 = 0
  package private(set) var reordered: UInt64 = 0
  /// New SSRCs and restarts after the first packet.
  package private(set) var restarts: UInt64 = 0
  /// Losses in a row count once: `lost / lossRuns` is the mean length of a burst.
  package private(set) var lossRuns: UInt64 = 0
  package private(set) var lastPayloadType: UInt8 = 255

  /// Sequence numbers of this run extended to 64 bits, the first cycle being 1 so that a packet from
  /// before the first one has a number too.
  private var base: UInt64 = 0
  private var highest: UInt64 = 0
  /// Different numbers seen in this run.
  private var unique: UInt64 = 0
  /// Bit i: `highest - i` was seen.
  private var window: UInt128 = 0
  /// The number after one that was out of range; UInt32.max: none (§A.1 `bad_seq`).
  private var badSequence: UInt32 = .max
  private var lostBefore: UInt64 = 0
  private var expectedBefore: UInt64 = 0

  private var lastArrival: UInt64 = 0
  package private(set) var lastTimestamp: UInt32 = 0
  private var hasTransit = false
  /// Nanoseconds, scaled by 16 as in §A.8.
  private var jitter16: UInt64 = 0
  private var maxJitter16: UInt64 = 0

  /// Of the last report block (§A.3).
  private var reportedExpected: UInt64 = 0
  private var reportedReceived: UInt64 = 0

  /// Of the packets that nothing can come late for any more (`settled` behind the highest).
  private var bursts = BurstMeter()
  private static let settled = 32

  package init() {}

  /// One valid packet. `arrival` is any clock in nanoseconds; `clockRate` is in Hz, 0 when the jitter of
  /// this packet means nothing (unknown clock, or telephone-event, whose timestamp stands still).
  package mutating func receive(_ header: RTPHeader, arrival: UInt64, clockRate: UInt32) {
    packets &+= 1
    octets &+= UInt64(header.payload.count)
    lastPayloadType = header.payloadType
    if !started || header.ssrc != ssrc {
      if started { restarts &+= 1 }
      begin(header)
    } else if track(header.sequence) {
      measureJitter(header.timestamp, arrival, clockRate)
      return
    }
    hasTransit = clockRate != 0
    lastArrival = arrival
    lastTimestamp = header.timestamp
  }

  /// A new run that begins with this packet.
  private mutating func begin(_ header: RTPHeader) {
    lostBefore = lost
    expectedBefore = expected
    started = true
    ssrc = header.ssrc
    base = 0x1_0000 &+ UInt64(header.sequence)
    highest = base
    unique = 1
    window = 1
    badSequence = .max
  }

  /// False when the number starts a new run, or is out of range and may start one (§A.1).
  private mutating func track(_ sequence: UInt16) -> Bool {
    let delta = sequence &- UInt16(truncatingIfNeeded: highest)
    if delta == 0 {
      duplicates &+= 1
    } else if Int(delta) < Self.maxDropout {
      advance(by: UInt64(delta))
    } else if Int(delta) <= 0x1_0000 &- Self.maxMisorder {
      guard UInt32(sequence) == badSequence else {
        badSequence = UInt32(sequence &+ 1)
        return false
      }
      restarts &+= 1
      begin(
        RTPHeader(payloadType: 0, marker: false, sequence: sequence, timestamp: 0, ssrc: ssrc))
      return false
    } else {
      fill(behind: 0x1_0000 &- Int(delta))
    }
    return true
  }

  private mutating func advance(by step: UInt64) {
    settle(step)
    highest &+= step
    unique &+= 1
    if step > 1 { lossRuns &+= 1 }
    window = step >= 128 ? 1 : window << UInt128(step) | 1
  }

  /// The next `step` packets are behind by so much that they will not come any more.
  private mutating func settle(_ step: UInt64) {
    for ahead in 0..<min(step, UInt64(Self.maxDropout)) {
      let number = highest &+ ahead &- UInt64(Self.settled)
      guard number >= base else { continue }
      bursts.count(isLost: isMissing(number))
    }
  }

  private func isMissing(_ number: UInt64) -> Bool {
    number > highest || window & UInt128(1) << UInt128(highest &- number) == 0
  }

  /// Bursts and gaps of losses up to now; those of an earlier run included.
  package var burstFigures: BurstMeter.Figures {
    guard started else { return BurstMeter().figures }
    var all = bursts
    var number = max(base, highest &- UInt64(Self.settled))
    while number <= highest {
      all.count(isLost: isMissing(number))
      number &+= 1
    }
    return all.figures
  }

  /// A packet from before the highest one: late, or seen already.
  private mutating func fill(behind: Int) {
    let bit = UInt128(1) << UInt128(behind)
    guard window & bit == 0 else {
      duplicates &+= 1
      return
    }
    reordered &+= 1
    window |= bit
    unique &+= 1
    let number = highest &- UInt64(behind)
    if number < base {
      // From before the first packet: now it is the first, and those between are expected too.
      if base &- number > 1 { lossRuns &+= 1 }
      base = number
      return
    }
    // The run of losses it belonged to ends, goes on, or falls in two.
    let newer = window & (bit >> 1) != 0
    let older = behind < 127 && window & (bit << 1) != 0
    if newer, older { lossRuns &-= min(lossRuns, 1) }
    if !newer, !older { lossRuns &+= 1 }
  }

  /// J += (|D| - J) / 16 with D in nanoseconds: finer than timestamp units, the same formula (§6.4.1).
  private mutating func measureJitter(_ timestamp: UInt32, _ arrival: UInt64, _ clockRate: UInt32) {
    guard clockRate != 0 else { return }
    defer {
      hasTransit = true
      lastArrival = arrival
      lastTimestamp = timestamp
    }
    guard hasTransit else { return }
    let media =
      Int64(Int32(bitPattern: timestamp &- lastTimestamp)) &* 1_000_000_000 / Int64(clockRate)
    let real = Int64(bitPattern: arrival &- lastArrival)
    let step = (real &- media).magnitude
    guard step <= UInt64(Self.maxTransitStep) else { return }
    jitter16 = jitter16 &+ step &- (jitter16 &+ 8) >> 4
    maxJitter16 = max(maxJitter16, jitter16)
  }
}

/// The figures of a run in plain words, for whoever goes on counting in our place for a while.
package struct ReceptionRun: Hashable, Sendable, BitwiseCopyable {
  package var packets: UInt64 = 0
  package var octets: UInt64 = 0
  package var highest: UInt64 = 0
  package var base: UInt64 = 0
  package var unique: UInt64 = 0
  package var lossRuns: UInt64 = 0
  package var duplicates: UInt64 = 0
  package var reordered: UInt64 = 0
  /// Bit i of the 128: `highest - i` was seen.
  package var window: UInt128 = 0
  /// Nanoseconds scaled by 16, and of the clock that arrivals are stamped with.
  package var jitter16: UInt64 = 0
  package var maxJitter16: UInt64 = 0
  package var lastArrival: UInt64 = 0
  package var lastTimestamp: UInt32 = 0
  package var hasTransit = false
  package var lastPayloadType: UInt8 = 255

  package init() {}
}

extension ReceptionStatistics {
  /// What another goes on from. Setting it takes over what came of it; SSRC and earlier runs stay.
  package var run: ReceptionRun {
    get {
      var run = ReceptionRun()
      run.packets = packets
      run.octets = octets
      run.highest = highest
      run.base = base
      run.unique = unique
      run.lossRuns = lossRuns
      run.duplicates = duplicates
      run.reordered = reordered
      run.window = window
      run.jitter16 = jitter16
      run.maxJitter16 = maxJitter16
      run.lastArrival = lastArrival
      run.lastTimestamp = lastTimestamp
      run.hasTransit = hasTransit
      run.lastPayloadType = lastPayloadType
      return run
    }
    set {
      packets = newValue.packets
      octets = newValue.octets
      highest = newValue.highest
      base = newValue.base
      unique = newValue.unique
      lossRuns = newValue.lossRuns
      duplicates = newValue.duplicates
      reordered = newValue.reordered
      window = newValue.window
      jitter16 = newValue.jitter16
      maxJitter16 = newValue.maxJitter16
      lastArrival = newValue.lastArrival
      lastTimestamp = newValue.lastTimestamp
      hasTransit = newValue.hasTransit
      lastPayloadType = newValue.lastPayloadType
    }
  }
}

extension ReceptionStatistics {
  /// The highest sequence number that came, as the last one counted.
  package var highestSequence: UInt16 { UInt16(truncatingIfNeeded: highest) }

  /// Packets that should have come, all runs together.
  package var expected: UInt64 {
    started ? expectedBefore &+ (highest &- base &+ 1) : 0
  }

  /// Sequence numbers between the first and the highest that were never seen, all runs together.
  package var lost: UInt64 {
    guard started else { return 0 }
    let expected = highest &- base &+ 1
    return lostBefore &+ (expected > unique ? expected &- unique : 0)
  }

  /// Microseconds, now and at its worst.
  package var jitter: UInt32 { UInt32(clamping: jitter16 / 16_000) }
  package var maxJitter: UInt32 { UInt32(clamping: maxJitter16 / 16_000) }

  package func jitter(clockRate: UInt32) -> UInt32 {
    UInt32(clamping: jitter16 / 16 / 1_000 &* UInt64(clockRate) / 1_000_000)
  }

  /// The report block for this source, and the beginning of the next interval (§A.3). `lastSR` and
  /// `delaySinceLastSR` as in the block.
  package mutating func report(
    clockRate: UInt32, lastSR: UInt32, delaySinceLastSR: UInt32
  ) -> RTCPReportBlock {
    // §A.3 counts duplicates as received.
    let received = expected &- lost &+ duplicates
    let expectedInterval = Int64(bitPattern: expected &- reportedExpected)
    let lostInterval = expectedInterval - Int64(bitPattern: received &- reportedReceived)
    reportedExpected = expected
    reportedReceived = received
    let fraction =
      expectedInterval > 0 && lostInterval > 0 ? lostInterval * 256 / expectedInterval : 0
    return RTCPReportBlock(
      ssrc: ssrc, fractionLost: UInt8(clamping: fraction),
      cumulativeLost: Int32(clamping: Int64(clamping: expected) - Int64(clamping: received)),
      highestSequence: UInt32(truncatingIfNeeded: highest &- 0x1_0000),
      jitter: jitter(clockRate: clockRate), lastSR: lastSR, delaySinceLastSR: delaySinceLastSR)
  }
}
