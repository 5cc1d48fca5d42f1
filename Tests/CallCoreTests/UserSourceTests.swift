import Base
import CallCore
import Policy
import Simulation
import Testing

/// A password that is good from some addresses alone (SEC-8).
@Suite struct UserSourceTests {
  @Test func aPasswordIsWrongFromElsewhere() throws {
    var resources = Scene.resources()
    resources.users[0].sources = [SourceMatch(Scene.address(10, 0, 0, 101).ip)]
    resources.users[1].sources = [SourceMatch(Scene.address(192, 0, 2, 7).ip)]
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice, scene.bob, scene.carol)
    guard case .registrations(let bindings)? = scene.world.ask(.registrations) else {
      Issue.record("no answer")
      return
    }
    #expect(Set(bindings.map(\.user)) == ["alice", "carol"])
    let allowed = scene.alice.call("*43", CallerScript().hangingUp(after: .seconds(2)))
    let refused = scene.bob.call("*43")
    scene.finish()
    #expect(allowed.ending == .hungUpHere)
    #expect(refused.ending == .refused(401))
    // To the phone it looks like a wrong password; the log says what it is.
    let reasons = scene.world.facts.compactMap {
      if case .authenticationFailed("bob", _, let reason) = $0.event { return reason }
      return nil
    }
    #expect(!reasons.isEmpty && Set(reasons) == ["not one of the user's sources"])
  }
}
