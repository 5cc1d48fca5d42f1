import Base
import CallCore
import MediaControl
import Policy
import Simulation
import Testing

/// Several targets of a hop ring at once: RFC 3261 §16.6 and §16.7 as far as they concern whoever forks,
/// RFC 5359 §2.12 (find-me), RELIABILITY C4.
@Suite struct RingTogetherTests {
  /// A scene whose number +493020 rings alice, bob and an outside number together, then the announcement.
  private func ringScene(
    timeout: Interval = .seconds(20), members: [Destination] = [.user("alice"), .user("bob")]
  ) throws -> Scene {
    var resources = Scene.resources()
    resources.numbers.append(
      Number(
        number: "+493020", tenant: "acme",
        destinations: [
          DestinationHop(to: .ring(members), timeout: timeout),
          DestinationHop(to: .application("hello")),
        ]))
    return listening(try Scene(Scene.settings(resources: resources)))
  }

  /// Whose messages are kept to be looked at.
  private func listening(_ scene: Scene) -> Scene {
    for agent in scene.world.agents { agent.keepsMessages = true }
    return scene
  }

  /// A second phone of alice's.
  private func secondPhone(_ scene: Scene) -> Agent {
    let phone = scene.world.agent(
      "alice2", at: Scene.address(10, 0, 0, 201), trunk: Scene.inside, user: "alice")
    phone.credentials = scene.alice.credentials
    phone.keepsMessages = true
    return phone
  }

  private func reason(_ agent: Agent) -> [String] {
    agent.received.filter { $0.isRequest }.compactMap { $0.line("Reason") }
  }

  @Test func bothPhonesOfAUserRing() throws {
    let scene = try Scene()
    let second = secondPhone(scene)
    scene.register(scene.alice, second, scene.bob)
    scene.alice.onInvite = { _ in .answering(after: .seconds(3)) }
    second.onInvite = { _ in .ringingOnly() }
    let call = scene.bob.call("101", CallerScript().hangingUp(after: .seconds(4)))
    scene.finish()
    expectLadder(
      scene, [scene.bob], [scene.alice, second],
      """
       bob                 demarc                 alice                alice2
        │ ── INVITE (SDP) ──▶ │                     │                     │
        │ ◀── 100 Trying ──── │                     │                     │
        │                     │ ── INVITE (SDP) ────────────────────────▶ │
        │                     │ ── INVITE (SDP) ──▶ │                     │
        │                     │ ◀── 100 Trying ────────────────────────── │
        │                     │ ◀── 100 Trying ──── │                     │
        │                     │ ◀── 180 Ringing ───────────────────────── │
        │                     │ ◀── 180 Ringing ─── │                     │
        │ ◀── 180 Ringing ─── │                     │                     │
        │ ◀── 180 Ringing ─── │                     │                     │
        │                     │ ◀── 200 OK (SDP) ── │                     │
        │ ◀── 200 OK (SDP) ── │                     │                     │
        │                     │ ── ACK ───────────▶ │                     │
        │                     │ ── CANCEL ──────────────────────────────▶ │
        │ ── ACK ───────────▶ │                     │                     │
        │                     │ ◀── 200 OK (CANCEL) ───────────────────── │
        │                     │ ◀── 487 Request Terminated ────────────── │
        │                     │ ── ACK ─────────────────────────────────▶ │
        │ ── BYE ───────────▶ │                     │                     │
        │ ◀── 200 OK (BYE) ── │                     │                     │
        │                     │ ── BYE ───────────▶ │                     │
        │                     │ ◀── 200 OK (BYE) ── │                     │
      """)
    #expect(call.ending == .hungUpHere)
    #expect(second.calls.first?.ending == .cancelled)
    #expect(reason(second) == ["SIP ;cause=200 ;text=\"Call completed elsewhere\""])
    let record = try #require(scene.records.first)
    #expect(record.attempts.map(\.status).sorted() == [200, 487])
    #expect(record.attempts.compactMap(\.cause) == [.completedElsewhere])
    scene.expectRest()
  }

  /// Both answer in the same moment: one has the call, the other is acknowledged and hung up (§13.2.2.4).
  @Test func twoAnswerAtOnce() throws {
    let scene = try Scene()
    let second = secondPhone(scene)
    scene.register(scene.alice, second, scene.bob)
    scene.alice.onInvite = { _ in .answering(after: .seconds(3)) }
    second.onInvite = { _ in
      .answering(after: .seconds(3)).with { $0.answersCancelled = true }
    }
    let call = scene.bob.call("101", CallerScript().hangingUp(after: .seconds(4)))
    scene.finish()
    #expect(call.ending == .hungUpHere)
    let endings = [scene.alice, second].compactMap { $0.calls.first }
    #expect(endings.allSatisfy { $0.ending == .hungUpThere && $0.acknowledged })
    // The winner's call lasted, the other's did not.
    let lengths = endings.map { ($0.endedAt ?? .zero) - ($0.answeredAt ?? .zero) }.sorted()
    #expect(lengths[0] < .milliseconds(200) && lengths[1] > .seconds(3))
    scene.expectRest()
  }

  @Test func callerCancelsAllOfThem() throws {
    let scene = try ringScene(members: [.user("alice"), .user("bob"), .number("+441234")])
    scene.register(scene.alice, scene.bob)
    for agent in [scene.alice, scene.bob, scene.north] {
      agent.onInvite = { _ in .ringingOnly() }
    }
    let call = scene.carol
    scene.register(call)
    let attempt = call.call("+493020", CallerScript().cancelling(after: .seconds(3)))
    scene.finish()
    #expect(attempt.ending == .cancelled)
    for agent in [scene.alice, scene.bob, scene.north] {
      #expect(agent.calls.map(\.ending) == [.cancelled])
      #expect(reason(agent).isEmpty)
    }
    #expect(scene.records.first?.attempts.count == 3)
    scene.expectRest()
  }

  /// The best of the failures counts: busy before no answer, and a dead phone says nothing at all (§16.7).
  @Test func theBestFailureIsPassedOn() throws {
    let scene = try Scene()
    let second = secondPhone(scene)
    scene.register(scene.alice, second, scene.bob)
    scene.alice.onInvite = { _ in .dead }
    second.onInvite = { _ in .refusing(486) }
    let call = scene.bob.call("101")
    scene.finish()
    #expect(call.ending == .refused(486))
    #expect(scene.records.map(\.cause) == [.busy])
    scene.expectRest()
  }

  /// Declined on one phone is declined on both; the members of a ring are different people.
  @Test func decliningEndsOwnPhonesOnly() throws {
    let scene = try ringScene()
    let second = secondPhone(scene)
    scene.register(scene.alice, second, scene.bob, scene.carol)
    scene.alice.onInvite = { _ in .ringingOnly() }
    second.onInvite = { _ in .refusing(603, after: .seconds(2)) }
    scene.bob.onInvite = { _ in .answering(after: .seconds(5)) }
    let call = scene.carol.call("+493020", CallerScript().hangingUp(after: .seconds(4)))
    scene.finish()
    #expect(call.ending == .hungUpHere)
    #expect(scene.alice.calls.map(\.ending) == [.cancelled])
    #expect(scene.bob.calls.map(\.ending) == [.hungUpThere])
    let record = try #require(scene.records.first)
    #expect(record.to == "user:bob" && record.attempts.count == 3)
    scene.expectRest()
  }

  /// Nobody answers: after the ring's time all are cancelled and the next destination is tried.
  @Test func theRingEndsAndTheChainGoesOn() throws {
    let scene = try ringScene(timeout: .seconds(8))
    scene.register(scene.alice, scene.bob, scene.carol)
    for agent in [scene.alice, scene.bob] { agent.onInvite = { _ in .ringingOnly() } }
    let call = scene.carol.call("+493020")
    scene.finish()
    #expect(call.ending == .hungUpThere)
    #expect(scene.alice.calls.map(\.ending) == [.cancelled])
    #expect(scene.bob.calls.map(\.ending) == [.cancelled])
    let record = try #require(scene.records.first)
    #expect(record.to == "application:hello")
    #expect(record.attempts.map(\.cause) == [.noAnswer, .noAnswer, nil])
    scene.expectRest()
  }

  /// A member that leads outside has its own carriers, one after the other, while the others ring.
  @Test func aMemberFailsOverByItself() throws {
    let scene = try ringScene(members: [.user("alice"), .number("+441234")])
    scene.register(scene.alice, scene.carol)
    scene.alice.onInvite = { _ in .ringingOnly() }
    scene.north.onInvite = { _ in .refusing(503) }
    scene.south.onInvite = { _ in .answering(after: .seconds(2)) }
    let call = scene.carol.call("+493020", CallerScript().hangingUp(after: .seconds(4)))
    scene.finish()
    #expect(call.ending == .hungUpHere)
    #expect(scene.records.first?.to == "trunk:south")
    #expect(scene.alice.calls.map(\.ending) == [.cancelled])
    scene.expectRest()
  }

  /// The first branch that sends media is heard; when it is lost another one is.
  @Test func oneEarlyMediaIsPassedOn() throws {
    let scene = try ringScene(members: [.user("alice"), .number("+441234")])
    scene.register(scene.alice, scene.carol)
    scene.alice.onInvite = { _ in
      CalleeScript().with {
        $0.steps = [
          CalleeStep(after: .seconds(1), status: 183, sdp: true),
          CalleeStep(after: .seconds(3), status: 486),
        ]
      }
    }
    scene.north.onInvite = { _ in
      CalleeScript().with {
        $0.steps = [
          CalleeStep(after: .seconds(2), status: 183, sdp: true),
          CalleeStep(after: .seconds(5), status: 200, sdp: true),
        ]
      }
    }
    let call = scene.carol.call("+493020", CallerScript().hangingUp(after: .seconds(3)))
    let caller = call.media
    scene.world.run(for: .milliseconds(1_500))
    #expect(scene.world.media.partner(of: caller) == scene.alice.calls.first?.media)
    scene.world.run(for: .seconds(1))
    #expect(scene.world.media.partner(of: caller) == scene.alice.calls.first?.media)
    scene.world.run(for: .seconds(1))
    #expect(scene.world.media.partner(of: caller) == scene.north.calls.first?.media)
    scene.world.run(for: .seconds(3))
    #expect(scene.world.media.partner(of: caller) == scene.north.calls.first?.media)
    scene.finish()
    #expect(call.ending == .hungUpHere)
    scene.expectRest()
  }

  /// A trunk in a ring takes a channel like any other call, and gives it back.
  @Test func limitsCountForBranches() throws {
    var resources = Scene.resources()
    resources.trunks[0].maxCalls = 0
    resources.trunks[1].maxCalls = 1
    resources.numbers.append(
      Number(
        number: "+493020", tenant: "acme",
        destinations: [
          DestinationHop(to: .ring([.user("alice"), .number("+441"), .number("+442")]))
        ]))
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice, scene.carol)
    scene.alice.onInvite = { _ in .answering(after: .seconds(4)) }
    scene.south.onInvite = { _ in .ringingOnly() }
    let call = scene.carol.call("+493020", CallerScript().hangingUp(after: .seconds(4)))
    scene.finish()
    #expect(call.ending == .hungUpHere)
    #expect(scene.south.calls.count == 1)
    scene.expectRest()
  }
}
