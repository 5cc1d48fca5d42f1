/// A point on the monotonic clock, in nanoseconds since an origin that only this process knows.
///
/// Below the edge nobody reads a clock: every input carries its instant, so a whole run can be
/// replayed. Wall-clock stamps are added where facts leave the process (`WallClock`).
@frozen @usableFromInline
package struct Instant: Hashable, Comparable, Sendable {
  @usableFromInline package var nanoseconds: UInt64

  @inlinable package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  @inlinable package static var zero: Instant { Instant(nanoseconds: 0) }
  @inlinable package static var distantFuture: Instant { Instant(nanoseconds: .max) }

  @inlinable package static func < (a: Instant, b: Instant) -> Bool {
    a.nanoseconds < b.nanoseconds
  }

  /// Saturates at both ends: an absurd interval from a peer must not trap.
  @inlinable package static func + (a: Instant, b: Interval) -> Instant {
    if b.nanoseconds >= 0 {
      let (sum, overflow) = a.nanoseconds.addingReportingOverflow(UInt64(b.nanoseconds))
      return Instant(nanoseconds: overflow ? .max : sum)
    }
    let magnitude = b.nanoseconds.magnitude
    return Instant(nanoseconds: a.nanoseconds > magnitude ? a.nanoseconds &- magnitude : 0)
  }

  /// The signed distance from `b` to `a`, saturated.
  @inlinable package static func - (a: Instant, b: Instant) -> Interval {
    let negative = a.nanoseconds < b.nanoseconds
    let magnitude = negative ? b.nanoseconds &- a.nanoseconds : a.nanoseconds &- b.nanoseconds
    let bounded = Int64(clamping: magnitude)
    return Interval(nanoseconds: negative ? 0 &- bounded : bounded)
  }
}

/// A signed span of time in nanoseconds (292 years either way).
@frozen @usableFromInline
package struct Interval: Hashable, Comparable, Sendable {
  @usableFromInline package var nanoseconds: Int64

  @inlinable package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  @inlinable package static var zero: Interval { Interval(nanoseconds: 0) }

  /// Arguments are clamped, so a number from the wire or from a file can be passed as it is.
  @inlinable package static func seconds(_ n: Int) -> Interval { scaled(n, by: 1_000_000_000) }
  @inlinable package static func milliseconds(_ n: Int) -> Interval { scaled(n, by: 1_000_000) }
  @inlinable package static func microseconds(_ n: Int) -> Interval { scaled(n, by: 1_000) }

  @inlinable static func scaled(_ n: Int, by unit: Int64) -> Interval {
    let (product, overflow) = Int64(n).multipliedReportingOverflow(by: unit)
    return Interval(nanoseconds: overflow ? (n < 0 ? .min : .max) : product)
  }

  @inlinable package var milliseconds: Int { Int(nanoseconds / 1_000_000) }
  @inlinable package var wholeSeconds: Int { Int(nanoseconds / 1_000_000_000) }
  package var seconds: Double { Double(nanoseconds) / 1e9 }

  @inlinable package static func < (a: Interval, b: Interval) -> Bool {
    a.nanoseconds < b.nanoseconds
  }
  @inlinable package static func + (a: Interval, b: Interval) -> Interval {
    let (sum, overflow) = a.nanoseconds.addingReportingOverflow(b.nanoseconds)
    return Interval(nanoseconds: overflow ? (a.nanoseconds < 0 ? .min : .max) : sum)
  }
  @inlinable package static func * (a: Interval, n: Int) -> Interval {
    let (product, overflow) = a.nanoseconds.multipliedReportingOverflow(by: Int64(n))
    return Interval(
      nanoseconds: overflow ? ((a.nanoseconds < 0) != (n < 0) ? .min : .max) : product)
  }
}
