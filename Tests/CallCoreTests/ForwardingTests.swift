import Base
import CallCore
import Policy
import Simulation
import Testing

/// Calls that are sent on: RFC 5359 §2.7 to §2.9, RFC 3261 §8.1.3.4, RFC 5806, RFC 7044, RELIABILITY C6
/// and J5.
@Suite struct ForwardingTests {
  private func scene(_ change: (inout Resources) -> Void) throws -> Scene {
    var resources = Scene.resources()
    change(&resources)
    let scene = try Scene(Scene.settings(resources: resources))
    for agent in scene.world.agents { agent.keepsMessages = true }
    return scene
  }

  private func forwarding(
    _ change: (inout Forwarding) -> Void, rest: (inout Resources) -> Void = { _ in }
  ) throws -> Scene {
    try scene {
      change(&$0.users[0].forward)
      rest(&$0)
    }
  }

  private func invite(_ agent: Agent) -> AgentMessage? {
    agent.received.first { $0.isRequest && $0.method == .invite }
  }

  // MARK: RFC 5359 §2.7: unconditional

  @Test func always() throws {
    let scene = try forwarding { $0.always = .user("carol") }
    scene.register(scene.alice, scene.bob, scene.carol)
    let call = scene.bob.call("101", CallerScript().hangingUp(after: .seconds(4)))
    scene.finish()
    expectLadder(
      scene, [scene.bob], [scene.carol],
      """
      bob                                demarc                 carol
       │ ── INVITE (SDP) ─────────────────▶ │                     │
       │ ◀── 100 Trying ─────────────────── │                     │
       │ ◀── 181 Call Is Being Forwarded ── │                     │
       │                                    │ ── INVITE (SDP) ──▶ │
       │                                    │ ◀── 100 Trying ──── │
       │                                    │ ◀── 180 Ringing ─── │
       │ ◀── 180 Ringing ────────────────── │                     │
       │                                    │ ◀── 200 OK (SDP) ── │
       │ ◀── 200 OK (SDP) ───────────────── │                     │
       │                                    │ ── ACK ───────────▶ │
       │ ── ACK ──────────────────────────▶ │                     │
       │ ── BYE ──────────────────────────▶ │                     │
       │ ◀── 200 OK (BYE) ───────────────── │                     │
       │                                    │ ── BYE ───────────▶ │
       │                                    │ ◀── 200 OK (BYE) ── │
      """)
    #expect(call.ending == .hungUpHere)
    #expect(scene.alice.calls.isEmpty)
    let record = try #require(scene.records.first)
    #expect(record.to == "user:carol" && record.attempts.map(\.forwardedBy) == ["user:alice"])
    scene.expectRest()
  }

  // MARK: §2.8: busy

  /// The outside number sees who called, and is told who forwarded.
  @Test func busyToAnOutsideNumber() throws {
    let scene = try forwarding {
      $0.busy = .number("+441234")
    } rest: {
      $0.trunks[0].diversion = .both
    }
    scene.register(scene.alice, scene.bob)
    scene.alice.onInvite = { _ in .refusing(486) }
    let call = scene.bob.call("101", CallerScript().hangingUp(after: .seconds(4)))
    scene.finish()
    #expect(call.ending == .hungUpHere)
    let sent = try #require(invite(scene.north))
    #expect(sent.user(.from) == "+49301102")
    #expect(
      sent.lines("Diversion") == [
        "<sip:+49301101@203.0.113.1:5060>;reason=user-busy;counter=1"
      ])
    #expect(
      sent.lines("History-Info") == [
        "<sip:+49301101@203.0.113.1:5060>;index=1",
        "<sip:+441234@203.0.113.1:5060;cause=486>;index=1.1;mp=1",
      ])
    let record = try #require(scene.records.first)
    #expect(record.attempts.map(\.forwardedBy) == ["", "user:alice"])
    scene.expectRest()
  }

  /// A trunk that has not asked for it is told nothing.
  @Test func nothingIsToldUnasked() throws {
    let scene = try forwarding { $0.always = .number("+441234") }
    scene.register(scene.bob)
    scene.bob.call("101", CallerScript().hangingUp(after: .seconds(3)))
    scene.finish()
    let sent = try #require(invite(scene.north))
    #expect(sent.lines("Diversion").isEmpty && sent.lines("History-Info").isEmpty)
    scene.expectRest()
  }

  // MARK: §2.9: no answer

  @Test func noAnswer() throws {
    let scene = try forwarding {
      $0.noAnswer = .application("hello")
      $0.noAnswerAfter = .seconds(6)
    }
    scene.register(scene.alice, scene.bob)
    scene.alice.onInvite = { _ in .ringingOnly() }
    let call = scene.bob.call("101")
    scene.world.run(for: .seconds(7))
    #expect(call.state == .answered && scene.alice.calls.map(\.ending) == [.cancelled])
    scene.finish()
    let record = try #require(scene.records.first)
    #expect(record.to == "application:hello")
    #expect(record.attempts.map(\.cause) == [.noAnswer, nil])
    #expect(record.attempts.map(\.forwardedBy) == ["", "user:alice"])
    scene.expectRest()
  }

  @Test func unreachable() throws {
    let scene = try forwarding { $0.unreachable = .user("carol") }
    scene.register(scene.bob, scene.carol)
    let call = scene.bob.call("101", CallerScript().hangingUp(after: .seconds(4)))
    scene.finish()
    #expect(call.ending == .hungUpHere && scene.carol.calls.count == 1)
    scene.expectRest()
  }

  /// Registered, and dead: after the time for a first response the call goes on.
  @Test func deadPhone() throws {
    let scene = try forwarding { $0.unreachable = .user("carol") }
    scene.register(scene.alice, scene.bob, scene.carol)
    scene.alice.onInvite = { _ in .dead }
    let call = scene.bob.call("101", CallerScript().hangingUp(after: .seconds(4)))
    scene.finish()
    #expect(call.ending == .hungUpHere && scene.carol.calls.count == 1)
    scene.expectRest()
  }

  // MARK: Loops and permissions

  @Test func twoWhoForwardToEachOther() throws {
    let scene = try scene {
      $0.users[0].forward.always = .user("bob")
      $0.users[1].forward.always = .number("101")
    }
    scene.register(scene.carol)
    let call = scene.carol.call("101")
    scene.finish()
    #expect(call.ending == .refused(482))
    #expect(scene.records.map(\.cause) == [.loopDetected])
    scene.expectRest()
  }

  /// The loop goes out through the carrier and comes back: its Diversion says who has had the call.
  @Test func loopThroughTheCarrier() throws {
    let scene = try scene {
      $0.users[0].forward.always = .number("+441234")
      $0.trunks[0].diversion = .diversion
    }
    let call = scene.north.call(
      "+493010",
      CallerScript().with {
        $0.extraHeaders = ["Diversion: <sip:+49301101@carrier.example>;reason=unconditional"]
      })
    scene.finish()
    #expect(call.ending == .refused(482))
    #expect(scene.north.calls.count == 1)
    scene.expectRest()
  }

  /// What somebody who may show only its own numbers says of who sent a call on reaches no carrier.
  @Test(arguments: [true, false]) func diversionsOfOthersAreShownIfTheyMayBe(may: Bool) throws {
    let scene = try scene {
      $0.trunks[0].diversion = .both
      if !may { $0.trunks[2].callerID = CallerPolicy(allow: .listed) }
    }
    scene.pbx.call(
      "+441234",
      CallerScript().hangingUp(after: .seconds(2)).with {
        $0.extraHeaders = ["Diversion: <sip:+4915199@elsewhere.example>;reason=unconditional"]
      })
    scene.register(scene.alice)
    scene.alice.call(
      "+441235",
      CallerScript().hangingUp(after: .seconds(2)).with {
        $0.extraHeaders = ["Diversion: <sip:+4915199@elsewhere.example>;reason=unconditional"]
      })
    scene.finish()
    let sent = scene.north.received.filter { $0.isRequest && $0.method == .invite }
    #expect(sent.count == 2)
    #expect(
      sent.map { $0.lines("Diversion").joined().contains("4915199") }.filter { $0 }.count
        == (may ? 1 : 0))
    scene.expectRest()
  }

  @Test func aChainOfForwardsIsShort() throws {
    let scene = try scene {
      $0.users[0].forward.always = .number("+441234")
    }
    let call = scene.north.call(
      "+493010",
      CallerScript().with {
        $0.extraHeaders = [
          "History-Info: <sip:1@x.example>;index=1",
          "History-Info: <sip:2@x.example;cause=302>;index=1.1;mp=1",
          "History-Info: <sip:3@x.example;cause=302>;index=1.1.1;mp=1.1",
          "History-Info: <sip:4@x.example;cause=302>;index=1.1.1.1;mp=1.1.1",
          "History-Info: <sip:5@x.example;cause=302>;index=1.1.1.1.1;mp=1.1.1.1",
          "History-Info: <sip:6@x.example;cause=302>;index=1.1.1.1.1.1;mp=1.1.1.1.1",
        ]
      })
    scene.finish()
    #expect(call.ending == .refused(482))
    scene.expectRest()
  }

  /// A forwarded leg takes a channel of its trunk like any other.
  @Test func limitsHoldForForwards() throws {
    let scene = try scene {
      $0.users[0].forward.always = .number("+441234")
      $0.trunks[0].maxCalls = 0
      $0.trunks[1].maxCalls = 0
    }
    scene.register(scene.bob)
    let call = scene.bob.call("101")
    scene.finish()
    #expect(call.ending == .refused(503))
    #expect(scene.records.map(\.cause) == [.trunkCallLimit])
    scene.expectRest()
  }

  /// A number's chain goes on when the forward came to nothing.
  @Test func theChainOutlivesTheForward() throws {
    let scene = try forwarding { $0.busy = .user("carol") }
    scene.register(scene.alice, scene.bob, scene.carol)
    scene.alice.onInvite = { _ in .refusing(486) }
    scene.carol.onInvite = { _ in .refusing(486) }
    let call = scene.north.call("+493010", CallerScript().hangingUp(after: .seconds(4)))
    scene.finish()
    #expect(call.ending == .hungUpHere)
    #expect(scene.records.first?.to == "user:bob")
    scene.expectRest()
  }

  // MARK: 3xx

  @Test func aPhoneDeflects() throws {
    let scene = try scene { _ in }
    scene.register(scene.alice, scene.bob, scene.carol)
    scene.alice.onInvite = { _ in .redirecting(to: "<sip:103@trunk.example>") }
    let call = scene.bob.call("101", CallerScript().hangingUp(after: .seconds(4)))
    scene.finish()
    #expect(call.ending == .hungUpHere && scene.carol.calls.count == 1)
    let record = try #require(scene.records.first)
    #expect(record.attempts.map(\.cause) == [.forwarded, nil])
    #expect(record.attempts.map(\.status) == [302, 200])
    #expect(record.attempts.map(\.forwardedBy) == ["", "user:alice"])
    scene.expectRest()
  }

  /// By q, not by their order; the next one when the first can't.
  @Test func contactsByTheirQ() throws {
    let scene = try scene { _ in }
    scene.register(scene.alice, scene.bob, scene.carol)
    scene.alice.onInvite = { _ in
      .redirecting(to: "<sip:+441234@x.example>;q=0.2", "<sip:103@x.example>;q=0.9")
    }
    scene.carol.onInvite = { _ in .refusing(486) }
    let call = scene.bob.call("101", CallerScript().hangingUp(after: .seconds(4)))
    scene.finish()
    #expect(call.ending == .hungUpHere)
    #expect(
      scene.records.first?.attempts.map(\.target) == ["user:alice", "user:carol", "trunk:north"])
    scene.expectRest()
  }

  /// 302 to itself: one attempt, 482 (C6).
  @Test func redirectionToItself() throws {
    let scene = try scene { _ in }
    scene.register(scene.alice, scene.bob)
    scene.alice.onInvite = { _ in .redirecting(to: "<sip:alice@10.0.0.101>") }
    let call = scene.bob.call("101")
    scene.finish()
    #expect(call.ending == .refused(482))
    #expect(scene.alice.calls.count == 1)
    scene.expectRest()
  }

  /// Two phones that send a call to each other see it at most three times together.
  @Test func redirectionInACircle() throws {
    let scene = try scene { _ in }
    scene.register(scene.alice, scene.bob, scene.carol)
    scene.alice.onInvite = { _ in .redirecting(to: "<sip:103@x.example>") }
    scene.carol.onInvite = { _ in .redirecting(to: "<sip:101@x.example>") }
    let call = scene.bob.call("101")
    scene.finish()
    #expect(call.ending == .refused(482))
    #expect(scene.alice.calls.count + scene.carol.calls.count <= 3)
    scene.expectRest()
  }

  /// J5: a contact leads only where its sender may call; a carrier's is not followed at all.
  @Test func redirectionToTheForbidden() throws {
    let scene = try scene {
      $0.routes[0].prefix = "+44"
      $0.users[1].redirects = .reject
    }
    scene.register(scene.alice, scene.bob, scene.carol)
    scene.alice.onInvite = { _ in .redirecting(to: "<sip:+53900@premium.example>") }
    scene.bob.onInvite = { _ in .redirecting(to: "<sip:101@x.example>") }
    scene.north.onInvite = { _ in .redirecting(to: "<sip:101@x.example>") }
    scene.south.onInvite = { _ in .redirecting(to: "<sip:101@x.example>") }
    let outside = scene.carol.call("101")
    scene.world.run(for: .seconds(2))
    let refused = scene.carol.call("102")
    scene.world.run(for: .seconds(2))
    let carrier = scene.carol.call("+441234")
    scene.finish()
    for call in [outside, refused] { #expect(call.ending == .refused(480)) }
    // Both carriers failed.
    #expect(carrier.ending == .refused(503))
    #expect(scene.alice.calls.count == 1)
    scene.expectRest()
  }

  /// A PBX whose redirections are followed reaches what its tenant reaches.
  @Test func aTrunkMayRedirect() throws {
    let scene = try scene { $0.trunks[2].redirects = .follow }
    scene.register(scene.carol)
    scene.pbx.onInvite = { _ in .redirecting(to: "<sip:103@x.example>") }
    let call = scene.north.call("+493011", CallerScript().hangingUp(after: .seconds(4)))
    scene.finish()
    #expect(call.ending == .hungUpHere)
    #expect(scene.records.first?.attempts.last?.forwardedBy == "trunk:pbx")
    scene.expectRest()
  }

  // MARK: Disaster chain

  /// PBX A → PBX B → registered mobile → outside number → announcement: each dead one costs at most 4 s,
  /// and whoever lives answers (DR-1…3).
  @Test(arguments: 0...4) func killEachInTurn(dead: Int) throws {
    let scene = try scene {
      $0.trunks.append(
        Trunk(
          name: "pbx-b", tenant: "acme", kind: .pbx, network: "office",
          targets: [Scene.address(10, 0, 0, 21)]))
      $0.routes[0].timeout = .seconds(2)
      $0.numbers.append(
        Number(
          number: "+493030", tenant: "acme",
          destinations: [
            DestinationHop(to: .trunk("pbx"), timeout: .seconds(4)),
            DestinationHop(to: .trunk("pbx-b"), timeout: .seconds(4)),
            DestinationHop(to: .user("alice"), timeout: .seconds(4)),
            DestinationHop(to: .number("+441234"), timeout: .seconds(8)),
            DestinationHop(to: .application("hello")),
          ]))
    }
    let second = scene.world.agent(
      "pbx-b", at: Scene.address(10, 0, 0, 21), trunk: Scene.inside, user: "pbx-b")
    scene.register(scene.alice)
    let chain = [[scene.pbx], [second], [scene.alice], [scene.north, scene.south]]
    for agent in chain.prefix(dead).flatMap({ $0 }) { agent.onInvite = { _ in .dead } }
    for agent in chain.dropFirst(dead).flatMap({ $0 }) {
      agent.onInvite = { _ in .answering(after: .milliseconds(500)) }
    }
    let call = scene.south.call("+493030", CallerScript().hangingUp(after: .seconds(3)))
    scene.finish()
    #expect(call.answeredAt != nil)
    let waited = (call.answeredAt ?? .zero) - call.started
    #expect(waited < .seconds(4 * dead) + .seconds(1), "answered after \(waited.milliseconds) ms")
    scene.expectRest()
  }
}
