import Base
import CallCore
import MediaControl
import Policy
import Simulation
import Testing

/// Shared lines, limits of tenants, users and classes of numbers (PBX-2, TRK-3, TRK-4, RELIABILITY J7).
@Suite struct LimitTests {
  private func scene(_ change: (inout Resources) -> Void) throws -> Scene {
    var resources = Scene.resources()
    change(&resources)
    var settings = Scene.settings(resources: resources)
    settings.mediaAddresses = settings.mediaAddresses.map {
      MediaAddress(name: $0.name, bound: $0.bound, ports: 20_000...29_999)
    }
    return try Scene(settings)
  }

  private let long = CallerScript().hangingUp(after: .seconds(60))

  private func causes(_ scene: Scene) -> [Cause?] {
    scene.records.filter { $0.status != 200 }.map(\.cause)
  }

  /// A thousand calls at once for thirty lines: thirty get through, and as many again when those are over.
  @Test func aPoolIsNeverOversubscribed() throws {
    let scene = try scene {
      $0.pools = [Pool(name: "lines", tenant: "acme", lines: 30, trunks: ["north", "south"])]
    }
    let calls = (0..<1_000).map { _ in scene.pbx.call("+441234", long) }
    scene.world.run(for: .seconds(30))
    #expect(scene.north.calls.count + scene.south.calls.count == 30)
    #expect(calls.count { $0.ending == .refused(486) } == 970)
    scene.world.run(for: .seconds(60))
    #expect(calls.count { $0.ending == .hungUpHere } == 30)
    let again = (0..<31).map { _ in scene.pbx.call("+441234", long) }
    scene.finish()
    #expect(again.count { $0.ending == .hungUpHere } == 30)
    #expect(Set(causes(scene)) == [.linesBusy])
    scene.expectRest()
  }

  /// Lines are shared by calls of either direction.
  @Test func aPoolCountsBothDirections() throws {
    let scene = try scene {
      $0.pools = [Pool(name: "lines", tenant: "acme", lines: 1, trunks: ["north", "pbx"])]
    }
    scene.register(scene.alice)
    let first = scene.north.call("+493010", long)
    scene.world.run(for: .seconds(5))
    let inner = scene.alice.call("*43", long)
    let second = scene.alice.call("+441234")
    let third = scene.pbx.call("101")
    scene.world.run(for: .seconds(5))
    #expect(second.ending == .refused(486) && third.ending == .refused(486))
    #expect(inner.ending == nil && first.ending == nil)
    scene.finish()
    scene.expectRest()
  }

  @Test func aFullPoolGivesWay() throws {
    let scene = try scene {
      $0.pools = [
        Pool(name: "lines", tenant: "acme", lines: 1, trunks: ["north"], whenFull: .next)
      ]
    }
    let calls = (0..<2).map { _ in scene.pbx.call("+441234", long) }
    scene.finish()
    #expect(scene.north.calls.count == 1 && scene.south.calls.count == 1)
    #expect(calls.allSatisfy { $0.ending == .hungUpHere })
    #expect(scene.records.flatMap(\.attempts).compactMap(\.cause) == [])
    scene.expectRest()
  }

  /// With nothing left to try, the caller learns why.
  @Test func aFullPoolWithoutAWayOut() throws {
    let scene = try scene {
      $0.pools = [
        Pool(name: "lines", tenant: "acme", lines: 0, trunks: ["north", "south"], whenFull: .next)
      ]
    }
    let call = scene.pbx.call("+441234")
    scene.finish()
    #expect(call.ending == .refused(503) && causes(scene) == [.poolFull])
    scene.expectRest()
  }

  @Test(arguments: [1, 3]) func tenantsAndUsers(most: Int) throws {
    let scene = try scene {
      $0.tenants[0].maxCalls = most
      $0.users[0].maxCalls = 2
    }
    scene.register(scene.alice, scene.bob)
    let mine = (0..<3).map { _ in scene.alice.call("+441234", long) }
    scene.world.run(for: .seconds(5))
    let other = scene.bob.call("+441234", long)
    scene.world.run(for: .seconds(5))
    #expect(mine.count { $0.ending == nil } == min(most, 2))
    #expect(other.ending == (most == 3 ? nil : .refused(503)))
    scene.finish()
    #expect(Set(causes(scene)) == (most == 3 ? [.userCallLimit] : [.tenantCallLimit]))
    scene.expectRest()
  }

  @Test func ratesOfTenantsAndUsers() throws {
    for (cause, status) in [(Cause.tenantRateLimit, 503), (.userRateLimit, 480)] {
      let scene = try scene {
        if cause == .tenantRateLimit { $0.tenants[0].callsPerSecond = 5 }
        if cause == .userRateLimit { $0.users[0].callsPerSecond = 5 }
      }
      scene.register(scene.alice)
      scene.north.onInvite = { _ in .refusing(486, after: .milliseconds(5)) }
      var calls: [AgentCall] = []
      for _ in 0..<200 {
        calls.append(scene.alice.call("+441234"))
        scene.world.run(for: .milliseconds(50))
      }
      scene.finish()
      let passed = calls.count { $0.ending == .refused(486) }
      #expect(passed >= 49 && passed <= 55, "\(passed) in 10 s")
      #expect(calls.count { $0.ending == .refused(status) } == 200 - passed)
      #expect(Set(causes(scene)) == [.busy, cause])
      scene.expectRest()
    }
  }

  @Test func classesOfNumbers() throws {
    let scene = try scene {
      $0.classes = [
        NumberClass(name: "costly", tenant: "acme", prefixes: ["+882", "+252"], maxCalls: 1),
        NumberClass(name: "never", tenant: "acme", prefixes: ["+8825"], maxCalls: 0),
        NumberClass(name: "slow", tenant: "acme", prefixes: ["+7"], callsPerSecond: 1),
      ]
    }
    let first = scene.pbx.call("+88212345", long)
    scene.world.run(for: .seconds(5))
    let second = scene.pbx.call("+2521234")
    let never = scene.pbx.call("+88251234")
    let free = scene.pbx.call("+441234", long)
    let slow = (0..<2).map { _ in scene.pbx.call("+712345", long) }
    scene.finish()
    #expect(first.ending == .hungUpHere && free.ending == .hungUpHere)
    #expect(second.ending == .refused(403) && never.ending == .refused(403))
    #expect(slow.map(\.ending).contains(.refused(403)) && slow.map(\.ending).contains(.hungUpHere))
    #expect(Set(causes(scene)) == [.classCallLimit, .classRateLimit])
    scene.expectRest()
  }

  /// TRK-3: a limit that is moved counts for the next call, and nothing drops.
  @Test func limitsMoveLive() throws {
    var resources = Scene.resources()
    resources.pools = [Pool(name: "lines", tenant: "acme", lines: 10, trunks: ["north"])]
    let scene = try Scene(Scene.settings(resources: resources))
    let first = (0..<20).map { _ in scene.pbx.call("+441234", long) }
    scene.world.run(for: .seconds(5))
    #expect(scene.north.calls.count == 10)
    resources.pools[0].lines = 100
    try scene.world.apply(resources)
    let second = (0..<20).map { _ in scene.pbx.call("+441234", long) }
    scene.world.run(for: .seconds(5))
    #expect(scene.north.calls.count == 30)
    resources.pools[0].lines = 5
    try scene.world.apply(resources)
    let third = scene.pbx.call("+441234")
    scene.world.run(for: .seconds(5))
    #expect(third.ending == .refused(486))
    resources.pools = []
    try scene.world.apply(resources)
    let fourth = scene.pbx.call("+441234", long)
    scene.finish()
    #expect(
      (first + second).count { $0.ending == .hungUpHere } == 30 && fourth.ending == .hungUpHere)
    scene.expectRest()
  }

  /// Limits that are taken away and come back in another order still count for themselves.
  @Test func limitsComeAndGo() throws {
    var resources = Scene.resources()
    let first = NumberClass(name: "first", tenant: "acme", prefixes: ["+7"], maxCalls: 1)
    let second = NumberClass(name: "second", tenant: "acme", prefixes: ["+8"], maxCalls: 1)
    resources.classes = [first, second]
    let scene = try Scene(Scene.settings(resources: resources))
    for classes in [[], [first], [], [second], [], [second, first], [], [first, second]] {
      resources.classes = classes
      try scene.world.apply(resources)
    }
    let calls = ["+712345", "+712345", "+812345", "+812345"].map { number in
      let call = scene.pbx.call(number, long)
      scene.world.run(for: .seconds(2))
      return call
    }
    scene.finish()
    #expect(
      calls.map(\.ending) == [.hungUpHere, .refused(403), .hungUpHere, .refused(403)])
    scene.expectRest()
  }

  /// A class counts what was dialled, whatever a route makes of the number for its carrier.
  @Test func classesGoByTheNumberThatWasDialled() throws {
    let scene = try scene {
      $0.classes = [NumberClass(name: "costly", tenant: "acme", prefixes: ["+44"], maxCalls: 1)]
      $0.routes[0].strip = 1
      $0.routes[0].prepend = "00"
    }
    let first = scene.pbx.call("+441234", long)
    scene.world.run(for: .seconds(2))
    let second = scene.pbx.call("+441234", long)
    scene.finish()
    #expect(first.ending == .hungUpHere && second.ending == .refused(403))
    #expect(causes(scene) == [.classCallLimit])
    scene.expectRest()
  }

  @Test func mistakesAreTold() throws {
    var resources = Scene.resources()
    resources.pools = [
      Pool(name: "p", tenant: "acme", lines: -1, trunks: ["nort", "south", "south"])
    ]
    resources.classes = [
      NumberClass(name: "a", tenant: "acme", prefixes: ["x", "+1", "+1"], maxCalls: 1),
      NumberClass(name: "a", tenant: "acme", prefixes: ["+2"]),
    ]
    resources.emergencies = [
      Emergency(tenant: "acme", country: "999", numbers: ["help", "101"], reserved: 1_000),
      Emergency(tenant: "acme", country: "49"),
    ]
    do {
      _ = try Scene(Scene.settings(resources: resources))
      Issue.record("compiled")
    } catch {
      #expect(
        error.problems.map(\.pathText) == [
          "pools[0].lines", "pools[0].trunks[0]", "pools[0].trunks[2]", "classes[0].prefixes[0]",
          "classes[0].prefixes[2]", "classes[1]", "classes[1].name", "emergencies[0].numbers[0]",
          "emergencies[0].country", "emergencies[0].reserved", "emergencies[0].carriers",
          "emergencies[0]", "emergencies[1].carriers", "emergencies[1].tenant",
        ])
    }
  }
}
