import Base
import CallCore
import Edge
import Glibc
import Policy
import SIPWire
import Synchronization
import Testing

/// Sockets that outlive the process: what comes while there is none waits in them.
@Suite(.timeLimit(.minutes(1)))
struct KeptSocketTests {
  /// In a service manager's place: it has copies of descriptors, by their names.
  private final class Store: Sendable {
    private let held = Mutex<[String: Int32]>([:])

    var names: [String] { held.withLock { $0.keys.sorted() } }

    /// For the next process.
    func handOut() -> KeptSockets {
      KeptSockets(held.withLock { $0.values.map { dup($0) } }) { [self] order in
        held.withLock { held in
          switch order {
          case .keep(let descriptor, let name):
            if let old = held.updateValue(dup(descriptor), forKey: name) { close(old) }
          case .forget(let name): if let old = held.removeValue(forKey: name) { close(old) }
          }
        }
      }
    }

    deinit { for descriptor in held.withLock({ $0.values }) { close(descriptor) } }
  }

  private func start(_ listeners: [Listener], _ store: Store) throws(EdgeError) -> UDPEdge {
    let settings = ShardSettings(
      incarnation: 1_700_000_000_000, secret: SystemRandom.bytes(32), listeners: listeners,
      mediaAddresses: [])
    var sockets = EdgeSockets()
    sockets.kept = store.handOut()
    return try UDPEdge(
      settings: settings, configuration: Configuration(), sockets: sockets,
      sinks: EdgeSinks(media: { _ in }, facts: { _ in }, answer: { _, _ in }))
  }

  @Test func whatCameMeanwhileIsAnswered() throws {
    let store = Store()
    let wanted = [
      Listener(name: "udp", bound: SocketAddress(.loopbackV4, 0)),
      Listener(name: "tcp", bound: SocketAddress(.loopbackV4, 0), transport: .tcp),
    ]
    let first = try start(wanted, store)
    let listeners = first.listeners
    first.stop()
    #expect(store.names.count == 2)
    let peer = try Peer()
    peer.send(
      (1...20).map { options($0, by: "UDP", port: peer.address.port) }, to: listeners[0].bound)
    let client = try StreamEdgeTests.Client(listeners[1].bound)
    client.send(options(99, by: "TCP"))
    let second = try start(listeners, store)
    defer { second.stop() }
    #expect(second.addresses == listeners.map(\.bound))
    #expect(peer.receive(20).count == 20)
    #expect(client.answers(1))
    #expect(store.names.count == 2)
  }

  /// What is configured no more is let go of, so that its port is free.
  @Test func theRestIsClosed() throws {
    let store = Store()
    let first = try start([Listener(name: "udp", bound: SocketAddress(.loopbackV4, 0))], store)
    let old = first.listeners[0].bound
    first.stop()
    let second = try start([Listener(name: "udp", bound: SocketAddress(.loopbackV4, 0))], store)
    #expect(store.names.count == 1 && second.listeners[0].bound != old)
    second.stop()
    _ = try UDPSocket(listener: "old", bound: old, receiveBuffer: 0, sendBuffer: 0)
  }
}
