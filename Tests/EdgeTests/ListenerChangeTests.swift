import Base
import CallCore
import Edge
import Policy
import SIPWire
import Testing

/// Listeners that come and go while the shard runs.
@Suite(.timeLimit(.minutes(1)))
struct ListenerChangeTests {
  private static let datagrams = Listener(name: "udp", bound: SocketAddress(.loopbackV4, 0))
  private static let streams = Listener(
    name: "tcp", bound: SocketAddress(.loopbackV4, 0), transport: .tcp)

  private func start(_ listeners: [Listener]) throws(EdgeError) -> UDPEdge {
    let settings = ShardSettings(
      incarnation: 1_700_000_000_000, secret: SystemRandom.bytes(32), listeners: listeners,
      mediaAddresses: [])
    return try UDPEdge(
      settings: settings, configuration: Configuration(),
      sinks: EdgeSinks(media: { _ in }, facts: { _ in }, answer: { _, _ in }))
  }

  private func change(_ edge: UDPEdge, _ listeners: [Listener]) throws {
    try edge.change(listeners: listeners, streams: StreamSettings()) { _ in Configuration() }
  }

  /// The status of the answer to an OPTIONS: the shard may not have heard of a change yet.
  private func status(_ address: SocketAddress, until wanted: Int) throws -> Int? {
    let peer = try Peer(.loopbackV4)
    var last: Int?
    for number in 1...100 where last != wanted {
      peer.send([options(number, by: "UDP", port: peer.address.port)], to: address)
      let answer = peer.receive(1).first.map { String(decoding: $0.bytes, as: UTF8.self) }
      last = answer.flatMap { Int($0.dropFirst(8).prefix(3)) }
      if last != wanted { pauseThread(.milliseconds(10)) }
    }
    return last
  }

  private func status(_ client: StreamEdgeTests.Client, _ number: Int) -> Int? {
    client.received = []
    client.send(options(number, by: "TCP"))
    guard client.answers(1) else { return nil }
    return Int(client.text.dropFirst(8).prefix(3))
  }

  @Test func opensWhatIsNew() throws {
    let edge = try start([Self.datagrams])
    defer { edge.stop() }
    var more = Self.datagrams
    more.name = "more"
    try change(edge, [Self.datagrams, Self.streams, more])
    #expect(edge.listeners.map(\.name) == ["udp", "tcp", "more"])
    #expect(edge.listeners.allSatisfy { $0.state == .open && $0.bound.port != 0 })
    #expect(try status(edge.addresses[0], until: 200) == 200)
    #expect(try status(edge.addresses[2], until: 200) == 200)
    #expect(status(try StreamEdgeTests.Client(edge.addresses[1]), 1) == 200)
  }

  @Test func leavingTakesNothingNewAndKeepsWhatIsConnected() throws {
    let edge = try start([Self.datagrams, Self.streams])
    defer { edge.stop() }
    let (datagrams, streams) = (edge.addresses[0], edge.addresses[1])
    let client = try StreamEdgeTests.Client(streams)
    #expect(status(client, 1) == 200)
    var other = Self.datagrams
    other.name = "other"
    try change(edge, [other])
    #expect(edge.listeners.map(\.state) == [.leaving, .leaving, .open])
    #expect(try status(datagrams, until: 503) == 503)
    #expect(status(client, 2) == 503)
    // The port is free for somebody else at once.
    for _ in 0..<200 {
      if (try? start([Listener(name: "again", bound: streams, transport: .tcp)]))?.stop() != nil {
        return
      }
      pauseThread(.milliseconds(10))
    }
    Issue.record("the port of a listener that is leaving stays taken")
  }

  @Test func oneThatIsWantedAgainIsTakenBack() throws {
    let edge = try start([Self.datagrams, Self.streams])
    defer { edge.stop() }
    let addresses = edge.addresses
    try change(edge, [])
    #expect(try status(addresses[0], until: 503) == 503)
    try change(edge, [Self.datagrams, Self.streams])
    #expect(edge.listeners.map(\.state) == [.open, .open])
    #expect(try status(addresses[0], until: 200) == 200)
    #expect(status(try StreamEdgeTests.Client(edge.addresses[1]), 1) == 200)
  }

  @Test func anotherNameIsTheSameListener() throws {
    let edge = try start([Self.datagrams])
    defer { edge.stop() }
    let fixed = Listener(name: "udp", bound: SocketAddress(.loopbackV4, 0), transport: .tcp)
    try change(edge, [Self.datagrams, fixed])
    // Of one whose port was chosen, the name is what it is known by.
    var renamed = fixed
    renamed.name = "stream"
    try change(edge, [Self.datagrams, renamed])
    #expect(edge.listeners.map(\.name) == ["udp", "udp", "stream"])
    #expect(edge.listeners.map(\.state) == [.open, .leaving, .open])
  }

  @Test func aPortThatIsTakenChangesNothing() throws {
    let edge = try start([Self.datagrams])
    defer { edge.stop() }
    let holder = try Peer(.loopbackV4)
    let taken = Listener(name: "taken", bound: holder.address)
    #expect(throws: EdgeError.self) { try change(edge, [taken, Self.streams]) }
    #expect(edge.listeners.map(\.state) == [.open])
    #expect(try status(edge.addresses[0], until: 200) == 200)
  }

  @Test func resourcesThatDoNotFitChangeNothing() throws {
    struct Misfit: Error {}
    let edge = try start([Self.datagrams])
    defer { edge.stop() }
    #expect(throws: Misfit.self) {
      try edge.change(listeners: [Self.streams], streams: StreamSettings()) { _ in throw Misfit() }
    }
    #expect(edge.listeners.map(\.name) == ["udp"] && edge.listeners[0].state == .open)
  }
}
