package import MediaControl
import Base
package import Locking

/// The media plane in user space: port pairs bound at the start, and a thread that relays between them,
/// feeds applications and measures.
///
/// Reached by `MediaCommand`s and heard by `MediaFact`s alone, so that it may live in another process.
/// One worker runs now; commands name transports, a transport lives on the worker that owns its port, and
/// a call's transports are leased from one worker's ports: more workers are more of these threads with
/// the ports shared out.
package final class MediaPlane: Sendable {
  private enum State {
    case idle
    case running(WorkerThread, Mailbox)
    case stopped(Mailbox?)
  }

  private let addresses: [MediaAddress]
  private let settings: MediaSettings
  private let announcements: Mutex<AnnouncementTable>
  private let sink: @Sendable ([MediaFact]) -> Void
  private let state = Mutex(State.idle)
  private let started = Mutex(MediaReadiness())
  private let recording = Mutex<RecordingWriter?>(nil)
  private let kernel = Mutex<(state: FastPathState, totals: KernelTotals?)>((.off, nil))

  /// Reads and converts the announcements. `sink` gets facts from the worker's thread, in order, and must
  /// not block; `.ready` and what `submit` refuses come on the caller's.
  package init(
    addresses: [MediaAddress], announcements: [AnnouncementSource], settings: MediaSettings,
    sink: @escaping @Sendable ([MediaFact]) -> Void
  ) throws(AnnouncementError) {
    self.addresses = addresses
    self.settings = settings
    self.sink = sink
    self.announcements = Mutex(try AnnouncementTable(announcements))
  }

  deinit { stop() }

  /// Binds the first ports of each address, reports them as `.ready` and starts the worker, which binds the
  /// others and reports them as they come. Some ports taken by others is no error; none left is.
  @discardableResult
  package func start() throws(MediaStartError) -> MediaReadiness {
    let (readiness, facts) = try launch()
    started.withLock { $0 = readiness }
    sink(facts)
    return readiness
  }

  private func launch() throws(MediaStartError) -> (MediaReadiness, [MediaFact]) {
    try state.withLock { state throws(MediaStartError) in
      guard case .idle = state else { throw .alreadyStarted }
      var ports = try PortTable(addresses, settings: settings)
      var poller: Int32 = -1
      do throws(SystemError) {
        let mailbox = try Mailbox(limit: settings.maxQueuedCommands, doors: ports.doors)
        mailbox.post(announcements.withLock { $0 })
        poller = try Poller.makeDescriptor()
        let facts = ports.takeFacts()
        let writer = try makeWriter(mailbox)
        var part = makeKernelPart(ports)
        do throws(SystemError) {
          state = .running(try makeThread(ports, part, poller, mailbox, writer), mailbox)
        } catch {
          part?.close()
          writer?.stop()
          throw error
        }
        return (ports.readiness, facts)
      } catch {
        ports.close()
        if poller >= 0 { MediaSocket.close(poller) }
        throw .system(name: "worker", reason: error.text)
      }
    }
  }

  /// Nil where there is no place for recordings.
  private func makeWriter(_ mailbox: Mailbox) throws(SystemError) -> RecordingWriter? {
    guard let settings = settings.recording else { return nil }
    let writer = try RecordingWriter(settings)
    let sink = sink
    try writer.start(
      tell: { id, event in sink([.recording(id, event)]) },
      end: { id, end in _ = mailbox.post([.stopRecording(id, end)]) })
    recording.withLock { $0 = writer }
    return writer
  }

  /// Recordings that an earlier process left unfinished, by the names that their files have now.
  package var repairedRecordings: [String] { recording.withLock { $0?.repaired ?? [] } }

  /// Nil where user space relays everything.
  private func makeKernelPart(_ ports: PortTable) -> KernelPart? {
    guard settings.fastPath != .off else { return nil }
    do throws(FastPathObstacle) {
      let part = try KernelPart(
        ports.blocks, slots: ports.slots, byFilter: settings.fastPath == .filter)
      let totals = KernelTotals(part.maps)
      let state = FastPathState.on(
        interfaces: part.attachments.count, links: part.attachments.areLinks)
      kernel.withLock { $0 = (state, totals) }
      return part
    } catch {
      kernel.withLock { $0 = (.unavailable(error), nil) }
      return nil
    }
  }

  /// How far its thread has come; none: it does not run.
  package var threads: [ThreadProgress] {
    state.withLock { state in
      if case .running(_, let mailbox) = state { [mailbox.progress] } else { [] }
    }
  }

  /// What `start` returned.
  package var readiness: MediaReadiness { started.withLock { $0 } }

  /// What `start` found out about relaying in the kernel.
  package var fastPath: FastPathState { kernel.withLock { $0.state } }

  private func makeThread(
    _ ports: PortTable, _ kernel: KernelPart?, _ poller: Int32, _ mailbox: Mailbox,
    _ recording: RecordingWriter?
  ) throws(SystemError) -> WorkerThread {
    let destinations = Destinations(addresses, interfaces: Process.ownAddresses())
    let (settings, sink) = (settings, sink)
    return try WorkerThread(name: "demarc-media") {
      var worker = Worker(
        ports: ports, kernel: kernel, poller: poller, mailbox: mailbox, destinations: destinations,
        settings: settings, seed: Process.random(), recording: recording, sink: sink)
      worker.run()
    }
  }

  /// Queues commands for the worker, in order. What finds the queue full is counted and answered with
  /// `.refused`; before `start` and after `stop` everything is.
  package func submit(_ commands: [MediaCommand]) {
    guard !commands.isEmpty else { return }
    let refused = mailbox?.post(commands) ?? commands
    let refusals = refused.flatMap(\.refusal)
    if !refusals.isEmpty { sink(refusals) }
  }

  /// Exchanges the table of announcements; what plays goes on to its end. The old table stays when a file
  /// of the new one cannot be used.
  package func replaceAnnouncements(_ sources: [AnnouncementSource]) throws(AnnouncementError) {
    let table = try AnnouncementTable(sources)
    announcements.withLock { $0 = table }
    mailbox?.post(table)
  }

  package var counters: MediaCounters {
    var counters = state.withLock { state in
      switch state {
      case .idle, .stopped(nil): MediaCounters()
      case .running(_, let mailbox), .stopped(let mailbox?): mailbox.counters
      }
    }
    if let written = recording.withLock({ $0?.counters }) {
      counters.recordingsBegun = written.begun
      counters.recordingsFailed = written.failed
      counters.recordingBytes = written.bytes
    }
    counters.relayedByKernel = kernel.withLock { $0.totals?.relayed ?? 0 }
    return counters
  }

  /// Ends the worker and closes the ports; not to be called from the sink. Transports are not closed one by
  /// one: no fact follows.
  package func stop() {
    let last = state.withLock { state in
      let last = state
      if case .running(_, let mailbox) = last {
        state = .stopped(mailbox)
      } else if case .idle = last {
        state = .stopped(nil)
      }
      return last
    }
    guard case .running(let thread, let mailbox) = last else { return }
    mailbox.stop()
    thread.join()
    recording.withLock { $0 }?.stop()
  }

  private var mailbox: Mailbox? {
    state.withLock { state in
      guard case .running(_, let mailbox) = state else { return nil }
      return mailbox
    }
  }
}

extension MediaCommand {
  /// What says that the command could not be done.
  var refusal: [MediaFact] {
    switch self {
    case .open(let id, _), .remote(let id, _), .bridge(let id, _), .play(let id, _),
      .interpose(let id, _), .heed(let id), .number(let id, _), .watch(let id, _),
      .examine(let id, _), .digit(let id, _), .measure(let id), .close(let id):
      [.refused(id)]
    case .record(_, let order): [.recording(order.id, .ended(RecordingResult(.limit)))]
    case .moveRecording, .pauseRecording, .stopRecording: []
    }
  }
}
