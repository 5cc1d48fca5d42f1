import Base
import CallCore
import Policy
import Simulation
import Testing

/// RFC 3326 and RFC 6432: why, from one side to the other. RFC 7989: the call's name on both. RFC 5393: loops.
@Suite struct ReasonTests {
  private func responses(_ scene: Scene, to agent: Agent, _ start: String) -> [String] {
    scene.world.trace.entries.filter { $0.to == agent.address && !$0.lost }
      .map { String(decoding: $0.bytes, as: UTF8.self) }.filter { $0.hasPrefix(start) }
  }

  /// A gateway's 480 that means busy: no failover, and the caller is told.
  @Test func networkSaysBusy() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in
      CalleeScript.refusing(503).with { $0.extraHeaders = ["Reason: Q.850;cause=17;text=\"x\""] }
    }
    let call = scene.alice.call("+441234")
    scene.finish()
    #expect(scene.south.calls.isEmpty)
    #expect(call.ending != nil)
    #expect(scene.records.first?.cause == .busy)
    #expect(
      responses(scene, to: scene.alice, "SIP/2.0 5").contains {
        $0.contains("Reason: Q.850;cause=17\r\n")
      })
    scene.expectRest()
  }

  /// An operator's hang-up is told to both sides.
  @Test func operatorsHangUp() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .answering() }
    let call = scene.alice.call("+441234")
    scene.world.run(for: .seconds(5))
    if case .callAttempted(let record)? = scene.world.facts.first(where: {
      if case .callAttempted = $0.event { true } else { false }
    })?.event {
      scene.world.input(.hangUp(record.id))
    }
    scene.finish()
    #expect(call.byeReason == "Q.850;cause=31")
    #expect(scene.north.calls.first?.byeReason == "Q.850;cause=31")
    scene.expectRest()
  }

  @Test func sessionIDCrosses() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    var seen: [String] = []
    let far = "0123456789abcdef0123456789abcdef"
    let near = "fedcba9876543210fedcba9876543210"
    scene.north.onInvite = {
      seen.append($0.value(.sessionID) ?? "")
      return .answering().with { $0.extraHeaders = ["Session-ID: \(far);remote=\(near)"] }
    }
    scene.alice.call(
      "+441234",
      CallerScript().hangingUp(after: .seconds(2)).with {
        $0.extraHeaders = ["Session-ID: \(near);remote=00000000000000000000000000000000"]
      })
    scene.finish()
    #expect(seen.first?.hasPrefix(near + ";remote=") == true)
    #expect(
      responses(scene, to: scene.alice, "SIP/2.0 200").contains {
        $0.contains("Session-ID: \(far);remote=\(near)\r\n")
      })
    scene.expectRest()
  }

  /// Our own INVITE, sent back by a proxy under the same number.
  @Test func ownInviteComesBack() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    var invite: AgentMessage?
    scene.north.onInvite = {
      invite = $0
      return .ringingOnly()
    }
    let call = scene.alice.call("+441234", CallerScript().cancelling(after: .seconds(6)))
    scene.world.run(for: .seconds(2))
    let ours = try #require(invite)
    var text = String(decoding: ours.bytes, as: UTF8.self)
    text = text.replacing(
      "\r\nVia: ", with: "\r\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKproxy\r\nVia: ")
    scene.north.sendRaw(Array(text.utf8))
    scene.world.run(for: .seconds(1))
    #expect(scene.refusals.contains { $0.status == 482 && $0.cause == .loopDetected })
    scene.finish()
    #expect(call.ending == .cancelled)
    #expect(scene.records.count == 1)
  }

  /// RFC 2976's digits pass; another body ends here, and `dtmfInfo: false` keeps all of them.
  @Test(arguments: [true, false]) func digitsInInfo(passes: Bool) throws {
    var resources = Scene.resources()
    resources.trunks[0].dtmfInfo = passes
    resources.trunks[0].dtmf = .info
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .answering() }
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(5)))
    scene.world.run(for: .seconds(4))
    var statuses: [Int] = []
    call.sendInfo("Signal=5\r\nDuration=160\r\n", type: "application/dtmf-relay") {
      statuses.append($0)
    }
    scene.world.run(for: .seconds(1))
    call.sendInfo("x", type: "text/plain") { statuses.append($0) }
    scene.finish()
    #expect(statuses == (passes ? [200, 415] : [405, 415]))
    #expect(scene.north.calls.first?.infos.count == (passes ? 1 : 0))
    scene.expectRest()
  }

  /// The other side's answer comes after the end: the digits are refused, and nothing stays open.
  @Test func digitsInFlightAtTheEnd() throws {
    var resources = Scene.resources()
    resources.trunks[0].dtmf = .info
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .answering() }
    let call = scene.alice.call("+441234")
    scene.world.run(for: .seconds(4))
    var statuses: [Int] = []
    call.sendInfo("Signal=5\r\nDuration=160\r\n", type: "application/dtmf-relay") {
      statuses.append($0)
    }
    call.hangUp()
    scene.finish()
    #expect(statuses == [487])
    #expect(call.ending == .hungUpHere)
    scene.expectRest()
  }
}
