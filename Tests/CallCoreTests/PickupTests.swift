import Base
import CallCore
import Policy
import Simulation
import Testing

/// A call that rings is taken by somebody who watches: RFC 5359 §2.16, RFC 3891 §3, RFC 4235.
@Suite struct PickupTests {
  /// carol may take alice's calls, and sees them.
  private func scene(_ change: (inout WorldSettings) -> Void = { _ in }) throws -> Scene {
    var settings = Scene.settings()
    settings.resources.users[0].pickup = ["carol"]
    change(&settings)
    let scene = try Scene(settings)
    for agent in scene.world.agents { agent.keepsMessages = true }
    scene.alice.onInvite = { _ in .ringingOnly() }
    scene.bob.onInvite = { _ in .ringingOnly() }
    return scene
  }

  private func watch(_ scene: Scene, _ agent: Agent) -> AgentSubscription {
    agent.subscribe(to: "sip:101@trunk.example", "dialog", expires: 60)
  }

  /// The Replaces that a phone makes of the last document.
  private func replaces(
    _ lamp: AgentSubscription, _ more: String = ";early-only", swapped: Bool = false
  ) throws -> CallerScript {
    let body = lamp.bodies.last { $0.contains("call-id") } ?? ""
    let found = try #require(
      body.firstMatch(of: #/call-id="(\w+)" local-tag="(\w+)" remote-tag="(\w+)"/#))
    let (to, from) = (found.output.3, found.output.2)
    return CallerScript().with {
      $0.extraHeaders = [
        "Require: replaces",
        "Replaces: \(found.output.1);to-tag=\(swapped ? from : to);from-tag=\(swapped ? to : from)"
          + more,
      ]
    }
  }

  /// North calls alice, whose phone rings; carol's lamp shows it.
  private func ringing(_ scene: Scene) throws -> (AgentCall, AgentSubscription) {
    scene.register(scene.alice, scene.bob, scene.carol)
    let lamp = watch(scene, scene.carol)
    scene.world.run(for: .seconds(2))
    let far = scene.north.call("+493010")
    scene.world.run(for: .seconds(2))
    #expect(lamp.bodies.last?.contains("<state>early</state>") == true)
    return (far, lamp)
  }

  /// RFC 5359 §2.16.
  @Test func taken() throws {
    let scene = try scene()
    let (far, lamp) = try ringing(scene)
    let since = scene.world.now
    let taker = scene.carol.call("101", try replaces(lamp))
    scene.world.run(for: .seconds(2))
    #expect(taker.state == .answered && far.state == .answered)
    #expect(scene.alice.calls.last?.ending == .cancelled)
    #expect(scene.world.media.partner(of: far.media) == taker.media)
    far.hangUp()
    scene.world.run(for: .seconds(10))
    expectLadder(
      scene, [scene.north, scene.alice], [scene.carol], since: since,
      """
        north                 alice                          demarc                    carol
          │                     │                               │ ◀── INVITE (SDP) ───── │
          │                     │                               │ ── 100 Trying ───────▶ │
          │ ◀── 200 OK (SDP) ────────────────────────────────── │                        │
          │                     │                               │ ── 200 OK (SDP) ─────▶ │
          │                     │ ◀── CANCEL ────────────────── │                        │
          │                     │                               │ ── NOTIFY ───────────▶ │
          │ ── ACK ───────────────────────────────────────────▶ │                        │
          │                     │                               │ ◀── ACK ────────────── │
          │                     │ ── 200 OK (CANCEL) ─────────▶ │                        │
          │                     │ ── 487 Request Terminated ──▶ │                        │
          │                     │                               │ ◀── 200 OK (NOTIFY) ── │
          │                     │ ◀── ACK ───────────────────── │                        │
          │ ── BYE ───────────────────────────────────────────▶ │                        │
          │ ◀── 200 OK (BYE) ────────────────────────────────── │                        │
          │                     │                               │ ── BYE ──────────────▶ │
          │                     │                               │ ◀── 200 OK (BYE) ───── │
      """)
    let cancel = try #require(scene.alice.received.first { $0.method == .cancel })
    #expect(cancel.line("Reason") == "SIP ;cause=200 ;text=\"Call completed elsewhere\"")
    #expect(lamp.bodies.last?.contains("<state>terminated</state>") == true)
    scene.finish()
    // Both calls have their record, and each names the other.
    let first = try #require(scene.records.first { $0.from == "trunk:north" })
    let second = try #require(scene.records.first { $0.from == "user:carol" })
    #expect(first.to == "user:carol" && first.attempts.map(\.cause) == [.completedElsewhere])
    #expect(first.notes.contains("goes on with \(second.id), taken by user:carol"))
    #expect(second.notes.contains("goes on with \(first.id), taken by user:carol"))
    #expect(first.answer != nil && first.codec == "PCMU/8000" && second.codec == "PCMU/8000")
    #expect(first.cause == .normalClearing && second.cause == .normalClearing)
    scene.expectRest()
  }

  /// Phones disagree on which of the two tags is whose, and some leave `early-only` out.
  @Test(arguments: [true, false], ["", ";early-only"])
  func asPhonesWriteIt(swapped: Bool, more: String) throws {
    let scene = try scene()
    let (far, lamp) = try ringing(scene)
    let taker = scene.carol.call("+493010", try replaces(lamp, more, swapped: swapped))
    scene.world.run(for: .seconds(2))
    #expect(taker.state == .answered && far.state == .answered)
    taker.hangUp()
    scene.finish()
    #expect(far.ending == .hungUpThere)
    scene.expectRest()
  }

  /// Without an offer, carol is offered what the caller speaks.
  @Test func withoutAnOffer() throws {
    let scene = try scene()
    let (far, lamp) = try ringing(scene)
    let taker = scene.carol.call("101", try replaces(lamp).with { $0.delayedOffer = true })
    scene.world.run(for: .seconds(2))
    #expect(taker.state == .answered && far.state == .answered)
    #expect(scene.world.media.partner(of: far.media) == taker.media)
    taker.hangUp()
    scene.finish()
    #expect(far.ending == .hungUpThere && scene.alice.calls.last?.ending == .cancelled)
    scene.expectRest()
  }

  /// Never acknowledged: the phone rings on.
  @Test func neverAcknowledged() throws {
    let scene = try scene { $0.resources.numbers[0].destinations[0].timeout = .seconds(120) }
    let (far, lamp) = try ringing(scene)
    scene.carol.call(
      "101",
      try replaces(lamp).with {
        $0.delayedOffer = true
        $0.ack = .never
      })
    scene.world.run(for: .seconds(40))
    #expect(far.state == .early && scene.alice.calls.last?.state == .early)
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  /// Every phone of a group stops.
  @Test func fromAGroup() throws {
    let scene = try scene {
      $0.resources.numbers[0].destinations = [
        DestinationHop(to: .ring([.user("alice"), .user("bob")]))
      ]
    }
    let (far, lamp) = try ringing(scene)
    let taker = scene.carol.call("101", try replaces(lamp))
    scene.world.run(for: .seconds(2))
    #expect(taker.state == .answered && far.state == .answered)
    for phone in [scene.alice, scene.bob] {
      #expect(phone.calls.last?.ending == .cancelled)
      #expect(
        phone.received.first { $0.method == .cancel }?.line("Reason")?.contains("200") == true)
    }
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  /// Both sides speak the one codec that they have in common.
  @Test func oneCodec() throws {
    let scene = try scene()
    scene.register(scene.alice, scene.bob, scene.carol)
    let lamp = watch(scene, scene.carol)
    let far = scene.north.call("+493010", CallerScript().with { $0.payloads = [0, 8, 101] })
    scene.world.run(for: .seconds(2))
    let taker = scene.carol.call("101", try replaces(lamp).with { $0.payloads = [8, 101] })
    scene.world.run(for: .seconds(2))
    #expect(taker.state == .answered && far.state == .answered)
    let answers = [scene.north, scene.carol].compactMap { agent in
      agent.received.last { $0.status == 200 && $0.method == .invite }?.bodyText
    }
    #expect(answers.count == 2 && answers.allSatisfy { $0.contains(" RTP/AVP 8 101\r\n") })
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  /// Nothing in common: the phone rings on.
  @Test func noCodec() throws {
    let scene = try scene()
    scene.register(scene.alice, scene.bob, scene.carol)
    let lamp = watch(scene, scene.carol)
    let far = scene.north.call("+493010", CallerScript().with { $0.payloads = [0] })
    scene.world.run(for: .seconds(2))
    let taker = scene.carol.call("101", try replaces(lamp).with { $0.payloads = [8] })
    scene.world.run(for: .seconds(2))
    #expect(taker.ending == .refused(488) && far.state == .early)
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  /// RFC 3891 §3, case by case.
  @Test func refused() throws {
    let scene = try scene { $0.resources.users[1].pickup = ["carol"] }
    let (far, lamp) = try ringing(scene)
    let right = try replaces(lamp)
    var forged = right
    forged.extraHeaders = right.extraHeaders.map { $0.replacing(";from-tag=", with: ";from-tag=0") }
    var lacking = right
    lacking.extraHeaders = ["Replaces: x;to-tag=1;from-tag=2;early-only"]
    for (agent, script, status) in [
      (scene.bob, right, 403), (scene.pbx, right, 403), (scene.carol, forged, 481),
      (scene.carol, lacking, 481),
    ] {
      let call = agent.call("101", script)
      scene.world.run(for: .milliseconds(500))
      #expect(call.ending == .refused(status))
    }
    // What is good for taking the call is good for nothing else.
    let words = try #require(right.extraHeaders.last).split { $0 == " " || $0 == ";" || $0 == "=" }
    for method in ["BYE", "INVITE", "REFER"] {
      scene.carol.request(
        method, method: method, toTag: String(words[3]), callID: String(words[1]))
    }
    scene.world.run(for: .seconds(1))
    #expect(Set(scene.carol.answers.values) == [481] && far.state == .early)
    far.hangUp()
    scene.world.run(for: .milliseconds(200))
    let late = scene.carol.call("101", right)
    scene.world.run(for: .seconds(1))
    #expect([.refused(603), .refused(481)].contains(late.ending))
    scene.finish()
    scene.expectRest()
  }

  /// The phone answers first: with `early-only` or without, nobody else may have the call; but a second phone of
  /// alice's own may.
  @Test func answeredMeanwhile() throws {
    let scene = try scene()
    scene.alice.onInvite = { _ in .answering(after: .seconds(3)) }
    let (far, lamp) = try ringing(scene)
    let own = scene.alice.subscribe(to: "sip:101@trunk.example", "dialog", expires: 60)
    scene.world.run(for: .seconds(4))
    #expect(far.state == .answered)
    for more in ["", ";early-only"] {
      let call = scene.carol.call("101", try replaces(lamp, more))
      scene.world.run(for: .seconds(1))
      #expect(call.ending == .refused(486))
    }
    let moved = scene.alice.call("101", try replaces(own, ""))
    scene.world.run(for: .seconds(2))
    #expect(moved.state == .answered && far.state == .answered)
    #expect(scene.world.media.partner(of: far.media) == moved.media)
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  /// In the same moment: the phone answers, the caller gives up, whoever takes it changes their mind.
  @Test(arguments: 0..<3, 0..<8) func races(who: Int, step: Int) throws {
    let scene = try scene()
    if who == 0 {
      scene.alice.onInvite = { _ in .answering(after: .milliseconds(1_960 + step * 8)) }
    }
    let (far, lamp) = try ringing(scene)
    scene.world.store.delay = 20...20
    let taker = scene.carol.call("101", try replaces(lamp))
    scene.world.run(for: .milliseconds(step * 6))
    switch who {
    case 0: break
    case 1: far.hangUp()
    default: taker.hangUp()
    }
    scene.world.run(for: .seconds(5))
    far.hangUp()
    taker.hangUp()
    scene.finish()
    scene.expectRest()
  }

  @Test(arguments: 1...6) func underLoss(seed: Int) throws {
    let scene = try scene {
      $0.seed = UInt64(seed)
      $0.link = LinkQuality(loss: 0.2, delay: .milliseconds(20))
      $0.resources.numbers[0].destinations[0].timeout = .seconds(60)
    }
    scene.register(scene.alice, scene.bob, scene.carol)
    scene.world.run(for: .seconds(30))
    let lamp = scene.carol.subscribe(to: "sip:101@trunk.example", "dialog", expires: 300)
    scene.world.run(for: .seconds(20))
    let far = scene.north.call("+493010", CallerScript().hangingUp(after: .seconds(60)))
    scene.world.run(for: .seconds(15))
    if lamp.bodies.contains(where: { $0.contains("call-id") }) {
      let taker = scene.carol.call("101", try replaces(lamp))
      scene.world.run(for: .seconds(30))
      taker.hangUp()
    }
    scene.world.run(for: .seconds(30))
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }
}
