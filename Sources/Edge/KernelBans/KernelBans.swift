internal import Base
package import CallCore
internal import SIPWire
internal import struct Locking.Mutex

/// Has the kernel drop what comes from those who are banned, as far as it lets us: a table of nftables with the bans of the
/// shard, on a thread of its own. Nobody ever waits for it, and whatever becomes of it, the shard turns away what still
/// comes.
package final class KernelBans: Sendable {
  package enum State: Hashable, Sendable {
    case starting
    case on
    case unavailable(BanTableObstacle)

    /// One word, as metrics say it.
    package var word: String {
      switch self {
      case .starting: "starting"
      case .on: "on"
      case .unavailable(let obstacle): obstacle.word
      }
    }
  }

  package struct Reading: Hashable, Sendable {
    package var state = State.starting
    /// Bans that the kernel was told of.
    package var elements = 0
    /// Batches that it did not take, and bans for which there was no room.
    package var failures: UInt64 = 0
    /// Packets that it dropped, some seconds ago.
    package var dropped: UInt64 = 0

    package init() {}
  }

  private let orders: KernelBanOrders
  private let reading: Mutex<Reading>
  private let thread: Mutex<EdgeThread?>

  /// - Parameters:
  ///   - table: its name, 31 characters at most. One that there is is taken for what an earlier process has left.
  ///   - limit: bans, at most.
  ///   - tell: called on the thread when the state has become another.
  package init(
    table: String, limit: Int, listeners: [Listener], tell: @escaping @Sendable (State) -> Void
  ) throws(EdgeError) {
    let orders = try KernelBanOrders(limit: limit)
    let poller = try Poller()
    try poller.watch(orders.wakeup, token: 0)
    self.orders = orders
    reading = Mutex(Reading())
    thread = Mutex(nil)
    let mirror = BanMirror(table: table, limit: limit, ports: GuardedPort.all(of: listeners))
    let thread = try EdgeThread(name: "kernel-bans") { [weak self] in
      let loop = KernelBanLoop(mirror: mirror, orders: orders, poller: poller, tell: tell)
      loop.run { reading in self?.reading.withLock { $0 = reading } }
    }
    self.thread.withLock { $0 = thread }
  }

  /// In order with all others.
  package func post(_ orders: [BorderOrder]) { self.orders.post(orders) }

  /// There are others now.
  package func follow(_ listeners: [Listener]) { orders.follow(GuardedPort.all(of: listeners)) }

  package var counters: Reading { reading.withLock { $0 } }

  /// The table is gone when it returns.
  package func stop() {
    orders.stop()
    EdgeThread.join(thread)
  }

  deinit { orders.stop() }
}

extension GuardedPort {
  static func all(of listeners: [Listener]) -> [GuardedPort] {
    listeners.filter { $0.state != .closed }.map {
      GuardedPort(address: $0.bound, isStream: $0.transport.isReliable)
    }
  }
}

/// Orders on their way to the thread: of each block the last one.
final class KernelBanOrders: Sendable {
  struct Taken {
    /// Until when; nil: no more.
    var bans: [IPNetwork: Instant?] = [:]
    var ports: [GuardedPort]?
    /// Bans for which there was no room.
    var left: UInt64 = 0
  }

  private struct State {
    var taken = Taken()
    var isStopping = false
  }

  private let state = Mutex(State())
  private let limit: Int
  let wakeup: Wakeup

  init(limit: Int) throws(EdgeError) {
    self.limit = 4 * limit
    wakeup = try Wakeup()
  }

  func post(_ orders: [BorderOrder]) {
    state.withLock { state in
      for order in orders {
        switch order {
        // A thread that does not come to it, because the kernel keeps it, cannot make this grow.
        case .ban(let network, let until):
          if state.taken.bans.count < limit || state.taken.bans[network] != nil {
            state.taken.bans[network] = .some(until)
          } else {
            state.taken.left &+= 1
          }
        // Of these there are no more than bans that the thread knows of.
        case .lift(let network): state.taken.bans[network] = .some(nil)
        case .access: break
        }
      }
    }
    wakeup.raise()
  }

  func follow(_ ports: [GuardedPort]) {
    state.withLock { $0.taken.ports = ports }
    wakeup.raise()
  }

  func stop() {
    state.withLock { $0.isStopping = true }
    wakeup.raise()
  }

  /// Nil when the thread is to end.
  func take() -> Taken? {
    wakeup.clear()
    return state.withLock { state in
      if state.isStopping { return nil }
      defer { state.taken = Taken() }
      return state.taken
    }
  }
}

/// The thread: the mirror, its socket, the clock.
private final class KernelBanLoop {
  /// One batch in so long at most, however many bans begin and end.
  private static let batchInterval = Interval.seconds(1)
  /// How often it is asked how many packets were dropped, and so whether the table is still there.
  private static let counterInterval = Interval.seconds(5)
  private static let longestPause = Interval.seconds(60)

  private var mirror: BanMirror
  private let orders: KernelBanOrders
  private let poller: Poller
  private let tell: @Sendable (KernelBans.State) -> Void
  private var socket: NetfilterSocket?
  private var sequence: UInt32 = 0
  private var reading = KernelBans.Reading()
  private var batchDue = Instant.zero
  private var counterDue = Instant.zero
  private var pause = batchInterval
  /// Of the counter of tables that are no more.
  private var droppedBefore: UInt64 = 0
  private var left: UInt64 = 0
  private var refused: UInt64 = 0

  init(
    mirror: BanMirror, orders: KernelBanOrders, poller: Poller,
    tell: @escaping @Sendable (KernelBans.State) -> Void
  ) {
    self.mirror = mirror
    self.orders = orders
    self.poller = poller
    self.tell = tell
  }

  func run(_ report: (KernelBans.Reading) -> Void) {
    var events: [Poller.Event] = []
    while true {
      guard let taken = orders.take() else { return remove() }
      follow(taken)
      let now = MonotonicClock.now
      if mirror.needsBatch, now >= batchDue { write(at: now) }
      if reading.state == .on, now >= counterDue { readCounter(at: now) }
      reading.elements = reading.state == .on ? mirror.count(at: now) : 0
      reading.failures = refused &+ mirror.left &+ left
      report(reading)
      poller.wait(patience(at: now), into: &events)
    }
  }

  /// Nil: until there is an order. A table that is empty drops nothing.
  private func patience(at now: Instant) -> Interval? {
    if mirror.needsBatch { return max(batchDue - now, .zero) }
    return reading.elements > 0 ? max(counterDue - now, .zero) : nil
  }

  private func follow(_ taken: KernelBanOrders.Taken) {
    left &+= taken.left
    if let ports = taken.ports { mirror.follow(ports) }
    for (network, until) in taken.bans {
      if let until { mirror.ban(network, until: until) } else { mirror.lift(network) }
    }
  }

  // MARK: Batches

  private func write(at now: Instant) {
    let batch = mirror.batch(after: sequence, at: now)
    if batch.isEmpty { return mirror.done(batch) }
    if batch.isWhole { keepCounter() }
    do throws(NetfilterFailure) {
      _ = try ask(batch.messages)
      mirror.done(batch)
      pause = Self.batchInterval
      become(.on)
    } catch {
      mirror.failed()
      if batch.isWhole, mirror.table.isOwned, error.isUnknownFlag {
        mirror.giveUpOwning()
        return write(at: now)
      }
      refused &+= 1
      // A change that is not taken, because somebody has taken the table away, is followed by the whole of it.
      if batch.isWhole {
        become(.unavailable(BanTableObstacle(error.code)))
        pause = min(pause * 2, Self.longestPause)
      }
    }
    batchDue = now + pause
  }

  private func ask(_ messages: NetfilterMessages) throws(NetfilterFailure) -> NetfilterAnswer {
    sequence = messages.sequence
    if let socket { return try socket.ask(messages) }
    let socket = try NetfilterSocket()
    self.socket = socket
    return try socket.ask(messages)
  }

  private func become(_ state: KernelBans.State) {
    guard state != reading.state else { return }
    reading.state = state
    tell(state)
  }

  /// What is owned goes with the socket. A table that we could not make is somebody else's.
  private func remove() {
    if reading.state == .on { _ = try? ask(mirror.table.removal(after: sequence)) }
    socket = nil
  }

  // MARK: The counter

  private func readCounter(at now: Instant) {
    counterDue = now + Self.counterInterval
    do throws(NetfilterFailure) {
      let answer = try ask(mirror.table.question(after: sequence))
      if let dropped = BanTable.dropped(answer) { reading.dropped = droppedBefore &+ dropped }
    } catch {
      if error.isMissing { mirror.failed() }
    }
  }

  /// The next table begins at zero.
  private func keepCounter() {
    if reading.state == .on { readCounter(at: MonotonicClock.now) }
    droppedBefore = reading.dropped
  }
}
