import MediaControl
import Locking

/// The RTP sockets of the pairs that are bound, for whoever posts commands: a port takes packets from the moment that its
/// `.open` is on its way to the worker, because the peer may hear of it before the worker has had its turn.
///
/// The lock is held over the system call, so that no descriptor is touched that has been closed.
final class PortSockets: Sendable {
  private let sockets = Mutex<[LocalMedia: Int32]>([:])

  func add(_ media: LocalMedia, _ socket: Int32) {
    sockets.withLock { $0[media] = socket }
  }

  /// What comes waits in the socket's buffer. A pair that is not bound stays what it is: the worker refuses it.
  func unmute(_ media: LocalMedia) {
    sockets.withLock { sockets in
      if let socket = sockets[media] { _ = MediaSocket.unmute(socket) }
    }
  }

  /// Before the sockets are closed.
  func removeAll() { sockets.withLock { $0 = [:] } }
}
