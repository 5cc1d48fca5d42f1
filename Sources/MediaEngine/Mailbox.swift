import MediaControl
import Locking

extension MediaCommand {
  fileprivate var isUrgent: Bool {
    switch self {
    case .close, .stopRecording, .pauseRecording: true
    default: false
    }
  }
}

/// What other threads leave for a worker, and what it leaves for them. Both sides hold the locks for a
/// swap or a copy, never while they work.
final class Mailbox: Sendable {
  struct Contents: Sendable {
    var commands: [MediaCommand] = []
    var announcements: AnnouncementTable?
    var stopping = false
    /// The worker waits, or is about to: the next post is to wake it. While it is at work or sleeps until
    /// its tick it comes by itself.
    var isAwaited = false

    mutating func takesWakeup() -> Bool {
      defer { isAwaited = false }
      return isAwaited
    }
  }

  private let contents = Mutex(Contents())
  private let published = Mutex(MediaCounters())
  private let dropped = Mutex<UInt64>(0)
  private let limit: Int
  private let doors: PortSockets
  let signal: Signal
  let progress = ThreadProgress("media")

  init(limit: Int, doors: PortSockets) throws(SystemError) {
    self.limit = max(limit, 1)
    self.doors = doors
    signal = try Signal()
  }

  /// Returns the commands that found no room. `.close` has room for as many again, and what ends or pauses a recording:
  /// whatever was opened can be closed.
  func post(_ commands: [MediaCommand]) -> [MediaCommand] {
    var refused: [MediaCommand] = []
    let wake = contents.withLock { contents in
      for command in commands {
        let room = command.isUrgent ? 2 * limit : limit
        if contents.commands.count < room {
          contents.commands.append(command)
        } else {
          refused.append(command)
        }
      }
      return !contents.commands.isEmpty && contents.takesWakeup()
    }
    if !refused.isEmpty { dropped.withLock { $0 += UInt64(refused.count) } }
    for case .open(let id, let media) in commands
    where refused.isEmpty || !refused.contains(.open(id, media)) {
      doors.unmute(media)
    }
    if wake { signal.raise() }
    return refused
  }

  func post(_ announcements: AnnouncementTable) {
    contents.withLock { $0.announcements = announcements }
    signal.raise()
  }

  func stop() {
    contents.withLock { $0.stopping = true }
    signal.raise()
  }

  /// For the worker, before it waits for the signal: false when there is something to do already. Until the
  /// next `collect`, the first post raises it.
  func prepareToWait() -> Bool {
    contents.withLock { contents in
      contents.isAwaited =
        contents.commands.isEmpty && contents.announcements == nil && !contents.stopping
      return contents.isAwaited
    }
  }

  /// For the worker: takes what is there and leaves `emptied`'s memory for the next commands.
  func collect(into emptied: inout [MediaCommand]) -> (
    announcements: AnnouncementTable?, stopping: Bool
  ) {
    contents.withLock { contents in
      contents.isAwaited = false
      swap(&contents.commands, &emptied)
      let announcements = contents.announcements
      contents.announcements = nil
      return (announcements, contents.stopping)
    }
  }

  func publish(_ counters: MediaCounters) { published.withLock { $0 = counters } }

  var counters: MediaCounters {
    var counters = published.withLock { $0 }
    counters.commandsDropped = dropped.withLock { $0 }
    return counters
  }
}
