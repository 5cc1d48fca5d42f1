import Base
import CallCore
import Policy
import Simulation
import Testing

/// Header rules for requests that belong to no call: OPTIONS that ask how a target is, and REGISTER.
@Suite struct RuleRequestTests {
  private static let name = "sbc.example.com"

  private static func contact(_ methods: [String]) -> HeaderRule {
    HeaderRule(
      name: "contact", direction: .outbound, methods: methods,
      then: [.set(part: "Contact.host", value: name)])
  }

  private static func scene(_ change: (inout Trunk) -> Void) throws -> Scene {
    var resources = Scene.resources()
    resources.trunks[0].probe.enabled = true
    resources.trunks[0].probe.interval = .seconds(10)
    change(&resources.trunks[0])
    let scene = try Scene(Scene.settings(resources: resources))
    for agent in scene.world.agents { agent.keepsMessages = true }
    return scene
  }

  private static func received(_ agent: Agent, _ method: String) -> [AgentMessage] {
    agent.received.filter { $0.isRequest && $0.methodText == method }
  }

  /// What the profile `teams` advises: Teams knows an SBC by the host in Contact of OPTIONS and INVITE.
  @Test func teamsLearnsOurName() throws {
    let scene = try Self.scene {
      $0.profile = "teams"
      $0.rules = [Self.contact(["OPTIONS", "INVITE"])]
    }
    scene.register(scene.alice)
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(2)))
    scene.world.run(for: .seconds(40))
    #expect(call.ending == .hungUpHere)
    let probes = Self.received(scene.north, "OPTIONS")
    let invites = Self.received(scene.north, "INVITE")
    #expect(probes.count >= 2 && invites.count == 1)
    for message in probes + invites {
      #expect(message.uri(.contact) == "sip:\(Self.name):5060", "\(message.uri(.contact) ?? "")")
    }
    // The answer finds its way all the same: the target is well, and nothing else was changed.
    guard case .trunks(let trunks)? = scene.world.ask(.trunks) else { return }
    let target = trunks.first { $0.name == "north" }?.targets.first
    #expect(target?.state == .usable && target?.probesFailed == 0 && target?.roundTrip != nil)
    scene.expectRest()
  }

  /// New rules hold from the next probe on, and only those of the method.
  @Test func rulesAreFollowed() throws {
    let scene = try Self.scene { $0.rules = [Self.contact(["INVITE"])] }
    scene.world.run(for: .seconds(15))
    let before = Self.received(scene.north, "OPTIONS")
    #expect(!before.isEmpty)
    #expect(before.allSatisfy { $0.uri(.contact) == "sip:203.0.113.1:5060" })
    var resources = scene.world.settings.resources
    resources.trunks[0].rules = [Self.contact(["OPTIONS"])]
    try scene.world.apply(resources)
    scene.world.run(for: .seconds(15))
    let after = Self.received(scene.north, "OPTIONS").dropFirst(before.count)
    #expect(!after.isEmpty)
    #expect(after.allSatisfy { $0.uri(.contact) == "sip:\(Self.name):5060" })
    scene.expectRest()
  }

  /// REGISTER with a header that the provider wants, also in the answer to its challenge; a change of the rules
  /// does not register anew.
  @Test func registersWithAHeader() throws {
    let secret = Credentials(username: "acme", password: "provider-secret")
    let scene = try Self.scene {
      $0.probe.enabled = false
      var register = TrunkRegistration(registrar: "provider.example", username: "acme")
      register.credentials = secret
      $0.register = register
      $0.rules = [
        HeaderRule(
          name: "account", direction: .outbound, methods: ["REGISTER"],
          then: [
            .add(header: "X-Account", value: "4711"), .set(part: "Contact.host", value: Self.name),
          ])
      ]
    }
    scene.north.registrar = AgentRegistrar(demands: secret)
    scene.north.registrar?.grants = 100
    scene.world.run(for: .seconds(5))
    let requests = scene.north.registrar?.requests ?? []
    #expect(requests.count == 2)
    for request in requests {
      #expect(request.line("X-Account") == "4711")
      #expect(request.uri(.contact)?.hasPrefix("sip:acme@\(Self.name):5060;line=") == true)
    }
    var resources = scene.world.settings.resources
    resources.trunks[0].rules = []
    try scene.world.apply(resources)
    scene.world.run(for: .seconds(5))
    #expect(scene.north.registrar?.requests.count == 2)
    scene.world.run(for: .seconds(90))
    #expect(scene.north.registrar?.requests.last?.line("X-Account") == nil)
    #expect(scene.north.registrar?.requests.count == 3)
  }
}
