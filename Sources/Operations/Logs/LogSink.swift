import Dispatch
import Glibc
import Locking

/// The one way to the log's descriptor: a bounded buffer and a thread that writes it.
///
/// `write` never waits for the descriptor. When the reader at the other end stops (a full pipe, a slow
/// disk), lines beyond the bound are counted and dropped, and the log says so when it flows again.
package final class LogSink: Sendable {
  private struct State {
    var buffer: [UInt8] = []
    var scheduled = false
    var dropped: UInt64 = 0
    var droppedSinceTold: UInt64 = 0
    var lines: UInt64 = 0
  }

  private let descriptor: Int32
  private let limit: Int
  private let formatter: LogFormatter
  let minimum: LogLevel
  private let clock: @Sendable () -> Int64
  private let queue = DispatchQueue(label: "demarc.log")
  private let state = Mutex(State())

  /// - Parameters:
  ///   - descriptor: where lines go; not closed.
  ///   - limit: bytes that may wait for the descriptor.
  ///   - clock: milliseconds since 1970.
  package init(
    descriptor: Int32, level: LogLevel, formatter: LogFormatter, limit: Int = 1 << 20,
    clock: @escaping @Sendable () -> Int64
  ) {
    self.descriptor = descriptor
    self.limit = limit
    self.formatter = formatter
    self.clock = clock
    minimum = level
  }

  package func takes(_ level: LogLevel) -> Bool { level >= minimum }

  /// Now, by the sink's clock.
  package func write(_ line: LogLine) {
    if takes(line.level) { write(line, at: clock()) }
  }

  package func write(_ line: LogLine, at millisecondsSince1970: Int64) {
    guard takes(line.level) else { return }
    write(formatter.bytes(line, at: millisecondsSince1970), lines: 1)
  }

  /// The line as bytes at the end of `out`; for `write(_:lines:)`.
  func format(_ line: LogLine, at millisecondsSince1970: Int64, to out: inout [UInt8]) {
    formatter.append(line, at: millisecondsSince1970, to: &out)
  }

  /// Whole lines, all or none.
  func write(_ bytes: [UInt8], lines: Int) {
    let start = state.withLock { state in
      guard state.buffer.count + bytes.count <= limit else {
        state.dropped &+= UInt64(lines)
        state.droppedSinceTold &+= UInt64(lines)
        return false
      }
      state.lines &+= UInt64(lines)
      state.buffer.append(contentsOf: bytes)
      if state.scheduled { return false }
      state.scheduled = true
      return true
    }
    if start { queue.async { self.drain() } }
  }

  package var counters: (lines: UInt64, dropped: UInt64) {
    state.withLock { ($0.lines, $0.dropped) }
  }

  /// Returns when everything written before is out, or the descriptor refused it.
  package func flush() { queue.sync { drain() } }

  private func drain() {
    while true {
      let (bytes, dropped) = state.withLock { state in
        let taken = (state.buffer, state.droppedSinceTold)
        state.buffer = []
        state.droppedSinceTold = 0
        if taken.0.isEmpty { state.scheduled = false }
        return taken
      }
      if bytes.isEmpty { return }
      writeAll(bytes)
      if dropped > 0 {
        let line = LogLine(.warning, "log lines dropped", [LogField("count", dropped)])
        writeAll(formatter.bytes(line, at: clock()))
      }
    }
  }

  private func writeAll(_ bytes: [UInt8]) {
    unsafe bytes.withUnsafeBytes { buffer in
      var offset = 0
      while offset < buffer.count {
        let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[offset...])
        let written = unsafe Glibc.write(descriptor, rest.baseAddress, rest.count)
        if written > 0 {
          offset += written
        } else if errno == EAGAIN {
          var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
          _ = unsafe poll(&entry, 1, 1_000)
        } else if errno != EINTR {
          return
        }
      }
    }
  }
}
