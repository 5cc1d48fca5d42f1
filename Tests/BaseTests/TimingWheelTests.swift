import Base
import Testing

@Suite struct TimingWheelTests {
  struct Running {
    var id: TimerID
    var at: Instant
    var order: Int
  }

  /// Random timers, cancellations and jumps of the clock against a plain list. Checked at each step:
  /// what fired, in which order, never early, at most a tick late, and the deadline's promise.
  @Test(arguments: [UInt64(1), 2, 3, 4])
  func againstAList(seed: UInt64) {
    var random = RandomSource(seed: seed)
    var now = Instant(nanoseconds: seed == 1 ? 0 : random.next() >> 8)
    var wheel = TimingWheel(start: now)
    var running: [UInt64: Running] = [:]
    var order = 0
    let spans: [Int] = [15, 700, 45_000, 3_000_000, 90_000_000, 3_000_000_000]
    for _ in 0..<8_000 {
      switch random.next(below: 8) {
      case 0, 1, 2:
        let delay = random.next(below: spans[random.next(below: spans.count)] * 1_000) * 1_000
        let at = now + Interval(nanoseconds: Int64(delay))
        order += 1
        let id = wheel.schedule(at: at, kind: UInt8(order & 255), owner: UInt64(order))
        running[UInt64(order)] = Running(id: id, at: at, order: order)
      case 3:
        guard let (key, timer) = running.randomElement(using: &random) else { continue }
        var id = timer.id
        let cancelled = wheel.cancel(&id)
        check(cancelled && id.isNone)
        running[key] = nil
        var stale = timer.id
        let again = wheel.cancel(&stale)
        check(!again)
      default:
        let span = spans[random.next(below: random.chance(1, in: 50) ? spans.count : 3)]
        now = now + .microseconds(random.next(below: span * 1_000))
        advance(&wheel, to: now, &running)
      }
      check(wheel.count == running.count)
      let first = running.values.map(\.at).min()
      check((wheel.nextDeadline == nil) == (first == nil))
      if let first, let deadline = wheel.nextDeadline {
        let tick = (first.nanoseconds + 9_999_999) / 10_000_000 * 10_000_000
        check(deadline.nanoseconds <= tick)
      }
    }
    check(order > 2_000)
  }

  private func advance(
    _ wheel: inout TimingWheel, to now: Instant, _ running: inout [UInt64: Running]
  ) {
    var last: (tick: UInt64, order: Int) = (0, 0)
    while let fired = wheel.popExpired(until: now) {
      guard let timer = running.removeValue(forKey: fired.owner) else {
        Issue.record("fired twice or after its cancellation")
        return
      }
      check(timer.at <= now, "early")
      check(fired.kind == UInt8(timer.order & 255))
      let tick = (timer.at.nanoseconds + 9_999_999) / 10_000_000
      check((tick, timer.order) > last, "out of order")
      last = (tick, timer.order)
    }
    for timer in running.values {
      check(timer.at + Interval(nanoseconds: 10_000_000) > now, "more than a tick late")
    }
  }

  /// Sleeping until `nextDeadline` each time reaches a far timer on its tick, in few steps.
  @Test func deadlinesLeadToTheTimer() {
    for milliseconds in [1, 10, 640, 641, 32_000, 86_400_000, 24 * 86_400_000, 400 * 86_400_000] {
      var wheel = TimingWheel(start: Instant(nanoseconds: 123_456_789_012))
      let at = Instant(nanoseconds: 123_456_789_012) + .milliseconds(milliseconds)
      _ = wheel.schedule(at: at, kind: 1, owner: 2)
      var steps = 0
      while let deadline = wheel.nextDeadline, steps < 100 {
        steps += 1
        if let fired = wheel.popExpired(until: deadline) {
          check(fired.owner == 2 && deadline >= at)
          check(deadline.nanoseconds < at.nanoseconds + 10_000_000)
        }
      }
      check(wheel.count == 0 && steps <= 7, "\(milliseconds) ms in \(steps) steps")
    }
  }

  @Test func extremes() {
    var wheel = TimingWheel()
    var far = wheel.schedule(at: .distantFuture, kind: 0, owner: 1)
    _ = wheel.schedule(at: .zero, kind: 0, owner: 2)
    check(wheel.nextDeadline == .zero)
    check(wheel.popExpired(until: .zero)?.owner == 2)
    check(wheel.popExpired(until: Instant(nanoseconds: .max / 2)) == nil)
    // Scheduled in the past of a wheel that has moved on: due at once.
    _ = wheel.schedule(at: .zero, kind: 0, owner: 3)
    check(wheel.popExpired(until: .zero) == nil, "but not before the wheel's own time")
    check(wheel.popExpired(until: Instant(nanoseconds: .max / 2))?.owner == 3)
    check(wheel.cancel(&far))
    check(wheel.nextDeadline == nil && wheel.count == 0)
    var none = TimerID.none
    check(!wheel.cancel(&none))
  }

  @Test func limit() {
    var wheel = TimingWheel(limit: 2)
    var a = wheel.schedule(at: .zero, kind: 0, owner: 1)
    let b = wheel.schedule(at: .zero, kind: 0, owner: 2)
    let c = wheel.schedule(at: .zero, kind: 0, owner: 3)
    check(!a.isNone && !b.isNone && c.isNone)
    wheel.cancel(&a)
    let d = wheel.schedule(at: .zero, kind: 0, owner: 4)
    check(!d.isNone && wheel.isRunning(b))
  }

  /// A handler that restarts its timer at once can't keep `popExpired` busy for ever.
  @Test func restartingIsBounded() {
    var wheel = TimingWheel()
    let now = Instant(nanoseconds: 1_005_000_000)
    _ = wheel.schedule(at: now, kind: 0, owner: 0)
    var fired = 0
    let later = now + .milliseconds(100)
    while fired < 1_000, wheel.popExpired(until: later) != nil {
      fired += 1
      _ = wheel.schedule(at: later, kind: 0, owner: 0)
    }
    check(fired == 1)
  }
}
