internal import Base
internal import CallCore
internal import SIPWire
internal import Locking

/// What has arrived by streams, on its way to the shard: one copy from the connection's buffer, in order.
struct StreamBatch: Sendable {
  enum Kind: Sendable {
    case message
    /// The head of a request that cannot be taken, and what it is to be refused with.
    case refused(status: Int)
    /// The peer's certificate is of these domains; there are no bytes.
    case proven([String])
    /// The connection is gone; there are no bytes.
    case lost
    /// It said nothing in its time, or no SIP.
    case offence
  }
  struct Entry: Sendable {
    var kind: Kind
    var listener: ListenerIndex
    var remote: SocketAddress
    var range = ByteRange.none
  }

  var bytes: [UInt8] = []
  var entries: [Entry] = []
  /// When the first of the entries came.
  var since = Instant.zero

  mutating func removeAll() {
    bytes.removeAll(keepingCapacity: bytes.capacity <= 1 << 20)
    entries.removeAll(keepingCapacity: entries.capacity <= 4_096)
  }
}

final class StreamArrivals: Sendable {
  private let state = Mutex(StreamBatch())
  private let limit: Int
  let wakeup: Wakeup

  init(limit: Int) throws(EdgeError) {
    self.limit = limit
    wakeup = try Wakeup()
  }

  /// The shard is behind: whoever reads from connections is to let them wait.
  var isFull: Bool { state.withLock { $0.bytes.count >= limit } }

  func add(
    _ kind: StreamBatch.Kind, _ bytes: RawSpan, from remote: SocketAddress,
    on listener: ListenerIndex, at now: Instant
  ) {
    let wasEmpty = state.withLock { batch in
      if batch.entries.isEmpty { batch.since = now }
      let start = batch.bytes.count
      batch.bytes.append(copying: bytes)
      batch.entries.append(
        StreamBatch.Entry(
          kind: kind, listener: listener, remote: remote,
          range: ByteRange(start, bytes.byteCount)))
      return batch.entries.count == 1
    }
    if wasEmpty { wakeup.raise() }
  }

  /// Exchanges what waits for the caller's emptied batch.
  func take(into batch: inout StreamBatch) {
    wakeup.clear()
    batch.removeAll()
    state.withLock { swap(&$0, &batch) }
  }
}

/// What the shard wants sent by streams, on its way to their thread, in order.
struct StreamOrders: Sendable {
  struct Entry: Sendable {
    var listener: ListenerIndex
    var destination: SocketAddress
    var connectPort: UInt16
    var range: ByteRange
  }

  var bytes: [UInt8] = []
  var entries: [Entry] = []
  /// What the shard knows of flows, for entries that are here or come next.
  var hints: [FlowHint] = []
  var border: [BorderOrder] = []
  var discarded = 0
  var certificates: [String: TLSContext]?
  /// The listeners as they are from now on.
  var listeners: StreamListeners?
  /// Those that nothing uses any more.
  var closed: [ListenerIndex] = []
  var isStopping = false

  mutating func removeAll() {
    bytes.removeAll(keepingCapacity: bytes.capacity <= 1 << 20)
    entries.removeAll(keepingCapacity: entries.capacity <= 4_096)
    hints.removeAll(keepingCapacity: true)
    border.removeAll()
    discarded = 0
    certificates = nil
    listeners = nil
    closed.removeAll()
  }
}

/// Listeners of streams, and the listening sockets of those that the streams' thread does not have yet.
struct StreamListeners: Sendable {
  var listeners: [ListenerIndex: Listener] = [:]
  var sockets: [ListenerIndex: StreamListener] = [:]
  /// By name of the listener.
  var origins: [String: [String]] = [:]

  init(
    _ all: [Listener], sockets: [ListenerIndex: StreamListener], origins: [String: [String]]
  ) {
    for (place, listener) in all.enumerated()
    where listener.transport.isReliable && listener.state != .closed {
      listeners[ListenerIndex(clamping: place)] = listener
    }
    self.sockets = sockets
    self.origins = origins
  }
}

final class StreamDepartures: Sendable {
  private let state = Mutex(StreamOrders())
  private let limit: Int
  let wakeup: Wakeup

  init(limit: Int) throws(EdgeError) {
    self.limit = limit
    wakeup = try Wakeup()
  }

  /// Records `range` of the buffer. What there is no room for is lost, as a datagram would be, and counted.
  func add(_ buffer: borrowing OutputBuffer, _ range: Range<Int>) {
    let wasEmpty = state.withLock { orders in
      let wasEmpty = orders.entries.isEmpty && orders.discarded == 0
      for i in range {
        let bytes = buffer.bytes(of: i)
        guard orders.bytes.count + bytes.byteCount <= limit else {
          orders.discarded += 1
          continue
        }
        let start = orders.bytes.count
        orders.bytes.append(copying: bytes)
        orders.entries.append(
          StreamOrders.Entry(
            listener: buffer.listener(of: i), destination: buffer.destination(of: i),
            connectPort: buffer.connectPort(of: i),
            range: ByteRange(start, bytes.byteCount)))
      }
      return wasEmpty
    }
    if wasEmpty { wakeup.raise() }
  }

  func add(_ hints: [FlowHint]) { state.withLock { $0.hints += hints } }

  func add(_ border: [BorderOrder]) {
    state.withLock { $0.border += border }
    wakeup.raise()
  }

  func replace(certificates: [String: TLSContext]) {
    state.withLock { $0.certificates = certificates }
    wakeup.raise()
  }

  /// With the sockets of new ones. Those of a change that was not taken yet are not lost.
  func replace(listeners: StreamListeners, certificates: [String: TLSContext]) {
    state.withLock { state in
      let waiting = state.listeners?.sockets ?? [:]
      state.listeners = listeners
      state.listeners?.sockets.merge(waiting) { new, _ in new }
      state.certificates = certificates
    }
    wakeup.raise()
  }

  func close(_ listener: ListenerIndex) {
    state.withLock { $0.closed.append(listener) }
    wakeup.raise()
  }

  func stop() {
    state.withLock { $0.isStopping = true }
    wakeup.raise()
  }

  /// True when the streams are to end; that stays so.
  func take(into orders: inout StreamOrders) -> Bool {
    wakeup.clear()
    orders.removeAll()
    return state.withLock { state in
      let isStopping = state.isStopping
      orders.isStopping = isStopping
      swap(&state, &orders)
      return isStopping
    }
  }
}

/// Both ways between a shard and its streams.
struct StreamQueues: Sendable {
  let arrivals: StreamArrivals
  let departures: StreamDepartures

  init(_ limits: StreamLimits) throws(EdgeError) {
    arrivals = try StreamArrivals(limit: limits.arrivalBytes)
    departures = try StreamDepartures(limit: limits.departureBytes)
  }
}
