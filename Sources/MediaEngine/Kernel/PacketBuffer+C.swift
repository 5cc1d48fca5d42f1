import Base
import CLinux

/// A destination in the kernel's form; the default is nowhere.
struct SendTarget: Sendable {
  fileprivate var raw = clmedia_target()

  init() {}
  init(_ address: SocketAddress) { raw = clmedia_target_make(clmedia_address(address)) }

  var isNowhere: Bool { raw.length == 0 }
}

/// What came with a datagram.
struct Arrival: Sendable {
  var source: SocketAddress
  var length: Int
  /// Wall clock in ns, from the kernel; 0 when it did not say.
  var stamp: UInt64
}

/// The memory of the one packet that a worker handles at a time: received, changed and sent in place.
@safe
struct PacketBuffer: ~Copyable {
  /// The largest UDP payload, so nothing is ever cut.
  static let capacity = 65_536

  private let memory: UnsafeMutableRawPointer

  init() {
    unsafe memory = .allocate(byteCount: Self.capacity, alignment: 64)
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: Self.capacity)
  }

  deinit { unsafe memory.deallocate() }

  /// Nil when nothing waits. An error of an earlier send (an unreachable port) reads as nothing.
  @inline(__always)
  mutating func receive(from socket: Int32) -> Arrival? {
    var packet = clmedia_packet()
    guard unsafe clmedia_receive(socket, memory, Self.capacity, &packet) == 1 else { return nil }
    return Arrival(
      source: packet.from.socketAddress, length: min(Int(packet.length), Self.capacity),
      stamp: packet.stamp)
  }

  /// False when the kernel did not take it.
  @inline(__always)
  func send(_ length: Int, from socket: Int32, to target: borrowing SendTarget) -> Bool {
    var raw = target.raw
    return unsafe clmedia_send(socket, memory, min(max(length, 0), Self.capacity), &raw) == 0
  }

  /// The first `length` bytes.
  @inline(__always) @_lifetime(borrow self)
  func bytes(_ length: Int) -> RawSpan {
    let span = unsafe RawSpan(_unsafeStart: memory, byteCount: min(max(length, 0), Self.capacity))
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  /// The first `length` bytes, to be written.
  @inline(__always) @_lifetime(&self)
  mutating func mutableBytes(_ length: Int) -> MutableRawSpan {
    let span = unsafe MutableRawSpan(
      _unsafeStart: memory, byteCount: min(max(length, 0), Self.capacity))
    return unsafe _overrideLifetime(span, mutating: &self)
  }
}
