internal import Base
internal import CLinux
internal import Glibc

/// A socket of its own for one question to one name server.
final class ConnectedSocket {
  enum Outcome: Equatable {
    case done(Int)
    case later
    case ended
  }

  let descriptor: Int32

  /// Nil where not even the beginning works: no route, no descriptor.
  init?(to address: SocketAddress, isStream: Bool) {
    let fd = clinux_connected_open(clinux_address(address), isStream ? 1 : 0)
    guard fd >= 0 else { return nil }
    descriptor = fd
  }

  deinit { clinux_close(descriptor) }

  func write(_ bytes: ArraySlice<UInt8>) -> Outcome {
    let result = unsafe bytes.withUnsafeBytes { buffer in
      unsafe clinux_write(descriptor, buffer.baseAddress, buffer.count)
    }
    return Self.outcome(result)
  }

  func read(into buffer: inout [UInt8]) -> Outcome {
    let result = unsafe buffer.withUnsafeMutableBytes { buffer in
      unsafe clinux_read(descriptor, buffer.baseAddress, buffer.count)
    }
    return Self.outcome(result)
  }

  private static func outcome(_ result: Int) -> Outcome {
    if result >= 0 { return .done(result) }
    let code = Int32(truncatingIfNeeded: -result)
    return code == EAGAIN || code == EINTR ? .later : .ended
  }
}

extension Poller {
  func watch(_ socket: ConnectedSocket, token: UInt32, alsoForRoom: Bool, isNew: Bool)
    throws(EdgeError)
  {
    let result = clinux_poller_set(
      handle, socket.descriptor, token, alsoForRoom ? 3 : 1, isNew ? 1 : 0)
    guard result == 0 else { throw .system(operation: "epoll", code: -result) }
  }
}
