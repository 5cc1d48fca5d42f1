import Base
import CLinux
import Glibc

// The calls into the kernel, each behind a Swift face that cannot be used wrongly. This file and
// PacketBuffer+C.swift hold all unsafe code of the target.

extension clmedia_address {
  init(_ address: SocketAddress) {
    self.init(
      high: address.ip.high, low: address.ip.low, port: address.port,
      family: address.ip.family == .v4 ? 4 : 6)
  }

  var socketAddress: SocketAddress {
    family == 4
      ? SocketAddress(IPAddress(v4: UInt32(truncatingIfNeeded: low)), port)
      : SocketAddress(IPAddress(v6High: high, low: low), port)
  }
}

/// What a call to the kernel failed with.
struct SystemError: Error, Hashable, Sendable {
  var code: Int32

  init(result: Int32) { code = -result }

  static let addressInUse = SystemError(result: -EADDRINUSE)
  static let addressNotAvailable = SystemError(result: -EADDRNOTAVAIL)
  static let invalidArgument = SystemError(result: -EINVAL)
  static let tooManyDescriptors = SystemError(result: -EMFILE)

  var text: String {
    var buffer = [CChar](repeating: 0, count: 128)
    guard unsafe strerror_r(code, &buffer, buffer.count) == 0 else { return "error \(code)" }
    return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}

enum Clock {
  /// `Instant`s of this process count from the origin of CLOCK_MONOTONIC.
  @inline(__always)
  static var now: Instant { Instant(nanoseconds: clmedia_monotonic()) }
  /// Nanoseconds since 1970.
  static var wall: UInt64 { clmedia_wall_clock() }
  /// CPU time of the calling thread in ns.
  static var threadTime: UInt64 { clmedia_thread_time() }
  /// The kernel's number of the calling thread.
  static var thread: Int32 { clinux_thread_id() }
  static func sleep(until instant: Instant) { clmedia_sleep_until(instant.nanoseconds) }
}

/// Media sockets. All are made mute and hear only while a transport holds them.
enum MediaSocket {
  static func bind(_ address: SocketAddress, trafficClass: UInt8) throws(SystemError) -> Int32 {
    let socket = clmedia_bind(clmedia_address(address), Int32(trafficClass))
    guard socket >= 0 else { throw SystemError(result: socket) }
    let muted = clmedia_mute(socket, clmedia_address(address))
    guard muted == 0 else {
      close(socket)
      throw SystemError(result: muted)
    }
    return socket
  }
  /// `own` is where it is bound. Forgets what it has heard and nobody has read.
  static func mute(_ socket: Int32, own: SocketAddress) {
    _ = clmedia_mute(socket, clmedia_address(own))
  }
  static func unmute(_ socket: Int32) -> Bool { clmedia_unmute(socket) == 0 }
  static func drops(_ socket: Int32) -> UInt32 { clmedia_drops(socket) }
  static func close(_ socket: Int32) { clmedia_close(socket) }
}

enum Process {
  /// The descriptors that may be opened in all, the soft limit raised as far as it goes.
  static func raiseDescriptorLimit() -> Int { Int(clamping: clmedia_raise_descriptor_limit()) }
  static var openDescriptors: Int { Int(clamping: clmedia_open_descriptors()) }
  static func random() -> UInt64 { clmedia_random() }

  /// Addresses of this machine's interfaces.
  static func ownAddresses() -> [IPAddress] {
    var found = [clmedia_address](repeating: clmedia_address(), count: 256)
    let count = unsafe clmedia_own_addresses(&found, Int32(found.count))
    return found.prefix(Int(max(count, 0))).map(\.socketAddress.ip)
  }
}

/// Wakes a worker from any thread.
struct Signal: ~Copyable, Sendable {
  let descriptor: Int32

  init() throws(SystemError) {
    descriptor = clmedia_signal()
    guard descriptor >= 0 else { throw SystemError(result: descriptor) }
  }

  func raise() { clmedia_signal_raise(descriptor) }
  func clear() { clmedia_signal_clear(descriptor) }

  deinit { if descriptor >= 0 { clmedia_close(descriptor) } }
}

/// An epoll set; level triggered, each descriptor with a token of its own.
struct Poller: ~Copyable {
  private let descriptor: Int32
  private var tokens: [UInt64]
  private(set) var ready = 0

  /// Takes over what `makeDescriptor` gave.
  init(adopting descriptor: Int32, capacity: Int) {
    self.descriptor = descriptor
    tokens = Array(repeating: 0, count: capacity)
  }

  static func makeDescriptor() throws(SystemError) -> Int32 {
    let descriptor = clmedia_poller()
    guard descriptor >= 0 else { throw SystemError(result: descriptor) }
    return descriptor
  }

  deinit { clmedia_close(descriptor) }

  func add(_ socket: Int32, token: UInt64) -> Bool {
    clmedia_poller_add(descriptor, socket, token) == 0
  }

  /// Waits at most `timeout` ns (negative: until something happens) and keeps what is ready.
  mutating func wait(timeout: Int64) {
    let count = unsafe clmedia_poller_wait(descriptor, &tokens, Int32(tokens.count), timeout)
    ready = Int(max(count, 0))
  }

  /// Token of the ready descriptor number `index`, below `ready`.
  @inline(__always)
  subscript(index: Int) -> UInt64 { tokens[index] }
}

/// A system thread outside of the concurrency runtime, with signals blocked.
struct WorkerThread: Sendable {
  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(run: @escaping @Sendable () -> Void) { self.run = run }
  }

  private let handle: UInt64

  init(name: StaticString, _ run: @escaping @Sendable () -> Void) throws(SystemError) {
    let body = unsafe Unmanaged.passRetained(Body(run: run))
    var handle: UInt64 = 0
    let result = name.withUTF8Buffer { text in
      unsafe clmedia_thread_start(
        UnsafeRawPointer(text.baseAddress)?.assumingMemoryBound(to: CChar.self),
        { context in
          guard let context = unsafe context else { return }
          unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
        }, body.toOpaque(), &handle)
    }
    guard result == 0 else {
      unsafe body.release()
      throw SystemError(result: result)
    }
    self.handle = handle
  }

  /// Waits for the thread's end. Once only.
  consuming func join() { clmedia_thread_join(handle) }
}
