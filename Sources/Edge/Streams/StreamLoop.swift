internal import Base
internal import CallCore
internal import Locking
internal import Policy
internal import SIPWire

/// The thread of a shard's streams: it accepts and connects, shakes hands, cuts what arrives into messages
/// for the shard, and writes what the shard says. Slow and hostile peers hold it, never the shard.
///
/// A turn takes a bounded part of each connection, so that no one keeps the others waiting; what the shard
/// said in a turn is written at the turn's end, several messages of one peer at once.
final class StreamLoop {
  static let ordersToken = UInt32.max
  static let listenerToken: UInt32 = 1 << 31
  static let readBytes = 16_384
  static let readsPerTurn = 4
  static let acceptsPerTurn = 64

  enum Timer: UInt8 { case connection, acceptAgain }

  /// Those that accept have a socket; of one that is leaving the connections remain.
  var listeners: [ListenerIndex: Listener] = [:]
  var listening: [ListenerIndex: StreamListener] = [:]
  var origins: [String: [String]] = [:]
  let limits: StreamLimits
  /// Of the connections that we make.
  let trafficClass: UInt8
  let arrivals: StreamArrivals
  let departures: StreamDepartures
  let counters: StreamCounters
  private let progress: ThreadProgress
  let poller: Poller
  let reserve = DescriptorReserve()
  var contexts: [String: TLSContext] = [:]
  var clientContexts: [TrunkSecurity: TLSContext] = [:]
  /// What peers' certificates must be, as last told: before the message it is for, and maybe a turn before.
  private var securities: [FlowKey: TrunkSecurity] = [:]
  private static let rememberedSecurities = 4_096

  /// By slot. A slot that became free is used again in a later turn: an event of this one may still name it.
  var connections: [StreamConnection?] = []
  var freeSlots: [Int] = []
  var freedSlots: [Int] = []
  var flows: [FlowKey: Int] = [:]
  var aliases: [FlowKey: Int] = [:]
  var sources: [IPAddress: Int] = [:]
  /// Whose connections are not accepted.
  var border = StreamBorder()
  var dirty: [StreamConnection] = []
  /// TLS holds decrypted bytes of them that no event will tell of.
  var unread: [StreamConnection] = []
  var wheel: TimingWheel
  var now: Instant
  var chunk = [UInt8](repeating: 0, count: StreamLoop.readBytes)
  var tally = StreamCounters.Reading()
  private var orders = StreamOrders()
  private var events: [Poller.Event] = []

  init(
    limits: StreamLimits, trafficClass: UInt8, arrivals: StreamArrivals,
    departures: StreamDepartures, counters: StreamCounters, progress: ThreadProgress
  ) throws(EdgeError) {
    self.limits = limits
    self.trafficClass = trafficClass
    self.arrivals = arrivals
    self.departures = departures
    self.counters = counters
    self.progress = progress
    poller = try Poller()
    now = MonotonicClock.now
    wheel = TimingWheel(start: now)
    try poller.watch(departures.wakeup, token: Self.ordersToken)
    _ = takeOrders()
    counters.publish(tally)
  }

  /// Runs until it is told to stop; what the shard said before is written as far as the peers take it.
  func run() {
    var isStopping = false
    progress.adopt(thread: ThisThread.number)
    while !isStopping {
      progress.rest()
      poller.wait(patience, into: &events)
      now = MonotonicClock.now
      progress.begin(.connections, at: now.nanoseconds)
      freeSlots += freedSlots
      freedSlots.removeAll(keepingCapacity: true)
      // The shard is behind: the kernel keeps what the peers send, and in the end the peers do.
      let mayRead = !arrivals.isFull
      for event in events {
        switch event.token {
        case Self.ordersToken: isStopping = takeOrders() || isStopping
        case Self.listenerToken...: accept(ListenerIndex(truncatingIfNeeded: event.token))
        default: serve(Int(event.token), event, mayRead: mayRead)
        }
      }
      if mayRead { readOn() } else { pauseThread(.milliseconds(1)) }
      progress.enter(.timers)
      fireTimers()
      progress.enter(.sending)
      flush()
      counters.publish(tally)
    }
    for case let connection? in connections { close(connection, .stopping) }
    counters.publish(tally)
  }

  private var patience: Interval? {
    if !unread.isEmpty { return .zero }
    guard let deadline = wheel.nextDeadline else { return nil }
    return max(deadline - MonotonicClock.now, .zero)
  }

  private func serve(_ slot: Int, _ event: Poller.Event, mayRead: Bool) {
    guard connections.indices.contains(slot), let connection = connections[slot] else { return }
    switch connection.stage {
    case .connecting:
      if event.isWritable || event.hasError { connectEnded(connection) }
    case .handshaking: shakeHands(connection)
    case .upgrading, .open, .closing:
      // TLS may have wanted to read before it could write.
      if event.isWritable || connection.waiting > 0 { touch(connection) }
      if event.isReadable || event.hasError || connection.tlsWantsToWrite, mayRead {
        read(connection)
      }
    }
  }

  /// Goes on with what TLS had more of than a turn takes.
  private func readOn() {
    guard !unread.isEmpty else { return }
    let waiting = unread
    unread.removeAll(keepingCapacity: true)
    for connection in waiting where isOpen(connection) { read(connection) }
  }

  func isOpen(_ connection: StreamConnection) -> Bool {
    connections.indices.contains(connection.slot)
      && connections[connection.slot] === connection
  }

  // MARK: Orders

  private func takeOrders() -> Bool {
    let isStopping = departures.take(into: &orders)
    if let next = orders.listeners {
      follow(next)
      // Or its sockets would stay open until the next order.
      orders.listeners = nil
    }
    for listener in orders.closed { close(listener) }
    if let replacements = orders.certificates {
      contexts = replacements
      // Those of trunks are read again when they are next needed.
      clientContexts.removeAll()
      noteCertificates()
    }
    for order in orders.border { follow(order) }
    tally.discarded += UInt64(orders.discarded)
    if securities.count + orders.hints.count > Self.rememberedSecurities { securities.removeAll() }
    for hint in orders.hints {
      let key = FlowKey(listener: hint.listener, remote: hint.remote)
      switch hint.kind {
      case .alias(let other): alias(key, other)
      case .secure(let security): securities[key] = security
      }
    }
    let bytes = orders.bytes
    for entry in orders.entries {
      depart(entry, bytes.rawSpan.extracting(entry.range))
    }
    return isStopping
  }

  private func follow(_ next: StreamListeners) {
    listeners = next.listeners
    origins = next.origins
    // Closing a socket is what ends its being watched.
    listening = listening.filter { listeners[$0.key]?.state == .open }
    for (index, socket) in next.sockets where listeners[index]?.state == .open {
      listening[index] = socket
      listen(socket, index)
    }
  }

  /// The kernel's own bound of watches is met with patience.
  func listen(_ socket: StreamListener, _ index: ListenerIndex) {
    do throws(EdgeError) {
      try poller.watch(socket, token: Self.listenerToken | UInt32(index))
    } catch {
      acceptAgain(index)
    }
  }

  /// Level-triggered, a socket that cannot be served would wake the loop at once: it is looked at a little later.
  func acceptAgain(_ index: ListenerIndex) {
    _ = wheel.schedule(
      at: now + .milliseconds(100), kind: Timer.acceptAgain.rawValue, owner: UInt64(index))
  }

  /// What still is connected by a listener that nothing uses any more.
  private func close(_ listener: ListenerIndex) {
    for case let connection? in connections where connection.key.listener == listener {
      close(connection, .listenerClosed)
    }
    listeners[listener] = nil
  }

  /// On the connection that the shard means; else on a new one, where that is allowed.
  private func depart(_ entry: StreamOrders.Entry, _ bytes: RawSpan) {
    var key = FlowKey(listener: entry.listener, remote: entry.destination)
    if let connection = connection(key) { return send(bytes, on: connection) }
    if entry.connectPort != 0 {
      key.remote.port = entry.connectPort
      if let connection = connection(key) { return send(bytes, on: connection) }
      if let connection = connect(key, securities[key]) { return send(bytes, on: connection) }
    }
    tally.flowsMissing += 1
    arrivals.add(.lost, RawSpan(), from: entry.destination, on: entry.listener, at: now)
  }

  private func connection(_ key: FlowKey) -> StreamConnection? {
    guard let slot = flows[key] ?? aliases[key] else { return nil }
    return connections[slot]
  }

  /// RFC 5923 §8.1: requests to the peer's own address may use the connection that it opened.
  private func alias(_ key: FlowKey, _ other: SocketAddress) {
    guard let slot = flows[key], let connection = connections[slot], connection.aliases.count < 4
    else { return }
    let alias = FlowKey(listener: key.listener, remote: other)
    guard aliases[alias] != slot else { return }
    // For TLS only a proven peer is believed (§8).
    if let tls = connection.tls, !tls.hasProvenPeer { return }
    if let old = aliases.updateValue(slot, forKey: alias) {
      connections[old]?.aliases.removeAll { $0 == alias }
    }
    connection.aliases.append(alias)
  }

  private func noteCertificates() {
    tally.certificates = CertificateState.all(of: contexts)
  }

  // MARK: Timers

  private func fireTimers() {
    var budget = 1_000
    while budget > 0, let due = wheel.popExpired(until: now) {
      budget -= 1
      switch Timer(rawValue: due.kind) {
      case .acceptAgain:
        let index = ListenerIndex(truncatingIfNeeded: due.owner)
        if let socket = listening[index] { listen(socket, index) }
      case .connection:
        let slot = Int(truncatingIfNeeded: due.owner)
        if connections.indices.contains(slot), let connection = connections[slot] {
          connection.timer = .none
          expired(connection)
        }
      case nil: break
      }
    }
  }

  private func expired(_ connection: StreamConnection) {
    let (at, end) = connection.deadline(limits)
    if at <= now { close(connection, end) } else { watchTime(connection) }
  }

  /// A timer runs for the earliest deadline; one that moved further away is looked at when the timer fires.
  func watchTime(_ connection: StreamConnection) {
    let at = connection.deadline(limits).at
    guard connection.timer.isNone || at < connection.timerAt else { return }
    wheel.cancel(&connection.timer)
    connection.timerAt = at
    connection.timer = wheel.schedule(
      at: at, kind: Timer.connection.rawValue, owner: UInt64(connection.slot))
  }

  // MARK: The end

  func close(_ connection: StreamConnection, _ end: StreamEnd) {
    guard isOpen(connection) else { return }
    // One that was winding down has been counted with its reason.
    if connection.stage != .closing { tally.ended[end, default: 0] += 1 }
    connections[connection.slot] = nil
    freedSlots.append(connection.slot)
    wheel.cancel(&connection.timer)
    if flows[connection.key] == connection.slot { flows[connection.key] = nil }
    for alias in connection.aliases where aliases[alias] == connection.slot { aliases[alias] = nil }
    if !connection.isOurs { leave(connection.key.remote.ip) }
    poller.forget(connection.socket)
    connection.tls?.finish()
    tally.connections -= 1
    if !connection.isOurs, !connection.hasMessage, end.isOffence {
      arrivals.add(
        .offence, RawSpan(), from: connection.key.remote, on: connection.key.listener, at: now)
    }
    if connection.stage == .handshaking || connection.stage == .upgrading { tally.handshaking -= 1 }
    if connection.isKnown {
      arrivals.add(
        .lost, RawSpan(), from: connection.key.remote, on: connection.key.listener, at: now)
    }
  }

  /// Reads nothing more; what waits to be written still leaves.
  func finish(_ connection: StreamConnection, _ end: StreamEnd) {
    guard isOpen(connection), connection.stage != .closing else { return }
    if connection.stage == .handshaking || connection.stage == .upgrading { tally.handshaking -= 1 }
    tally.ended[end, default: 0] += 1
    connection.stage = .closing
    connection.closingSince = now
    connection.input = []
    watchTime(connection)
    touch(connection)
  }
}
