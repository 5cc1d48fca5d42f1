internal import Base
package import Resolution
internal import Locking

/// Our own resolver on its own thread: it is told which names are wanted, keeps them fresh, and tells of
/// each whenever it comes to something else. Nobody ever waits for it.
package final class NameEdge: Sendable {
  private let inbox: NameInbox
  private let thread: Mutex<EdgeThread?>
  private let reading = Mutex(Reading())

  package struct Reading: Hashable, Sendable {
    package var resolver = ResolverCounters()
    package var names = 0
    package init() {}
  }

  /// - Parameters:
  ///   - settings: asked for at the start and each half minute, on the thread: servers may change under a
  ///     running process.
  ///   - tell: called on the thread; must not block it.
  package init(
    settings: @escaping @Sendable () -> ResolverSettings,
    tell: @escaping @Sendable (LocationRequest, Location) -> Void
  ) throws(EdgeError) {
    let inbox = try NameInbox()
    let poller = try Poller()
    try poller.watch(inbox.wakeup, token: NameLoop.inboxToken)
    self.inbox = inbox
    thread = Mutex(nil)
    let thread = try EdgeThread(name: "names") { [weak self] in
      let loop = NameLoop(inbox: inbox, poller: poller, settings: settings, tell: tell)
      loop.run { reading in self?.reading.withLock { $0 = reading } }
    }
    self.thread.withLock { $0 = thread }
  }

  /// In order with all others.
  package func post(_ orders: [NameOrder]) { inbox.post(orders) }

  package var counters: Reading { reading.withLock { $0 } }

  package func stop() {
    inbox.stop()
    EdgeThread.join(thread)
  }

  deinit { inbox.stop() }
}

/// Orders on their way to the thread. Each name is ordered once and taken back once, so there are no more
/// than the configuration has.
final class NameInbox: Sendable {
  private struct State {
    var orders: [NameOrder] = []
    var isStopping = false
  }

  private let state = Mutex(State())
  let wakeup: Wakeup

  init() throws(EdgeError) { wakeup = try Wakeup() }

  func post(_ orders: [NameOrder]) {
    state.withLock { $0.orders += orders }
    wakeup.raise()
  }

  func stop() {
    state.withLock { $0.isStopping = true }
    wakeup.raise()
  }

  /// Nil when the thread is to end.
  func take() -> [NameOrder]? {
    wakeup.clear()
    return state.withLock { state in
      if state.isStopping { return nil }
      let orders = state.orders
      state.orders = []
      return orders
    }
  }
}

/// The thread: the machine, its sockets, the clock.
private final class NameLoop {
  static let inboxToken = UInt32.max
  /// How often servers and hosts are looked up again.
  static let settingsInterval = Interval.seconds(30)

  /// A question under way.
  private struct Exchange {
    var socket: ConnectedSocket
    var isStream: Bool
    var out: [UInt8]
    var sent = 0
    var received: [UInt8] = []
  }

  private let inbox: NameInbox
  private let poller: Poller
  private let settings: @Sendable () -> ResolverSettings
  private let tell: @Sendable (LocationRequest, Location) -> Void
  private var known: ResolverSettings
  private var settingsDue: Instant
  private var locator: Locator
  private var random = RandomSource(seed: SystemRandom.word)
  private var exchanges: [Resolver.Ticket: Exchange] = [:]
  private var effects: [Locator.Effect] = []
  private var events: [Poller.Event] = []
  private var buffer = [UInt8](repeating: 0, count: 65_537)

  init(
    inbox: NameInbox, poller: Poller, settings: @escaping @Sendable () -> ResolverSettings,
    tell: @escaping @Sendable (LocationRequest, Location) -> Void
  ) {
    self.inbox = inbox
    self.poller = poller
    self.settings = settings
    self.tell = tell
    known = settings()
    locator = Locator(known)
    settingsDue = MonotonicClock.now + Self.settingsInterval
  }

  func run(_ report: (NameEdge.Reading) -> Void) {
    while true {
      let next = min(locator.nextDeadline ?? .distantFuture, settingsDue)
      poller.wait(max(next - MonotonicClock.now, .zero), into: &events)
      for event in events {
        if event.token == Self.inboxToken {
          guard let orders = inbox.take() else { return }
          follow(orders)
        } else {
          serve(event)
        }
      }
      let now = MonotonicClock.now
      if now >= settingsDue { lookAgain(now) }
      if let deadline = locator.nextDeadline, deadline <= now {
        locator.advance(to: now, random: &random, into: &effects)
      }
      carryOut()
      var reading = NameEdge.Reading()
      reading.resolver = locator.resolver.currentCounters
      reading.names = locator.watched
      report(reading)
    }
  }

  private func follow(_ orders: [NameOrder]) {
    let now = MonotonicClock.now
    for order in orders {
      switch order {
      case .watch(let request):
        locator.watch(request, at: now, random: &random, into: &effects)
      case .forget(let request): locator.forget(request)
      }
    }
  }

  private func lookAgain(_ now: Instant) {
    settingsDue = now + Self.settingsInterval
    let next = settings()
    guard next != known else { return }
    known = next
    locator.follow(next, at: now, random: &random, into: &effects)
  }

  /// What an effect causes in its turn is carried out too: a server that cannot even be sent to is left for
  /// the next one, and there is an end of servers.
  private func carryOut() {
    while !effects.isEmpty {
      let batch = effects
      effects.removeAll(keepingCapacity: true)
      for effect in batch {
        switch effect {
        case .send(let ticket, let to, let bytes): open(ticket, to, bytes, isStream: false)
        case .sendStream(let ticket, let to, let bytes):
          let count = UInt16(truncatingIfNeeded: bytes.count)
          open(ticket, to, [UInt8(count >> 8), UInt8(count & 255)] + bytes, isStream: true)
        case .close(let ticket): exchanges[ticket] = nil
        case .located(let request, let location): tell(request, location)
        }
      }
    }
  }

  private func open(
    _ ticket: Resolver.Ticket, _ to: SocketAddress, _ bytes: [UInt8], isStream: Bool
  ) {
    guard let socket = ConnectedSocket(to: to, isStream: isStream),
      (try? poller.watch(socket, token: ticket, alsoForRoom: isStream, isNew: true)) != nil
    else { return fail(ticket) }
    exchanges[ticket] = Exchange(socket: socket, isStream: isStream, out: bytes)
    if !isStream, socket.write(bytes[...]) == .ended { fail(ticket) }
  }

  private func fail(_ ticket: Resolver.Ticket) {
    exchanges[ticket] = nil
    locator.failed(ticket, at: MonotonicClock.now, random: &random, into: &effects)
  }

  private func serve(_ event: Poller.Event) {
    guard let exchange = exchanges[event.token] else { return }
    if exchange.isStream { return serveStream(event.token, event) }
    // A few at a time: a flood of forged replies keeps nobody else waiting.
    for _ in 0..<16 where exchanges[event.token] != nil {
      switch exchange.socket.read(into: &buffer) {
      case .done(let count):
        let bytes = buffer
        locator.received(
          bytes.rawSpan.slice(0, count), on: event.token, at: MonotonicClock.now,
          random: &random, into: &effects)
        // A socket whose question is settled is closed before it is read again.
        if effects.contains(.close(event.token)) { return }
      case .later: return
      case .ended: return fail(event.token)
      }
    }
  }

  private func serveStream(_ ticket: Resolver.Ticket, _ event: Poller.Event) {
    guard var exchange = exchanges[ticket] else { return }
    if event.isWritable, exchange.sent < exchange.out.count {
      switch exchange.socket.write(exchange.out[exchange.sent...]) {
      case .done(let count): exchange.sent += count
      case .later: break
      case .ended: return fail(ticket)
      }
      exchanges[ticket] = exchange
      if exchange.sent == exchange.out.count {
        try? poller.watch(exchange.socket, token: ticket, alsoForRoom: false, isNew: false)
      }
    }
    guard event.isReadable || event.hasError else { return }
    switch exchange.socket.read(into: &buffer) {
    case .done(0), .ended: return fail(ticket)
    case .done(let count): exchange.received += buffer[..<count]
    case .later: return
    }
    exchanges[ticket] = exchange
    let bytes = exchange.received
    let received = bytes.rawSpan
    let length = Int(received.bigEndian16(at: 0))
    guard received.byteCount >= 2, received.byteCount >= 2 + length else { return }
    locator.received(
      received.slice(2, 2 + length), on: ticket, at: MonotonicClock.now, random: &random,
      into: &effects)
  }
}
