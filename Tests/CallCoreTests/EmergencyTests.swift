import Base
import CallCore
import MediaControl
import Policy
import Simulation
import Testing

/// Calls for help go their own way, before every limit (TRK-7, invariant 11 of RELIABILITY).
@Suite struct EmergencyTests {
  private let long = CallerScript().hangingUp(after: .seconds(60))

  private func resources(reserved: Int = 2) -> Resources {
    var resources = Scene.resources()
    resources.emergencies = [
      Emergency(
        tenant: "acme", country: "49", carriers: [RouteCarrier(trunk: "south")], reserved: reserved)
    ]
    return resources
  }

  @Test func numbersOfTheCountry() throws {
    let scene = try Scene(Scene.settings(resources: resources()))
    scene.register(scene.alice)
    let user = scene.alice.call("112", long)
    let pbx = scene.pbx.call("110", long)
    let carrier = scene.north.call("112")
    scene.finish()
    #expect(user.ending == .hungUpHere && pbx.ending == .hungUpHere)
    #expect(carrier.ending == .refused(404))
    #expect(scene.south.calls.count == 2 && scene.north.calls.count { !$0.isCaller } == 0)
    #expect(scene.records.filter(\.isEmergency).count == 2)
    scene.expectRest()
  }

  /// Every limit at zero, every ordinary place taken.
  @Test func noLimitHolds() throws {
    var resources = resources()
    resources.tenants[0].maxCalls = 1
    resources.tenants[0].callsPerSecond = 1
    resources.users[0].maxCalls = 0
    // Nor does what either of them must have besides.
    resources.users[0].srtp.policy = .require
    resources.users[0].srtp.withoutTLS = true
    resources.trunks[2].srtp = resources.users[0].srtp
    resources.pools = [
      Pool(name: "none", tenant: "acme", lines: 0, trunks: ["south", "pbx"])
    ]
    resources.classes = [
      NumberClass(name: "all", tenant: "acme", prefixes: [""], maxCalls: 0)
    ]
    for i in resources.trunks.indices {
      resources.trunks[i].maxCalls = 0
      resources.trunks[i].callsPerSecond = 1
      resources.trunks[i].callerID = CallerPolicy(allow: .listed, otherwise: .refuse)
    }
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice)
    scene.alice.call("+441234")
    scene.world.run(for: .seconds(5))
    let user = scene.alice.call("112", long)
    let pbx = scene.pbx.call("112", long)
    scene.world.run(for: .seconds(5))
    #expect(scene.south.calls.count == 2)
    // The third has no place of its own and is a call like any other.
    let third = scene.alice.call("112")
    scene.finish()
    #expect(user.ending == .hungUpHere && pbx.ending == .hungUpHere)
    guard case .refused? = third.ending else {
      Issue.record("\(String(describing: third.ending))")
      return
    }
    scene.expectRest()
  }

  /// As many calls as the process takes: ordinary ones are refused, help is not.
  @Test func noCapacityHolds() throws {
    var settings = Scene.settings(resources: resources())
    settings.limits.sessions = 3
    let scene = try Scene(settings)
    let calls = (0..<6).map { _ in scene.pbx.call("+441234", long) }
    scene.world.run(for: .seconds(5))
    #expect(calls.count { $0.ending == .refused(503) } == 3)
    let help = (0..<2).map { _ in scene.pbx.call("112", long) }
    let more = scene.pbx.call("112")
    scene.finish()
    #expect(help.allSatisfy { $0.ending == .hungUpHere })
    #expect(more.ending == .refused(503))
    scene.expectRest()
  }

  /// A process that ends keeps no call: the caller is told at once and tries elsewhere.
  @Test func aDrainHoldsForHelpToo() throws {
    let scene = try Scene(Scene.settings(resources: resources()))
    scene.pbx.call("+441234", long)
    scene.world.run(for: .seconds(2))
    scene.world.input(.drain)
    let call = scene.pbx.call("112")
    scene.finish()
    #expect(call.ending == .refused(503))
    #expect(scene.refusals.map(\.cause) == [.draining])
    scene.expectRest()
  }

  /// Reserved places are counted by tenant and come free again.
  @Test func placesComeFree() throws {
    var settings = Scene.settings(resources: resources(reserved: 1))
    settings.limits.sessions = 1
    let scene = try Scene(settings)
    scene.pbx.call("+441234", long)
    scene.world.run(for: .seconds(2))
    let script = CallerScript().hangingUp(after: .seconds(5))
    let first = scene.pbx.call("112", script)
    scene.world.run(for: .seconds(2))
    let second = scene.pbx.call("112", script)
    scene.world.run(for: .seconds(10))
    let third = scene.pbx.call("112", script)
    scene.finish()
    #expect(
      [first, second, third].map(\.ending) == [.hungUpHere, .refused(503), .hungUpHere])
    scene.expectRest()
  }

  @Test func portsAreLeftForHelp() throws {
    var settings = Scene.settings(resources: resources())
    settings.mediaAddresses = settings.mediaAddresses.map {
      MediaAddress(name: $0.name, bound: $0.bound, ports: 30_000...30_019)
    }
    let scene = try Scene(settings)
    let calls = (0..<10).map { _ in scene.pbx.call("+441234", long) }
    scene.world.run(for: .seconds(5))
    #expect(calls.count { $0.ending == .refused(503) } == 4)
    let help = (0..<2).map { _ in scene.pbx.call("112", long) }
    scene.finish()
    #expect(help.allSatisfy { $0.ending == .hungUpHere })
    scene.expectRest()
  }

  /// Whoever helps can call back, and a carrier that fails gives way to the next whatever it says.
  @Test func helpIsFoundAndCanCallBack() throws {
    var resources = resources()
    resources.emergencies[0].carriers = [
      RouteCarrier(trunk: "north", priority: 1), RouteCarrier(trunk: "south", priority: 2),
    ]
    resources.emergencies[0].callerID = "+49301234567"
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice)
    var from = ""
    scene.north.onInvite = { _ in .refusing(404, after: .milliseconds(5)) }
    scene.south.onInvite = { message in
      from = message.value(.from) ?? ""
      return .answering()
    }
    let call = scene.alice.call("112", long.with { $0.extraHeaders = ["Privacy: id"] })
    scene.finish()
    #expect(call.ending == .hungUpHere)
    #expect(from.hasPrefix("<sip:+49301234567@"))
    #expect(scene.records.last?.calledNumber == "112")
    scene.expectRest()
  }
}
