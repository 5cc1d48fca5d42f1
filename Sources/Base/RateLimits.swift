// Two kinds of "so many a second", both in integers, so that no rounding drifts over weeks.

/// Token bucket: `rate` a second in the long run, `burst` at once. In any span of T seconds it lets
/// through at most burst + rate·T. For floods, where a short burst is innocent.
///
/// The level is kept in thousand-millionths of a token, of which each nanosecond brings back `rate`.
@frozen @usableFromInline
package struct TokenBucket: Sendable {
  @usableFromInline let rate: UInt64
  @usableFromInline let burst: UInt64
  /// Tokens in the bucket, in units of 10⁻⁹; a whole one is needed to pass.
  @usableFromInline var level: UInt64
  @usableFromInline var last: Instant?

  /// A rate or burst of 0 lets nothing through. Values are cut to 10⁹ a second and 10⁹ at once.
  package init(rate: Int, burst: Int) {
    self.rate = UInt64(min(max(rate, 0), 1_000_000_000))
    self.burst = self.rate == 0 ? 0 : UInt64(min(max(burst, 0), 1_000_000_000))
    level = self.burst * 1_000_000_000
    last = nil
  }

  /// Whether one more may pass now. Time that runs backwards refills nothing.
  @inlinable
  package mutating func take(at now: Instant) -> Bool {
    refill(now)
    guard level >= 1_000_000_000 else { return false }
    level &-= 1_000_000_000
    return true
  }

  @inlinable
  mutating func refill(_ now: Instant) {
    guard let before = last else {
      last = now
      return
    }
    guard now > before else { return }
    last = now
    let full = burst &* 1_000_000_000
    let elapsed = now.nanoseconds &- before.nanoseconds
    let (gain, overflow) = elapsed.multipliedReportingOverflow(by: rate)
    level = overflow || gain >= full &- level ? full : level &+ gain
  }
}

/// At most `limit` in any second (or minute, or whatever the period is), wherever it begins: "calls a second" of a
/// trunk, which a carrier counts with its own clock.
///
/// A token bucket can't do this: with any burst at all it exceeds its rate in some second, and without
/// one it refuses calls that merely came close together. Up to 256 a second the instants of the last
/// `limit` that passed are kept, so the next one passes exactly when its second is over. Above, they are
/// counted in slots of 8 ms (8 thousandths of the period), and one more passes when the last 126 slots (which contain
/// every second that ends now) hold less than the limit: never too many, and at least 99 % of it under load.
@frozen @usableFromInline
package struct RateWindow: Sendable {
  @inlinable static var exactLimit: Int { 256 }
  @inlinable static var slots: Int { 126 }

  @usableFromInline package let limit: Int
  @usableFromInline let period: UInt64
  /// Up to `exactLimit`: when the last ones passed, as a ring. Above: how many passed in each slot.
  @usableFromInline var ring: [UInt64]
  /// The oldest instant, or unused.
  @usableFromInline var oldest = 0
  /// The sum of all slots, or how many instants are known.
  @usableFromInline var sum = 0
  /// The newest slot, or the newest instant.
  @usableFromInline var current: UInt64 = 0

  /// `limit` of 0 or less lets nothing through.
  package init(limit: Int, per period: Interval = .seconds(1)) {
    self.limit = max(limit, 0)
    self.period = UInt64(max(period.nanoseconds, 1_000))
    ring = Array(repeating: 0, count: self.limit <= Self.exactLimit ? self.limit : Self.slots)
  }

  /// Whether one more may pass now; if so it is counted. Time that runs backwards counts as now.
  @inlinable
  package mutating func take(at now: Instant) -> Bool {
    guard limit > 0 else { return false }
    return limit <= Self.exactLimit ? takeExactly(now.nanoseconds) : takeBySlot(now.nanoseconds)
  }

  @usableFromInline
  mutating func takeExactly(_ now: UInt64) -> Bool {
    current = max(current, now)
    if sum < limit {
      ring[sum] = current
      sum += 1
      return true
    }
    guard current - ring[oldest] >= period else { return false }
    ring[oldest] = current
    oldest = oldest + 1 == limit ? 0 : oldest + 1
    return true
  }

  @usableFromInline
  mutating func takeBySlot(_ now: UInt64) -> Bool {
    let slot = now / (period / 1_000 * 8)
    if slot > current {
      for step in 0..<min(slot - current, UInt64(Self.slots)) {
        let i = Int((slot - step) % UInt64(Self.slots))
        sum -= Int(ring[i])
        ring[i] = 0
      }
      current = slot
    }
    guard sum < limit else { return false }
    ring[Int(current % UInt64(Self.slots))] += 1
    sum += 1
    return true
  }
}
