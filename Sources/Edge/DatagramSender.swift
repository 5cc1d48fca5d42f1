internal import Base
internal import CallCore

/// Sends records through the sockets of their listeners, in order for each; those of streams go to the
/// streams' own thread.
///
/// A full socket's records wait in a bounded buffer of that listener until there is room; what follows
/// waits behind them. Beyond the bound they are lost and counted: the protocol repeats what matters.
final class DatagramSender {
  static let waitingBytes = 1 << 20
  static let waitingRecords = 1_024

  /// What waits for one listener's socket; `next` is the first record not sent yet.
  private final class Line {
    let socket: UDPSocket
    var waiting: OutputBuffer
    var next = 0
    var isWatched = false
    init(_ socket: UDPSocket) {
      self.socket = socket
      waiting = OutputBuffer(
        byteLimit: DatagramSender.waitingBytes, recordLimit: DatagramSender.waitingRecords)
    }
    var isEmpty: Bool { next == waiting.count }
  }

  private enum Way {
    case datagrams(Line)
    case streams
    case closed
  }

  /// By listener; those beyond are of streams.
  private var ways: [Way] = []
  private let poller: Poller
  private let batch: SendBatch
  private let counters: EdgeCounters
  /// Destinations that a system call itself found unreachable, for the loop to pass on.
  private(set) var unreachable: [SocketAddress] = []

  private let streams: StreamDepartures

  init(
    streams: StreamDepartures, poller: Poller, counters: EdgeCounters
  ) throws(EdgeError) {
    self.streams = streams
    self.poller = poller
    self.counters = counters
    batch = try SendBatch()
  }

  func open(_ listener: ListenerIndex, _ socket: UDPSocket) {
    while ways.count <= Int(listener) { ways.append(.streams) }
    ways[Int(listener)] = .datagrams(Line(socket))
  }

  func close(_ listener: ListenerIndex) {
    if ways.indices.contains(Int(listener)) { ways[Int(listener)] = .closed }
  }

  func takeUnreachable() -> [SocketAddress] {
    defer { unreachable.removeAll(keepingCapacity: true) }
    return unreachable
  }

  /// Sends every record of the buffer or makes it wait. The caller may empty the buffer afterwards.
  func send(_ buffer: borrowing OutputBuffer) {
    var i = 0
    while i < buffer.count {
      let listener = buffer.listener(of: i)
      var end = i + 1
      while end < buffer.count, end - i < SendBatch.slots, buffer.listener(of: end) == listener {
        end += 1
      }
      switch Int(listener) < ways.count ? ways[Int(listener)] : .streams {
      case .datagrams(let line):
        let sent = line.isEmpty ? send(buffer, from: i, to: end, line) : 0
        for k in (i + sent)..<end { wait(buffer, record: k, line, listener) }
      case .streams: streams.add(buffer, i..<end)
      case .closed: discard(buffer, i..<end)
      }
      i = end
    }
  }

  /// Nothing leaves by a listener that is closed: who waits for an answer to it need not.
  private func discard(_ buffer: borrowing OutputBuffer, _ range: Range<Int>) {
    counters.datagramsDiscarded.add(range.count)
    for i in range where unreachable.count < 64 { unreachable.append(buffer.destination(of: i)) }
  }

  /// The socket has room again.
  func resume(_ listener: Int) {
    guard listener < ways.count, case .datagrams(let line) = ways[listener] else { return }
    while !line.isEmpty {
      let end = min(line.next + SendBatch.slots, line.waiting.count)
      let sent = send(line.waiting, from: line.next, to: end, line)
      line.next += sent
      if line.next < end { return }
    }
    line.waiting.removeAll()
    line.next = 0
    watch(line, listener, false)
  }

  private func send(_ buffer: borrowing OutputBuffer, from start: Int, to end: Int, _ line: Line)
    -> Int
  {
    var refused = 0
    let done = batch.send(buffer, from: start, count: end - start, through: line.socket) {
      destination, code in
      refused += 1
      if case .unreachable = SendOutcome(code), unreachable.count < 64 {
        unreachable.append(destination)
      }
    }
    counters.datagramsSent.add(done - refused)
    if refused > 0 { counters.datagramsRefused.add(refused) }
    return done
  }

  private func wait(
    _ buffer: borrowing OutputBuffer, record: Int, _ line: Line, _ listener: UInt16
  ) {
    line.waiting.begin()
    line.waiting.append(buffer.bytes(of: record))
    if line.waiting.commit(to: buffer.destination(of: record), listener: listener) {
      counters.datagramsDeferred.add(1)
    } else {
      counters.datagramsDiscarded.add(1)
    }
    watch(line, Int(listener), true)
  }

  private func watch(_ line: Line, _ listener: Int, _ wanted: Bool) {
    guard line.isWatched != wanted else { return }
    line.isWatched = wanted
    // Fails only for a socket that isn't watched at all, and every one of ours is.
    try? poller.watch(line.socket, token: UInt32(listener), alsoForRoom: wanted, isNew: false)
  }
}
