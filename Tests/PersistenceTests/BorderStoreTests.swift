import Base
import CallCore
import GRDB
import Persistence
import Testing

/// Bans and costly calls over a restart: what is still to hold, and by how much time (SEC-6, SEC-7).
struct BorderStoreTests {
  private let folder: Folder
  private var make = FactMaker()

  init() throws { folder = try Folder() }

  private static func at(_ seconds: Int) -> Instant { .zero + .seconds(seconds) }

  private func ban(_ last: UInt32, since: Int, until: Int) -> Ban {
    var ban = Ban(
      IPNetwork(IPAddress(v4: 0xcb00_7100 + last), prefixLength: 32), .passwords, "gu'esses",
      since: Self.at(since), until: Self.at(until))
    ban.isProven = true
    ban.before = 2
    return ban
  }

  private func with<Value>(_ body: (SQLiteStore) throws -> Value) throws -> Value {
    let store = try SQLiteStore(path: folder.store)
    defer { store.close() }
    return try body(store)
  }

  private mutating func write(_ events: FactEvent...) throws {
    let facts = events.map { make.fact($0) }
    try with { try $0.write(facts, clock: TestClock().clock) }
  }

  /// A later process whose monotonic clock begins anew (the machine was started again).
  private func recovered(after seconds: Int, clock: Int = 5) throws -> BorderMemory {
    let wall = TestClock.epoch + Int64(seconds) * 1_000
    let now = Self.at(clock)
    let store = StoreClock(
      now: { now }, wall: { wall + Int64(($0 - now).nanoseconds / 1_000_000) })
    return try with { try $0.recover(clock: store).border }
  }

  @Test mutating func bansHoldForTheRestOfTheirTime() throws {
    let (one, two, three) = (
      ban(1, since: 10, until: 610), ban(2, since: 20, until: 90), ban(3, since: 30, until: 700)
    )
    var longer = one
    longer.until = Self.at(1_000)
    try write(
      .banned(one), .banned(two), .banned(three), .banned(longer), .banEnded(three, .lifted))
    let memory = try recovered(after: 100)
    let found = try #require(memory.bans.first)
    #expect(memory.bans.count == 1)
    #expect(found.network == one.network && found.evidence == "gu'esses" && found.before == 2)
    #expect(found.isProven && found.reason == .passwords)
    #expect(found.until == Self.at(5) + .seconds(900))
    // It began 90 s ago, and the clock knows of 5.
    #expect(found.since == .zero && found.earlier == .seconds(85))
    // Those that ended are gone for good.
    #expect(try recovered(after: 80).bans.count == 1)
    #expect(try recovered(after: 2_000).bans.isEmpty)
    #expect(try recovered(after: 100).bans.isEmpty)
  }

  /// A clock that was put back makes no ban longer than it was.
  @Test mutating func theClockIsPutBack() throws {
    try write(.banned(ban(1, since: 10, until: 70)))
    let found = try #require(try recovered(after: -100_000).bans.first)
    #expect(found.until <= Self.at(5) + .seconds(60))
  }

  private func account(_ name: String, _ change: (inout TollMemory) -> Void) -> TollMemory {
    var memory = TollMemory(tenant: "acme", account: name)
    change(&memory)
    return memory
  }

  @Test mutating func minutesAndBlocks() throws {
    let blocked = account("user:alice") {
      $0.isBlocked = true
      $0.alarms = 7
      $0.lastReason = .calls
      $0.lastAlarm = Self.at(40)
    }
    let spent = account("trunk:pbx") {
      $0.spoken = .seconds(600)
      $0.at = Self.at(50)
      $0.dayEnds = Self.at(10_000)
    }
    try write(.tollKept(spent), .tollKept(blocked))
    let memory = try recovered(after: 100)
    #expect(memory.toll.map(\.account) == ["user:alice", "trunk:pbx"])
    let (alice, pbx) = (memory.toll[0], memory.toll[1])
    #expect(alice.isBlocked && alice.alarms == 7 && alice.lastReason == .calls)
    #expect(alice.lastAlarm == .zero && alice.earlier == .seconds(55))
    #expect(pbx.spoken == .seconds(600) && pbx.dayEnds == Self.at(5) + .seconds(9_900))
    // The day is over, and nothing else is remembered of the PBX; a block stays.
    #expect(try recovered(after: 10_001).toll.map(\.account) == ["user:alice"])
    #expect(try recovered(after: 100 * 86_400).toll.map(\.isBlocked) == [true])
    var lifted = blocked
    (lifted.isBlocked, lifted.alarms) = (false, 0)
    try write(.tollKept(lifted))
    #expect(try recovered(after: 200).toll.isEmpty)
  }

  /// Calls that talked when the process died are reckoned to its last sign of life, and a little further; once.
  @Test mutating func talkOfACrash() throws {
    let talking = account("user:alice") {
      $0.spoken = .seconds(100)
      $0.talking = 2
      $0.at = Self.at(50)
      $0.dayEnds = Self.at(10_000)
    }
    let clock = TestClock()
    try with { store in
      try store.write(
        [make.attempted(1, at: 1), make.fact(.tollKept(talking))], clock: clock.clock)
      clock.advance(80_000)
      try store.heartbeat(clock: clock.clock)
    }
    // It lived at 80 s, and may have for five seconds more: two calls for 35 s.
    #expect(try recovered(after: 500).toll.map(\.spoken) == [.seconds(170)])
    #expect(try recovered(after: 600).toll.map(\.spoken) == [.seconds(170)])
  }

  @Test mutating func theLastWordOfABatchCounts() throws {
    let events = (1...50).map { i in
      FactEvent.tollKept(
        account("user:alice") {
          $0.spoken = .seconds(i)
          $0.at = Self.at(i)
          $0.dayEnds = Self.at(10_000)
        })
    }
    let facts = events.map { make.fact($0) }
    try with { try $0.write(facts, clock: TestClock().clock) }
    #expect(try recovered(after: 100).toll.map(\.spoken) == [.seconds(50)])
  }
}
