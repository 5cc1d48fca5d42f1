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

/// At most `limit` in any second, wherever the second begins, and never less than 99 % of it when more
/// is asked for: "calls a second" of a trunk, which a carrier counts with its own clock.
///
/// A token bucket can't do this: with any burst at all it exceeds its rate in some second, and without
/// one it refuses calls that merely came close together. So acceptances are counted in slots of 8 ms,
/// and one more passes when the last 126 slots (which contain every second that ends now) hold less
/// than the limit.
@frozen @usableFromInline
package struct RateWindow: Sendable {
  @inlinable static var slotNanoseconds: UInt64 { 8_000_000 }
  @inlinable static var slots: UInt64 { 126 }

  @usableFromInline package let limit: Int
  @usableFromInline var counts = InlineArray<126, UInt32>(repeating: 0)
  @usableFromInline var sum = 0
  @usableFromInline var current: UInt64 = 0

  /// `limit` of 0 or less lets nothing through; above 4·10⁹ it is cut.
  package init(limit: Int) {
    self.limit = min(max(limit, 0), Int(UInt32.max))
  }

  /// How many passed in about the last second.
  @inlinable package var recent: Int { sum }

  /// Whether one more may pass now; if so it is counted. Time that runs backwards counts as now.
  @inlinable
  package mutating func take(at now: Instant) -> Bool {
    move(to: now.nanoseconds / Self.slotNanoseconds)
    guard sum < limit else { return false }
    counts[Int(current % Self.slots)] &+= 1
    sum &+= 1
    return true
  }

  @inlinable
  mutating func move(to slot: UInt64) {
    guard slot > current else { return }
    let steps = Swift.min(slot &- current, Self.slots)
    for step in 0..<steps {
      let i = Int((slot &- step) % Self.slots)
      sum &-= Int(counts[i])
      counts[i] = 0
    }
    current = slot
  }
}
