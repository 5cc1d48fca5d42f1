package import Base
package import Locking

/// Which threads have not come to the end of their turn for too long. A machine, so that it can be tried with any times.
package struct StallWatch: Sendable {
  package enum Event: Hashable, Sendable {
    /// It has been in the same turn for so long, in this step.
    case stalled(ThreadProgress.Reading, Interval)
    /// A turn that had stalled is over; how long it was seen to last.
    case recovered(ThreadProgress.Reading, Interval)
  }

  private struct Turn {
    var began: UInt64
    /// When it was seen first. Of a process that was stopped as a whole, no thread has stalled.
    var seen: Instant
    var isStalled = false
  }

  /// A turn takes milliseconds; a disk, a resolver or a peer is never waited for in it.
  package static let patience = Interval.seconds(2)

  private var turns: [Turn?] = []

  package init() {}

  /// Whether any has stalled.
  package var hasStalled: Bool { turns.contains { $0?.isStalled == true } }

  /// Compares with what was read before; the readings keep their places.
  package mutating func look(
    _ readings: [ThreadProgress.Reading], at now: Instant
  ) -> [Event] {
    while turns.count < readings.count { turns.append(nil) }
    var events: [Event] = []
    for (place, reading) in readings.enumerated() {
      if let turn = turns[place], turn.began == reading.began {
        let lasted = now - turn.seen
        if !turn.isStalled, lasted >= Self.patience {
          turns[place]?.isStalled = true
          events.append(.stalled(reading, lasted))
        }
        continue
      }
      if let turn = turns[place], turn.isStalled {
        events.append(.recovered(reading, now - turn.seen))
      }
      turns[place] = reading.began == 0 ? nil : Turn(began: reading.began, seen: now)
    }
    return events
  }
}
