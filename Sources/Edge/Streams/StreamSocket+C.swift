package import Base
internal import CLinux

/// A listening TCP socket; closed when the last reference goes.
final class StreamListener: Sendable {
  let descriptor: Int32
  /// The port is the system's choice where 0 was asked.
  let local: SocketAddress

  init(
    listener name: String, bound: SocketAddress, trafficClass: UInt8, kept: Int32? = nil
  ) throws(EdgeError) {
    let fd = kept ?? clinux_stream_listen(clinux_address(bound), 1_024, Int32(trafficClass))
    guard fd >= 0 else { throw .listener(name: name, address: bound, code: -fd) }
    if kept != nil { clinux_stream_adjust(fd, Int32(trafficClass)) }
    descriptor = fd
    var address = clinux_address()
    local = unsafe clinux_udp_local(fd, &address) == 0 ? SocketAddress(address) ?? bound : bound
  }

  deinit { clinux_close(descriptor) }

  enum Accepted {
    case connection(StreamSocket, from: SocketAddress)
    case none
    /// No descriptor is left, or no memory: accepting again at once would fail again.
    case exhausted
    /// That one was gone before it was taken.
    case lost
  }

  func accept() -> Accepted {
    var peer = clinux_address()
    let fd = unsafe clinux_stream_accept(descriptor, &peer)
    guard fd >= 0 else {
      switch StreamOutcome(code: -fd) {
      case .later: return .none
      case .exhausted: return .exhausted
      case .gone: return .lost
      }
    }
    let socket = StreamSocket(fd)
    guard let source = SocketAddress(peer) else { return .lost }
    return .connection(socket, from: source)
  }
}

/// A connected or connecting TCP socket.
package final class StreamSocket {
  let descriptor: Int32

  fileprivate init(_ descriptor: Int32) { self.descriptor = descriptor }

  /// From `local` with a port of the system's choice. Nil: the kernel refused at once.
  package init?(from local: IPAddress, to remote: SocketAddress, trafficClass: UInt8 = 0) {
    let fd = clinux_stream_connect(
      clinux_address(SocketAddress(local, 0)), clinux_address(remote), Int32(trafficClass))
    guard fd >= 0 else { return nil }
    descriptor = fd
  }

  deinit { clinux_close(descriptor) }

  /// Whether an attempt to connect that came to an end came to a good one.
  var isConnected: Bool { clinux_stream_error(descriptor) == 0 }

  /// Reads over the start of `buffer`: how many bytes, 0 at the end, negative: an errno.
  package func read(into buffer: inout [UInt8]) -> Int {
    let room = buffer.count
    return unsafe Int(clinux_stream_read(descriptor, &buffer, room))
  }

  /// How many were taken; negative: an errno.
  package func write(_ bytes: RawSpan) -> Int {
    unsafe bytes.withUnsafeBytes { buffer in
      unsafe Int(clinux_stream_write(descriptor, buffer.baseAddress, buffer.count))
    }
  }

  func finish() { clinux_stream_finish(descriptor) }
}

/// A descriptor held back, so that a connection can be refused when there is no other left: taken, and
/// closed, instead of waiting in the kernel's queue and waking the loop for ever.
final class DescriptorReserve {
  private var descriptor = clinux_reserve_open()

  deinit { clinux_close(descriptor) }

  /// Gives the descriptor up for as long as `body` runs.
  func lend(_ body: () -> Void) {
    clinux_close(descriptor)
    descriptor = -1
    body()
    descriptor = clinux_reserve_open()
  }
}

extension Poller {
  func watch(_ listener: StreamListener, token: UInt32) throws(EdgeError) {
    try set(listener.descriptor, token, 1, true)
  }
  func forget(_ listener: StreamListener) { remove(listener.descriptor) }

  func watch(_ socket: StreamSocket, token: UInt32, reading: Bool, writing: Bool, isNew: Bool)
    throws(EdgeError)
  {
    try set(socket.descriptor, token, (reading ? 1 : 0) | (writing ? 2 : 0), isNew)
  }
  func forget(_ socket: StreamSocket) { remove(socket.descriptor) }
}
