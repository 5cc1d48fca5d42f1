import Base
import Locking
import MediaControl

/// The one thread that encodes recordings and writes them. Workers hand it blocks by a ring that never makes them wait,
/// and what begins and ends by a list, each with its place among the blocks.
final class RecordingWriter: Sendable {
  private enum Step: Sendable {
    case begin(Int32, RecordingOrder, SpeechBand, wall: Int64)
    case end(Int32, RecordingEnd, lostBlocks: UInt64, unread: UInt64)
  }

  private struct Inbox: Sendable {
    var steps: [(before: Int, step: Step)] = []
    var isStopping = false
  }

  struct Counters: Hashable, Sendable {
    var active = 0
    var begun: UInt64 = 0
    var failed: UInt64 = 0
    var bytes: UInt64 = 0
  }

  /// How long blocks lie in the ring.
  private static let pause = Interval.milliseconds(50)

  private let settings: RecordingSettings
  private let ring: FrameRing
  private let inbox = Mutex(Inbox())
  private let published = Mutex(Counters())
  private let signal: Signal
  private let thread = Mutex<WorkerThread?>(nil)
  /// Files of an earlier process that were finished at the start, by name.
  let repaired: [String]

  /// Makes the folder and finishes what lies there unfinished.
  init(_ settings: RecordingSettings) throws(SystemError) {
    self.settings = settings
    signal = try Signal()
    ring = FrameRing(capacity: settings.queueBytes / (4 * FrameRing.frames))
    _ = settings.folder.make()
    repaired = RecordingRepair.finishAll(in: settings.folder)
  }

  var counters: Counters { published.withLock { $0 } }

  /// `tell` gets what became of recordings, `give` orders the workers to end one; both on the writer's thread.
  func start(
    tell: @escaping @Sendable (RecordingID, RecordingEvent) -> Void,
    end: @escaping @Sendable (RecordingID, RecordingEnd) -> Void
  ) throws(SystemError) {
    let poller = try Poller.makeDescriptor()
    RecordingFolder.outliveFileLimits()
    let made = try WorkerThread(name: "demarc-record") {
      var desk = RecordingDesk(self.settings, tell: tell, end: end)
      self.run(&desk, Poller(adopting: poller, capacity: 1))
    }
    thread.withLock { $0 = made }
  }

  /// Writes what is there, ends every file, and returns.
  func stop() {
    inbox.withLock { $0.isStopping = true }
    signal.raise()
    let thread = thread.withLock { thread in
      defer { thread = nil }
      return thread
    }
    thread?.join()
  }

  private func run(_ desk: inout RecordingDesk, _ poller: consuming Poller) {
    _ = poller.add(signal.descriptor, token: 0)
    var isRunning = true
    while isRunning {
      poller.wait(timeout: desk.counters.active > 0 ? Self.pause.nanoseconds : -1)
      signal.clear()
      let (steps, isStopping) = inbox.withLock { inbox in
        let steps = inbox.steps
        inbox.steps.removeAll(keepingCapacity: true)
        return (steps, inbox.isStopping)
      }
      isRunning = !isStopping
      for (before, step) in steps {
        desk.take(from: ring, before: before)
        switch step {
        case .begin(let index, let order, let band, let wall):
          desk.begin(index, order, band, wall: wall)
        case .end(let index, let end, let lost, let unread):
          desk.end(index, end, lostBlocks: lost, unread: unread)
        }
      }
      desk.take(from: ring, before: ring.position)
      desk.look(at: Clock.now)
      let counters = desk.counters
      published.withLock { $0 = counters }
    }
    desk.endAll(.interrupted)
    let counters = desk.counters
    published.withLock { $0 = counters }
  }
}

// MARK: For the worker

extension RecordingWriter {
  func begin(_ recorder: Recorder, wall: Int64) {
    add(.begin(recorder.index, recorder.order, recorder.band, wall: wall))
  }

  /// What the recorder still has goes before.
  func end(_ recorder: Recorder, _ end: RecordingEnd, at now: Instant) {
    recorder.hand(to: ring, upTo: now, isLast: true)
    add(.end(recorder.index, end, lostBlocks: recorder.lostBlocks, unread: recorder.unread))
  }

  func hand(_ recorder: Recorder, at now: Instant) {
    recorder.hand(to: ring, upTo: now, isLast: false)
  }

  /// Of something that never began.
  private func add(_ step: Step) {
    let before = ring.position
    inbox.withLock { $0.steps.append((before, step)) }
    signal.raise()
  }
}
