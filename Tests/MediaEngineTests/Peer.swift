import Base
import CLinux
import Glibc

/// A UDP socket of a test, on loopback.
final class Peer {
  let address: SocketAddress
  private let descriptor: Int32

  /// Bound to a free port of `ip`, or to `port`.
  init(_ ip: IPAddress = .loopbackV4, port: UInt16 = 0) throws {
    descriptor = clmedia_bind(
      clmedia_address(
        high: ip.high, low: ip.low, port: port, family: ip.family == .v4 ? 4 : 6), 0)
    guard descriptor >= 0 else { throw PeerError(code: -descriptor) }
    var raw = sockaddr_storage()
    var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let descriptor = descriptor
    let bound = unsafe withUnsafeMutablePointer(to: &raw) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
        unsafe getsockname(descriptor, generic, &size)
      }
    }
    guard bound == 0 else { throw PeerError(code: errno) }
    // The port stands at the same place in both families.
    let actual = unsafe withUnsafeBytes(of: &raw) { bytes in
      unsafe UInt16(bytes[2]) << 8 | UInt16(bytes[3])
    }
    address = SocketAddress(ip, actual)
  }

  deinit { clmedia_close(descriptor) }

  func send(_ bytes: [UInt8], to address: SocketAddress) {
    var target = clmedia_target_make(
      clmedia_address(
        high: address.ip.high, low: address.ip.low, port: address.port,
        family: address.ip.family == .v4 ? 4 : 6))
    _ = unsafe clmedia_send(descriptor, bytes, bytes.count, &target)
  }

  /// The next datagram; nil after `milliseconds` without one.
  func receive(within milliseconds: Int32 = 1_000) -> (bytes: [UInt8], from: SocketAddress)? {
    var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard unsafe poll(&waiting, 1, milliseconds) > 0 else { return nil }
    var buffer = [UInt8](repeating: 0, count: 2_048)
    var packet = clmedia_packet()
    guard unsafe clmedia_receive(descriptor, &buffer, buffer.count, &packet) == 1 else {
      return nil
    }
    let from = packet.from
    let ip =
      from.family == 4
      ? IPAddress(v4: UInt32(truncatingIfNeeded: from.low))
      : IPAddress(v6High: from.high, low: from.low)
    return (Array(buffer.prefix(Int(packet.length))), SocketAddress(ip, from.port))
  }

  /// Everything that comes until nothing has for `quiet` milliseconds.
  func receiveAll(quiet: Int32 = 60) -> [[UInt8]] {
    var all: [[UInt8]] = []
    while let packet = receive(within: quiet) { all.append(packet.bytes) }
    return all
  }
}

struct PeerError: Error {
  var code: Int32
}
