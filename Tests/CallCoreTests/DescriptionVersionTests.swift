import Base
import CallCore
import Policy
import Simulation
import Testing

/// RFC 3264 §8: a description that differs from the one before has another version, or the peer may take it for that one.
@Suite struct DescriptionVersionTests {
  /// What the scene's peer was told, without repetitions.
  private func told(_ scene: Scene, _ peer: Agent) -> [(version: Int, text: String)] {
    var seen: Set<[UInt8]> = []
    return scene.world.trace.entries.compactMap { entry in
      guard entry.to == peer.address, seen.insert(entry.bytes).inserted,
        let message = try? AgentMessage(entry.bytes), message.hasBody
      else { return nil }
      let lines = message.bodyText.split(separator: "\r\n")
      guard let origin = lines.first(where: { $0.hasPrefix("o=") }),
        let version = Int(origin.split(separator: " ")[2])
      else { return nil }
      return (version, lines.filter { !$0.hasPrefix("o=") }.joined(separator: "\n"))
    }
  }

  /// The callee offers something else in the early dialog, which the caller cannot be asked about.
  @Test func ownAnswerIsAnotherDescription() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in
      CalleeScript().with {
        $0.payloads = [8, 101]
        $0.updates = true
        $0.updatesEarlyAfter = .milliseconds(500)
        $0.steps = [
          CalleeStep(after: .milliseconds(300), status: 183, sdp: true, reliable: true),
          CalleeStep(after: .seconds(3), status: 200, sdp: true),
        ]
      }
    }
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(5)))
    scene.finish()
    #expect(call.ending == .hungUpHere)
    let told = told(scene, scene.north)
    #expect(told.count == 2 && told[0].text != told[1].text)
    #expect(told.map(\.version) == [1, 2])
    scene.expectRest()
  }

  /// A callee who refuses what the caller speaks is offered all that we can convert.
  @Test func secondOfferIsAnotherDescription() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .answering().with { $0.payloads = [3] } }
    _ = scene.alice.call(
      "+441234", CallerScript().hangingUp(after: .seconds(5)).with { $0.payloads = [0] })
    scene.finish()
    let told = told(scene, scene.north)
    #expect(told.count == 2 && told[0].text != told[1].text)
    #expect(told.map(\.version) == [1, 2])
    scene.expectRest()
  }

  /// Two who ring make offers of their own, and the caller changes his mind between his answers to them.
  @Test func answersToTwoEarlyDialogsAreTwoDescriptions() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in
      CalleeScript().with {
        $0.payloads = [0]
        $0.updates = true
        $0.steps = [
          CalleeStep(after: .milliseconds(300), status: 183, sdp: true, reliable: true),
          CalleeStep(after: .seconds(2), status: 183, fork: 1, sdp: true, reliable: true),
          CalleeStep(after: .seconds(3), status: 200, fork: 1, sdp: true),
        ]
      }
    }
    let call = scene.alice.call(
      "+441234",
      CallerScript().hangingUp(after: .seconds(5)).with {
        $0.payloads = [8, 0]
        $0.delayedOffer = true
        $0.reliable = .supports
        $0.updatesEarlyAfter = .milliseconds(500)
      })
    scene.finish()
    #expect(call.ending == .hungUpHere)
    let told = told(scene, scene.north)
    // An answer, an offer by UPDATE, an answer.
    try #require(told.count >= 3)
    #expect(told[0].text != told[1].text && told[1].text != told[2].text)
    #expect(told.prefix(3).map(\.version) == [1, 2, 3])
    scene.expectRest()
  }

  /// Nothing has changed: a refresh says the same with the same version (RFC 4028 §7.4).
  @Test func refreshIsTheSameDescription() throws {
    var resources = Scene.resources()
    resources.trunks[0].sessionExpires = .seconds(120)
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .answering() }
    _ = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(200)))
    scene.finish()
    let told = told(scene, scene.north)
    #expect(told.count > 2 && Set(told.map(\.text)).count == 1)
    #expect(Set(told.map(\.version)) == [1])
    scene.expectRest()
  }

  /// An UPDATE may be answered when its call is over. What its answer says is not kept then.
  @Test func lateAnswerToAnUpdateLeavesNothing() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .answering().with { $0.updates = true } }
    scene.alice.call(
      "+441234",
      CallerScript().hangingUp(after: .milliseconds(3_300)).with {
        $0.updates = true
        $0.reoffers = [Reoffer(after: .seconds(3), direction: .sendonly, update: true)]
      })
    let world = scene.world
    let end = world.now + .seconds(9)
    var answers = 0
    world.network.loses = { [unowned world] message in
      guard !message.isRequest, message.method == .update, world.now < end else { return false }
      answers += 1
      return true
    }
    scene.finish()
    #expect(answers > 0)
    #expect(world.counters.messageBlocks == 0)
    scene.expectRest()
  }
}
