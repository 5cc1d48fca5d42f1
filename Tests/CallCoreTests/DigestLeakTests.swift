import Base
import CallCore
import Policy
import SIPWire
import Simulation
import Testing

/// Whoever calls us gets no proof of a password from us (RELIABILITY D2, CVE-2021-41158).
@Suite struct DigestLeakTests {
  private static let secret = Credentials(username: "us", password: "north-secret")

  private func scene() throws -> Scene {
    var resources = Scene.resources()
    for i in 0..<2 { resources.trunks[i].credentials = Self.secret }
    resources.users[0].password = "secret-alice"
    let scene = try Scene(Scene.settings(resources: resources))
    for agent in scene.world.agents { agent.keepsMessages = true }
    return scene
  }

  private func proofs(_ agent: Agent) -> Int {
    agent.received.count {
      !$0.values(.proxyAuthorization).isEmpty
    }
  }

  /// BYE, and the re-INVITE of a transfer, to somebody who called and challenges both.
  @Test(arguments: [false, true]) func callersGetNone(byTransfer: Bool) throws {
    let scene = try scene()
    scene.register(scene.alice, scene.bob)
    let far = scene.north.call("+493010")
    scene.world.run(for: .seconds(5))
    scene.north.collectsResponses = true
    let near = try #require(scene.alice.calls.last)
    #expect(far.state == .answered && near.state == .answered)
    if byTransfer { near.transfer(to: "102") } else { near.hangUp() }
    scene.finish()
    let asked = scene.north.received.filter { [.bye, .invite].contains($0.method) }
    #expect(!asked.isEmpty && proofs(scene.north) == 0)
  }

  /// A phone that calls and challenges our BYE gets none either, and neither does one that is called.
  @Test func phonesGetNone() throws {
    let scene = try scene()
    scene.register(scene.alice, scene.bob)
    let call = scene.alice.call("102")
    scene.world.run(for: .seconds(5))
    #expect(call.state == .answered)
    scene.alice.collectsResponses = true
    scene.bob.collectsResponses = true
    if case .calls(let calls)? = scene.world.ask(.calls), let record = calls.first {
      scene.world.input(.hangUp(record.id))
    }
    scene.finish()
    #expect(scene.alice.received.contains { $0.method == .bye })
    #expect(scene.bob.received.contains { $0.method == .bye })
    #expect(proofs(scene.alice) == 0 && proofs(scene.bob) == 0)
  }

  /// Whom we call with credentials is answered, so that the above can tell.
  @Test func carriersThatAreCalledGetThem() throws {
    let scene = try scene()
    scene.north.demands = Self.secret
    let call = scene.pbx.call("+441234", CallerScript().hangingUp(after: .seconds(2)))
    scene.finish()
    #expect(call.ending == .hungUpHere && proofs(scene.north) > 0)
  }
}
