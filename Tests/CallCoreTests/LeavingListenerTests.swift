import Base
import CallCore
import Policy
import Simulation
import Testing

/// A reload takes a listener away while calls run over it.
@Suite struct LeavingListenerTests {
  private static let second = Scene.address(10, 0, 0, 2)

  /// An office with two listeners, of which the first is to go.
  private func scene(_ change: (inout Resources) -> Void = { _ in }) throws -> Scene {
    var resources = Scene.resources()
    resources.networks[0].listeners = ["inside", "second"]
    change(&resources)
    var settings = Scene.settings(resources: resources)
    settings.listeners.append(Listener(name: "second", bound: Self.second))
    return try Scene(settings)
  }

  private func leave(_ scene: Scene) throws {
    var resources = scene.world.settings.resources
    resources.networks[0].listeners = ["second"]
    try scene.world.leave(Scene.inside, for: resources)
  }

  private func state(_ scene: Scene) -> Listener.State { scene.world.settings.listeners[0].state }

  private func closings(_ scene: Scene) -> [String] {
    scene.world.facts.compactMap {
      if case .listenerClosed(let name) = $0.event { return name }
      return nil
    }
  }

  private func bindings(_ scene: Scene) -> Int {
    if case .registrations(let bindings)? = scene.world.ask(.registrations) {
      return bindings.count
    }
    return -1
  }

  @Test func aCallGoesOnAndIsTheLast() throws {
    let scene = try scene()
    scene.register(scene.alice)
    scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(120)))
    scene.world.run(for: .seconds(5))
    try leave(scene)
    scene.world.run(for: .seconds(100))
    #expect(state(scene) == .leaving)
    scene.world.run(for: .seconds(20))
    #expect(scene.records.map(\.status) == [200])
    #expect(scene.records.first?.releasedBy == .caller)
    #expect(state(scene) == .leaving && bindings(scene) == 1)
    scene.world.run(for: .seconds(40))
    #expect(state(scene) == .closed && bindings(scene) == 0)
    #expect(closings(scene) == ["inside"])
    scene.expectRest()
  }

  @Test func takesNothingNew() throws {
    let scene = try scene()
    scene.register(scene.alice)
    try leave(scene)
    scene.alice.request("call", method: "INVITE", uri: "sip:+441234@trunk.example")
    scene.alice.request("register", method: "REGISTER", uri: "sip:trunk.example")
    scene.alice.request("ping", method: "OPTIONS")
    scene.world.run(for: .seconds(3))
    #expect(scene.alice.answers == ["call": 503, "register": 503, "ping": 503])
    #expect(scene.refusals.map(\.cause) == [.draining, .draining])
    scene.expectRest()
  }

  /// Who is registered there is called there as long as it is open.
  @Test func aRegisteredPhoneIsCalledUntilItCloses() throws {
    let scene = try scene()
    scene.register(scene.alice)
    try leave(scene)
    scene.north.call("+493010", CallerScript().hangingUp(after: .seconds(3)))
    scene.world.run(for: .seconds(10))
    #expect(scene.records.map(\.status) == [200])
    scene.world.run(for: .seconds(60))
    #expect(state(scene) == .closed)
    scene.north.call("+493010", CallerScript().hangingUp(after: .seconds(3)))
    scene.finish()
    #expect(scene.records.map(\.status) == [200, 480])
    scene.expectRest()
  }

  /// Our registration with a provider moves to a listener that stays: there the provider sends its calls.
  @Test func aRegistrationWithAProviderMoves() throws {
    let scene = try scene { resources in
      resources.trunks[2].register = TrunkRegistration(registrar: "pbx.example", username: "acme")
      resources.trunks[2].register?.credentials = Credentials(username: "acme", password: "pw")
    }
    scene.pbx.registrar = AgentRegistrar(demands: Credentials(username: "acme", password: "pw"))
    scene.world.run(for: .seconds(5))
    try leave(scene)
    scene.world.run(for: .seconds(5))
    let contacts = scene.world.trace.entries.filter { $0.to == scene.pbx.address }
      .map { String(decoding: $0.bytes, as: UTF8.self) }
      .filter { $0.hasPrefix("REGISTER") }
    #expect(contacts.first?.contains("@10.0.0.1:5060") == true)
    #expect(contacts.last?.contains("@10.0.0.2:5060") == true)
    #expect(scene.world.violations == [])
  }
}
