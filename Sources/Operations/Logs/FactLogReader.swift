import CallCore
import Edge
import Synchronization

/// The log as a reader of the stream.
final class FactLogReader: Sendable {
  private let log = Mutex(FactLog())
  private let sink: LogSink

  init(sink: LogSink) { self.sink = sink }

  func tell(_ facts: [Fact]) {
    let clock = WallClock.now
    for fact in facts {
      guard let line = log.withLock({ $0.line(for: fact) }), sink.takes(line.level) else {
        continue
      }
      sink.write(line, at: Int64(clamping: clock.milliseconds(at: fact.at)))
    }
  }
}
