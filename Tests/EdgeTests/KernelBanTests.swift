import Base
import CLinux
import CallCore
import Edge
import Glibc
import Testing

/// Bans in the kernel, judged by nft(8) and by packets that do not arrive. Each test has a network namespace of its own.
@Suite(.timeLimit(.minutes(2)))
struct KernelBanTests {
  /// Where it may not be made that is said, so that nobody takes what was left out for passed.
  static let isPossible: Bool = {
    if geteuid() == 0, clkernel_has_capability(12) != 0, clkernel_has_capability(21) != 0 {
      return true
    }
    print("NOT TESTED: bans in the kernel need root (CAP_NET_ADMIN, CAP_SYS_ADMIN)")
    return false
  }()

  /// Threads and processes that are made inside are in it too.
  func inNamespace(_ body: () throws -> Void) throws {
    let before = clkernel_namespace_new()
    try #require(before >= 0)
    defer {
      _ = clkernel_namespace_enter(before)
      close(before)
    }
    _ = try shell("ip link set lo up")
    try body()
  }

  struct NoShell: Error {}

  /// What a command says, in the thread's namespace.
  @discardableResult
  func shell(_ command: String) throws -> String {
    guard let pipe = unsafe popen(command + " 2>&1", "r") else { throw NoShell() }
    var text: [UInt8] = []
    var byte = unsafe fgetc(pipe)
    while byte != EOF {
      text.append(UInt8(truncatingIfNeeded: byte))
      byte = unsafe fgetc(pipe)
    }
    let said = String(decoding: text, as: UTF8.self)
    let status = unsafe pclose(pipe)
    try #require(status == 0, "\(command): \(said)")
    return said
  }

  func start(_ ports: [SocketAddress], limit: Int = 100) throws -> KernelBans {
    let listeners = ports.enumerated().map { Listener(name: "l\($0)", bound: $1) }
    return try KernelBans(table: "guard", limit: limit, listeners: listeners) { _ in }
  }

  /// What it says when it says that, or what it says after ten seconds.
  @discardableResult
  func wait(
    _ bans: KernelBans, _ condition: (KernelBans.Reading) -> Bool
  ) -> KernelBans.Reading {
    let deadline = MonotonicClock.now + .seconds(10)
    while !condition(bans.counters), MonotonicClock.now < deadline {
      pauseThread(.milliseconds(2))
    }
    return bans.counters
  }

  func ban(_ block: String, _ seconds: Int = 60) throws -> BorderOrder {
    .ban(try #require(IPNetwork(block)), until: MonotonicClock.now + .seconds(seconds))
  }

  /// Whether a datagram arrives.
  func passes(_ from: Peer, _ to: Peer) throws -> Bool {
    from.send([Array("x".utf8)], to: to.address)
    let deadline = MonotonicClock.now + .milliseconds(50)
    while MonotonicClock.now < deadline {
      if to.receiver.receive(from: to.socket) > 0 { return true }
    }
    return false
  }

  @Test(.enabled(if: isPossible))
  func dropsWhatComesFromWhoIsBanned() throws {
    try inNamespace {
      try shell("ip -6 addr add 2001:db8:7::9/64 dev lo nodad")
      let (ours, beside) = (try Peer(), try Peer())
      let ours6 = try Peer(.loopbackV6)
      let scanner = try Peer(try #require(IPAddress("127.0.7.9")))
      let friend = try Peer(try #require(IPAddress("127.0.7.8")))
      let scanner6 = try Peer(try #require(IPAddress("2001:db8:7::9")))
      let bans = try start([ours.address, ours6.address])
      #expect(wait(bans) { $0.state != .starting }.state == .on)
      #expect(try passes(scanner, ours) && passes(scanner6, ours6))

      bans.post([try ban("127.0.7.9/32"), try ban("2001:db8:7::/64"), try ban("10.1.0.0/16")])
      #expect(wait(bans) { $0.elements == 3 }.elements == 3)
      #expect(try !passes(scanner, ours) && !passes(scanner6, ours6))
      // Who is not banned, and what is none of our ports.
      #expect(try passes(friend, ours) && passes(scanner, beside))
      #expect(try shell("nft list set inet guard ipv4").contains("127.0.7.9 timeout 5"))
      #expect(try shell("nft list set inet guard ipv6").contains("2001:db8:7:: timeout 5"))
      #expect(try shell("nft list set inet guard ipv4-16").contains("10.1.0.0 timeout 5"))
      #expect(try shell("nft list counter inet guard dropped").contains("packets 2 "))
      #expect(wait(bans) { $0.dropped == 2 }.dropped == 2)

      // A wider one holds whoever is within, and leaves him when it goes.
      bans.post([try ban("127.0.7.0/24")])
      wait(bans) { $0.elements == 4 }
      #expect(try !passes(friend, ours) && !passes(scanner, ours))
      bans.post([.lift(try #require(IPNetwork("127.0.7.0/24")))])
      wait(bans) { $0.elements == 3 }
      #expect(try passes(friend, ours) && !passes(scanner, ours))
      bans.post([.lift(try #require(IPNetwork("127.0.7.9/32")))])
      wait(bans) { $0.elements == 2 }
      #expect(try passes(scanner, ours))

      // Other ports: the bans stay.
      bans.post([try ban("127.0.7.9/32")])
      wait(bans) { $0.elements == 3 }
      bans.follow([Listener(name: "other", bound: beside.address)])
      let deadline = MonotonicClock.now + .seconds(5)
      while try passes(scanner, beside), MonotonicClock.now < deadline {}
      #expect(try !passes(scanner, beside) && passes(scanner, ours))
      #expect(bans.counters.failures == 0)

      bans.stop()
      #expect(try shell("nft list tables").isEmpty)
      #expect(try passes(scanner, beside))
    }
  }

  @Test(.enabled(if: isPossible))
  func banEndsByItself() throws {
    try inNamespace {
      let (ours, scanner) = (try Peer(), try Peer(try #require(IPAddress("127.0.7.9"))))
      let bans = try start([ours.address])
      wait(bans) { $0.state == .on }
      let block = try #require(IPNetwork("127.0.7.9/32"))
      // The second says when it ends.
      bans.post([.ban(block, until: MonotonicClock.now + .seconds(60))])
      wait(bans) { $0.elements == 1 }
      let end = MonotonicClock.now + .seconds(3)
      bans.post([.ban(block, until: end)])
      pauseThread(.milliseconds(1_500))
      #expect(try !passes(scanner, ours))
      while MonotonicClock.now < end + .milliseconds(200) { pauseThread(.milliseconds(10)) }
      #expect(try passes(scanner, ours))
      bans.post([.lift(block)])
      #expect(wait(bans) { $0.elements == 0 }.elements == 0)
      // And again.
      bans.post([try ban("127.0.7.9/32")])
      wait(bans) { $0.elements == 1 }
      #expect(try !passes(scanner, ours))
      #expect(bans.counters.failures == 0)
    }
  }

  @Test(.enabled(if: isPossible))
  func tableIsItsOwn() throws {
    try inNamespace {
      let ours = try Peer()
      let first = try start([ours.address])
      first.post([try ban("127.0.7.9/32")])
      wait(first) { $0.elements == 1 }
      // A firewall that is loaded anew leaves it.
      try shell("nft flush ruleset")
      #expect(try shell("nft list set inet guard ipv4").contains("127.0.7.9"))
      // Nobody else's table of the name is touched.
      let second = try start([ours.address])
      #expect(wait(second) { $0.state != .starting }.state == .unavailable(.taken))
      #expect(second.counters.failures == 1)
      second.stop()
      #expect(try shell("nft list set inet guard ipv4").contains("127.0.7.9"))
      first.stop()
      #expect(try shell("nft list tables").isEmpty)
    }
  }

  /// What a kernel before 5.12 has left, on which a table stays when its process dies; and there it can be taken away.
  @Test(.enabled(if: isPossible))
  func tableThatWasLeftIsReplaced() throws {
    try inNamespace {
      try shell("nft add table inet guard")
      try shell("nft add chain inet guard incoming")
      try shell("nft 'add set inet guard ipv4 { type ipv4_addr; flags timeout; }'")
      try shell("nft 'add element inet guard ipv4 { 127.0.7.8 timeout 1h }'")
      let (ours, friend) = (try Peer(), try Peer(try #require(IPAddress("127.0.7.8"))))
      let bans = try start([ours.address])
      bans.post([try ban("127.0.7.9/32")])
      #expect(wait(bans) { $0.elements == 1 }.state == .on)
      let listed = try shell("nft list set inet guard ipv4")
      #expect(listed.contains("127.0.7.9") && !listed.contains("127.0.7.8"))
      #expect(try passes(friend, ours))

      try shell("nft delete table inet guard")
      bans.post([try ban("127.0.7.8/32")])
      wait(bans) { $0.elements == 2 && $0.failures == 1 }
      #expect(try !passes(friend, ours))
      bans.stop()
      #expect(try shell("nft list tables").isEmpty)
    }
  }

  @Test(.enabled(if: isPossible))
  func takesAllAtOnce() throws {
    try inNamespace {
      let limit = 10_000
      let bans = try start([try Peer().address], limit: limit)
      wait(bans) { $0.state == .on }
      let until = MonotonicClock.now + .seconds(600)
      let orders = (0..<UInt32(limit + 1)).map {
        BorderOrder.ban(
          IPNetwork(IPAddress(v4: 0x0a00_0000 + $0), prefixLength: 32), until: until)
      }
      bans.post(orders)
      let reading = wait(bans) { $0.elements == limit }
      #expect(reading.elements == limit && reading.failures == 1)
      let listed = try shell("nft -j list set inet guard ipv4")
      #expect(listed.split(separator: "\"timeout\"").count > limit)
    }
  }
}
