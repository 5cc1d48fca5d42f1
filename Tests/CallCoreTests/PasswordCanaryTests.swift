import Base
import CallCore
import Policy
import Simulation
import Testing

/// A password is planted in each resource that has one; nothing that leaves the engine ever has it (RELIABILITY L2).
@Suite struct PasswordCanaryTests {
  private static let mark = "canary7f3a"

  @Test func nothingSaysAPassword() throws {
    var resources = Scene.resources()
    for i in resources.users.indices {
      resources.users[i].password = Self.mark + resources.users[i].name
    }
    let north = Credentials(username: "us", password: Self.mark + "north")
    resources.trunks[0].credentials = north
    var registration = TrunkRegistration(registrar: "provider.example", username: "acme")
    registration.credentials = Credentials(username: "acme", password: Self.mark + "south")
    resources.trunks[1].register = registration
    resources.trunks[2].authentication = Credentials(
      username: "pbx", password: Self.mark + "pbx")
    let scene = try Scene(Scene.settings(resources: resources))
    scene.north.demands = north
    scene.south.registrar = AgentRegistrar(
      demands: Credentials(username: "acme", password: Self.mark + "south"))
    for phone in [scene.alice, scene.bob] {
      phone.credentials = Credentials(
        username: phone.user, password: Self.mark + phone.user)
    }
    // One is wrong, and looks much like the right one.
    scene.carol.credentials = Credentials(username: "carol", password: Self.mark + "caro1")
    scene.pbx.credentials = resources.trunks[2].authentication
    scene.register(scene.alice, scene.bob)
    scene.carol.register()
    let outside = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(3)))
    let office = scene.pbx.call("101", CallerScript().hangingUp(after: .seconds(3)))
    scene.world.run(for: .seconds(2))
    let during = said(by: scene)
    scene.finish()
    #expect(outside.ending == .hungUpHere && office.ending == .hungUpHere)
    let after = said(by: scene)
    for (name, text) in during + after {
      #expect(text.utf8.count > 2, "\(name) says nothing")
      #expect(!text.contains(Self.mark), "\(name)")
    }
    let wire = scene.world.trace.entries.count {
      String(decoding: $0.bytes, as: UTF8.self).contains(Self.mark)
    }
    #expect(wire == 0)
  }

  /// Everything that can be asked, and the stream of facts.
  private func said(by scene: Scene) -> [(String, String)] {
    var ladders = ""
    for record in scene.records {
      if case .ladder(let messages)? = scene.world.ask(.ladder(record.id)) {
        for message in messages { ladders += String(decoding: message.bytes, as: UTF8.self) }
      }
    }
    return [
      ("facts", "\(scene.world.facts)"), ("calls", "\(scene.world.ask(.calls) as Any)"),
      ("registrations", "\(scene.world.ask(.registrations) as Any)"),
      ("trunks", "\(scene.world.ask(.trunks) as Any)"),
      ("upstreams", "\(scene.world.ask(.upstreams) as Any)"),
      ("toll", "\(scene.world.ask(.toll) as Any)"),
      ("counters", "\(scene.world.ask(.counters) as Any)"), ("ladders", "--- " + ladders),
    ]
  }

  /// Neither does an error of the configuration, whatever is wrong beside the password.
  @Test func errorsDoNotSayIt() throws {
    var resources = Scene.resources()
    resources.users[0].password = Self.mark + String(repeating: "x", count: 300)
    resources.users[1].password = Self.mark
    resources.users[1].network = "nowhere"
    resources.trunks[0].credentials = Credentials(username: "", password: Self.mark)
    do {
      _ = try Scene(Scene.settings(resources: resources))
      Issue.record("compiled")
    } catch {
      #expect(error.problems.count == 3)
      #expect(!"\(error)".contains(Self.mark))
    }
  }
}
