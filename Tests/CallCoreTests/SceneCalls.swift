import Base
import CallCore
import Policy
import Simulation
import Testing

// What several suites begin with, and how they look at what was said.

extension Scene {
  /// North calls alice, who answers.
  func connected() throws -> (far: AgentCall, near: AgentCall) {
    register(alice, bob)
    let far = north.call("+493010")
    world.run(for: .seconds(5))
    let near = try #require(alice.calls.last)
    try #require(far.state == .answered && near.state == .answered)
    return (far, near)
  }

  /// The usual phones, and a carrier that answers with these payload types.
  static func answered(
    with payloads: [Int], _ change: (inout Resources) -> Void = { _ in }
  ) throws -> Scene {
    var resources = Scene.resources()
    change(&resources)
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice, scene.bob)
    scene.north.onInvite = { _ in CalleeScript.answering().with { $0.payloads = payloads } }
    return scene
  }

  /// All that an agent was sent.
  func texts(to agent: Agent) -> String {
    world.trace.entries.filter { $0.to == agent.address }
      .map { String(decoding: $0.bytes, as: UTF8.self) }.joined()
  }
}

extension Scene {
  /// Phones and carriers with SRTP, and keys in SDP that may go by UDP.
  static func settings(
    users: SRTPPolicy, carriers: SRTPPolicy, keys: SRTPKeying
  ) -> WorldSettings {
    var (rules, settings) = (SRTPRules(), Scene.settings())
    (rules.keys, rules.withoutTLS, rules.policy) = (keys, true, carriers)
    for i in settings.resources.trunks.indices { settings.resources.trunks[i].srtp = rules }
    rules.policy = users
    for i in settings.resources.users.indices { settings.resources.users[i].srtp = rules }
    return settings
  }
}
