import Base
import Testing

@Suite struct RateLimitTests {
  /// Arrivals for a minute: at even distances, or at random ones with the same mean.
  static func arrivals(perSecond: Int, even: Bool, seed: UInt64) -> [Instant] {
    var random = RandomSource(seed: seed)
    var times: [Instant] = []
    var now: UInt64 = 1_000_000_000_000 + random.next() % 1_000_000_000
    let end = now + 60_000_000_000
    let gap = 1_000_000_000 / UInt64(perSecond)
    while now < end {
      times.append(Instant(nanoseconds: now))
      now += even ? gap : UInt64(random.next(below: Int(gap) * 2 + 1))
    }
    return times
  }

  @Test(
    arguments: [1, 2, 7, 10, 50, 256, 333, 2_000], [(1, true), (2, true), (2, false), (10, false)])
  func window(limit: Int, load: (Int, Bool)) {
    var window = RateWindow(limit: limit)
    let offered = Self.arrivals(perSecond: limit * load.0, even: load.1, seed: UInt64(limit))
    let passed = offered.filter { window.take(at: $0) }
    // Never more than the limit in any second, wherever it begins.
    for i in passed.indices.dropFirst(limit) {
      let distance = passed[i] - passed[i - limit]
      check(distance >= .seconds(1))
    }
    // What no limiter can avoid is to wait for the next call once the second is over; 98 % of the rest
    // gets through.
    if load.0 >= 2 {
      let gap = 1 / Double(limit * load.0)
      check(Double(passed.count) >= 0.98 * Double(limit * 60) / (1 + gap))
    }
  }

  @Test func windowEdges() {
    var closed = RateWindow(limit: 0)
    check(!closed.take(at: .zero))
    var window = RateWindow(limit: 2)
    check(window.take(at: .zero) && window.take(at: .zero) && !window.take(at: .zero))
    check(!window.take(at: Instant(nanoseconds: 999_999_999)))
    check(window.take(at: .zero + .milliseconds(1_000)))
    check(window.take(at: .distantFuture) && window.take(at: .distantFuture))
    check(!window.take(at: .zero), "time running backwards")
    var wide = RateWindow(limit: 300)
    check((0..<400).filter { _ in wide.take(at: .zero) }.count == 300)
    check(
      !wide.take(at: .zero + .milliseconds(1_000)) && wide.take(at: .zero + .milliseconds(1_008)))
    check(wide.take(at: .distantFuture) && wide.take(at: .zero))
    var negative = RateWindow(limit: -5)
    check(!negative.take(at: .distantFuture))
  }

  @Test(arguments: [(1, 1), (3, 1), (10, 10), (7, 100), (1_000, 50), (100_000, 1)])
  func bucket(rate: Int, burst: Int) {
    var bucket = TokenBucket(rate: rate, burst: burst)
    let load = min(rate * 3, 30_000)
    let passed = Self.arrivals(perSecond: load, even: false, seed: 9)
      .filter { bucket.take(at: $0) }
    // In any span: at most burst + rate * span.
    for span in [1, burst, burst + rate / 10, burst + rate, burst + rate * 10]
    where span > burst {
      for i in passed.indices.dropFirst(span) {
        let elapsed = (passed[i] - passed[i - span]).nanoseconds
        check(elapsed * Int64(rate) >= Int64(span + 1 - burst) * 1_000_000_000 - Int64(rate))
      }
    }
    if load > rate { check(passed.count * 100 >= rate * 60 * (burst > 1 ? 98 : 60)) }
  }

  @Test func bucketEdges() {
    var none = TokenBucket(rate: 0, burst: 10)
    check(!none.take(at: .zero))
    var noBurst = TokenBucket(rate: 10, burst: 0)
    check(!noBurst.take(at: .zero) && !noBurst.take(at: .distantFuture))
    var widest = TokenBucket(rate: .max, burst: .max)
    check(widest.take(at: .zero) && widest.take(at: .distantFuture) && widest.take(at: .zero))
    var one = TokenBucket(rate: 1, burst: 1)
    check(one.take(at: .zero) && !one.take(at: .zero + .milliseconds(999)))
    check(one.take(at: .zero + .milliseconds(1_000)))
    check(!one.take(at: .zero + .milliseconds(1_999)))
    check(one.take(at: .distantFuture) && !one.take(at: .distantFuture))
  }

  @Test func randomSource() {
    var a = RandomSource(seed: 1)
    var b = RandomSource(seed: 1)
    var c = RandomSource(seed: 2)
    let words = (0..<100).map { _ in a.next() }
    check(words == (0..<100).map { _ in b.next() })
    check(words != (0..<100).map { _ in c.next() })
    var counts = [Int](repeating: 0, count: 10)
    for _ in 0..<100_000 { counts[a.next(below: 10)] += 1 }
    for count in counts { check(count > 9_500 && count < 10_500) }
    check(a.next(below: 0) == 0 && a.next(below: -3) == 0 && a.next(below: 1) == 0)
  }

  @Test func instantsSaturate() {
    check(Instant.distantFuture + .seconds(1) == .distantFuture)
    check(Instant.zero + .seconds(-1) == .zero)
    check(Instant.zero + Interval(nanoseconds: .min) == .zero)
    check((Instant.zero - Instant.distantFuture).nanoseconds == -Int64.max)
    check(Interval.seconds(.max).nanoseconds == .max && Interval.seconds(.min).nanoseconds == .min)
    check((Interval.seconds(-2) * .max).nanoseconds == .min)
  }
}

/// The bucket of one word is the bucket of four.
@Suite struct AllowanceTests {
  @Test(arguments: [(1, 1), (3, 2), (10, 10), (7, 100), (1_000, 50), (100_000, 7)])
  func letsThroughWhatABucketDoes(rate: Int, burst: Int) {
    let allowance = Allowance(rate: rate, burst: burst)
    let load = min(rate * 3, 30_000)
    let offered = RateLimitTests.arrivals(perSecond: load, even: false, seed: 5)
    var full: UInt64 = 0
    let passed = offered.filter { allowance.take(&full, at: $0) }
    // A burst and the rate, in whatever span it is looked for.
    for i in passed.indices.dropFirst(burst + rate) {
      check(passed[i] - passed[i - burst - rate] >= .milliseconds(999))
    }
    check(passed.count <= burst + rate * 60)
    // Without a second token what comes a little too early is lost.
    if burst > 1 { check(Double(passed.count) >= 0.98 * Double(min(rate * 60, offered.count))) }
  }

  @Test func edges() {
    var full: UInt64 = 0
    check(!Allowance(rate: 0, burst: 5).take(&full, at: .zero) && full == 0)
    check(!Allowance(rate: 5, burst: 0).take(&full, at: .zero))
    let one = Allowance(every: .seconds(6), burst: 2)
    let now = Instant.zero + .seconds(100)
    check(one.take(&full, at: now) && one.take(&full, at: now) && !one.take(&full, at: now))
    check(!one.allows(full, at: now) && one.allows(full, at: now + .seconds(6)))
    one.give(back: 1, to: &full)
    check(one.take(&full, at: now))
    one.give(back: 1_000, to: &full)
    check(full == 0)
    // What is charged whether or not it may pass is bounded.
    check(!one.charge(&full, tokens: 2, at: now) && one.charge(&full, tokens: 50, at: now))
    check(one.allows(full, at: now + .seconds(12)))
  }
}
