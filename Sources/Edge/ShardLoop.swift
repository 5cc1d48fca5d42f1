internal import Base
internal import CallCore
internal import MediaControl
internal import Locking

/// The thread of one shard: waits, reads, lets the shard act, sends what it wants sent.
///
/// One turn takes at most `batchesPerTurn` batches from each socket, what others posted, and one budget of
/// timers, so neither a flood nor a stall keeps the others waiting. After every full batch and at the end of the
/// turn the outbox is drained: commands to media first, so that a port hears before the peer is told of it.
final class ShardLoop {
  static let batchesPerTurn = 4
  static let inboxToken = UInt32.max
  static let streamsToken = UInt32.max - 1

  private let shard: Shard
  /// Nil for listeners of streams, and for those that are closed.
  private var sockets: [UDPSocket?] = []
  private let table: ListenerTable
  private let streams: StreamQueues
  private var batch = StreamBatch()
  private let inbox: Inbox
  private let sinks: EdgeSinks
  private let counters: EdgeCounters
  private let progress: ThreadProgress
  private let poller: Poller
  private let receiver: ReceiveBatch
  private let sender: DatagramSender
  private var events: [Poller.Event] = []
  private var inputs: [ShardInput] = []
  private var drops: [UInt32] = []
  private var isBehind = false
  private var pacer = TickPacer(now: MonotonicClock.now)
  private var wall = WallClock.now
  private let kept: KeptSockets?
  /// What lay in a socket before that has waited for a process, not for us.
  private let began = MonotonicClock.now

  init(
    shard: Shard, table: ListenerTable, streams: StreamQueues, inbox: Inbox, sinks: EdgeSinks,
    counters: EdgeCounters, progress: ThreadProgress, kept: KeptSockets?
  ) throws(EdgeError) {
    self.shard = shard
    self.kept = kept
    self.progress = progress
    self.table = table
    self.streams = streams
    self.inbox = inbox
    self.sinks = sinks
    self.counters = counters
    poller = try Poller()
    receiver = try ReceiveBatch()
    sender = try DatagramSender(
      streams: streams.departures, poller: poller, counters: counters)
    try poller.watch(inbox.wakeup, token: Self.inboxToken)
    try poller.watch(streams.arrivals.wakeup, token: Self.streamsToken)
    for (listener, socket) in inbox.takeSockets() { try open(listener, socket) }
  }

  /// Runs until the inbox says stop; what the shard wanted sent by then is sent.
  func run() {
    progress.adopt(thread: ThisThread.number)
    // What lies in the inbox by now goes before what lies in a socket.
    var isStopping = takeInputs()
    drain()
    while !isStopping {
      progress.rest()
      wait()
      counters.wakeups.add(1)
      progress.begin(.datagrams, at: MonotonicClock.now.nanoseconds)
      for event in events {
        if event.token == Self.inboxToken {
          inbox.wakeup.clear()
        } else if event.token == Self.streamsToken {
          progress.enter(.streams)
          takeArrivals()
        } else {
          progress.enter(.datagrams)
          serve(Int(event.token), event)
        }
      }
      progress.enter(.inputs)
      isStopping = takeInputs()
      let now = MonotonicClock.now
      progress.enter(.timers)
      fireTimers(at: now)
      progress.enter(.sending)
      drain()
      pacer.measure(at: now)
    }
  }

  private func wait() {
    if pacer.isBusy, !isBehind {
      pauseThread(pacer.untilTick(at: MonotonicClock.now))
      poller.wait(.zero, into: &events)
    } else {
      poller.wait(inbox.prepareToWait() ? patience : .zero, into: &events)
    }
  }

  /// How long nothing needs doing unless something arrives; nil: for ever.
  private var patience: Interval? {
    if isBehind { return .zero }
    guard let deadline = shard.nextDeadline else { return nil }
    return max(deadline - MonotonicClock.now, .zero)
  }

  private func fireTimers(at now: Instant) {
    if let deadline = shard.nextDeadline, deadline <= now {
      isBehind = shard.advance(to: now)
    } else {
      isBehind = false
    }
  }

  private func takeInputs() -> Bool {
    let isStopping = inbox.take(into: &inputs)
    guard !inputs.isEmpty else { return isStopping }
    let now = MonotonicClock.now
    for (listener, socket) in inbox.takeSockets() {
      // At the kernel's own bound of watches the listener stays deaf; what counts failures to receive says so.
      do throws(EdgeError) { try open(listener, socket) } catch { counters.receiveErrors.add(1) }
    }
    for (index, input) in inputs.enumerated() {
      shard.handle(input, at: now)
      // A long queue must not fill the outbox.
      if index % 64 == 63 { drain() }
    }
    pacer.arrivals += inputs.count
    inputs.removeAll(keepingCapacity: true)
    return isStopping
  }

  // MARK: Listeners that come and go

  private func open(_ listener: ListenerIndex, _ socket: UDPSocket) throws(EdgeError) {
    while sockets.count <= Int(listener) {
      sockets.append(nil)
      drops.append(0)
    }
    sockets[Int(listener)] = socket
    sender.open(listener, socket)
    try poller.watch(socket, token: UInt32(listener), isNew: true)
  }

  private func close(_ listeners: [ListenerIndex]) {
    // One that was taken into use again meanwhile stays; the shard will hear of that.
    for listener in listeners where table.close(listener) {
      if let kept { kept.forget(table.listeners[Int(listener)]) }
      if Int(listener) < sockets.count, let socket = sockets[Int(listener)] {
        poller.remove(socket.descriptor)
        sockets[Int(listener)] = nil
        sender.close(listener)
      } else {
        streams.departures.close(listener)
      }
    }
  }

  /// Messages that the streams' thread has cut out, and connections that are gone, in the order in which
  /// they were for each connection.
  private func takeArrivals() {
    streams.arrivals.take(into: &batch)
    pacer.arrivals += batch.entries.count
    let now = MonotonicClock.now
    if let first = batch.entries.first {
      shard.waited(now - batch.since, on: first.listener, at: now)
    }
    let bytes = batch.bytes
    for (index, entry) in batch.entries.enumerated() {
      switch entry.kind {
      case .message:
        shard.receive(
          bytes.rawSpan.extracting(entry.range), from: entry.remote, on: entry.listener, at: now)
      case .refused(let status):
        shard.refuse(
          bytes.rawSpan.extracting(entry.range), status: status, from: entry.remote,
          on: entry.listener, at: now)
      case .proven(let domains):
        shard.handle(.flowProven(entry.listener, entry.remote, domains: domains), at: now)
      case .lost: shard.handle(.flowLost(entry.listener, entry.remote), at: now)
      case .offence: shard.connectionOffended(from: entry.remote, on: entry.listener, at: now)
      }
      if index % 32 == 31 { drain() }
    }
    drain()
  }

  private func serve(_ listener: Int, _ event: Poller.Event) {
    guard listener < sockets.count, let socket = sockets[listener] else { return }
    if event.hasError { readFailures(socket) }
    if event.isWritable { sender.resume(listener) }
    if event.isReadable { read(listener, socket) }
  }

  private func read(_ listener: Int, _ socket: UDPSocket) {
    let receiver = receiver
    for _ in 0..<Self.batchesPerTurn {
      let count = receiver.receive(from: socket)
      guard count >= 0 else {
        receiveFailed(socket)
        return
      }
      guard count > 0 else { return }
      let now = MonotonicClock.now
      measureWait(listener, at: now)
      var bytes = 0
      for i in 0..<count {
        guard let source = receiver.source(i) else { continue }
        let datagram = receiver.bytes(i)
        bytes += datagram.byteCount
        shard.receive(datagram, from: source, on: ListenerIndex(listener), at: now)
      }
      note(listener, count, bytes)
      if count < ReceiveBatch.slots { return }
      drain()
    }
  }

  /// How long the oldest of the batch has waited. The kernel's stamps are of the wall clock: what that says is read
  /// again each window, so that a step of it bends the measure for no longer, and a step is no wait.
  private func measureWait(_ listener: Int, at now: Instant) {
    if wall.age(at: now) >= LoadMeter.window { wall = WallClock.now }
    let arrival = receiver.arrival(0)
    guard arrival > 0 else { return }
    let wait = now - wall.instant(nanoseconds: arrival)
    guard wait < .seconds(60), wait < now - began else { return }
    shard.waited(wait, on: ListenerIndex(listener), at: now)
  }

  private func note(_ listener: Int, _ count: Int, _ bytes: Int) {
    pacer.arrivals += count
    counters.datagramsReceived.add(count)
    counters.bytesReceived.add(bytes)
    // The kernel's counter wraps, and says nothing until it has dropped.
    let known = receiver.drops(count - 1)
    if known != drops[listener], known != 0 {
      counters.kernelDrops.add(Int(known &- drops[listener]))
      drops[listener] = known
      shard.kernelDropped(at: MonotonicClock.now)
    }
  }

  /// A queued ICMP error makes a read fail once; taking the queue clears that. For anything else (no
  /// memory) a millisecond is waited, or a socket that stays readable would keep the loop spinning.
  private func receiveFailed(_ socket: UDPSocket) {
    counters.receiveErrors.add(1)
    if readFailures(socket) == 0 { pauseThread(.milliseconds(1)) }
  }

  /// Bounded: what is left makes the next wait return at once.
  @discardableResult
  private func readFailures(_ socket: UDPSocket) -> Int {
    var seen: [SocketAddress] = []
    var count = 0
    while count < 64, let failure = socket.nextFailure() {
      count += 1
      guard let destination = failure.destination, !seen.contains(destination),
        case .unreachable = SendOutcome(failure.code)
      else { continue }
      seen.append(destination)
    }
    report(unreachable: seen)
    return count
  }

  private func report(unreachable: [SocketAddress]) {
    guard !unreachable.isEmpty else { return }
    let now = MonotonicClock.now
    counters.unreachable.add(unreachable.count)
    for address in unreachable { shard.handle(.unreachable(address), at: now) }
    drain()
  }

  /// Hands everything in the outbox on. What a failed send causes in its turn is handed on too, a bounded
  /// number of times: a route that is down may refuse the answers as well.
  private func drain() {
    for _ in 0..<4 {
      flush()
      let unreachable = sender.takeUnreachable()
      guard !unreachable.isEmpty else { return }
      counters.unreachable.add(unreachable.count)
      let now = MonotonicClock.now
      for address in unreachable { shard.handle(.unreachable(address), at: now) }
    }
    flush()
  }

  /// The arrays are handed over, not shared: emptying one that a sink still holds would copy its capacity.
  private func flush() {
    let outbox = shard.outbox
    guard !outbox.isEmpty else { return }
    if !outbox.media.isEmpty {
      let commands = outbox.media
      outbox.media = []
      outbox.media.reserveCapacity(commands.count)
      sinks.media(commands)
    }
    if !outbox.facts.isEmpty {
      let facts = outbox.facts
      outbox.facts = []
      outbox.facts.reserveCapacity(facts.count)
      sinks.facts(facts)
    }
    if !outbox.flows.isEmpty { streams.departures.add(outbox.flows) }
    if !outbox.border.isEmpty {
      streams.departures.add(outbox.border)
      sinks.border(outbox.border)
    }
    if !outbox.names.isEmpty { sinks.names(outbox.names) }
    if !outbox.certificates.isEmpty { sinks.certificates(outbox.certificates) }
    if outbox.datagrams.count > 0 { sender.send(outbox.datagrams) }
    if !outbox.closedListeners.isEmpty { close(outbox.closedListeners) }
    for answer in outbox.answers { sinks.answer(answer.token, answer.answer) }
    outbox.removeAll()
  }
}
