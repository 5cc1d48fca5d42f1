internal import Base
internal import CLinux
internal import CallCore
internal import SIPWire
internal import Locking

/// The sockets of listeners, as somebody keeps them who outlives us: systemd's store of descriptors (sd_notify(3),
/// sd_listen_fds(3)). While no process of ours lives, datagrams wait in their buffers and connections in their queues,
/// and nobody is told that nothing listens here.
package final class KeptSockets: Sendable {
  package enum Order: Sendable {
    case keep(descriptor: Int32, name: String)
    case forget(name: String)
  }

  private struct Place: Hashable {
    var address: SocketAddress
    var isStream: Bool

    /// Of the store's names colons are none.
    var name: String {
      let ip = String("\(address.ip)".map { $0 == ":" ? "_" : $0 })
      return "sip-\(isStream ? "stream" : "datagram")-\(ip)-\(address.port)"
    }
  }

  private struct Given: Sendable {
    var place: Place
    var descriptor: Int32
  }

  private let given: Mutex<[Given]>
  private let tell: @Sendable (Order) -> Void

  /// Takes over descriptors of an earlier process; whichever is no bound socket is closed.
  package init(_ descriptors: [Int32], tell: @escaping @Sendable (Order) -> Void) {
    self.tell = tell
    given = Mutex(
      descriptors.compactMap { descriptor in
        guard let place = Self.place(of: descriptor) else {
          clinux_close(descriptor)
          return nil
        }
        return Given(place: place, descriptor: descriptor)
      })
  }

  deinit { for one in given.withLock({ $0 }) { clinux_close(one.descriptor) } }

  private static func place(of descriptor: Int32) -> Place? {
    let kind = clinux_socket_adopt(descriptor)
    var bound = clinux_address()
    guard kind > 0, unsafe clinux_udp_local(descriptor, &bound) == 0,
      let address = SocketAddress(bound)
    else { return nil }
    return Place(address: address, isStream: kind == 2)
  }

  /// The socket that was bound for a listener's address before, which is the caller's from now on; nil: there is none.
  func take(_ listener: Listener) -> Int32? {
    let place = Place(address: listener.bound, isStream: listener.transport.isReliable)
    return given.withLock { given in
      given.firstIndex { $0.place == place }.map { given.remove(at: $0).descriptor }
    }
  }

  /// Again does nothing.
  func keep(_ listener: Listener, _ descriptor: Int32) {
    let place = Place(address: listener.bound, isStream: listener.transport.isReliable)
    tell(.keep(descriptor: descriptor, name: place.name))
  }

  /// The listener is closed.
  func forget(_ listener: Listener) {
    tell(
      .forget(
        name: Place(address: listener.bound, isStream: listener.transport.isReliable).name))
  }

  /// Those that no listener wanted: what came to them is for nobody.
  func closeRest() {
    let rest = given.withLock { given in
      defer { given = [] }
      return given
    }
    for one in rest {
      tell(.forget(name: one.place.name))
      clinux_close(one.descriptor)
    }
  }
}
