import Base
import MediaEngine
import RTPWire
import Testing

/// A source of packets of 20 ms at 8 kHz, a network and a clock that plays, all by a seed.
private struct Line {
  var random: RandomSource
  var buffer = JitterBuffer(clockRate: 8_000, packet: 160, longestPayload: 4)
  /// Parts in a million by which the source's clock is faster than the player's.
  var skew = 0.0
  /// Probability of a loss, and of a second copy.
  var loss = 0.0
  var doubles = 0.0
  /// Milliseconds that a packet takes, beyond the least.
  var delay: (inout RandomSource, Int) -> Double = { _, _ in 0 }
  /// Whether the source sends the packet: it is silent else.
  var speaks: (Int) -> Bool = { _ in true }
  /// Whether what is said in the packet is so quiet that it may be left out.
  var isQuiet: (Int) -> Bool = { _ in false }
  var base = 50.0

  // What came of it.
  var sent = 0
  var lost = 0
  var played: [Int] = []
  /// Of each packet that was played: milliseconds from when the fastest could have come.
  var delays: [Double] = []
  var ticks: [JitterBuffer.Playout] = []

  init(seed: UInt64) { random = RandomSource(seed: seed) }

  private mutating func uniform() -> Double { Double(random.next() >> 11) / Double(1 << 53) }

  private func instant(_ milliseconds: Double) -> Instant {
    Instant(nanoseconds: UInt64(1_000_000_000 + milliseconds * 1_000_000))
  }

  mutating func run(packets: Int) {
    var arrivals: [(at: Double, number: Int, isMarked: Bool)] = []
    var isAfterPause = true
    for number in 0..<packets {
      guard speaks(number) else {
        isAfterPause = true
        continue
      }
      let at = Double(number) * 20 / (1 + skew / 1e6) + base + delay(&random, number)
      let isLost = uniform() < loss
      sent += 1
      if isLost { lost += 1 } else { arrivals.append((at, number, isAfterPause)) }
      if !isLost, uniform() < doubles { arrivals.append((at + 5, number, isAfterPause)) }
      isAfterPause = false
    }
    arrivals.sort { $0.at < $1.at }
    var sequences: [Int: Int] = [:]
    for number in 0..<packets where speaks(number) { sequences[number] = sequences.count }
    var next = 0
    var tick = (arrivals.first?.at ?? 0) + 40
    let end = (arrivals.last?.at ?? 0) + 400
    while tick < end {
      while next < arrivals.count, arrivals[next].at <= tick {
        let (at, number, isMarked) = arrivals[next]
        take(number, sequence: sequences[number] ?? 0, isMarked, at: instant(at))
        next += 1
      }
      play(at: tick)
      tick += 20
    }
  }

  mutating func take(_ number: Int, sequence: Int, _ isMarked: Bool, at: Instant) {
    // The origins make both fields wrap on the way.
    let header = RTPHeader(
      payloadType: 0, marker: isMarked, sequence: UInt16(truncatingIfNeeded: sequence + 65_000),
      timestamp: UInt32(truncatingIfNeeded: number * 160 + 0xffff_0000), ssrc: 7)
    let payload = (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
    _ = buffer.take(header, duration: 160, payload.rawSpan, at: at)
  }

  mutating func play(at tick: Double) {
    let now = instant(tick)
    var playout = buffer.next(at: now)
    if case .packet(let place, let surplus) = playout,
      surplus == .anyway || surplus == .whereQuiet && isQuiet(number(place))
    {
      buffer.leftOut(at: now)
      played.append(number(place))
      playout = buffer.next(at: now)
    }
    ticks.append(playout)
    guard case .packet(let place, _) = playout else { return }
    let number = number(place)
    played.append(number)
    delays.append(tick - (Double(number) * 20 / (1 + skew / 1e6) + base))
  }

  private func number(_ place: Int) -> Int {
    buffer.withPayload(place) { payload in
      (0..<payload.byteCount).reduce(0) { $0 | Int(payload.byte(at: $1)) << (8 * $1) }
    }
  }

  var lateRate: Double { Double(buffer.counters.late) / Double(max(sent - lost, 1)) }
  var meanDelay: Double { delays.reduce(0, +) / Double(max(delays.count, 1)) }
  func delay(_ quantile: Double) -> Double {
    let sorted = delays.sorted()
    return sorted.isEmpty ? 0 : sorted[min(Int(Double(sorted.count) * quantile), sorted.count - 1)]
  }
}

@Suite struct JitterBufferTests {
  /// What netem makes of "30 ms jitter": each packet from 30 ms less to 30 ms more, out of order, and 2 % lost.
  @Test func thirtyMillisecondsAndTwoPercent() {
    var (late, mean) = (0.0, 0.0)
    let seeds = 60
    for seed in 0..<seeds {
      var line = Line(seed: UInt64(seed))
      line.loss = 0.02
      line.skew = Double(seed % 5 - 2) * 100
      line.delay = { random, _ in Double(random.next(below: 60_000)) / 1_000 }
      // A voice, with two pauses in three seconds.
      line.isQuiet = { $0 % 75 >= 60 }
      line.run(packets: 3_000)
      late += line.lateRate / Double(seeds)
      mean += line.meanDelay / Double(seeds)
      #expect(line.lateRate <= 0.005, "seed \(seed): \(line.lateRate) late")
      // Delay moves by whole packets, and shrinks where it is quiet alone: some calls stay up to a packet above the target.
      #expect(line.meanDelay <= 80, "seed \(seed): \(line.meanDelay) ms")
      #expect(line.played == line.played.sorted() && Set(line.played).count == line.played.count)
    }
    print("30 ms of jitter, 2 % lost: a delay of \(mean) ms, \(late * 100) % late")
    #expect(late <= 0.001 && mean <= 75, "late \(late * 100) %, mean \(mean) ms")
  }

  /// The long tail of a queue: 12 ms in the mean, 53 ms for one packet in a hundred.
  @Test func queueWithATail() {
    var (late, mean) = (0.0, 0.0)
    let seeds = 40
    for seed in 0..<seeds {
      var line = Line(seed: UInt64(seed))
      line.loss = 0.02
      line.isQuiet = { _ in true }
      line.delay = { random, _ in
        var ticks = 0.0
        while random.next(below: 100) >= 8, ticks < 200 { ticks += 1 }
        return ticks
      }
      line.run(packets: 3_000)
      late += line.lateRate / Double(seeds)
      mean += line.meanDelay / Double(seeds)
      #expect(line.lateRate <= 0.01, "seed \(seed): \(line.lateRate) late")
      #expect(line.meanDelay <= 100, "seed \(seed): \(line.meanDelay) ms")
    }
    #expect(late <= 0.003 && mean <= 85, "late \(late * 100) %, mean \(mean) ms")
  }

  /// Without jitter nothing is touched but what makes good for the clocks: every packet is played, in order.
  @Test(arguments: [-200.0, 0, 200]) func clocksDriftApart(_ skew: Double) {
    var line = Line(seed: 1)
    line.skew = skew
    line.isQuiet = { _ in true }
    line.run(packets: 30_000)
    let counters = line.buffer.counters
    #expect(counters.late == 0 && counters.lost <= 3 && counters.restarts == 0)
    #expect(line.played == Array(0..<30_000))
    // 600 s at 200 ppm: 120 ms, which is 6 packets.
    #expect(skew > 0 || counters.leftOut <= 2)
    #expect(skew < 0 || counters.held <= 4, "held \(counters.held)")
    if skew > 0 { #expect((4...9).contains(counters.leftOut), "left out \(counters.leftOut)") }
    if skew < 0 { #expect((4...9).contains(counters.held), "held \(counters.held)") }
    #expect(line.delay(1) <= 70 && line.delays.last ?? 99 <= 45)
    #expect(line.buffer.target == 10)
  }

  /// The delay grows at once when the way becomes longer, and shrinks again in quiet.
  @Test func aStepGrowsAtOnceAndShrinksInQuiet() {
    var line = Line(seed: 3)
    line.isQuiet = { _ in true }
    line.delay = { _, number in (500..<1_000).contains(number) ? 120 : 0 }
    line.run(packets: 4_000)
    // Packets of the first 120 ms behind the step, and no more.
    #expect(line.buffer.counters.late <= 8, "late \(line.buffer.counters.late)")
    #expect(line.delay(1) <= 170)
    #expect(line.delays.suffix(100).allSatisfy { $0 <= 60 }, "\(line.delays.suffix(3))")
  }

  /// Pauses in speech, as the time stamps tell them, are neither losses nor late.
  @Test func pausesAreNoLosses() {
    for seed in 0..<20 {
      var line = Line(seed: UInt64(seed))
      line.speaks = { $0 % 100 < 60 }
      line.delay = { random, _ in Double(random.next(below: 20)) }
      line.run(packets: 3_000)
      let counters = line.buffer.counters
      #expect(line.played.count >= line.sent - 8 && counters.restarts == 0)
      // At most three are concealed where each of thirty bursts ends.
      #expect(counters.lost <= 3 * 30 + 8, "seed \(seed): \(counters.lost)")
      #expect(line.ticks.count { $0 == .pause } >= 30 * 30)
    }
  }

  /// Copies are played once, and losses are told where they are, with the packet behind them.
  @Test func copiesAndLosses() {
    var line = Line(seed: 5)
    line.doubles = 0.3
    line.loss = 0.05
    line.run(packets: 2_000)
    let counters = line.buffer.counters
    #expect(counters.late == 0 && counters.duplicates > 500)
    #expect(Set(line.played).count == line.played.count)
    #expect(line.played.count == line.sent - line.lost)
    let recoverable = line.ticks.count {
      if case .lost(_, next: .some) = $0 { true } else { false }
    }
    #expect(recoverable > 60)
    // What was lost has its place in time.
    #expect(Int(counters.lost + counters.held) >= line.lost - 2)
  }

  /// Another source, numbers that begin anew and a clock that is set: each begins a new run at once.
  @Test func anotherSource() {
    var buffer = JitterBuffer(clockRate: 8_000, packet: 160, longestPayload: 4)
    var now = Instant(nanoseconds: 5_000_000_000)
    var played = 0
    func header(_ number: Int, _ source: Int) -> RTPHeader {
      RTPHeader(
        payloadType: 0, marker: false,
        sequence: UInt16(truncatingIfNeeded: number + source * 20_000),
        timestamp: UInt32(truncatingIfNeeded: number * 160 + source * 1_000_000_000),
        ssrc: UInt32(source / 2))
    }
    for source in 0..<6 {
      for number in 0..<50 {
        let payload: [UInt8] = [UInt8(source), UInt8(number), 0, 0]
        let taken = buffer.take(
          header(number, source), duration: 160, payload.rawSpan, at: now)
        #expect(taken == .taken)
        if case .packet = buffer.next(at: now) { played += 1 }
        now = now + .milliseconds(20)
      }
    }
    #expect(buffer.counters.restarts == 5)
    // Of each run the last 40 ms were still waiting.
    #expect(played >= 6 * 47)
  }

  /// Whatever comes, there is an answer, no place is lost and no more than the limit is kept.
  @Test func anythingAtAll() {
    for seed in 0..<200 {
      var random = RandomSource(seed: UInt64(seed))
      var buffer = JitterBuffer(clockRate: 48_000, packet: 960, longestPayload: 8)
      var now = Instant(nanoseconds: 1_000_000_000)
      for _ in 0..<2_000 {
        now = now + Interval(nanoseconds: Int64(random.next(below: 40_000_000)))
        let wild = random.next(below: 4) == 0
        let header = RTPHeader(
          payloadType: 0, marker: random.next(below: 2) == 0,
          sequence: UInt16(random.next(below: wild ? 65_536 : 300)),
          timestamp: UInt32(
            truncatingIfNeeded: wild ? Int(random.next() >> 32) : random.next(below: 500_000)),
          ssrc: UInt32(random.next(below: wild ? 3 : 1)))
        let payload = [UInt8](repeating: 1, count: random.next(below: 12))
        if random.next(below: 8) == 0 {
          buffer.pass(header, at: now)
        } else {
          let duration = [0, 1, 960, 2_880, 48_000, 4_000_000][random.next(below: 6)]
          _ = buffer.take(
            header, duration: UInt32(duration), payload.rawSpan, at: now)
        }
        for _ in 0..<random.next(below: 3) { _ = buffer.next(at: now) }
        #expect(buffer.count <= JitterBuffer.places)
      }
      // In the end it is quiet.
      for _ in 0..<3_000 {
        now = now + .milliseconds(20)
        _ = buffer.next(at: now)
      }
      #expect(buffer.next(at: now) == .pause && buffer.count == 0, "seed \(seed)")
    }
  }
}
