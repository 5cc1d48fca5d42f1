package import Base

/// What calls have talked together within a day, which begins with the first of them.
package struct SpokenTime: Sendable {
  package private(set) var talking = 0
  package private(set) var past = Interval.zero
  private var last = Instant.zero
  package private(set) var dayEnds = Instant.zero

  package init() {}

  /// As it was before a restart, which ended every call.
  package init(_ past: Interval, dayEnds: Instant, at now: Instant) {
    self.past = past
    self.dayEnds = min(dayEnds, now + Self.day)
    last = now
  }

  static let day = Interval.seconds(86_400)

  package mutating func begin(at now: Instant) {
    advance(to: now)
    talking += 1
  }

  package mutating func end(at now: Instant) {
    advance(to: now)
    talking = max(0, talking - 1)
  }

  package mutating func total(at now: Instant) -> Interval {
    advance(to: now)
    return past
  }

  /// When the total will be so much, if all go on talking; `now` at the earliest.
  package mutating func reaches(_ most: Interval, at now: Instant) -> Instant {
    let left = most.nanoseconds - total(at: now).nanoseconds
    guard talking > 0, left > 0 else { return now }
    // Rounded up: a timer that is early by a nanosecond would find nothing used up.
    return now + Interval(nanoseconds: left / Int64(talking) + 1)
  }

  private mutating func advance(to now: Instant) {
    if now >= dayEnds {
      past = .zero
      last = max(last, min(now, dayEnds))
      dayEnds = now + Self.day
    }
    past = past + (now - last) * talking
    last = now
  }
}
