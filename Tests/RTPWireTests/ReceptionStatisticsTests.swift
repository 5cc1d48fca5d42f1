import Base
import RTPWire
import Testing

private func header(_ sequence: Int, timestamp: UInt32 = 0, ssrc: UInt32 = 7) -> RTPHeader {
  RTPHeader(
    payloadType: 0, marker: false, sequence: UInt16(truncatingIfNeeded: sequence),
    timestamp: timestamp, ssrc: ssrc)
}

private struct Generator {
  var state: UInt64
  mutating func next(_ bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % bound
  }
}

@Suite struct ReceptionStatisticsTests {
  /// Whoever goes on from a run's figures and gives them back leaves what counting it all here would have left.
  @Test func aRunCanBeContinuedElsewhere() {
    let order = [1, 2, 4, 3, 3, 9, 8, 70, 60, 71, 71, 5_000, 5_001, 5_000, 5_010]
    var whole = ReceptionStatistics()
    var here = ReceptionStatistics()
    for (index, number) in order.enumerated() {
      let (packet, arrival) = (
        header(number, timestamp: UInt32(160 * number)), UInt64(index) * 21_000_000
      )
      whole.receive(packet, arrival: arrival, clockRate: 8_000)
      var there = here
      there.receive(packet, arrival: arrival, clockRate: 8_000)
      // What starts a new run is for whoever owns the earlier ones.
      if index == 0 || number == 5_000 || there.restarts != here.restarts {
        here = there
      } else {
        here.run = there.run
      }
      #expect(here.run == whole.run)
      #expect(here.lost == whole.lost && here.expected == whole.expected)
      #expect(here.jitter == whole.jitter && here.highestSequence == whole.highestSequence)
    }
    #expect(whole.lost > 0 && whole.reordered > 0 && whole.duplicates > 0 && whole.jitter > 0)
  }

  /// Every figure against a set of all numbers ever seen, over several wraps.
  @Test(arguments: 1...20)
  func agreesWithANaiveModel(seed: Int) {
    var random = Generator(state: UInt64(seed) &* 0x9e37_79b9_7f4a_7c15)
    var sent = Array(60_000..<(60_000 + 150_000 / seed))
    let loss = random.next(30)
    sent.removeAll { _ in random.next(100) < loss }
    // Reordering of up to 20 places, and some duplicates.
    for i in sent.indices.dropLast(20) where random.next(50) == 0 {
      sent.swapAt(i, i + 1 + random.next(19))
    }
    var arrived: [Int] = []
    for number in sent {
      arrived.append(number)
      if random.next(100) == 0 { arrived.append(number) }
    }
    var statistics = ReceptionStatistics()
    var seen: Set<Int> = []
    var highest = 0
    var duplicates = 0
    var reordered = 0
    for number in arrived {
      statistics.receive(header(number), arrival: 0, clockRate: 0)
      if !seen.insert(number).inserted {
        duplicates += 1
      } else if number < highest {
        reordered += 1
      }
      highest = max(highest, number)
    }
    let first = seen.min() ?? 0
    var runs = 0
    for number in first...highest where !seen.contains(number) && seen.contains(number - 1) {
      runs += 1
    }
    #expect(statistics.packets == UInt64(arrived.count))
    #expect(statistics.expected == UInt64(highest - first + 1))
    #expect(statistics.lost == UInt64(highest - first + 1 - seen.count))
    #expect(statistics.duplicates == UInt64(duplicates))
    #expect(statistics.reordered == UInt64(reordered))
    #expect(statistics.lossRuns == UInt64(runs))
    #expect(statistics.restarts == 0)
  }

  @Test func aRestartIsTakenAfterTwoInSequenceAndKeepsTheLosses() {
    var statistics = ReceptionStatistics()
    for number in [10, 11, 13] { statistics.receive(header(number), arrival: 0, clockRate: 0) }
    #expect(statistics.lost == 1)
    statistics.receive(header(30_000), arrival: 0, clockRate: 0)
    statistics.receive(header(14), arrival: 0, clockRate: 0)
    #expect(statistics.restarts == 0)
    for number in [40_000, 40_001, 40_004] {
      statistics.receive(header(number), arrival: 0, clockRate: 0)
    }
    #expect(statistics.restarts == 1)
    #expect(statistics.lost == 3)
    statistics.receive(header(1, ssrc: 8), arrival: 0, clockRate: 0)
    #expect(statistics.restarts == 2)
    #expect(statistics.lost == 3)
    #expect(statistics.packets == 9)
  }

  @Test func jitterFollowsTheFormulaOfTheStandard() {
    var statistics = ReceptionStatistics()
    var random = Generator(state: 5)
    var jitter = 0.0
    var worst = 0.0
    var previous: Double?
    for i in 0..<2_000 {
      let wobble = random.next(8_000_000)
      let arrival = UInt64(1_700_000_000_000_000_000 + i * 20_000_000 + wobble)
      statistics.receive(
        header(i, timestamp: UInt32(truncatingIfNeeded: 4_294_900_000 + i * 160)),
        arrival: arrival, clockRate: 8_000)
      if let previous {
        jitter += (abs(Double(wobble) - previous) - jitter) / 16
        worst = max(worst, jitter)
      }
      previous = Double(wobble)
    }
    #expect(abs(Double(statistics.jitter) - jitter / 1_000) < 2)
    #expect(abs(Double(statistics.maxJitter) - worst / 1_000) < 2)
    #expect(abs(Double(statistics.jitter(clockRate: 8_000)) - jitter / 125_000) < 1.01)
  }

  @Test func telephoneEventsAndClockStepsAreNoJitter() {
    var statistics = ReceptionStatistics()
    let second: UInt64 = 1_000_000_000
    statistics.receive(header(1, timestamp: 0), arrival: 0, clockRate: 8_000)
    for i in 2...5 {
      statistics.receive(
        header(i, timestamp: 160), arrival: UInt64(i) * 20_000_000, clockRate: 0)
    }
    statistics.receive(header(6, timestamp: 800), arrival: 100_000_000, clockRate: 8_000)
    statistics.receive(header(7, timestamp: 960), arrival: 3_600 * second, clockRate: 8_000)
    #expect(statistics.maxJitter == 0)
  }

  @Test func reportBlocksSayTheIntervalAndTheWhole() {
    var statistics = ReceptionStatistics()
    for i in 0..<100 where i % 4 != 1 {
      statistics.receive(header(65_500 + i), arrival: 0, clockRate: 0)
    }
    let first = statistics.report(clockRate: 8_000, lastSR: 5, delaySinceLastSR: 6)
    #expect(first.ssrc == 7)
    #expect(first.cumulativeLost == 25)
    #expect(first.fractionLost == 64)
    #expect(first.highestSequence == 65_599)
    #expect(first.lastSR == 5)
    for i in 100..<200 { statistics.receive(header(65_500 + i), arrival: 0, clockRate: 0) }
    for _ in 0..<40 { statistics.receive(header(65_699), arrival: 0, clockRate: 0) }
    let second = statistics.report(clockRate: 8_000, lastSR: 0, delaySinceLastSR: 0)
    #expect(second.fractionLost == 0)
    #expect(second.cumulativeLost == -15)
    #expect(statistics.lost == 25)
  }

  @Test func aPacketFromBeforeTheFirstWidensTheRun() {
    var statistics = ReceptionStatistics()
    for number in [5, 2, 3] { statistics.receive(header(number), arrival: 0, clockRate: 0) }
    #expect(statistics.expected == 4)
    #expect(statistics.lost == 1)
    #expect(statistics.lossRuns == 1)
  }
}
