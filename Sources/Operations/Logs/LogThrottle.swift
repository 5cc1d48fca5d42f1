package import Base

/// Lines that peers can cause at will, held to a rate for each event: a flood of bad messages must not
/// become a flood of log. What was held back is counted and told with the next line that passes.
package struct LogThrottle: Sendable {
  private struct Bucket {
    var tokens: Double
    var last: Instant
    var suppressed: UInt64 = 0
  }

  private let perSecond: Double
  private let burst: Double
  private var buckets: [String: Bucket] = [:]

  package init(perSecond: Double = 20, burst: Double = 50) {
    self.perSecond = perSecond
    self.burst = burst
  }

  /// Nil: hold the line back. Otherwise how many lines of this event were held back before it.
  /// `event` is one of our own constants, so the table has as many entries as the code has events.
  package mutating func pass(_ event: String, at now: Instant) -> UInt64? {
    var bucket = buckets[event] ?? Bucket(tokens: burst, last: now)
    bucket.tokens = min(burst, bucket.tokens + max(0, (now - bucket.last).seconds) * perSecond)
    bucket.last = max(now, bucket.last)
    defer { buckets[event] = bucket }
    guard bucket.tokens >= 1 else {
      bucket.suppressed &+= 1
      return nil
    }
    bucket.tokens -= 1
    defer { bucket.suppressed = 0 }
    return bucket.suppressed
  }
}
