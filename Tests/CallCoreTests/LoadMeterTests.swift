import Base
import CallCore
import Testing

/// What the measured wait makes of new calls, on a clock of its own.
@Suite struct LoadMeterTests {
  private struct Bed {
    var meter = LoadMeter(listeners: 2, at: Instant(nanoseconds: 1_000_000_000))
    var now = Instant(nanoseconds: 1_000_000_000)

    var strangers: Int { meter.refused(.stranger) }
    var known: Int { meter.refused(.known) }

    /// A wait each 10 ms, and a call of each of `ranks` beside it that is refused as the meter says.
    mutating func feed(
      _ wait: Interval, for time: Interval, on listener: ListenerIndex = 0,
      _ ranks: [CallerRank] = []
    ) {
      let end = now + time
      while now < end {
        meter.waited(wait, on: listener, at: now)
        for rank in ranks { meter.decided(rank, isRefused: meter.refused(rank) == 1_000) }
        now = now + .milliseconds(10)
      }
      meter.roll(to: now)
    }
  }

  @Test func burstsAreNoOverload() {
    var bed = Bed()
    for _ in 0..<50 {
      bed.meter.waited(.milliseconds(80), on: 0, at: bed.now)
      bed.feed(.milliseconds(1), for: .milliseconds(150))
      #expect(!bed.meter.isBehind)
    }
  }

  @Test func aStandingQueueIsAndIsForgottenWithinFiveSeconds() {
    var bed = Bed()
    bed.feed(.milliseconds(60), for: .seconds(3), [.known])
    #expect(bed.strangers == 1_000 && bed.known > 700)
    #expect(bed.meter.standing == .milliseconds(60))
    // Nothing comes any more; or what comes does not wait.
    var idle = bed.meter
    idle.roll(to: bed.now + .seconds(5))
    #expect(!idle.isBehind && idle.standing == .zero)
    bed.feed(.milliseconds(1), for: .seconds(5))
    #expect(!bed.meter.isBehind)
  }

  /// Overload is not over before the wait was below half of what it begins at.
  @Test func hysteresis() {
    var bed = Bed()
    bed.feed(.milliseconds(19), for: .seconds(2), [.known])
    #expect(!bed.meter.isBehind)
    bed.feed(.milliseconds(30), for: .seconds(1), [.known])
    #expect(bed.known > 100)
    bed.feed(.milliseconds(12), for: .seconds(60), [.known])
    #expect(bed.known == 0 && bed.meter.isBehind)
    bed.feed(.milliseconds(9), for: .seconds(1))
    #expect(!bed.meter.isBehind)
  }

  /// As long as refusing strangers helps, nobody else is refused.
  @Test func strangersGoFirst() {
    var bed = Bed()
    var windowsWithout = 0
    for i in 0..<40 {
      bed.feed(
        .milliseconds(40 + 20 * i), for: .milliseconds(100), [.stranger, .known])
      windowsWithout += bed.strangers == 1_000 ? 1 : 0
      if windowsWithout < 5 { #expect(bed.known == 0) }
    }
    #expect(bed.strangers == 1_000 && bed.known > 500)
    // And the other way round on the way back.
    while bed.meter.isBehind {
      bed.feed(.zero, for: .milliseconds(100), [.stranger, .known])
      if bed.known > 0 { #expect(bed.strangers == 1_000) }
    }
  }

  /// Without a stranger to refuse, those who are known are refused from the first window on.
  @Test func noStrangersNoDetour() {
    var bed = Bed()
    bed.feed(.milliseconds(40), for: .milliseconds(110), [.known])
    #expect(bed.known > 0)
  }

  /// A flood whose refusals alone are too much is no reason to refuse those few that are known.
  @Test func aFloodOfStrangersCostsOthersNothing() {
    var bed = Bed()
    let flood = [CallerRank](repeating: .stranger, count: 50)
    bed.feed(.milliseconds(200), for: .seconds(5), flood + [.known])
    #expect(bed.strangers == 1_000 && bed.known == 0)
  }

  /// A listener where nothing waits says nothing of its neighbour.
  @Test func theWorstListenerCounts() {
    var bed = Bed()
    for _ in 0..<100 {
      bed.meter.waited(.zero, on: 0, at: bed.now)
      bed.feed(.milliseconds(50), for: .milliseconds(10), on: 1, [.known])
    }
    #expect(bed.known > 0)
    // One that there is none of is no business of anybody.
    bed.meter.waited(.seconds(9), on: 7, at: bed.now)
  }

  @Test func aFullBufferIsOverloadHoweverShortItsWait() {
    var bed = Bed()
    for _ in 0..<5 {
      bed.meter.dropped(at: bed.now)
      bed.feed(.milliseconds(3), for: .milliseconds(100), [.known])
    }
    #expect(bed.known > 0)
  }
}
