/// A token bucket whose state is one word, for tables of many: `rate` a second in the long run, `burst` at once.
///
/// The word says when the bucket is full again (the generic cell rate algorithm, ITU-T I.371 annex A). One that lies in
/// the past is a full bucket, so 0 is the state of somebody who was never seen. In any span of T seconds at most
/// burst + rate·T pass.
@frozen @usableFromInline
package struct Allowance: Sendable {
  /// Nanoseconds that one token takes to come back, and that the whole bucket does.
  @usableFromInline let interval: UInt64
  @usableFromInline let depth: UInt64

  /// A rate or burst of 0 lets nothing through.
  package init(rate: Int, burst: Int) {
    let rate = UInt64(min(max(rate, 0), 1_000_000_000))
    let burst = rate == 0 ? 0 : UInt64(min(max(burst, 0), 1_000_000))
    // Rounded up: never more than the rate.
    interval = rate == 0 ? 0 : (1_000_000_000 + rate - 1) / rate
    depth = interval * burst
  }

  /// One token each so often, and so many at once.
  package init(every interval: Interval, burst: Int) {
    self.interval = UInt64(clamping: interval.nanoseconds)
    let (depth, overflow) = self.interval.multipliedReportingOverflow(by: UInt64(max(burst, 0)))
    self.depth = overflow ? .max / 4 : depth
  }

  /// Whether one more may pass, which is not counted yet.
  @inlinable
  package func allows(_ full: UInt64, at now: Instant, tokens: UInt64 = 1) -> Bool {
    let base = max(full, now.nanoseconds)
    return depth > 0 && base &- now.nanoseconds &+ interval &* tokens <= depth
  }

  /// Whether one more may pass; if so it is counted.
  @inlinable
  package func take(_ full: inout UInt64, at now: Instant) -> Bool {
    guard allows(full, at: now) else { return false }
    full = max(full, now.nanoseconds) &+ interval
    return true
  }

  /// Counts so many whether or not they may pass; true: the bucket is overdrawn with them.
  @inlinable
  package func charge(_ full: inout UInt64, tokens: UInt64 = 1, at now: Instant) -> Bool {
    let ceiling = now.nanoseconds &+ depth &+ interval
    full = min(max(full, now.nanoseconds) &+ interval &* tokens, ceiling)
    return full &- now.nanoseconds > depth
  }

  /// Gives tokens back; a bucket is never fuller than full.
  @inlinable
  package func give(back tokens: UInt64, to full: inout UInt64) {
    let gift = interval &* tokens
    full = full > gift ? full &- gift : 0
  }
}
