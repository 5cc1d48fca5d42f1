import Base
import Resolution
import Testing

/// RFC 3263 §4 over a name server that answers each question after 10 ms.
@Suite struct LocatorTests {
  struct Rig {
    var now = Instant(nanoseconds: 1_000_000_000)
    var random = RandomSource(seed: 5)
    var locator: Locator
    var zone: Zone
    var isDead = false
    var asked: [DNSQuestion] = []
    var told: [Location] = []
    private var pending: [(at: Instant, ticket: Resolver.Ticket, bytes: [UInt8])] = []

    init(_ zone: Zone) {
      self.zone = zone
      var settings = ResolverSettings()
      settings.servers = [ResolverTests.one]
      locator = Locator(settings)
    }

    mutating func locate(_ request: LocationRequest) -> Location? {
      var effects: [Locator.Effect] = []
      told = []
      locator.watch(request, at: now, random: &random, into: &effects)
      take(effects)
      run(for: .seconds(1))
      return told.last
    }

    private mutating func take(_ effects: [Locator.Effect]) {
      for effect in effects {
        switch effect {
        case .send(let ticket, _, let bytes), .sendStream(let ticket, _, let bytes):
          guard let query = read(query: bytes) else { continue }
          asked.append(query.question)
          if !isDead {
            pending.append(
              (now + .milliseconds(10), ticket, zone.reply(id: query.id, query.question)))
          }
        case .close: break
        case .located(_, let location): told.append(location)
        }
      }
    }

    mutating func run(for interval: Interval) {
      let end = now + interval
      while true {
        let arrival = pending.first?.at
        let deadline = locator.nextDeadline
        guard let next = [arrival, deadline].compactMap({ $0 }).min(), next <= end else { break }
        now = max(now, next)
        var effects: [Locator.Effect] = []
        if let arrival, arrival <= now {
          let first = pending.removeFirst()
          locator.received(
            first.bytes.rawSpan, on: first.ticket, at: now, random: &random, into: &effects)
        } else {
          locator.advance(to: now, random: &random, into: &effects)
        }
        take(effects)
      }
      now = end
    }
  }

  static func request(
    _ host: String, port: UInt16? = nil, _ transport: LocatedTransport? = nil,
    _ transports: [LocatedTransport] = [.udp], v6: Bool = false
  ) -> LocationRequest {
    var request = LocationRequest(
      host: DNSName(host) ?? .root, port: port, transport: transport, transports: transports)
    request.usesV6 = v6
    return request
  }

  static func address(_ text: String) -> SocketAddress { SocketAddress(text) ?? ResolverTests.one }

  private static func found(_ location: Location?) -> [String] {
    (location?.addresses ?? []).map {
      "\($0.address) \($0.transport) \($0.rank)/\($0.weight)"
    }
  }

  @Test func explicitPortAsksForAddressesOnly() {
    var zone = Zone()
    zone.a("sip.example", "192.0.2.1")
    zone.srv("_sip._udp.sip.example", 1, 1, 9_999, "other.example")
    zone.naptr("sip.example", 1, 1, "sip+d2u", "_sip._udp.sip.example")
    var rig = Rig(zone)
    let location = rig.locate(Self.request("sip.example", port: 5_080))
    #expect(Self.found(location) == ["192.0.2.1:5080 udp 0/0"])
    #expect(rig.asked == [DNSQuestion("sip.example", .a)])
  }

  @Test func pointersChooseTheTransport() {
    var zone = Zone()
    zone.naptr("example.com", 10, 10, "sip+d2t", "_sip._tcp.example.com")
    zone.naptr("example.com", 20, 10, "sip+d2u", "_sip._udp.example.com")
    zone.naptr("example.com", 5, 10, "sips+d2t", "_sips._tcp.example.com")
    zone.naptr("example.com", 1, 1, "e2u+sip", "evil.example.com", flags: "u", hasExpression: true)
    zone.srv("_sip._tcp.example.com", 0, 1, 5_060, "tcp.example.com")
    zone.srv("_sip._udp.example.com", 0, 1, 5_062, "udp.example.com")
    zone.srv("_sips._tcp.example.com", 0, 1, 5_061, "tls.example.com")
    zone.a("tcp.example.com", "192.0.2.1")
    zone.a("udp.example.com", "192.0.2.2")
    zone.a("tls.example.com", "192.0.2.3")
    var all = Rig(zone)
    #expect(
      Self.found(all.locate(Self.request("example.com", nil, [.udp, .tcp, .tls])))
        == ["192.0.2.3:5061 tls 0/1", "192.0.2.1:5060 tcp 1/1", "192.0.2.2:5062 udp 2/1"])
    // Whoever has no listener for a transport does not hear of it.
    var one = Rig(zone)
    #expect(
      Self.found(one.locate(Self.request("example.com"))) == ["192.0.2.2:5062 udp 0/1"])
    #expect(!one.asked.contains(DNSQuestion("_sip._tcp.example.com", .srv)))
  }

  @Test func withoutPointersTheServicesAreAsked() {
    var zone = Zone()
    zone.srv("_sip._udp.example.com", 20, 0, 5_060, "b.example.com")
    zone.srv("_sip._udp.example.com", 10, 60, 5_070, "a.example.com")
    zone.srv("_sip._udp.example.com", 10, 40, 5_071, "c.example.com")
    zone.a("a.example.com", "192.0.2.1")
    zone.a("b.example.com", "192.0.2.2")
    zone.a("c.example.com", "192.0.2.3")
    var rig = Rig(zone)
    #expect(
      Self.found(rig.locate(Self.request("example.com")))
        == ["192.0.2.1:5070 udp 0/60", "192.0.2.3:5071 udp 0/40", "192.0.2.2:5060 udp 1/0"])
    #expect(rig.asked.first == DNSQuestion("example.com", .naptr))
    // A transport that is named needs no pointer.
    var named = Rig(zone)
    _ = named.locate(Self.request("example.com", .udp))
    #expect(named.asked.first == DNSQuestion("_sip._udp.example.com", .srv))
  }

  @Test func aHostIsTheLastResort() {
    var zone = Zone()
    zone.a("pbx.example.com", "192.0.2.1")
    zone.a("pbx.example.com", "192.0.2.2")
    var rig = Rig(zone)
    let location = rig.locate(Self.request("pbx.example.com"))
    #expect(
      Self.found(location) == ["192.0.2.1:5060 udp 0/0", "192.0.2.2:5060 udp 0/0"])
    #expect(rig.asked.map(\.type) == [.naptr, .srv, .a])
    var secure = Self.request("pbx.example.com", nil, [.udp, .tcp, .tls])
    secure.isSecure = true
    var other = Rig(zone)
    #expect(Self.found(other.locate(secure)).first == "192.0.2.1:5061 tls 0/0")
    #expect(!other.asked.contains(DNSQuestion("_sip._udp.pbx.example.com", .srv)))
  }

  @Test func bothFamiliesWhereBothAreHad() {
    var zone = Zone()
    zone.a("pbx.example.com", "192.0.2.1")
    zone.a("pbx.example.com", "2001:db8::1")
    var rig = Rig(zone)
    #expect(
      Self.found(rig.locate(Self.request("pbx.example.com", port: 5_060, v6: true)))
        == ["[2001:db8::1]:5060 udp 0/0", "192.0.2.1:5060 udp 0/0"])
    var four = Rig(zone)
    #expect(
      Self.found(four.locate(Self.request("pbx.example.com", port: 5_060)))
        == ["192.0.2.1:5060 udp 0/0"])
    #expect(four.asked.map(\.type) == [.a])
  }

  @Test func nothingIsNothing() {
    var rig = Rig(Zone())
    #expect(rig.locate(Self.request("nowhere.example")) == Location(.none))
    var zone = Zone()
    zone.srv("_sip._udp.example.com", 0, 0, 5_060, ".")
    zone.a("example.com", "0.0.0.0")
    var decided = Rig(zone)
    #expect(decided.locate(Self.request("example.com"))?.addresses == [])
    var noTransport = Rig(zone)
    #expect(
      noTransport.locate(Self.request("example.com", .tls, [.udp])) == Location(.none))
  }

  @Test func changesAreToldWhenTheTTLEnds() {
    var zone = Zone()
    zone.a("pbx.example.com", "192.0.2.1", ttl: 60)
    var rig = Rig(zone)
    #expect(
      Self.found(rig.locate(Self.request("pbx.example.com", port: 5_060)))
        == ["192.0.2.1:5060 udp 0/0"])
    rig.told = []
    rig.run(for: .seconds(200))
    #expect(rig.told.isEmpty, "the same again is no news")
    #expect(rig.asked.count >= 3 && rig.asked.count <= 5)
    rig.zone = Zone()
    rig.zone.a("pbx.example.com", "192.0.2.7", ttl: 60)
    rig.run(for: .seconds(64))
    #expect(rig.told.map { Self.found($0) } == [["192.0.2.7:5060 udp 0/0"]])
  }

  @Test func deadServersLeaveWhatWasKnown() {
    var zone = Zone()
    zone.a("pbx.example.com", "192.0.2.1", ttl: 60)
    var rig = Rig(zone)
    _ = rig.locate(Self.request("pbx.example.com", port: 5_060))
    rig.isDead = true
    rig.told = []
    rig.run(for: .seconds(3_600))
    #expect(rig.told.map(\.state) == [.stale])
    #expect(Self.found(rig.told.last) == ["192.0.2.1:5060 udp 0/0"])
    rig.isDead = false
    rig.run(for: .seconds(60))
    #expect(rig.told.last?.state == .found)
    // Never known and no answer: that is said, and asked again for ever at a bounded rate.
    var fresh = Rig(zone)
    fresh.isDead = true
    _ = fresh.locate(Self.request("pbx.example.com", port: 5_060))
    fresh.run(for: .seconds(600))
    #expect(fresh.told.last == Location(.failed))
    #expect(fresh.asked.count < 250)
  }

  /// RFC 2782's weights over 40 000 draws: χ² with three degrees of freedom, 16.27 is one in a thousand.
  @Test(arguments: [[10, 20, 30, 40], [1, 1, 1, 1], [100, 50, 25, 1]])
  func weightsPassChiSquared(_ weights: [Int]) {
    let location = Location(
      .found,
      weights.enumerated().map { i, weight in
        LocatedAddress(
          SocketAddress(IPAddress(v4: UInt32(i + 1)), 5_060), rank: 0, weight: weight, host: i)
      })
    var random = RandomSource(seed: 11)
    var first = [Int](repeating: 0, count: weights.count)
    let draws = 40_000
    for _ in 0..<draws {
      let order = location.ordered(random: &random)
      #expect(Set(order).count == weights.count)
      first[order[0].host] += 1
    }
    // The algorithm of the RFC draws from 0 to the sum inclusive: a slight favour for the first.
    let sum = weights.reduce(0, +)
    let expected = weights.enumerated().map { i, weight in
      Double(draws) * Double(weight + (i == 0 ? 1 : 0)) / Double(sum + 1)
    }
    var chi = 0.0
    for (seen, wanted) in zip(first, expected) {
      let difference = Double(seen) - wanted
      chi += difference * difference / wanted
    }
    #expect(chi < 16.27, "\(first): \(chi)")
  }

  @Test func weightZeroHasASmallChanceAndRanksHold() {
    let location = Location(
      .found,
      [
        LocatedAddress(Self.address("192.0.2.1:1"), rank: 0, weight: 0, host: 0),
        LocatedAddress(Self.address("192.0.2.2:1"), rank: 0, weight: 99, host: 1),
        LocatedAddress(Self.address("192.0.2.3:1"), rank: 1, weight: 1_000, host: 2),
      ])
    var random = RandomSource(seed: 12)
    var zero = 0
    for _ in 0..<10_000 {
      let order = location.ordered(random: &random)
      #expect(order.last?.host == 2)
      if order[0].host == 0 { zero += 1 }
    }
    #expect((50...160).contains(zero), "1 in 100, not \(zero) in 10 000")
  }
}
