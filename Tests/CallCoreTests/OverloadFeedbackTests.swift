import Base
import CallCore
import MediaControl
import Policy
import Simulation
import Testing

/// RFC 7339 as client: a carrier asks for fewer calls, and gets fewer.
@Suite struct OverloadFeedbackTests {
  private static func scene(
    _ carriers: [String] = ["north"], _ change: (inout Resources) -> Void = { _ in }
  ) throws -> Scene {
    var resources = Scene.resources()
    resources.routes[0].carriers = carriers.enumerated().map {
      RouteCarrier(trunk: $1, priority: $0 + 1)
    }
    resources.trunks[0].overloadControl = true
    change(&resources)
    var settings = Scene.settings(resources: resources)
    for i in settings.mediaAddresses.indices { settings.mediaAddresses[i].ports = 20_000...39_999 }
    let scene = try Scene(settings)
    for carrier in [scene.north, scene.south] {
      carrier.onInvite = { _ in .refusing(486, after: .milliseconds(10)) }
      carrier.keepsMessages = true
    }
    return scene
  }

  /// One call tells us; then so many are offered.
  private static func offer(_ count: Int, _ scene: Scene, _ number: String = "+441234")
    -> [AgentCall]
  {
    _ = scene.pbx.call("+441234")
    scene.world.run(for: .milliseconds(200))
    let calls = (0..<count).map { _ in
      let call = scene.pbx.call(number)
      scene.world.run(for: .milliseconds(2))
      return call
    }
    scene.world.run(for: .milliseconds(200))
    return calls
  }

  private static func status(_ scene: Scene) -> TargetStatus? {
    guard case .trunks(let all)? = scene.world.ask(.trunks) else { return nil }
    return all.first { $0.name == "north" }?.targets.first
  }

  @Test(arguments: [0, 20, 50, 90])
  func carriersAreObeyed(_ loss: Int) throws {
    let scene = try Self.scene()
    scene.north.viaAnswer = ";oc=\(loss);oc-algo=\"loss\";oc-validity=5000;oc-seq=1282321615.782"
    _ = Self.offer(400, scene)
    let sent = scene.north.calls.count - 1
    #expect(abs(sent - (400 - loss * 4)) <= 40, "\(sent) of 400 went there at \(loss) %")
    #expect(Self.status(scene)?.askedLoss == loss)
    #expect(Self.status(scene)?.leftOut == UInt64(400 - sent))
    // It says nothing more: when its time is over, all go there again.
    scene.north.viaAnswer = nil
    scene.world.run(for: .seconds(6))
    let before = scene.north.calls.count
    _ = Self.offer(20, scene)
    #expect(scene.north.calls.count == before + 21)
    #expect(Self.status(scene)?.askedLoss == 0)
    scene.expectRest()
  }

  @Test func whatIsLeftOutGoesToTheNextCarrier() throws {
    let scene = try Self.scene(["north", "south"])
    scene.north.viaAnswer = ";oc=100;oc-algo=\"loss\";oc-validity=5000;oc-seq=1.1"
    _ = Self.offer(50, scene)
    #expect(scene.north.calls.count == 1 && scene.south.calls.count == 50)
    scene.expectRest()
  }

  /// Where there is no other, the caller gets a 503, and the record says why. Nothing is tried a second time.
  @Test func withoutAnotherTheCallIsRefused() throws {
    let scene = try Self.scene()
    scene.north.viaAnswer = ";oc=100;oc-algo=\"loss\";oc-validity=5000;oc-seq=1.1"
    let calls = Self.offer(10, scene)
    scene.world.run(for: .seconds(1))
    #expect(calls.allSatisfy { $0.ending == .refused(503) })
    let record = try #require(scene.records.last)
    #expect(record.cause == .carrierUnavailable && record.attempts.isEmpty)
    #expect(record.notes.contains("trunk:north asks for 100 % fewer calls"))
    scene.expectRest()
  }

  @Test func callsForHelpAreSentAllTheSame() throws {
    let scene = try Self.scene {
      $0.emergencies = [
        Emergency(
          tenant: "acme", country: "49", carriers: [RouteCarrier(trunk: "north")], reserved: 60)
      ]
    }
    scene.north.viaAnswer = ";oc=100;oc-algo=\"loss\";oc-validity=5000;oc-seq=1.1"
    _ = Self.offer(20, scene, "112")
    #expect(scene.north.calls.count == 21)
    scene.expectRest()
  }

  /// §4.1: every request to it says that we listen, the probe and those of the dialog too; nobody else's does.
  @Test func requestsSayThatWeListen() throws {
    let scene = try Self.scene(["north", "south"]) {
      $0.trunks[0].probe.enabled = true
      $0.trunks[0].probe.interval = .seconds(1)
    }
    var isFirst = true
    scene.north.onInvite = { _ in
      defer { isFirst = false }
      return isFirst ? .answering() : .refusing(503, after: .milliseconds(5))
    }
    _ = scene.pbx.call("+441234", CallerScript().hangingUp(after: .seconds(5)))
    scene.world.run(for: .seconds(2))
    _ = scene.pbx.call("+441234")
    scene.world.run(for: .seconds(20))
    let methods = Set(scene.north.received.filter(\.isRequest).map(\.methodText))
    #expect(methods == ["INVITE", "ACK", "BYE", "OPTIONS"])
    for message in scene.north.received where message.isRequest {
      let via = message.value(.via) ?? ""
      #expect(via.hasSuffix(";oc;oc-algo=\"loss\""), "\(message.methodText): \(via)")
    }
    #expect(scene.south.received.contains { $0.isRequest })
    for message in scene.south.received { #expect(message.value(.via)?.contains(";oc") == false) }
  }

  /// A carrier that was not asked has no say.
  @Test func othersAreNotHeard() throws {
    let scene = try Self.scene { $0.trunks[0].overloadControl = false }
    scene.north.viaAnswer = ";oc=100;oc-validity=5000;oc-seq=1.1"
    _ = Self.offer(20, scene)
    #expect(scene.north.calls.count == 21)
  }
}
