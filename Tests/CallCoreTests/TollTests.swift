import Base
import CallCore
import MediaControl
import Policy
import Simulation
import Testing

/// What outside calls may cost (SEC-7; RELIABILITY J1, J2, J5, J7).
@Suite struct TollTests {
  /// As a tenant is that says nothing of money: German, by its numbers.
  private func scene(_ change: (inout Resources) -> Void = { _ in }) throws -> Scene {
    var settings = Scene.settings(resources: resources(change))
    settings.mediaAddresses = settings.mediaAddresses.map {
      MediaAddress(name: $0.name, bound: $0.bound, ports: 20_000...29_999)
    }
    return try Scene(settings)
  }

  private func resources(_ change: (inout Resources) -> Void = { _ in }) -> Resources {
    var resources = Scene.resources()
    resources.tenants[0].toll = TollRules()
    for i in resources.users.indices { resources.users[i].toll = TollRules() }
    for i in resources.trunks.indices { resources.trunks[i].toll = TollRules() }
    change(&resources)
    return resources
  }

  private let long = CallerScript().hangingUp(after: .seconds(60))
  private let longer = CallerScript().hangingUp(after: .seconds(100_000))

  private func alarms(_ scene: Scene) -> [TollAlarm] {
    scene.world.facts.compactMap {
      if case .tollAlarm(let alarm) = $0.event { return alarm }
      return nil
    }
  }

  private func notes(_ scene: Scene) -> [String] { scene.records.flatMap(\.notes) }

  // MARK: Denied unless allowed

  /// Saturday, three in the morning: 500 calls at once with a stolen password.
  @Test func nothingLeavesByDefault() throws {
    let scene = try scene()
    scene.register(scene.alice, scene.bob)
    let stolen = (0..<500).map { scene.alice.call("+8816\(10_000_000 + $0)", long) }
    let honest = (0..<20).map { scene.bob.call("+4930\(1_000_000 + $0)", long) }
    scene.finish()
    #expect(stolen.allSatisfy { $0.ending == .refused(403) })
    #expect(honest.allSatisfy { $0.ending == .hungUpHere })
    #expect(scene.north.calls.count + scene.south.calls.count == 20)
    let refused = scene.records.filter { $0.from == "user:alice" }
    #expect(refused.count == 500 && refused.allSatisfy { $0.cause == .destinationDenied })
    #expect(notes(scene).contains("called +881610000000 is satellite: not allowed for user:alice"))
    // Told once, and not five hundred times.
    #expect(alarms(scene).map(\.reason) == [.probing])
    scene.expectRest()
  }

  /// J2: who tries numbers out is found before the tenth.
  @Test func probingIsTold() throws {
    let scene = try scene()
    scene.register(scene.alice)
    for number in ["+2521234567", "+5312345678", "+37190123456", "+9601234567", "+88213300655"] {
      #expect(alarms(scene).isEmpty)
      scene.alice.call(number)
      scene.world.run(for: .seconds(20))
    }
    #expect(alarms(scene).map(\.account) == ["user:alice"])
    #expect(alarms(scene).map(\.reason) == [.probing])
    scene.finish()
    scene.expectRest()
  }

  /// Where all of them are allowed, it is the countries that tell.
  @Test func manyCountriesAreTold() throws {
    let scene = try scene {
      $0.users[0].toll.mayCall = .all
      $0.users[0].toll.costlyCalls = .unlimited
    }
    scene.register(scene.alice)
    for number in ["+2521234567", "+5312345678", "+3711234567", "+9601234567", "+4412345678"] {
      scene.alice.call(number, CallerScript().hangingUp(after: .seconds(3)))
      scene.world.run(for: .seconds(20))
    }
    #expect(alarms(scene).map(\.reason) == [.probing])
    scene.finish()
    scene.expectRest()
  }

  @Test func rangesOfAnOperatorAreWatched() throws {
    let scene = try scene {
      $0.users[0].toll.mayCall = .all
      $0.classes = [NumberClass(name: "test", tenant: "acme", prefixes: ["+3716700"])]
      $0.classes[0].alarm = true
    }
    scene.register(scene.alice)
    scene.alice.call("+37167001234", long)
    scene.finish()
    #expect(alarms(scene).map(\.reason) == [.watched])
    scene.expectRest()
  }

  @Test func theNearestSays() throws {
    let scene = try scene {
      $0.tenants[0].toll.mayCall = [.domestic, .international]
      $0.users[1].toll.mayCall = .domestic
      $0.users[2].toll.mayCall = []
      $0.trunks[2].toll.mayCall = [.domestic, .premium]
    }
    scene.register(scene.alice, scene.bob, scene.carol)
    let expected: [(Agent, String, Bool)] = [
      (scene.alice, "+441234567", true), (scene.alice, "+499001234567", false),
      (scene.bob, "+441234567", false), (scene.bob, "+493012345", true),
      (scene.carol, "+493012345", false), (scene.pbx, "+499001234567", true),
      (scene.pbx, "+441234567", false), (scene.pbx, "+37190123456", false),
    ]
    for (agent, number, passes) in expected {
      let call = agent.call(number, CallerScript().hangingUp(after: .seconds(2)))
      scene.world.run(for: .seconds(10))
      #expect(call.ending == (passes ? .hungUpHere : .refused(403)), "\(agent.name) \(number)")
    }
    scene.finish()
    scene.expectRest()
  }

  /// Nobody asks a call for help what it costs, nor whether its user is blocked.
  @Test func callsForHelpAreFree() throws {
    let scene = try scene {
      $0.users[0].toll.mayCall = []
      $0.emergencies = [
        Emergency(
          tenant: "acme", country: "49", carriers: [RouteCarrier(trunk: "north")], reserved: 1)
      ]
    }
    scene.register(scene.alice)
    // The second has no reserved place any more.
    let calls = (0..<2).map { _ in scene.alice.call("112", long) }
    scene.finish()
    #expect(calls.allSatisfy { $0.ending == .hungUpHere })
    scene.expectRest()
  }

  // MARK: J5: whoever sends a call on pays

  @Test func forwardsAreTheirUsers() throws {
    let scene = try scene {
      $0.users[0].forward.always = .number("+441234567")
      $0.users[1].forward.always = .number("+441234567")
      $0.users[1].toll.mayCall = [.domestic, .international]
    }
    let denied = scene.pbx.call("101", long)
    let allowed = scene.pbx.call("102", long)
    scene.finish()
    #expect(denied.ending == .refused(403) && allowed.ending == .hungUpHere)
    scene.expectRest()
  }

  @Test func redirectionsAreTheirPhones() throws {
    let scene = try scene()
    scene.register(scene.alice)
    scene.alice.onInvite = { _ in .redirecting(to: "<sip:+88213300655@x.example>") }
    let call = scene.north.call("+493010", long)
    scene.finish()
    #expect(call.ending == .refused(403))
    #expect(scene.north.calls.count == 1 && scene.south.calls.isEmpty)
    scene.expectRest()
  }

  @Test func transfersAreTheTransferors() throws {
    let scene = try scene()
    scene.register(scene.alice)
    let far = scene.north.call("+493010")
    scene.world.run(for: .seconds(5))
    let near = try #require(scene.alice.calls.last)
    near.transfer(to: "+88213300655")
    scene.world.run(for: .seconds(6))
    #expect(near.notified.map(\.status).last == 403)
    #expect(scene.records.map(\.cause) == [.destinationDenied])
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  /// A number of the tenant that leads abroad is the tenant's.
  @Test func chainsAreTheirTenants() throws {
    for allows in [false, true] {
      let scene = try scene {
        $0.numbers[1].destinations = [DestinationHop(to: .number("+441234567"))]
        if allows { $0.tenants[0].toll.mayCall = [.domestic, .international] }
      }
      let call = scene.north.call("+493011", long)
      scene.finish()
      #expect(call.ending == (allows ? .hungUpHere : .refused(403)))
      scene.expectRest()
    }
  }

  // MARK: Limits of costly calls

  /// J7: never more than the limit, however many come at once.
  @Test(arguments: [0, 1, 3, 7]) func neverMoreAtOnce(most: Int) throws {
    let scene = try scene {
      $0.users[0].toll.mayCall = .all
      $0.users[0].toll.costlyCalls = CostlyCalls(
        maxCalls: most, callsPerMinute: 10_000, minutesPerDay: 10_000, block: true)
    }
    scene.register(scene.alice, scene.bob)
    let stolen = (0..<500).map { scene.alice.call("+8816\(10_000_000 + $0)", long) }
    let honest = (0..<20).map { scene.bob.call("+4930\(1_000_000 + $0)", long) }
    scene.world.run(for: .seconds(10))
    #expect(scene.north.calls.count == most + 20)
    #expect(alarms(scene).map(\.reason) == [.calls])
    #expect(alarms(scene).allSatisfy { $0.isBlocked && $0.account == "user:alice" })
    // Of the user no outside call leaves until somebody lifts the block; others are not touched.
    scene.world.run(for: .seconds(100))
    let blocked = scene.alice.call("+493012345", long)
    let inside = scene.alice.call("102", CallerScript().hangingUp(after: .seconds(3)))
    scene.world.run(for: .seconds(20))
    #expect(blocked.ending == .refused(403) && inside.ending == .hungUpHere)
    #expect(try order(.unblock, scene) == 1)
    #expect(try order(.unblock, scene) == 0)
    let free = scene.alice.call("+493012345", long)
    scene.finish()
    #expect(free.ending == .hungUpHere && honest.allSatisfy { $0.ending == .hungUpHere })
    #expect(stolen.count { $0.ending == .hungUpHere } == most)
    let causes = Set(scene.records.filter { $0.status != 200 }.map(\.cause))
    #expect(causes == [.costlyLimit, .accountBlocked])
    scene.expectRest()
  }

  private func order(_ order: TollOrder, _ scene: Scene) throws -> Int? {
    guard
      case .tollOrder(let count)? = scene.world.ask(
        .tollOrder(order, tenant: "acme", account: "user:alice"))
    else { return nil }
    return count
  }

  @Test func callsAMinute() throws {
    let scene = try scene {
      $0.users[0].toll.mayCall = .all
      $0.users[0].toll.costlyCalls = CostlyCalls(
        maxCalls: 100, callsPerMinute: 4, minutesPerDay: 100)
    }
    scene.register(scene.alice)
    let brief = CallerScript().hangingUp(after: .seconds(1))
    let calls = (0..<120).map { _ in
      let call = scene.alice.call("+88213300655", brief)
      scene.world.run(for: .seconds(3))
      return call
    }
    scene.world.run(for: .seconds(20))
    let passed = calls.count { $0.ending == .hungUpHere }
    // Six minutes, four each; and none of the others has been more.
    #expect((24...28).contains(passed), "\(passed)")
    #expect(Set(alarms(scene).map(\.reason)) == [.rate])
    #expect(alarms(scene).count <= 7)
    scene.finish()
    scene.expectRest()
  }

  /// Three that talk at once have used up an hour after twenty minutes: that ends them, to the second.
  @Test func minutesOfADay() throws {
    let scene = try scene {
      $0.users[0].toll.mayCall = .all
      $0.users[0].toll.costlyCalls = CostlyCalls(
        maxCalls: 5, callsPerMinute: 10, minutesPerDay: 60)
    }
    scene.register(scene.alice)
    let calls = (0..<3).map { _ in scene.alice.call("+88213300655", longer) }
    let domestic = scene.alice.call("+493012345", longer)
    scene.world.run(for: .seconds(1_300))
    #expect(calls.allSatisfy { $0.ending == .hungUpThere } && domestic.ending == nil)
    let records = scene.records.filter { $0.cause == .costlyLimit }
    #expect(records.count == 3 && records.allSatisfy { $0.releasedBy == .system })
    let spoken = records.reduce(Interval.zero) { $0 + (($1.end ?? .zero) - ($1.answer ?? .zero)) }
    #expect((3_599...3_600.1).contains(spoken.seconds), "\(spoken.seconds)")
    #expect(alarms(scene).map(\.reason) == [.minutes])
    let refused = scene.alice.call("+88213300655", long)
    scene.world.run(for: .seconds(10))
    #expect(refused.ending == .refused(403))
    // Tomorrow is another day.
    domestic.hangUp()
    scene.world.run(for: .seconds(86_400))
    scene.register(scene.alice)
    let tomorrow = scene.alice.call("+88213300655", long)
    scene.finish()
    #expect(tomorrow.ending == .hungUpHere)
    scene.expectRest()
  }

  /// What was counted stays counted when resources are applied, and the new limit holds for the next call.
  @Test func countsOutliveAnApply() throws {
    let mine = resources {
      $0.users[0].toll.mayCall = .all
      $0.users[0].toll.costlyCalls = CostlyCalls(
        maxCalls: 2, callsPerMinute: 100, minutesPerDay: 100)
    }
    let scene = try Scene(Scene.settings(resources: mine))
    scene.register(scene.alice)
    let first = (0..<3).map { _ in scene.alice.call("+88213300655", longer) }
    scene.world.run(for: .seconds(5))
    #expect(first.count { $0.ending == nil } == 2)
    try scene.world.apply(mine)
    let second = scene.alice.call("+88213300655", longer)
    scene.world.run(for: .seconds(5))
    #expect(second.ending == .refused(403))
    var more = mine
    more.users[0].toll.costlyCalls?.maxCalls = 3
    try scene.world.apply(more)
    let third = (0..<2).map { _ in scene.alice.call("+88213300655", longer) }
    scene.world.run(for: .seconds(5))
    #expect(third.count { $0.ending == nil } == 1)
    // Nobody may any more, and those that talk go on.
    try scene.world.apply(resources())
    scene.world.run(for: .seconds(5))
    #expect((first + third).count { $0.ending == nil } == 3)
    #expect(try order(.hangUp, scene) == 3)
    scene.finish()
    scene.expectRest()
  }

  /// An operator ends what an account calls outside, and nothing else.
  @Test func anOperatorEndsTheOutsideCallsOfOne() throws {
    let scene = try scene { $0.tenants[0].toll.mayCall = .all }
    scene.register(scene.alice, scene.bob)
    let stolen = (0..<3).map { _ in scene.alice.call("+88213300655", longer) }
    let inside = scene.alice.call("102", long)
    let honest = scene.bob.call("+441234567", long)
    scene.world.run(for: .seconds(5))
    #expect(try order(.hangUp, scene) == 3)
    scene.world.run(for: .seconds(2))
    #expect(stolen.allSatisfy { $0.ending == .hungUpThere })
    #expect(inside.ending == nil && honest.ending == nil)
    scene.finish()
    #expect(scene.records.count { $0.cause == .hungUpByOperator } == 3)
    scene.expectRest()
  }

  // MARK: Limits of all calls

  @Test func callsAMinuteOfEach() throws {
    for cause in [Cause.tenantRateLimit, .userRateLimit, .trunkRateLimit] {
      let scene = try scene {
        if cause == .tenantRateLimit { $0.tenants[0].toll.callsPerMinute = 5 }
        if cause == .userRateLimit { $0.users[0].toll.callsPerMinute = 5 }
        if cause == .trunkRateLimit { $0.trunks[2].toll.callsPerMinute = 5 }
      }
      scene.register(scene.alice)
      let caller = cause == .trunkRateLimit ? scene.pbx : scene.alice
      scene.north.onInvite = { _ in .refusing(486, after: .milliseconds(5)) }
      let calls = (0..<100).map { _ in
        let call = caller.call("+493012345")
        scene.world.run(for: .seconds(3))
        return call
      }
      scene.finish()
      // Five minutes.
      let passed = calls.count { $0.ending == .refused(486) }
      #expect((25...30).contains(passed), "\(passed)")
      #expect(Set(scene.records.map(\.cause)) == [.busy, cause])
      scene.expectRest()
    }
  }

  @Test func aCallLastsSoLong() throws {
    let scene = try scene {
      $0.tenants[0].toll.maxCallDuration = .seconds(1_000)
      $0.users[0].toll.maxCallDuration = .seconds(100)
      $0.trunks[0].toll.maxCallDuration = .seconds(300)
    }
    scene.register(scene.alice, scene.bob)
    let calls = [
      scene.alice.call("+493012345", longer), scene.pbx.call("+493012345", longer),
      scene.pbx.call("102", longer),
    ]
    scene.world.run(for: .seconds(1_500))
    #expect(calls.allSatisfy { $0.ending == .hungUpThere })
    let spoken = scene.records.map { ($0.end ?? .zero) - ($0.answer ?? .zero) }
    #expect(spoken.map(\.wholeSeconds) == [100, 300, 1_000])
    #expect(Set(scene.records.map(\.cause)) == [.durationLimit])
    #expect(Set(scene.records.map(\.releasedBy)) == [.system])
    scene.expectRest()
  }
}
