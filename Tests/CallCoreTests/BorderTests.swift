import Base
import CallCore
import CryptoCore
import MediaControl
import Policy
import Simulation
import Testing

/// Who is let in, who is not answered, who is banned (RELIABILITY B1, B5, B6, D4, D7; CAPABILITIES SEC-6).
@Suite struct BorderTests {
  private let scanner = BorderBed.scanner

  // MARK: Scanners

  @Test(arguments: ["friendly-scanner", "sipcli/v1.8", "VaxSIPUserAgent/3.1", "FRIENDLY-SCANNER"])
  func aScannerByNameGetsNothing(_ agent: String) throws {
    let bed = try BorderBed()
    let line = "User-Agent: \(agent)"
    let probe = bed.request("OPTIONS", user: "100", from: scanner, lines: [line])
    #expect(bed.send(probe, from: scanner).isEmpty)
    #expect(bed.bans.map(\.reason) == [.scanner])
    #expect(bed.bans.first?.evidence == "User-Agent \(agent)")
    // Whatever else it says.
    #expect(bed.send(bed.request("OPTIONS", user: "100", from: scanner), from: scanner).isEmpty)
    #expect(bed.bans.first?.hits == 1)
    #expect(bed.counters.admission[.scanner] == 1 && bed.counters.admission[.banned] == 1)
    guard case .ban(let network, _)? = bed.orders.last else {
      Issue.record("the edge was not told")
      return
    }
    #expect(network == IPNetwork(scanner.ip, prefixLength: 32))
  }

  @Test func phonesOfAllMakesMayCome() throws {
    let bed = try BorderBed()
    for (i, agent) in ["Yealink SIP-T46S 66.86", "snomD785", "Zoiper rv2.10", "sipsak 0.9.8", ""]
      .enumerated()
    {
      let source = Scene.address(192, 0, 2, UInt32(i + 1))
      let line = "User-Agent: \(agent)"
      let bytes = bed.request("REGISTER", user: "alice", from: source, lines: [line])
      #expect(bed.send(bytes, from: source).map(BorderBed.status) == [401])
    }
    #expect(bed.bans.isEmpty)
  }

  @Test func whoAsksForOneNameAfterTheOtherIsBanned() throws {
    let bed = try BorderBed()
    var answered = 0
    for name in 0..<200 {
      let bytes = bed.request("REGISTER", user: "\(1_000 + name)", from: scanner)
      answered += bed.send(bytes, from: scanner).count
      bed.pass(.milliseconds(20))
    }
    #expect(answered == 8)
    #expect(bed.bans.map(\.reason) == [.names])
    #expect(bed.banFacts() == [.names])
  }

  /// Credentials that answer nothing of ours hide nobody.
  @Test func madeUpCredentialsAreNoAnswer() throws {
    let bed = try BorderBed()
    var answered = 0
    for name in 0..<20 {
      let nonce = String(repeating: "a", count: 32)
      let proof =
        #"Authorization: Digest username="1", realm="x", nonce="\#(nonce)", uri="sip:x", response="0""#
      let bytes = bed.request("REGISTER", user: "\(name)", from: scanner, lines: [proof])
      answered += bed.send(bytes, from: scanner).count
    }
    #expect(answered == 8)
  }

  @Test func officesBehindOneAddressAreHeldUpAndNotBanned() throws {
    let bed = try BorderBed { limits, resources in
      resources.numbers = []
      resources.users = (0..<200).map {
        User(
          name: "u\($0)", tenant: "acme", network: "office", extension: "\(1_000 + $0)",
          password: "p\($0)")
      }
    }
    func phone(_ number: Int) -> SocketAddress {
      SocketAddress(scanner.ip, UInt16(10_000 + number))
    }
    // All power up together; each sends again after half a second, as long as it has no answer.
    var waiting = Array(0..<200)
    var rounds = 0
    while !waiting.isEmpty, rounds < 4 {
      rounds += 1
      var challenges: [(Int, [UInt8])] = []
      for number in waiting {
        let bytes = bed.request("REGISTER", user: "u\(number)", from: phone(number))
        let answer = bed.send(bytes, from: phone(number)).first
        if let answer { challenges.append((number, answer)) }
      }
      bed.pass(.milliseconds(30))
      for (number, challenge) in challenges {
        let proof = try #require(bed.answer(challenge, user: "u\(number)", password: "p\(number)"))
        let bytes = bed.request(
          "REGISTER", user: "u\(number)", from: phone(number), lines: [proof])
        #expect(bed.send(bytes, from: phone(number)).map(BorderBed.status) == [200])
        waiting.removeAll { $0 == number }
      }
      bed.pass(.milliseconds(470))
    }
    #expect(rounds == 2 && waiting.isEmpty)
    #expect(bed.bans.isEmpty && bed.counters.bindings == 200)
  }

  @Test func asking401ForEverIsNoOffence() throws {
    let bed = try BorderBed()
    for _ in 0..<2_000 {
      let bytes = bed.request("REGISTER", user: "alice", from: scanner)
      #expect(bed.send(bytes, from: scanner).map(BorderBed.status) == [401])
      bed.pass(.milliseconds(50))
    }
    #expect(bed.bans.isEmpty)
  }

  // MARK: Guessing

  @Test func aGuesserIsBannedWithinTenRequests() throws {
    let bed = try BorderBed()
    var requests = 0
    let first = bed.request("REGISTER", user: "alice", from: scanner)
    var challenge = bed.send(first, from: scanner).first
    requests += 1
    while let known = challenge, requests < 50,
      let proof = bed.answer(known, user: "alice", password: "guess\(requests)")
    {
      let bytes = bed.request("REGISTER", user: "alice", from: scanner, lines: [proof])
      challenge = bed.send(bytes, from: scanner).first
      requests += 1
      if !bed.bans.isEmpty { break }
      bed.pass(.milliseconds(20))
    }
    #expect(requests == 10)
    #expect(bed.bans.map(\.reason) == [.passwords])
    #expect(bed.bans.first?.isProven == true)
    bed.pass(.seconds(1))
    #expect(bed.send(bed.request("REGISTER", user: "alice", from: scanner), from: scanner).isEmpty)
  }

  @Test func aPhoneWithAnOldPasswordIsNotLockedOut() throws {
    let bed = try BorderBed()
    for _ in 0..<500 {
      #expect(bed.register("alice", password: "old", from: scanner) == 401)
      bed.pass(.seconds(31))
    }
    #expect(bed.bans.isEmpty)
    #expect(bed.register("alice", password: "secret-alice", from: scanner) == 200)
  }

  @Test func bansGrowAndAreForgotten() throws {
    let bed = try BorderBed { limits, _ in limits.banTime = .seconds(600) }
    var lengths: [Int] = []
    for _ in 0..<5 {
      for _ in 0..<12 where bed.bans.isEmpty { bed.register("alice", password: "x", from: scanner) }
      let ban = try #require(bed.bans.first)
      lengths.append((ban.until - ban.since).wholeSeconds)
      bed.pass(ban.until - bed.now + .seconds(1))
      #expect(bed.bans.isEmpty)
      bed.pass(.seconds(1_000))
    }
    #expect(lengths == [600, 3_600, 21_600, 86_400, 86_400])
    let ends = bed.facts.compactMap { fact -> BanEnd? in
      if case .banEnded(_, let end) = fact.event { return end }
      return nil
    }
    #expect(ends == Array(repeating: .expired, count: 5))
    #expect(bed.shard.nextDeadline == nil || bed.counters.timers == 0)
  }

  /// What could come from a forged address is banned for the first time, each time.
  @Test func bansForWhatMayBeForgedDoNotGrow() throws {
    let bed = try BorderBed()
    for _ in 0..<3 {
      bed.send(
        bed.request("OPTIONS", user: "1", from: scanner, lines: ["User-Agent: sipvicious"]),
        from: scanner)
      let ban = try #require(bed.bans.first)
      #expect((ban.until - ban.since).wholeSeconds == 600 && !ban.isProven)
      bed.pass(.seconds(601))
    }
  }

  /// A phone and somebody who guesses behind one NAT: the phone goes on, and each account has its limit.
  @Test func thePhoneBesideAGuesserGoesOn() throws {
    let bed = try BorderBed()
    let phone = SocketAddress(scanner.ip, 40_000)
    #expect(bed.register("bob", password: "secret-bob", from: phone) == 200)
    for round in 0..<120 {
      #expect(bed.register("alice", password: "guess\(round)", from: scanner) == 401)
      bed.pass(.milliseconds(500))
    }
    #expect(bed.bans.isEmpty)
    // In a minute no more than twenty are looked at.
    let looked = bed.facts.count {
      if case .authenticationFailed = $0.event { return true } else { return false }
    }
    #expect(looked <= 20 && looked >= 18)
    #expect(bed.counters.admission[.guesses] == UInt64(120 - looked))
    // When nothing more is looked at, the right password is not either; from elsewhere it is.
    let before = bed.counters.admission[.guesses]
    while bed.counters.admission[.guesses] == before {
      bed.register("alice", password: "guess", from: scanner)
    }
    #expect(bed.register("alice", password: "secret-alice", from: scanner) == 401)
    let elsewhere = Scene.address(10, 0, 0, 101)
    #expect(bed.register("alice", password: "secret-alice", from: elsewhere) == 200)
    #expect(bed.register("bob", password: "secret-bob", from: phone) == 200)
  }

  /// Where the account's own phone is registered it stays let in.
  @Test func theAccountsOwnAddressIsNotHeldUp() throws {
    let bed = try BorderBed()
    let phone = SocketAddress(scanner.ip, 40_000)
    #expect(bed.register("alice", password: "secret-alice", from: phone) == 200)
    for round in 0..<40 { bed.register("alice", password: "guess\(round)", from: scanner) }
    #expect(bed.register("alice", password: "secret-alice", from: phone) == 200)
    #expect(bed.bans.isEmpty)
  }

  /// Nobody learns which names exist: not by the code, not by a byte.
  @Test func namesAreNotToldApart() throws {
    let bed = try BorderBed()
    func refusal(_ name: String, _ source: SocketAddress) throws -> String {
      let first = try #require(
        bed.send(bed.request("REGISTER", user: name, from: source), from: source).first)
      let proof = try #require(bed.answer(first, user: name, password: "wrong"))
      let second = try #require(
        bed.send(
          bed.request("REGISTER", user: name, from: source, lines: [proof]), from: source
        ).first)
      let text = BorderBed.text(first) + BorderBed.text(second)
      // What differs from request to request whoever asks.
      return text.replacing(/nonce="[0-9a-f]{32}"/, with: "nonce")
        .replacing(/tag=[0-9a-f]{16}/, with: "tag").replacing(/z9hG4bK\d+/, with: "branch")
        .replacing(/tag=f\d+/, with: "from").replacing(/Call-ID: c\d+@/, with: "call")
        .replacing(name, with: "name")
    }
    let known = try refusal("alice", Scene.address(192, 0, 2, 1))
    #expect(known == (try refusal("alyce", Scene.address(192, 0, 2, 1))))
    #expect(known.contains("SIP/2.0 401") && known.contains("nonce"))
  }

  // MARK: Rates

  @Test func whatIsAboveARateIsNotAnswered() throws {
    let bed = try BorderBed { limits, _ in limits.sourceRate = 10 }
    var answered = 0
    for _ in 0..<1_000 {
      let bytes = bed.request("REGISTER", user: "alice", from: scanner)
      answered += bed.send(bytes, from: scanner).count
      bed.pass(.milliseconds(10))
    }
    // Ten seconds, and what is let through at once.
    #expect(answered <= 120 && answered >= 117)
    #expect(bed.counters.admission[.sourceRate] == UInt64(1_000 - answered))
    #expect(bed.bans.isEmpty)
  }

  @Test func aFloodFromEverywhereLeavesThosePassWhoAreKnown() throws {
    let bed = try BorderBed { limits, _ in limits.networkRate = 100 }
    let phone = Scene.address(10, 0, 0, 102)
    #expect(bed.register("bob", password: "secret-bob", from: phone) == 200)
    var answered = 0
    for i in 0..<10_000 {
      let source = SocketAddress(IPAddress(v4: 0x2d00_0000 + UInt32(i * 77_777)), 5060)
      answered += bed.send(bed.request("INVITE", user: "900", from: source), from: source).count
      if i % 1_000 == 0 {
        #expect(bed.register("bob", password: "secret-bob", from: phone) == 200)
        let pbx = Scene.address(10, 0, 0, 20)
        #expect(bed.send(bed.request("OPTIONS", user: "x", from: pbx), from: pbx).count == 1)
      }
      bed.pass(.microseconds(100))
    }
    #expect(answered <= 300 && answered >= 290)
    #expect(bed.counters.transactions <= 40)
  }

  /// What is proved counts for nothing: an avalanche of phones that come for the first time passes.
  @Test func whatIsProvedIsGivenBack() throws {
    let bed = try BorderBed { limits, resources in
      limits.networkRate = 10
      resources.users[0].maxContacts = 100
    }
    for i in 0..<100 {
      let source = Scene.address(198, 18, UInt32(i), 1)
      #expect(bed.register("alice", password: "secret-alice", from: source) == 200)
    }
  }

  // MARK: Malformed, connections

  @Test func whoSendsNoSIPIsBannedInTheEnd() throws {
    let bed = try BorderBed()
    let http = Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
    for _ in 0..<60 { bed.send(http, from: scanner) }
    #expect(bed.bans.map(\.reason) == [.malformed])
  }

  @Test func connectionsThatSayNothingAreBanned() throws {
    let bed = try BorderBed()
    for i in 0..<9 {
      #expect(bed.bans.isEmpty)
      bed.shard.connectionOffended(
        from: SocketAddress(scanner.ip, UInt16(1_000 + i)), on: 0, at: bed.now)
    }
    #expect(bed.bans.map(\.reason) == [.connections])
  }

  // MARK: Who is spared

  @Test func trunksAreNeverBanned() throws {
    let bed = try BorderBed()
    // Another port of a carrier's address.
    let north = Scene.address(198, 51, 100, 10, port: 9_999)
    let line = "User-Agent: friendly-scanner"
    for _ in 0..<20 {
      bed.send(bed.request("OPTIONS", user: "100", from: north, lines: [line]), from: north, on: 1)
    }
    #expect(bed.bans.isEmpty)
    guard
      case .ban(.trunk(let name))? = bed.ask(
        .ban(IPNetwork(north.ip, prefixLength: 24), reason: "", for: .seconds(60)))
    else {
      Issue.record("a trunk's block was banned")
      return
    }
    #expect(name == "north")
  }

  @Test func aBanEndsWhereAnAddressBecomesATrunks() throws {
    let bed = try BorderBed()
    bed.send(
      bed.request("OPTIONS", user: "1", from: scanner, lines: ["User-Agent: sipcli"]), from: scanner
    )
    #expect(bed.bans.count == 1)
    var resources = Scene.resources()
    resources.trunks[2].sources = [SourceMatch(scanner.ip)]
    let scene = Scene.settings()
    let next = try Configuration(
      resources: resources, revision: 2, listeners: scene.listeners.map { ($0.name, $0.bound) },
      media: scene.mediaAddresses.map { ($0.name, $0.bound) })
    bed.shard.handle(.configuration(next), at: bed.now)
    #expect(bed.bans.isEmpty)
  }

  // MARK: Orders

  @Test func operatorsBanAndLift() throws {
    let bed = try BorderBed()
    let block = try #require(IPNetwork("192.0.2.0/24"))
    guard
      case .ban(.done(let made))? = bed.ask(
        .ban(block, reason: "nightly calls\r\nX", for: .seconds(60)))
    else {
      Issue.record("no ban")
      return
    }
    #expect(made.evidence == "nightly calls  X" && made.reason == .manual)
    #expect(bed.send(bed.request("OPTIONS", user: "1", from: scanner), from: scanner).isEmpty)
    guard
      case .ban(.done(let lifted))? = bed.ask(
        .liftBan(IPNetwork(scanner.ip, prefixLength: 32)))
    else {
      Issue.record("not lifted")
      return
    }
    #expect(lifted.network == block && lifted.hits == 1)
    #expect(bed.send(bed.request("OPTIONS", user: "1", from: scanner), from: scanner).count == 1)
    guard case .ban(.none)? = bed.ask(.liftBan(block)) else {
      Issue.record("lifted twice")
      return
    }
  }

  @Test func bansThatNobodyOrderedCanBeSwitchedOff() throws {
    let bed = try BorderBed { limits, _ in limits.bansItself = false }
    for i in 0..<40 { bed.register("alice", password: "x\(i)", from: scanner) }
    #expect(bed.bans.isEmpty)
  }

  // MARK: Lists

  @Test func theAccessListComesFirst() throws {
    let bed = try BorderBed { _, resources in
      resources.networks[0].access.deny = [IPNetwork(BorderBed.scanner.ip, prefixLength: 24)]
      resources.networks[0].access.allow = []
    }
    #expect(bed.send(bed.request("OPTIONS", user: "1", from: scanner), from: scanner).isEmpty)
    let other = Scene.address(192, 0, 3, 1)
    #expect(bed.send(bed.request("OPTIONS", user: "1", from: other), from: other).count == 1)
    // The other network has none.
    let there = bed.request("OPTIONS", user: "1", from: scanner)
    #expect(bed.send(there, from: scanner, on: 1).count == 1)
    #expect(bed.counters.admission[.denied] == 1 && bed.bans.isEmpty)
    guard case .access(let lists)? = bed.orders.first else {
      Issue.record("the edge was not told")
      return
    }
    #expect(lists.count == 2 && lists[0]?.admits(scanner.ip) == false && lists[1] == nil)
  }

  // MARK: What leaves

  /// Nobody whose address is forged gets more than half as much again as was sent in his name.
  @Test(arguments: [
    "REGISTER", "INVITE", "OPTIONS", "SUBSCRIBE", "MESSAGE", "PUBLISH", "NOTIFY", "REFER", "INFO",
    "UPDATE", "PRACK", "BYE", "CANCEL", "DANCE",
  ])
  func strangersGetLittleAndAreNotLetIn(_ method: String) throws {
    let bed = try BorderBed()
    for padding in [0, 100, 400] {
      let line = "X-Padding: \(String(repeating: "x", count: padding))"
      let source = Scene.address(192, 0, 2, UInt32(padding % 250 + 1))
      let bytes = bed.request(method, user: "alice", from: source, lines: [line])
      let answers = bed.send(bytes, from: source)
      #expect(answers.count <= 1)
      for answer in answers {
        #expect(answer.count * 2 <= bytes.count * 3, "\(answer.count) for \(bytes.count)")
        let wanted = method == "OPTIONS" ? [200] : [401, 403, 405, 481, 489, 501]
        #expect(wanted.contains(BorderBed.status(answer)), "\(BorderBed.status(answer))")
      }
      if padding > 0 { #expect(answers.count == 1) }
    }
  }

  /// Of several algorithms a small request is offered what it has room for, and the favourite always.
  @Test(arguments: [(0, 1), (400, 2)])
  func challengesAreAsManyAsFit(_ padding: Int, _ count: Int) throws {
    let bed = try BorderBed { _, resources in
      resources.tenants[0].digestAlgorithms = [.sha256, .md5]
    }
    let line = "X-Padding: \(String(repeating: "x", count: padding))"
    let bytes = bed.request("REGISTER", user: "alice", from: scanner, lines: [line])
    let answer = try #require(bed.send(bytes, from: scanner).first)
    let text = BorderBed.text(answer)
    #expect(text.ranges(of: "WWW-Authenticate").count == count)
    #expect(text.contains("algorithm=SHA-256"))
    #expect(answer.count * 2 <= bytes.count * 3)
  }

  @Test func badNumbersOfSourcesStayWithinTheirMemory() throws {
    let bed = try BorderBed { limits, _ in limits.networkRate = 1_000_000 }
    for i in 0..<20_000 {
      let source = SocketAddress(IPAddress(v4: 0x2d00_0000 &+ UInt32(i) &* 7_919), 5060)
      bed.send(
        bed.request("OPTIONS", user: "1", from: source, lines: ["User-Agent: sipcli"]),
        from: source)
      if i % 100 == 0 { bed.pass(.milliseconds(100)) }
    }
    #expect(bed.bans.count <= 10_000)
    #expect(bed.counters.admission.bansMissed > 0)
  }
}
