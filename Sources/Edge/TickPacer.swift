package import Base

/// When a loop shall be woken by everything that comes, and when it shall sleep for a tick and then take all
/// that came meanwhile: at some hundred calls a second, being woken costs more than what one is woken for.
///
/// At rest nothing is delayed. Under load a message waits for half a tick on average.
package struct TickPacer {
  package static let tick = Interval.milliseconds(2)
  package static let window = Interval.milliseconds(100)
  /// Messages and inputs in a window from which on the loop is busy. It stays so until they are fewer than
  /// half of that.
  package static let busyArrivals = 200

  /// Since the window began; counted by the loop.
  package var arrivals = 0
  package private(set) var isBusy = false
  private var windowStart: Instant
  private var nextTick = Instant.zero

  package init(now: Instant) { windowStart = now }

  /// Once a turn.
  package mutating func measure(at now: Instant) {
    let elapsed = now - windowStart
    guard elapsed >= Self.window else { return }
    // A loop that slept long sees several windows as one.
    let windows = max(Int(elapsed.nanoseconds / Self.window.nanoseconds), 1)
    let rate = arrivals / windows
    isBusy = rate >= Self.busyArrivals || isBusy && rate >= Self.busyArrivals / 2
    arrivals = 0
    windowStart = now
  }

  /// How long to sleep until the next tick. A loop that is late goes on from now instead of catching up.
  package mutating func untilTick(at now: Instant) -> Interval {
    nextTick = nextTick + Self.tick
    if nextTick < now || nextTick > now + Self.tick { nextTick = now + Self.tick }
    return nextTick - now
  }
}
