import Base
import Locking
import MediaControl
import RTPWire

/// One thread of the media plane: its sockets, transports, timers and applications, and the loop.
///
/// At rest it sleeps in epoll until a packet, a command or a deadline. Above `busyPacketsPerSecond` it
/// sleeps until the next tick instead and then takes all that came: being woken for each packet costs more
/// than relaying it. The kernel stamps each packet at its arrival, so the tick shows up in no jitter.
///
/// Sockets are not connected to their latched peer. That would save a route lookup a send (0.3 to 1 us of
/// 6, measured on loopback), but the kernel would then answer strangers with ICMP instead of our counting
/// them, and each change of a latch would be a system call and an instant in which the port is deaf.
struct Worker: ~Copyable {
  static let signalToken = UInt64.max
  static let routesToken = UInt64.max - 1
  /// Ready sockets are taken in rounds of one packet each, so that a flood on one port cannot hold up the
  /// others; what is left after this time waits until timers and facts had their turn.
  static let longestBatch = Interval.milliseconds(2)

  /// Port pairs bound between two looks at the sockets, after the start: less than a millisecond's work.
  static let pairsPerWake = 32

  let mailbox: Mailbox
  let destinations: Destinations
  let settings: MediaSettings
  let sink: @Sendable ([MediaFact]) -> Void
  /// Nil: there is no place for recordings.
  let recordingWriter: RecordingWriter?

  var ports: PortTable
  var fastPath: FastPath
  var poller: Poller
  var buffer = PacketBuffer()
  var random: RandomSource
  /// Sockets are watched from the first call on their port on: a mute one is never ready, so that neither
  /// the end of a call nor the next call's beginning has to touch the set. Indexed by slot.
  var isWatched: [Bool]
  /// What the kernel had dropped for the slot when its call began: an IPv6 socket drops what comes while mute.
  var dropsBefore: [UInt32]
  var transports: [Transport]
  var streams: [RTPStream]
  var applications: [Application]
  /// Contexts of the transports that have keys (`Transport.isProtected`).
  var protections: [MediaProtection?]
  /// The same for RTCP.
  var controlProtections: [MediaProtection?]
  /// Of the transports whose keys come by DTLS (`Transport.hasHandshake`).
  var handshakes: [TransportHandshakes?]
  let cookies: DTLSCookies
  var handshakeBudget: TokenBucket
  /// Made by the first packet that needs one (`Transport.converts`).
  var converters: [SpeechConverter?]
  /// Of the packets that have to leave evenly (`SpeechTreatment.even`), by the transport that they come from.
  var playouts: [SpeechPlayout?]
  /// By their index, which transports have (`Transport.recorder`).
  var recorders: [Recorder?]
  /// When the writer gets the next of them.
  var nextHand = Instant.distantFuture
  /// Made by the first digit that needs one (`Transport.digits`).
  var digitEnds: [DigitEnd?]
  /// Of the transports whose payload types are not what they were named (`Transport.isRenamed`).
  var numberings: [PayloadNumbering?]
  var timers: DeadlineHeap
  var slots: [MediaTransportID: Int] = [:]
  var announcements = AnnouncementTable()
  var facts: [MediaFact] = []
  var commands: [MediaCommand] = []
  var counters = MediaCounters()
  /// Of the wake-up that is being handled.
  var now: Instant
  var wall: UInt64
  /// Of the packet in the buffer, by the kernel's wall clock; 0: none.
  var stamp: UInt64 = 0
  var load: LoadGauge

  init(
    ports: PortTable, kernel: KernelPart?, poller: Int32, mailbox: Mailbox,
    destinations: Destinations, settings: MediaSettings, seed: UInt64, recording: RecordingWriter?,
    sink: @escaping @Sendable ([MediaFact]) -> Void
  ) {
    self.ports = ports
    fastPath = FastPath(adopting: kernel, slots: ports.slots)
    self.mailbox = mailbox
    self.destinations = destinations
    self.settings = settings
    self.sink = sink
    recordingWriter = recording
    recorders = Array(repeating: nil, count: settings.recording?.maximum ?? 0)
    self.poller = Poller(adopting: poller, capacity: 512)
    random = RandomSource(seed: seed)
    isWatched = Array(repeating: false, count: ports.slots)
    dropsBefore = Array(repeating: 0, count: ports.slots)
    transports = Array(repeating: Transport(), count: ports.slots)
    streams = Array(repeating: RTPStream(), count: ports.slots)
    applications = Array(repeating: Application(), count: ports.slots)
    protections = Array(repeating: nil, count: ports.slots)
    handshakeBudget = TokenBucket(
      rate: settings.handshakesPerSecond, burst: max(settings.handshakesPerSecond / 10, 1))
    controlProtections = Array(repeating: nil, count: ports.slots)
    handshakes = Array(repeating: nil, count: ports.slots)
    cookies = DTLSCookies(
      secret: (0..<4).flatMap { _ in
        let word = Process.random()
        return (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(8 * $0)) }
      })
    converters = Array(repeating: nil, count: ports.slots)
    playouts = Array(repeating: nil, count: ports.slots)
    digitEnds = Array(repeating: nil, count: ports.slots)
    numberings = Array(repeating: nil, count: ports.slots)
    timers = DeadlineHeap(count: ports.slots * TimerKind.allCases.count)
    now = Clock.now
    wall = Clock.wall
    load = LoadGauge(busyPacketsPerSecond: settings.busyPacketsPerSecond, now: now)
    commands.reserveCapacity(256)
    facts.reserveCapacity(256)
  }

  mutating func run() {
    _ = poller.add(mailbox.signal.descriptor, token: Self.signalToken)
    for watch in fastPath.watches { _ = poller.add(watch, token: Self.routesToken) }
    var running = true
    mailbox.progress.adopt(thread: Clock.thread)
    while running {
      mailbox.progress.rest()
      waitForWork()
      now = Clock.now
      mailbox.progress.begin(.media, at: now.nanoseconds)
      wall = Clock.wall
      counters.wakeups &+= 1
      running = handleReady()
      mailbox.progress.enter(.timers)
      fireTimers()
      mailbox.progress.enter(.recordings)
      handRecordings()
      followRoutes()
      report()
    }
    ports.close()
    counters.cpuNanoseconds = Clock.threadTime
    mailbox.publish(counters)
  }

  private mutating func waitForWork() {
    if !ports.isComplete {
      ports.bindMore(Self.pairsPerWake)
      facts += ports.takeFacts(atLeast: 1_024)
      return poller.wait(timeout: 0)
    }
    if load.isBusy {
      counters.ticks &+= 1
      load.sleepUntilTick(settings.tick)
      poller.wait(timeout: 0)
      return
    }
    guard mailbox.prepareToWait() else { return poller.wait(timeout: 0) }
    var next = min(timers.next ?? .distantFuture, fastPath.comparison ?? .distantFuture)
    if counters.recordings > 0 { next = min(next, nextHand) }
    if next == .distantFuture { return poller.wait(timeout: -1) }
    poller.wait(timeout: max((next - Clock.now).nanoseconds, 0))
  }

  /// Takes one packet of each ready socket, again until none is ready or the time is used up.
  /// Commands come before the packets of each round, or a packet right behind its command would find the
  /// transport as it was before. False when the worker is to end.
  private mutating func handleReady() -> Bool {
    let begin = now
    var running = handleMailbox()
    while poller.ready > 0 {
      let ready = poller.ready
      for index in 0..<ready {
        let token = poller[index]
        if token == Self.signalToken {
          mailbox.signal.clear()
        } else if token == Self.routesToken {
          fastPath.noteChanges(at: now)
        } else if token & 1 == 0 {
          receiveMedia(Int(token >> 1))
          if fastPath.behind >= 0 { catchUp(fastPath.behind) }
        } else {
          receiveControl(Int(token >> 1))
        }
      }
      load.packets &+= ready
      // Woken by a single packet, as it is at low rates: the next wait finds out what else there is.
      if ready < 2 && !load.isBusy { break }
      now = Clock.now
      wall = Clock.wall
      if now - begin >= Self.longestBatch { break }
      poller.wait(timeout: 0)
      running = handleMailbox() && running
    }
    return running
  }

  private mutating func fireTimers() {
    // What becomes due while these are handled belongs to the next wake-up.
    let horizon = now
    while let (timer, due) = timers.pop(at: horizon) {
      let slot = timer / TimerKind.allCases.count
      switch TimerKind(rawValue: timer % TimerKind.allCases.count) {
      case .application: runApplication(slot, due: due)
      case .report: sendReport(slot)
      case .watch: checkSilence(slot)
      case .examine: giveEvidence(slot)
      case .handshake: driveHandshakes(slot)
      case .digits: sayDigits(slot)
      case .digitWatch: watchDigits(slot)
      case .playout: runPlayout(slot)
      case .noise: sayNoise(slot, due: due)
      case nil: break
      }
    }
  }

  private mutating func report() {
    if load.measure(now: now) { counters.cpuNanoseconds = Clock.threadTime }
    counters.openTransports = slots.count
    counters.portPairsBound = ports.readiness.bound
    counters.portPairsTaken = ports.readiness.takenByOthers
    mailbox.publish(counters)
    guard !facts.isEmpty else { return }
    sink(facts)
    facts.removeAll(keepingCapacity: true)
  }

  func timer(_ kind: TimerKind, _ slot: Int) -> Int {
    slot * TimerKind.allCases.count + kind.rawValue
  }
}

/// The timers of a slot.
enum TimerKind: Int, CaseIterable {
  case application, report, watch, examine, handshake, digits, digitWatch, playout, noise
}

/// Packets per second over the last tenth of a second, and the tick that follows from it.
struct LoadGauge: Sendable {
  static let window = Interval.milliseconds(100)

  /// Since the window began; counted by the worker.
  var packets = 0
  private(set) var isBusy = false
  private let threshold: Int
  private var windowStart: Instant
  private var nextTick = Instant.zero

  init(busyPacketsPerSecond: Int, now: Instant) {
    threshold = max(busyPacketsPerSecond / 10, 1)
    windowStart = now
  }

  /// True when a window ended.
  mutating func measure(now: Instant) -> Bool {
    let elapsed = now - windowStart
    guard elapsed >= Self.window else { return false }
    // The rate, not the count: a worker that slept long sees old windows as one. Leaving the busy state
    // needs a rate well below the one that led into it.
    let tenths = max(Int(elapsed.nanoseconds / Self.window.nanoseconds), 1)
    let rate = packets / tenths
    isBusy = rate >= threshold || isBusy && rate >= threshold / 2
    packets = 0
    windowStart = now
    return true
  }

  mutating func sleepUntilTick(_ tick: Interval) {
    let now = Clock.now
    nextTick = nextTick + tick
    // Late by more than a tick: go on from here instead of catching up.
    if nextTick < now { nextTick = now + tick }
    Clock.sleep(until: nextTick)
  }
}
