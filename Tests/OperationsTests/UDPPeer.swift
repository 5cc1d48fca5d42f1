import Dispatch
import Glibc

/// A UDP socket on loopback that speaks SIP by hand, in lock step with what is expected.
final class UDPPeer: Sendable {
  private let descriptor: Int32
  let port: UInt16
  private let server: UInt16

  init?(server: UInt16) {
    let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    self.descriptor = descriptor
    self.server = server
    var address = UDPPeer.loopback(0)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = unsafe withUnsafeMutablePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
      }
    }
    port = UInt16(bigEndian: address.sin_port)
    var timeout = timeval(tv_sec: 5, tv_usec: 0)
    unsafe setsockopt(
      descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    if !bound { return nil }
  }

  deinit { close(descriptor) }

  private static func loopback(_ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port.bigEndian)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
  }

  func send(_ text: String) {
    let bytes = Array(text.utf8)
    var address = Self.loopback(server)
    unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        _ = unsafe sendto(
          descriptor, bytes, bytes.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
  }

  /// The next message whose start line has the text; nil after five seconds of nothing.
  func receive(_ start: String) async -> String? {
    await offThePool { self.receiveBlocking(start) }
  }

  private func receiveBlocking(_ start: String) -> String? {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    for _ in 0..<20 {
      let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
      if count <= 0 { return nil }
      let text = String(decoding: buffer[..<count], as: UTF8.self)
      if text.prefix(while: { $0 != "\r\n" }).contains(start) { return text }
    }
    return nil
  }
}

/// The value of the first header of that name.
func header(_ name: String, of message: String) -> String? {
  let prefix = name.lowercased() + ":"
  for line in message.split(separator: "\r\n", omittingEmptySubsequences: false) {
    if line.isEmpty { return nil }
    if line.lowercased().hasPrefix(prefix) {
      return line.dropFirst(prefix.count).drop { $0 == " " }.description
    }
  }
  return nil
}

/// Work that blocks, away from the few threads that `async` tests share.
func offThePool<Value: Sendable>(_ work: @escaping @Sendable () -> Value) async -> Value {
  await withCheckedContinuation { continuation in
    DispatchQueue.global().async { continuation.resume(returning: work()) }
  }
}
