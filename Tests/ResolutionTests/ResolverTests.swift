import Base
import Resolution
import Testing

/// The stub resolver against name servers that answer, keep silent, cut off and lie.
@Suite struct ResolverTests {
  static let one = SocketAddress(IPAddress(v4: 0x7f00_0001), 53)
  static let two = SocketAddress(IPAddress(v4: 0x7f00_0002), 53)

  struct Rig {
    var now = Instant(nanoseconds: 1_000_000_000)
    var random = RandomSource(seed: 3)
    var resolver: Resolver
    var effects: [Resolver.Effect] = []

    init(
      _ servers: [SocketAddress] = [one, two], _ change: (inout ResolverSettings) -> Void = { _ in }
    ) {
      var settings = ResolverSettings()
      settings.servers = servers
      change(&settings)
      resolver = Resolver(settings)
    }

    mutating func ask(_ question: DNSQuestion) -> [Resolver.Effect] {
      effects.removeAll()
      resolver.ask(question, at: now, random: &random, into: &effects)
      return effects
    }

    mutating func give(_ bytes: [UInt8], _ ticket: Resolver.Ticket) -> [Resolver.Effect] {
      effects.removeAll()
      resolver.received(bytes.rawSpan, on: ticket, at: now, random: &random, into: &effects)
      return effects
    }

    mutating func pass(_ interval: Interval) -> [Resolver.Effect] {
      effects.removeAll()
      now = now + interval
      resolver.advance(to: now, random: &random, into: &effects)
      return effects
    }

    mutating func knows(_ question: DNSQuestion) -> Resolver.Knowledge {
      resolver.knowledge(of: question, at: now)
    }
  }

  static let question = DNSQuestion("sip.example", .a)

  static func sent(_ effects: [Resolver.Effect]) -> (
    ticket: Resolver.Ticket, to: SocketAddress, id: UInt16, question: DNSQuestion, isStream: Bool
  )? {
    for effect in effects {
      switch effect {
      case .send(let ticket, let to, let bytes):
        return read(query: bytes).map { (ticket, to, $0.id, $0.question, false) }
      case .sendStream(let ticket, let to, let bytes):
        return read(query: bytes).map { (ticket, to, $0.id, $0.question, true) }
      case .close, .settled: break
      }
    }
    return nil
  }

  static func zone(ttl: UInt32 = 300) -> Zone {
    var zone = Zone()
    zone.a("sip.example", "192.0.2.1", ttl: ttl)
    return zone
  }

  @Test func answersAreKeptForTheirTTL() throws {
    var rig = Rig()
    #expect(rig.knows(Self.question) == .unknown)
    let query = try #require(Self.sent(rig.ask(Self.question)))
    #expect(query.to == Self.one && query.question == Self.question)
    #expect(rig.ask(Self.question) == [], "one question is asked once at a time")
    let effects = rig.give(Self.zone().reply(id: query.id, Self.question), query.ticket)
    #expect(effects == [.close(query.ticket), .settled(Self.question)])
    let address = DNSRecord.Value.address(IPAddress(v4: 0xc000_0201))
    #expect(
      rig.knows(Self.question)
        == .records([address], until: rig.now + .seconds(300), isStale: false))
    _ = rig.pass(.seconds(299))
    #expect(rig.knows(Self.question) != .unknown)
    _ = rig.pass(.seconds(1))
    #expect(rig.knows(Self.question) == .unknown)
  }

  private static let ttls: [(UInt32, Int)] = [
    (0, 5), (1, 5), (60, 60), (86_400 * 30, 86_400), (0xffff_ffff, 5),
  ]

  @Test(arguments: ttls)
  func ttlHasAFloorAndACeiling(_ ttl: UInt32, _ seconds: Int) throws {
    var rig = Rig()
    let query = try #require(Self.sent(rig.ask(Self.question)))
    _ = rig.give(Self.zone(ttl: ttl).reply(id: query.id, Self.question), query.ticket)
    guard case .records(_, let until, _) = rig.knows(Self.question) else {
      Issue.record("nothing is known")
      return
    }
    #expect(until == rig.now + .seconds(seconds))
  }

  private static let negatives: [(UInt32?, Int)] = [(60, 60), (100_000, 900), (nil, 30), (0, 5)]

  @Test(arguments: negatives)
  func negativeAnswersAreKept(_ minimum: UInt32?, _ seconds: Int) throws {
    var rig = Rig()
    var zone = Zone()
    zone.minimum = minimum
    let query = try #require(Self.sent(rig.ask(Self.question)))
    _ = rig.give(zone.reply(id: query.id, Self.question), query.ticket)
    #expect(rig.knows(Self.question) == .none(until: rig.now + .seconds(seconds)))
  }

  @Test func silenceMovesOnToTheNextServer() throws {
    var rig = Rig()
    let first = try #require(Self.sent(rig.ask(Self.question)))
    #expect(rig.pass(.milliseconds(999)) == [])
    let second = try #require(Self.sent(rig.pass(.milliseconds(1))))
    #expect(second.to == Self.two && second.ticket != first.ticket && second.id != first.id)
    // The first server's answer comes late: its socket is closed.
    #expect(rig.give(Self.zone().reply(id: first.id, Self.question), first.ticket) == [])
    #expect(rig.give(Self.zone().reply(id: second.id, Self.question), second.ticket).count == 2)
    // Whoever answered is asked first from now on.
    let next = try #require(Self.sent(rig.ask(DNSQuestion("other.example", .a))))
    #expect(next.to == Self.two)
  }

  @Test func deadServersAreAFailureAndStaleAnswersServe() throws {
    var rig = Rig([Self.one])
    let query = try #require(Self.sent(rig.ask(Self.question)))
    _ = rig.give(Self.zone(ttl: 10).reply(id: query.id, Self.question), query.ticket)
    _ = rig.pass(.seconds(10))
    #expect(rig.knows(Self.question) == .unknown)
    _ = rig.ask(Self.question)
    var tries = 0
    while !rig.effects.contains(.settled(Self.question)), tries < 10 {
      _ = rig.pass(.seconds(2))
      tries += 1
    }
    #expect(tries == 3)
    guard case .records(_, let until, true) = rig.knows(Self.question) else {
      Issue.record("the stale answer is not used")
      return
    }
    #expect(until == rig.now + .seconds(10), "asked again after a while")
    _ = rig.pass(.seconds(10))
    #expect(rig.knows(Self.question) == .unknown)
    // Beyond the bound it is not used any more.
    _ = rig.pass(.seconds(4 * 86_400))
    _ = rig.ask(Self.question)
    for _ in 0..<3 { _ = rig.pass(.seconds(2)) }
    #expect(
      rig.knows(Self.question) == .unknown
        || {
          if case .failed = rig.knows(Self.question) { true } else { false }
        }())
    #expect(rig.resolver.currentCounters.stale > 0)
  }

  @Test func truncatedGoesByTCP() throws {
    var rig = Rig()
    let query = try #require(Self.sent(rig.ask(Self.question)))
    let cut = ReplyWriter(id: query.id, flags: 0x8380, Self.question).bytes
    let again = try #require(Self.sent(rig.give(cut, query.ticket)))
    #expect(again.isStream && again.to == query.to)
    _ = rig.give(Self.zone().reply(id: again.id, Self.question), again.ticket)
    #expect(rig.knows(Self.question) != .unknown)
  }

  @Test func liarsAreNotBelieved() throws {
    var rig = Rig()
    let query = try #require(Self.sent(rig.ask(Self.question)))
    var lie = Zone()
    lie.a("sip.example", "203.0.113.66")
    lie.a("evil.example", "203.0.113.66")
    // Another id, another question, no question, an answer to something else, noise.
    #expect(rig.give(lie.reply(id: query.id &+ 1, Self.question), query.ticket) == [])
    #expect(rig.give(lie.reply(id: query.id, DNSQuestion("evil.example", .a)), query.ticket) == [])
    #expect(rig.give(ReplyWriter(id: query.id).bytes, query.ticket) == [])
    #expect(rig.give([1, 2, 3], query.ticket) == [])
    #expect(rig.knows(Self.question) == .unknown)
    #expect(rig.resolver.currentCounters.wrongReplies == 4)
    // Records that do not hang together with the question are no answer.
    var writer = ReplyWriter(id: query.id, Self.question)
    writer.add(DNSRecord("evil.example", ttl: 60, .address(.loopbackV4)))
    writer.add(DNSRecord("sip.example", ttl: 60, .address(IPAddress(v4: 0xc000_0207))))
    _ = rig.give(writer.bytes, query.ticket)
    guard case .records(let values, _, _) = rig.knows(Self.question) else {
      Issue.record("nothing is known")
      return
    }
    #expect(values == [.address(IPAddress(v4: 0xc000_0207))])
    #expect(rig.knows(DNSQuestion("evil.example", .a)) == .unknown)
  }

  /// Somebody guesses ids: the question goes where nobody can.
  @Test func guessersDriveItToTCP() throws {
    var rig = Rig()
    let query = try #require(Self.sent(rig.ask(Self.question)))
    var last: [Resolver.Effect] = []
    for guess in 1...8 {
      last = rig.give(Self.zone().reply(id: query.id &+ UInt16(guess), Self.question), query.ticket)
    }
    #expect(try #require(Self.sent(last)).isStream)
  }

  /// 16 bits of id that don't repeat: 4 000 questions, each bit set half the time.
  @Test func idsAreRandom() throws {
    var rig = Rig([Self.one]) { $0.limits.outstanding = 10_000 }
    var ones = [Int](repeating: 0, count: 16)
    var seen: Set<UInt16> = []
    for i in 0..<4_000 {
      let query = try #require(Self.sent(rig.ask(DNSQuestion(DNSName("h\(i)") ?? .root, .a))))
      seen.insert(query.id)
      for bit in 0..<16 where query.id >> bit & 1 == 1 { ones[bit] += 1 }
    }
    #expect(ones.allSatisfy { (1_800...2_200).contains($0) })
    #expect(seen.count > 3_800)
  }

  @Test func serversThatRefuseAreLeft() throws {
    var rig = Rig()
    let query = try #require(Self.sent(rig.ask(Self.question)))
    let failure = ReplyWriter(id: query.id, flags: 0x8182, Self.question).bytes
    #expect(try #require(Self.sent(rig.give(failure, query.ticket))).to == Self.two)
  }

  @Test func oldServersAreAskedWithoutExtensions() throws {
    var rig = Rig()
    let query = try #require(Self.sent(rig.ask(Self.question)))
    let plain = rig.give(
      ReplyWriter(id: query.id, flags: 0x8181, Self.question).bytes, query.ticket)
    let again = try #require(Self.sent(plain))
    #expect(again.to == query.to)
    guard case .send(_, _, let bytes)? = plain.last else {
      Issue.record("not sent")
      return
    }
    #expect(bytes[11] == 0, "no OPT")
  }

  @Test func aliasesAreFollowedAndBounded() throws {
    var rig = Rig()
    var zone = Zone()
    zone.alias("sip.example", "a.example", ttl: 20)
    zone.alias("a.example", "b.example", ttl: 600)
    zone.a("b.example", "192.0.2.9", ttl: 300)
    let query = try #require(Self.sent(rig.ask(Self.question)))
    _ = rig.give(zone.reply(id: query.id, Self.question), query.ticket)
    #expect(
      rig.knows(Self.question)
        == .records(
          [.address(IPAddress(v4: 0xc000_0209))], until: rig.now + .seconds(20), isStale: false))

    // A loop, and a server that leaves the following to us.
    for i in 0..<12 { zone.alias("l\(i).example", "l\((i + 1) % 12).example") }
    let loop = DNSQuestion("l0.example", .a)
    var effects = rig.ask(loop)
    var steps = 0
    while let next = Self.sent(effects), steps < 40 {
      var writer = ReplyWriter(id: next.id, next.question)
      writer.add(zone.records.first { $0.name == next.question.name } ?? zone.records[0])
      effects = rig.give(writer.bytes, next.ticket)
      steps += 1
    }
    #expect(steps <= 9)
    #expect(rig.knows(loop) == .none(until: rig.now + .seconds(30)))
  }

  @Test func everythingHasABound() throws {
    var rig = Rig([Self.one]) {
      $0.limits.cached = 10
      $0.limits.outstanding = 4
    }
    for i in 0..<4 {
      #expect(Self.sent(rig.ask(DNSQuestion(DNSName("h\(i)") ?? .root, .a))) != nil)
    }
    let beyond = DNSQuestion("beyond", .a)
    #expect(rig.ask(beyond) == [.settled(beyond)])
    for _ in 0..<5 { _ = rig.pass(.seconds(3)) }
    #expect(rig.resolver.nextDeadline == nil)
    for i in 0..<50 {
      let question = DNSQuestion(DNSName("sip\(i).example") ?? .root, .a)
      let query = try #require(Self.sent(rig.ask(question)))
      var zone = Zone()
      zone.a("sip\(i).example", "192.0.2.1")
      _ = rig.give(zone.reply(id: query.id, question), query.ticket)
    }
    #expect(rig.resolver.currentCounters.cached <= 10)
  }

  @Test func hostsNeedNoServer() {
    var rig = Rig([]) { $0.hosts["pbx.office"] = [IPAddress(v4: 0x0a00_0001)] }
    #expect(
      rig.knows(DNSQuestion("pbx.office", .a))
        == .records([.address(IPAddress(v4: 0x0a00_0001))], until: .distantFuture, isStale: false))
    #expect(rig.knows(DNSQuestion("pbx.office", .aaaa)) == .none(until: .distantFuture))
    #expect(
      rig.knows(DNSQuestion("localhost", .aaaa))
        == .records([.address(.loopbackV6)], until: .distantFuture, isStale: false))
    #expect(rig.ask(Self.question) == [.settled(Self.question)])
  }
}
