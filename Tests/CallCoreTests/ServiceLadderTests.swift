import Base
import CallCore
import Policy
import Simulation
import Testing

/// Flows of RFC 5359 §2 that several calls of one phone make up, as ladders; hold, transfers, find-me and pickup have
/// their own files.
@Suite struct ServiceLadderTests {
  private func scene(_ change: (inout Resources) -> Void = { _ in }) throws -> Scene {
    var resources = Scene.resources()
    change(&resources)
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice, scene.bob, scene.carol)
    return scene
  }

  /// §2.2 Consultation hold: the first call waits while alice asks bob, and goes on.
  @Test func consultationHold() throws {
    let scene = try scene()
    let far = scene.north.call("+493010")
    scene.world.run(for: .seconds(5))
    let near = try #require(scene.alice.calls.last)
    let since = scene.world.now
    near.reoffer(Reoffer(after: .zero, direction: .sendonly))
    scene.world.run(for: .seconds(1))
    let asked = scene.alice.call("102")
    scene.world.run(for: .seconds(5))
    #expect(asked.state == .answered && far.state == .answered)
    asked.hangUp()
    scene.world.run(for: .seconds(1))
    near.reoffer(Reoffer(after: .zero))
    scene.world.run(for: .seconds(1))
    #expect(near.reoffersAnswered == [200, 200])
    near.hangUp()
    scene.finish()
    #expect(far.ending == .hungUpThere && scene.records.count == 2)
    expectLadder(
      scene, [scene.north], [scene.alice, scene.bob], since: since,
      """
      north                demarc                 alice                  bob
        │                     │ ◀── INVITE (SDP) ── │                     │
        │                     │ ── 100 Trying ────▶ │                     │
        │ ◀── INVITE (SDP) ── │                     │                     │
        │ ── 200 OK (SDP) ──▶ │                     │                     │
        │                     │ ── 200 OK (SDP) ──▶ │                     │
        │ ◀── ACK ─────────── │                     │                     │
        │                     │ ◀── ACK ─────────── │                     │
        │                     │ ◀── INVITE (SDP) ── │                     │
        │                     │ ── 100 Trying ────▶ │                     │
        │                     │ ── INVITE (SDP) ────────────────────────▶ │
        │                     │ ◀── 100 Trying ────────────────────────── │
        │                     │ ◀── 180 Ringing ───────────────────────── │
        │                     │ ── 180 Ringing ───▶ │                     │
        │                     │ ◀── 200 OK (SDP) ──────────────────────── │
        │                     │ ── 200 OK (SDP) ──▶ │                     │
        │                     │ ── ACK ─────────────────────────────────▶ │
        │                     │ ◀── ACK ─────────── │                     │
        │                     │ ◀── BYE ─────────── │                     │
        │                     │ ── 200 OK (BYE) ──▶ │                     │
        │                     │ ── BYE ─────────────────────────────────▶ │
        │                     │ ◀── 200 OK (BYE) ──────────────────────── │
        │                     │ ◀── INVITE (SDP) ── │                     │
        │                     │ ── 100 Trying ────▶ │                     │
        │ ◀── INVITE (SDP) ── │                     │                     │
        │ ── 200 OK (SDP) ──▶ │                     │                     │
        │                     │ ── 200 OK (SDP) ──▶ │                     │
        │ ◀── ACK ─────────── │                     │                     │
        │                     │ ◀── ACK ─────────── │                     │
        │                     │ ◀── BYE ─────────── │                     │
        │                     │ ── 200 OK (BYE) ──▶ │                     │
        │ ◀── BYE ─────────── │                     │                     │
        │ ── 200 OK (BYE) ──▶ │                     │                     │
      """)
    scene.expectRest()
  }

  /// §2.8 Call forwarding, busy.
  @Test func forwardedWhenBusy() throws {
    let scene = try scene { $0.users[0].forward.busy = .user("carol") }
    scene.alice.onInvite = { _ in .refusing(486) }
    let call = scene.bob.call("101", CallerScript().hangingUp(after: .seconds(3)))
    scene.finish()
    expectLadder(
      scene, [scene.bob], [scene.alice, scene.carol],
      """
       bob                                demarc                  alice                 carol
        │ ── INVITE (SDP) ─────────────────▶ │                      │                     │
        │ ◀── 100 Trying ─────────────────── │                      │                     │
        │                                    │ ── INVITE (SDP) ───▶ │                     │
        │                                    │ ◀── 100 Trying ───── │                     │
        │                                    │ ◀── 486 Busy Here ── │                     │
        │                                    │ ── ACK ────────────▶ │                     │
        │ ◀── 181 Call Is Being Forwarded ── │                      │                     │
        │                                    │ ── INVITE (SDP) ─────────────────────────▶ │
        │                                    │ ◀── 100 Trying ─────────────────────────── │
        │                                    │ ◀── 180 Ringing ────────────────────────── │
        │ ◀── 180 Ringing ────────────────── │                      │                     │
        │                                    │ ◀── 200 OK (SDP) ───────────────────────── │
        │ ◀── 200 OK (SDP) ───────────────── │                      │                     │
        │                                    │ ── ACK ──────────────────────────────────▶ │
        │ ── ACK ──────────────────────────▶ │                      │                     │
        │ ── BYE ──────────────────────────▶ │                      │                     │
        │ ◀── 200 OK (BYE) ───────────────── │                      │                     │
        │                                    │ ── BYE ──────────────────────────────────▶ │
        │                                    │ ◀── 200 OK (BYE) ───────────────────────── │
      """)
    #expect(call.ending == .hungUpHere)
    scene.expectRest()
  }

  /// §2.9 Call forwarding, no answer.
  @Test func forwardedWithoutAnAnswer() throws {
    let scene = try scene {
      $0.users[0].forward.noAnswer = .user("carol")
      $0.users[0].forward.noAnswerAfter = .seconds(6)
    }
    scene.alice.onInvite = { _ in .ringingOnly() }
    let call = scene.bob.call("101", CallerScript().hangingUp(after: .seconds(10)))
    scene.finish()
    expectLadder(
      scene, [scene.bob], [scene.alice, scene.carol],
      """
       bob                                demarc                           alice                 carol
        │ ── INVITE (SDP) ─────────────────▶ │                               │                     │
        │ ◀── 100 Trying ─────────────────── │                               │                     │
        │                                    │ ── INVITE (SDP) ────────────▶ │                     │
        │                                    │ ◀── 100 Trying ────────────── │                     │
        │                                    │ ◀── 180 Ringing ───────────── │                     │
        │ ◀── 180 Ringing ────────────────── │                               │                     │
        │                                    │ ── CANCEL ──────────────────▶ │                     │
        │ ◀── 181 Call Is Being Forwarded ── │                               │                     │
        │                                    │ ── INVITE (SDP) ──────────────────────────────────▶ │
        │                                    │ ◀── 200 OK (CANCEL) ───────── │                     │
        │                                    │ ◀── 487 Request Terminated ── │                     │
        │                                    │ ◀── 100 Trying ──────────────────────────────────── │
        │                                    │ ── ACK ─────────────────────▶ │                     │
        │                                    │ ◀── 180 Ringing ─────────────────────────────────── │
        │ ◀── 180 Ringing ────────────────── │                               │                     │
        │                                    │ ◀── 200 OK (SDP) ────────────────────────────────── │
        │ ◀── 200 OK (SDP) ───────────────── │                               │                     │
        │                                    │ ── ACK ───────────────────────────────────────────▶ │
        │ ── ACK ──────────────────────────▶ │                               │                     │
        │ ── BYE ──────────────────────────▶ │                               │                     │
        │ ◀── 200 OK (BYE) ───────────────── │                               │                     │
        │                                    │ ── BYE ───────────────────────────────────────────▶ │
        │                                    │ ◀── 200 OK (BYE) ────────────────────────────────── │
      """)
    #expect(call.ending == .hungUpHere)
    scene.expectRest()
  }

  /// §2.17 Automatic redial: who met a busy phone is told when its call is over, and calls again.
  @Test func automaticRedial() throws {
    let scene = try scene()
    let first = scene.north.call("+493010")
    scene.world.run(for: .seconds(5))
    scene.alice.onInvite = { _ in .refusing(486) }
    let since = scene.world.now
    let refused = scene.bob.call("101")
    scene.world.run(for: .seconds(2))
    #expect(refused.ending == .refused(486))
    let lamp = scene.bob.subscribe(to: "sip:101@trunk.example", "dialog")
    scene.world.run(for: .seconds(5))
    #expect(lamp.bodies.last?.contains("<state>confirmed</state>") == true)
    scene.alice.onInvite = { _ in .answering() }
    first.hangUp()
    scene.world.run(for: .seconds(1))
    #expect(lamp.bodies.last?.contains("<state>terminated</state>") == true)
    lamp.subscribe(expires: 0)
    let again = scene.bob.call("101", CallerScript().hangingUp(after: .seconds(3)))
    scene.finish()
    #expect(again.ending == .hungUpHere)
    expectLadder(
      scene, [scene.bob], [scene.alice, scene.north], since: since,
      """
       bob                       demarc                  alice                 north
        │ ── INVITE (SDP) ────────▶ │                      │                     │
        │ ◀── 100 Trying ────────── │                      │                     │
        │                           │ ── INVITE (SDP) ───▶ │                     │
        │                           │ ◀── 100 Trying ───── │                     │
        │                           │ ◀── 486 Busy Here ── │                     │
        │                           │ ── ACK ────────────▶ │                     │
        │ ◀── 486 Busy Here ─────── │                      │                     │
        │ ── ACK ─────────────────▶ │                      │                     │
        │ ── SUBSCRIBE ───────────▶ │                      │                     │
        │ ◀── 200 OK (SUBSCRIBE) ── │                      │                     │
        │ ◀── NOTIFY ────────────── │                      │                     │
        │ ── 200 OK (NOTIFY) ─────▶ │                      │                     │
        │                           │ ◀── BYE ────────────────────────────────── │
        │                           │ ── 200 OK (BYE) ─────────────────────────▶ │
        │                           │ ── BYE ────────────▶ │                     │
        │ ◀── NOTIFY ────────────── │                      │                     │
        │                           │ ◀── 200 OK (BYE) ─── │                     │
        │ ── 200 OK (NOTIFY) ─────▶ │                      │                     │
        │ ── SUBSCRIBE ───────────▶ │                      │                     │
        │ ── INVITE (SDP) ────────▶ │                      │                     │
        │ ◀── 200 OK (SUBSCRIBE) ── │                      │                     │
        │ ◀── NOTIFY ────────────── │                      │                     │
        │ ◀── 100 Trying ────────── │                      │                     │
        │ ── 200 OK (NOTIFY) ─────▶ │                      │                     │
        │                           │ ── INVITE (SDP) ───▶ │                     │
        │                           │ ◀── 100 Trying ───── │                     │
        │                           │ ◀── 180 Ringing ──── │                     │
        │ ◀── 180 Ringing ───────── │                      │                     │
        │                           │ ◀── 200 OK (SDP) ─── │                     │
        │ ◀── 200 OK (SDP) ──────── │                      │                     │
        │                           │ ── ACK ────────────▶ │                     │
        │ ── ACK ─────────────────▶ │                      │                     │
        │ ── BYE ─────────────────▶ │                      │                     │
        │ ◀── 200 OK (BYE) ──────── │                      │                     │
        │                           │ ── BYE ────────────▶ │                     │
        │                           │ ◀── 200 OK (BYE) ─── │                     │
      """)
    scene.expectRest()
  }
}
