import CallCore
import Edge
import Locking

/// The log as a reader of the stream.
final class FactLogReader: Sendable {
  private let log: Mutex<FactLog>
  private let sink: LogSink

  init(sink: LogSink) {
    self.sink = sink
    log = Mutex(FactLog(minimum: sink.minimum))
  }

  /// A batch becomes one piece of text, so that the sink is woken once for it.
  func tell(_ facts: [Fact]) {
    let clock = WallClock.now
    var text: [UInt8] = []
    var lines = 0
    log.withLock { log in
      for fact in facts {
        guard let line = log.line(for: fact) else { continue }
        sink.format(line, at: Int64(clamping: clock.milliseconds(at: fact.at)), to: &text)
        lines += 1
      }
    }
    if lines > 0 { sink.write(text, lines: lines) }
  }
}
