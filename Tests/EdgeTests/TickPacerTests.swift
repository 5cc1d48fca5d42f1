import Base
import Edge
import Testing

struct TickPacerTests {
  private let start = Instant.zero + .seconds(100)

  /// What a window of so many arrivals makes of a pacer that is busy or not.
  @Test(arguments: [
    (false, 0, false), (false, 199, false), (false, 200, true), (false, 10_000, true),
    (true, 200, true), (true, 100, true), (true, 99, false), (true, 0, false),
  ])
  func loadMakesItBusyAndRestEndsIt(before: Bool, arrivals: Int, after: Bool) {
    var pacer = TickPacer(now: start)
    pacer.arrivals = before ? TickPacer.busyArrivals : 0
    pacer.measure(at: start + TickPacer.window)
    #expect(pacer.isBusy == before)
    pacer.arrivals = arrivals
    pacer.measure(at: start + TickPacer.window + .milliseconds(99))
    #expect(pacer.isBusy == before)
    pacer.measure(at: start + TickPacer.window * 2)
    #expect(pacer.isBusy == after)
    #expect(pacer.arrivals == 0)
  }

  /// A long sleep is many windows: its arrivals are no burst.
  @Test func aLongSleepIsNoBurst() {
    var pacer = TickPacer(now: start)
    pacer.arrivals = 1_000
    pacer.measure(at: start + TickPacer.window * 10)
    #expect(!pacer.isBusy)
  }

  @Test func ticksAreEvenAndLateOnesAreNotCaughtUp() {
    var pacer = TickPacer(now: start)
    #expect(pacer.untilTick(at: start) == TickPacer.tick)
    // Half a tick of work shortens the sleep, a longer one moves the ticks.
    let half = Interval(nanoseconds: TickPacer.tick.nanoseconds / 2)
    #expect(pacer.untilTick(at: start + TickPacer.tick + half) == half)
    let late = start + TickPacer.tick * 7
    #expect(pacer.untilTick(at: late) == TickPacer.tick)
    #expect(pacer.untilTick(at: late + TickPacer.tick) == TickPacer.tick)
  }
}
