import Base
import Edge
import Foundation
import Locking
import Synchronization

/// Sees a thread that does not go on: says what it is doing, and lets the service manager know that we are no longer
/// well, which starts us anew. It has a thread of its own, since a pool's may be the one that hangs.
final class Watchdog: Sendable {
  private static let look = Duration.seconds(1)

  private let threads: [ThreadProgress]
  private let log: LogSink
  private let manager: ServiceManager?
  private let isOver = Atomic(false)
  private let stalls = Atomic<UInt64>(0)
  private let stalled = Atomic(false)

  init(_ threads: [ThreadProgress], log: LogSink, manager: ServiceManager?) {
    self.threads = threads
    self.log = log
    self.manager = manager
  }

  /// How often a thread has stalled, and whether one has now.
  var counts: (stalls: UInt64, isStalled: Bool) {
    (stalls.load(ordering: .relaxed), stalled.load(ordering: .relaxed))
  }

  func start() {
    manager?.tell(.ready, status: "carrying calls")
    let thread = Thread { [self] in run() }
    thread.name = "watchdog"
    thread.start()
  }

  /// No new calls are taken any more; those that are up are watched on.
  func tellStopping() { manager?.tell(.stopping) }

  func stop() { isOver.store(true, ordering: .relaxed) }

  private func run() {
    var watch = StallWatch()
    let pause = min(Self.look, (manager?.watchdog ?? Self.look) / 3)
    while !isOver.load(ordering: .relaxed) {
      for event in watch.look(threads.map(\.reading), at: MonotonicClock.now) { tell(event) }
      stalled.store(watch.hasStalled, ordering: .relaxed)
      if !watch.hasStalled, manager?.watchdog != nil { manager?.tell(.alive) }
      Thread.sleep(forTimeInterval: pause / .seconds(1))
    }
  }

  private func tell(_ event: StallWatch.Event) {
    switch event {
    case .stalled(let reading, let lasted):
      stalls.wrappingAdd(1, ordering: .relaxed)
      log.write(
        LogLine(
          .error, "a thread has stalled",
          [
            LogField("thread", reading.name), LogField("doing", "\(reading.step)"),
            LogField("seconds", lasted.wholeSeconds), LogField("number", Int(reading.thread)),
            LogField("kernel", Self.place(of: reading.thread)),
            LogField(
              "remedy", "report it with this line; a service manager's watchdog starts Demarc anew"
            ),
          ]))
    case .recovered(let reading, let lasted):
      log.write(
        LogLine(
          .warning, "a thread that had stalled goes on",
          [LogField("thread", reading.name), LogField("seconds", lasted.wholeSeconds)]))
    }
  }

  /// What the kernel says of it: its state, and where in the kernel it waits.
  private static func place(of thread: Int32) -> String {
    func text(_ name: String) -> String {
      let path = "/proc/self/task/\(thread)/\(name)"
      return (try? String(contentsOfFile: path, encoding: .utf8))?
        .trimmingCharacters(in: .whitespacesAndNewlines) ?? ""
    }
    // proc(5): the state stands behind the name, which is in brackets.
    let state = text("stat").split(separator: ")").last?.split(separator: " ").first ?? "?"
    return "state \(state), \(text("wchan"))"
  }
}
