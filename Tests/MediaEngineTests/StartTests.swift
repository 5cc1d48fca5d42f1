import Base
import Glibc
import MediaControl
import MediaEngine
import Testing

@Suite(.serialized) struct StartTests {
  private func start(
    _ bound: IPAddress, _ ports: ClosedRange<UInt16>, settings: MediaSettings = MediaSettings(),
    log: FactLog = FactLog()
  ) throws -> (MediaPlane, MediaReadiness) {
    let plane = try MediaPlane(
      addresses: [MediaAddress(name: "wan", bound: bound, ports: ports)], announcements: [],
      settings: settings, sink: { log.append($0) })
    return (plane, try plane.start())
  }

  @Test func anAddressThatIsNotOursSaysSo() {
    let elsewhere = IPAddress(v4: 0xc000_0201)
    #expect(throws: MediaStartError.addressUnavailable(name: "wan", address: elsewhere)) {
      try start(elsewhere, 19_000...19_009)
    }
    let error = MediaStartError.addressUnavailable(name: "wan", address: elsewhere)
    #expect(error.description.contains("192.0.2.1"))
  }

  @Test func takenPortsAreReportedAndOnlyAllOfThemFail() throws {
    // One of two pairs, by its RTCP port.
    let ports = try Rig.freePorts(pairs: 2)
    let (first, last) = (ports.lowerBound, ports.upperBound)
    let holder = try Peer(port: last)
    let log = FactLog()
    let (plane, readiness) = try start(.loopbackV4, ports, log: log)
    #expect(readiness.bound == 1 && readiness.takenByOthers == 1 && readiness.beyondLimit == 0)
    #expect(log.all == [.ready(address: 0, ports: ports, failed: [first + 2])])
    #expect(throws: MediaStartError.allPortsTaken(name: "wan", ports: ports)) {
      try start(.loopbackV4, ports)
    }
    #expect(throws: MediaStartError.alreadyStarted) { try plane.start() }
    plane.stop()
    let (again, _) = try start(.loopbackV4, ports)
    again.stop()
    _ = holder.address
  }

  @Test func theNumberOfPairsIsBounded() throws {
    let ports = try Rig.freePorts(pairs: 10)
    let first = ports.lowerBound
    var settings = MediaSettings()
    settings.maxPortPairs = 3
    let log = FactLog()
    let (plane, readiness) = try start(.loopbackV4, ports, settings: settings, log: log)
    #expect(readiness.bound == 3 && readiness.takenByOthers == 0 && readiness.beyondLimit == 7)
    #expect(readiness.pending == 0 && (512..<1 << 30).contains(readiness.descriptorsLeft))
    #expect(log.all == [.ready(address: 0, ports: first...first + 5, failed: [])])
    plane.stop()
    #expect(throws: MediaStartError.noPortPair(name: "wan")) {
      try start(.loopbackV4, first + 1...first + 2)
    }
    settings.reservedDescriptors = .max / 2
    #expect(throws: MediaStartError.self) {
      try start(.loopbackV4, ports, settings: settings)
    }
  }

  /// A call of an earlier process has a pair whose turn has not come yet.
  @Test func aPairMayBeOpenedBeforeItsTurn() throws {
    let log = FactLog()
    let ports = Rig.ports(pairs: 900)
    let (plane, readiness) = try start(.loopbackV4, ports, log: log)
    defer { plane.stop() }
    #expect(readiness.pending > 0)
    // Others may have some of them.
    var opened: UInt16?
    for place in 0..<20 where opened == nil {
      let port = ports.upperBound - 1 - 2 * UInt16(place)
      let id = MediaTransportID(raw: UInt64(place + 1))
      plane.submit([.open(id, LocalMedia(address: 0, port: port))])
      let isOpen = log.wait { fact in
        switch fact {
        case .opened(id): true
        case .refused(id): false
        default: nil
        }
      }
      if isOpen == true { opened = port }
    }
    let port = try #require(opened)
    // Its turn changes nothing.
    let failed: [UInt16]? = log.wait { fact in
      if case .ready(_, let range, let failed) = fact, range.upperBound == ports.upperBound {
        failed
      } else {
        nil
      }
    }
    #expect(failed?.contains(port) == false)
  }

  /// A wide range does not hold up the start: the rest follows, and the pool takes it as it comes.
  @Test func theRestOfAWideRangeFollows() throws {
    let log = FactLog()
    let ports = Rig.ports(pairs: 900)
    let (plane, readiness) = try start(.loopbackV4, ports, log: log)
    #expect(readiness.pending == 900 - readiness.bound - readiness.takenByOthers)
    #expect(readiness.pending > 0)
    var pool = MediaPortPool(addresses: [
      MediaAddress(name: "wan", bound: .loopbackV4, ports: ports)
    ])
    let complete = log.wait { fact in
      if case .ready(_, let range, _) = fact, range.upperBound == ports.upperBound {
        true
      } else {
        nil
      }
    }
    #expect(complete == true)
    var failed = 0
    for case .ready(let address, let range, let taken) in log.all {
      pool.add(address: Int(address), ports: range, except: taken)
      failed += taken.count
    }
    #expect(pool.free == 900 - failed)
    usleep(20_000)
    #expect(plane.counters.portPairsBound == 900 - failed)
    #expect(plane.counters.portPairsTaken == failed)
    plane.stop()
  }

  @Test func commandsThatMakeNoSenseAreRefused() throws {
    let rig = try Rig()
    let end = try rig.open()
    let ghost = MediaTransportID(raw: 77)
    let foreign = MediaTransportID(raw: 78)
    for command: MediaCommand in [
      .remote(ghost, RemoteMedia(SocketAddress(.loopbackV4, 9))), .bridge(end.id, ghost),
      .play(ghost, .echo), .watch(ghost, silenceMilliseconds: 1), .measure(ghost), .close(ghost),
      .open(ghost, end.lease), .open(foreign, LocalMedia(address: 9, port: 20_000)),
      .open(foreign, LocalMedia(address: 0, port: end.lease.port + 1)),
      .open(foreign, LocalMedia(address: 0, port: 1)), .bridge(end.id, end.id),
    ] {
      rig.plane.submit([command])
    }
    _ = rig.measure(end)
    let refused = rig.log.all.compactMap { if case .refused(let id) = $0 { id } else { nil } }
    #expect(refused.count == 11)
    #expect(rig.plane.counters.commandsRefused == 11)
    rig.plane.stop()
    rig.plane.submit([.measure(end.id)])
    #expect(rig.log.all.last == .refused(end.id))
  }

  @Test func aFullQueueRefusesButStillCloses() throws {
    var settings = MediaSettings()
    settings.maxQueuedCommands = 10
    let rig = try Rig(settings: settings)
    let end = try rig.open()
    rig.plane.submit(Array(repeating: .measure(end.id), count: 25) + [.close(end.id)])
    #expect(rig.log.wait { $0 == .closed(end.id) ? true : nil } == true)
    #expect(rig.log.all.count { $0 == .refused(end.id) } == 15)
    #expect(rig.plane.counters.commandsDropped == 15)
  }
}
