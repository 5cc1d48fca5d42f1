import Base
import CallCore
import Policy
import Simulation
import Testing

/// What the border and the watch over costly calls are told of the process before.
@Suite struct BorderMemoryTests {
  private let scanner = BorderBed.scanner
  private let start = Instant(nanoseconds: 1_000_000_000)

  private func ban(_ ip: IPAddress, for time: Interval, proven: Bool = true) -> Ban {
    var ban = Ban(
      IPNetwork(ip, prefixLength: 32), .passwords, "guesses", since: .zero, until: start + time)
    ban.isProven = proven
    ban.before = 1
    return ban
  }

  private func remembering(_ bans: [Ban]) -> BorderMemory {
    var memory = BorderMemory()
    memory.bans = bans
    return memory
  }

  @Test func aBanHoldsForTheRestOfItsTime() throws {
    let bed = try BorderBed(remembering: remembering([ban(scanner.ip, for: .seconds(100))]))
    #expect(bed.bans.map(\.before) == [1] && bed.bans.first?.evidence == "guesses")
    guard case .ban(let network, _)? = bed.orders.first else {
      Issue.record("the edge was not told")
      return
    }
    #expect(network.contains(scanner.ip))
    // Nothing is told anew: it was, when it began.
    #expect(bed.banFacts().isEmpty)
    #expect(bed.register("alice", password: "secret-alice", from: scanner) == 0)
    bed.pass(.seconds(99))
    #expect(bed.register("alice", password: "secret-alice", from: scanner) == 0)
    bed.pass(.seconds(2))
    #expect(bed.bans.isEmpty)
    #expect(bed.register("alice", password: "secret-alice", from: scanner) == 200)
  }

  @Test func whatHasEndedOrIsATrunksIsNotTaken() throws {
    let trunk = Scene.address(198, 51, 100, 10).ip
    let bed = try BorderBed(
      remembering: remembering([
        ban(scanner.ip, for: .zero), ban(trunk, for: .seconds(100)),
      ]))
    #expect(bed.bans.isEmpty)
    let ends = bed.facts.compactMap { fact -> BanEnd? in
      if case .banEnded(_, let end) = fact.event { return end }
      return nil
    }
    #expect(ends == [.trusted])
  }

  /// With fewer places than there were: those that end last are kept.
  @Test func noMoreThanThereIsRoomFor() throws {
    let bans = (1...10).map {
      ban(Scene.address(203, 0, 113, UInt32($0)).ip, for: .seconds($0 * 10))
    }
    let bed = try BorderBed(remembering: remembering(bans)) { limits, _ in limits.bans = 4 }
    #expect(bed.bans.count == 4)
    #expect(bed.bans.map(\.until).min() == start + .seconds(70))
  }

  // MARK: Costly calls

  private func scene(_ memory: [TollMemory], minutes: Int = 60) throws -> Scene {
    var resources = Scene.resources()
    resources.tenants[0].toll = TollRules()
    for i in resources.users.indices { resources.users[i].toll = TollRules() }
    resources.users[0].toll.mayCall = .all
    resources.users[0].toll.costlyCalls = CostlyCalls(
      maxCalls: 5, callsPerMinute: 10, minutesPerDay: minutes)
    var settings = Scene.settings(resources: resources)
    settings.remembered.toll = memory
    return try Scene(settings)
  }

  private func kept(_ scene: Scene, _ account: String = "user:alice") -> [TollMemory] {
    scene.world.facts.compactMap {
      if case .tollKept(let memory) = $0.event, memory.account == account { return memory }
      return nil
    }
  }

  private var alice: TollMemory {
    var memory = TollMemory(tenant: Scene.resources().tenants[0].name, account: "user:alice")
    memory.lastAlarm = start
    return memory
  }

  private let satellite = "+881612345678"

  @Test func aBlockedAccountStaysBlocked() throws {
    var memory = alice
    memory.isBlocked = true
    memory.alarms = 3
    memory.lastReason = .calls
    let scene = try scene([memory])
    scene.register(scene.alice)
    let call = scene.alice.call(satellite, CallerScript().hangingUp(after: .seconds(5)))
    scene.finish()
    #expect(call.ending == .refused(403))
    #expect(scene.records.last?.cause == .accountBlocked)
    guard case .toll(let statuses)? = scene.world.ask(.toll) else {
      Issue.record("no answer")
      return
    }
    #expect(statuses.map(\.isBlocked) == [true] && statuses.map(\.alarms) == [3])
    // Lifted, it is to be remembered as that.
    _ = scene.world.ask(.tollOrder(.unblock, tenant: memory.tenant, account: "user:alice"))
    #expect(kept(scene).last?.isBlocked == false && kept(scene).last?.alarms == 0)
  }

  /// 59 of 60 minutes are used up: one is left, and the day ends when it would have.
  @Test func minutesThatAreUsedUpStaySo() throws {
    var memory = alice
    memory.spoken = .seconds(59 * 60)
    memory.dayEnds = start + .seconds(7_200)
    let scene = try scene([memory])
    scene.register(scene.alice)
    let call = scene.alice.call(satellite, CallerScript().hangingUp(after: .seconds(100_000)))
    scene.world.run(for: .seconds(200))
    #expect(call.ending == .hungUpThere)
    let record = try #require(scene.records.last)
    #expect(record.cause == .costlyLimit)
    let talked = try #require(record.end) - #require(record.answer)
    #expect(talked.wholeSeconds == 60)
    let last = try #require(kept(scene).last)
    #expect(last.spoken.wholeSeconds == 3_600 && last.talking == 0)
    #expect(last.dayEnds == memory.dayEnds)
    let refused = scene.alice.call(satellite, CallerScript().hangingUp(after: .seconds(1)))
    scene.world.run(for: .seconds(5))
    #expect(refused.ending == .refused(403))
    scene.world.run(for: .seconds(7_200))
    let again = scene.alice.call(satellite, CallerScript().hangingUp(after: .seconds(1)))
    scene.finish()
    #expect(again.ending == .hungUpHere)
  }

  /// Who talks on when it is written can be reckoned on from there.
  @Test func whatIsWrittenWhileCallsTalk() throws {
    let scene = try scene([])
    scene.register(scene.alice)
    _ = scene.alice.call(satellite, CallerScript().hangingUp(after: .seconds(60)))
    scene.world.run(for: .seconds(30))
    _ = scene.alice.call(satellite, CallerScript().hangingUp(after: .seconds(60)))
    scene.finish()
    let all = kept(scene)
    #expect(all.map(\.talking) == [1, 2, 1, 0])
    #expect(all[1].spoken.wholeSeconds >= 28 && all[1].spoken.wholeSeconds <= 30)
    #expect(all[3].spoken.wholeSeconds == 120)
    // The tenant's minutes are kept as well.
    #expect(kept(scene, "tenant:\(alice.tenant)").count == 4)
    // A call within the country is nobody's business here.
    let before = scene.world.facts.count
    _ = scene.alice.call("+4930123456", CallerScript().hangingUp(after: .seconds(1)))
    scene.finish()
    let further = scene.world.facts.dropFirst(before).contains {
      if case .tollKept = $0.event { return true }
      return false
    }
    #expect(!further)
  }
}
