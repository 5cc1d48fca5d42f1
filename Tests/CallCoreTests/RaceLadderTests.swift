import Base
import CallCore
import Policy
import Simulation
import Testing

/// Requests that cross, answers that come late, branches of forks: RELIABILITY C2 and C4.
@Suite struct RaceLadderTests {
  /// The 200 leaves the callee before the CANCEL reaches it.
  @Test func answerCrossesCancel() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .answering(after: .milliseconds(2_004)) }
    let call = scene.alice.call("+441234", CallerScript().cancelling(after: .milliseconds(2_016)))
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north],
      """
      alice                          demarc                    north
        │ ── INVITE (SDP) ────────────▶ │                        │
        │ ◀── 100 Trying ────────────── │                        │
        │                               │ ── INVITE (SDP) ─────▶ │
        │                               │ ◀── 100 Trying ─────── │
        │                               │ ◀── 180 Ringing ────── │
        │ ◀── 180 Ringing ───────────── │                        │
        │ ── CANCEL ──────────────────▶ │                        │
        │ ◀── 200 OK (CANCEL) ───────── │                        │
        │ ◀── 487 Request Terminated ── │                        │
        │                               │ ── CANCEL ───────────▶ │
        │                               │ ◀── 200 OK (SDP) ───── │
        │ ── ACK ─────────────────────▶ │                        │
        │                               │ ◀── 200 OK (CANCEL) ── │
        │                               │ ── ACK ──────────────▶ │
        │                               │ ── BYE ──────────────▶ │
        │                               │ ◀── 200 OK (BYE) ───── │
      """)
    #expect(call.state == .ended)
    scene.expectRest()
  }

  /// Our 200 to the caller crosses its CANCEL.
  @Test func cancelCrossesOurAnswer() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .answering(after: .milliseconds(2_000)) }
    let call = scene.alice.call("+441234", CallerScript().cancelling(after: .milliseconds(2_022)))
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north],
      """
      alice                   demarc                 north
        │ ── INVITE (SDP) ─────▶ │                     │
        │ ◀── 100 Trying ─────── │                     │
        │                        │ ── INVITE (SDP) ──▶ │
        │                        │ ◀── 100 Trying ──── │
        │                        │ ◀── 180 Ringing ─── │
        │ ◀── 180 Ringing ────── │                     │
        │                        │ ◀── 200 OK (SDP) ── │
        │ ── CANCEL ───────────▶ │                     │
        │ ◀── 200 OK (SDP) ───── │                     │
        │                        │ ── ACK ───────────▶ │
        │ ◀── 200 OK (CANCEL) ── │                     │
        │ ── ACK ──────────────▶ │                     │
        │ ── BYE ──────────────▶ │                     │
        │ ◀── 200 OK (BYE) ───── │                     │
        │                        │ ── BYE ───────────▶ │
        │                        │ ◀── 200 OK (BYE) ── │
      """)
    #expect(call.state == .ended)
    scene.expectRest()
  }

  /// The callee takes the call although it was cancelled: ACK and BYE (RFC 3261 §9.1, §15).
  @Test func calleeAnswersTheCancelled() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in
      .answering(after: .seconds(5)).with { $0.answersCancelled = true }
    }
    let call = scene.alice.call("+441234", CallerScript().cancelling(after: .seconds(3)))
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north],
      """
      alice                          demarc                    north
        │ ── INVITE (SDP) ────────────▶ │                        │
        │ ◀── 100 Trying ────────────── │                        │
        │                               │ ── INVITE (SDP) ─────▶ │
        │                               │ ◀── 100 Trying ─────── │
        │                               │ ◀── 180 Ringing ────── │
        │ ◀── 180 Ringing ───────────── │                        │
        │ ── CANCEL ──────────────────▶ │                        │
        │ ◀── 200 OK (CANCEL) ───────── │                        │
        │ ◀── 487 Request Terminated ── │                        │
        │                               │ ── CANCEL ───────────▶ │
        │ ── ACK ─────────────────────▶ │                        │
        │                               │ ◀── 200 OK (CANCEL) ── │
        │                               │ ◀── 200 OK (SDP) ───── │
        │                               │ ── ACK ──────────────▶ │
        │                               │ ── BYE ──────────────▶ │
        │                               │ ◀── 200 OK (BYE) ───── │
      """)
    #expect(call.ending == .cancelled)
    #expect(scene.north.calls.first?.ending == .hungUpThere)
    scene.expectRest()
  }

  /// A CANCEL before any provisional response of the callee waits for one (§9.1).
  @Test func cancelBeforeTheCalleeSaysAnything() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in
      CalleeScript().with {
        $0.trying = false
        $0.steps = [
          CalleeStep(after: .milliseconds(1_800), status: 180),
          CalleeStep(after: .seconds(9), status: 200, sdp: true),
        ]
      }
    }
    scene.alice.call("+441234", CallerScript().cancelling(after: .milliseconds(300)))
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north],
      """
      alice                          demarc                           north
        │ ── INVITE (SDP) ────────────▶ │                               │
        │ ◀── 100 Trying ────────────── │                               │
        │                               │ ── INVITE (SDP) ────────────▶ │
        │ ── CANCEL ──────────────────▶ │                               │
        │ ◀── 200 OK (CANCEL) ───────── │                               │
        │ ◀── 487 Request Terminated ── │                               │
        │ ── ACK ─────────────────────▶ │                               │
        │                               │ ── INVITE (SDP) ↻ ──────────▶ │
        │                               │ ── INVITE (SDP) ↻ ──────────▶ │
        │                               │ ◀── 180 Ringing ───────────── │
        │                               │ ── CANCEL ──────────────────▶ │
        │                               │ ◀── 200 OK (CANCEL) ───────── │
        │                               │ ◀── 487 Request Terminated ── │
        │                               │ ── ACK ─────────────────────▶ │
      """)
    scene.expectRest()
  }

  @Test func byesCross() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .answering().with { $0.hangUpAfter = .milliseconds(5_010) } }
    scene.alice.call("+441234", CallerScript().hangingUp(after: .milliseconds(5_000)))
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north],
      """
      alice                demarc                 north
        │ ── INVITE (SDP) ──▶ │                     │
        │ ◀── 100 Trying ──── │                     │
        │                     │ ── INVITE (SDP) ──▶ │
        │                     │ ◀── 100 Trying ──── │
        │                     │ ◀── 180 Ringing ─── │
        │ ◀── 180 Ringing ─── │                     │
        │                     │ ◀── 200 OK (SDP) ── │
        │ ◀── 200 OK (SDP) ── │                     │
        │                     │ ── ACK ───────────▶ │
        │ ── ACK ───────────▶ │                     │
        │ ── BYE ───────────▶ │                     │
        │                     │ ◀── BYE ─────────── │
        │ ◀── 200 OK (BYE) ── │                     │
        │                     │ ── BYE ───────────▶ │
        │                     │ ── 200 OK (BYE) ──▶ │
        │                     │ ◀── 200 OK (BYE) ── │
      """)
    #expect(scene.records.count == 1)
    scene.expectRest()
  }

  /// The callee hangs up before anybody acknowledged its answer.
  @Test func byeBeforeAck() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in
      .answering().with {
        $0.hangsUpUnacknowledged = true
        $0.hangUpAfter = .milliseconds(1)
      }
    }
    let call = scene.alice.call("+441234")
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north],
      """
      alice                demarc                 north
        │ ── INVITE (SDP) ──▶ │                     │
        │ ◀── 100 Trying ──── │                     │
        │                     │ ── INVITE (SDP) ──▶ │
        │                     │ ◀── 100 Trying ──── │
        │                     │ ◀── 180 Ringing ─── │
        │ ◀── 180 Ringing ─── │                     │
        │                     │ ◀── 200 OK (SDP) ── │
        │                     │ ◀── BYE ─────────── │
        │ ◀── 200 OK (SDP) ── │                     │
        │                     │ ── ACK ───────────▶ │
        │                     │ ── 200 OK (BYE) ──▶ │
        │ ── ACK ───────────▶ │                     │
        │ ◀── BYE ─────────── │                     │
        │ ── 200 OK (BYE) ──▶ │                     │
      """)
    #expect(call.ending == .hungUpThere)
    scene.expectRest()
  }

  /// Branches behind the carrier ring one after the other, and the second one answers.
  @Test func forkedEarlyDialogs() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in
      CalleeScript().with {
        $0.steps = [
          CalleeStep(after: .milliseconds(200), status: 183, fork: 1, sdp: true),
          CalleeStep(after: .milliseconds(400), status: 180, fork: 2),
          CalleeStep(after: .milliseconds(600), status: 183, fork: 3, sdp: true),
          CalleeStep(after: .seconds(3), status: 200, fork: 2, sdp: true),
        ]
        $0.hangUpAfter = .seconds(5)
      }
    }
    let call = scene.alice.call("+441234")
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north],
      """
      alice                              demarc                               north
        │ ── INVITE (SDP) ────────────────▶ │                                   │
        │ ◀── 100 Trying ────────────────── │                                   │
        │                                   │ ── INVITE (SDP) ────────────────▶ │
        │                                   │ ◀── 100 Trying ────────────────── │
        │                                   │ ◀── 183 Session Progress (SDP) ── │
        │ ◀── 183 Session Progress (SDP) ── │                                   │
        │                                   │ ◀── 180 Ringing ───────────────── │
        │ ◀── 180 Ringing ───────────────── │                                   │
        │                                   │ ◀── 183 Session Progress (SDP) ── │
        │ ◀── 183 Session Progress (SDP) ── │                                   │
        │                                   │ ◀── 200 OK (SDP) ──────────────── │
        │ ◀── 200 OK (SDP) ──────────────── │                                   │
        │                                   │ ── ACK ─────────────────────────▶ │
        │ ── ACK ─────────────────────────▶ │                                   │
        │                                   │ ◀── BYE ───────────────────────── │
        │                                   │ ── 200 OK (BYE) ────────────────▶ │
        │ ◀── BYE ───────────────────────── │                                   │
        │ ── 200 OK (BYE) ────────────────▶ │                                   │
      """)
    #expect(call.ending == .hungUpThere)
    scene.expectRest()
  }

  /// Two branches answer: the second is acknowledged and ended, the call lives on (§13.2.2.4).
  @Test func twoBranchesAnswer() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in
      .answering().with { $0.secondAnswerAfter = .milliseconds(300) }
    }
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(10)))
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north],
      """
      alice                demarc                 north
        │ ── INVITE (SDP) ──▶ │                     │
        │ ◀── 100 Trying ──── │                     │
        │                     │ ── INVITE (SDP) ──▶ │
        │                     │ ◀── 100 Trying ──── │
        │                     │ ◀── 180 Ringing ─── │
        │ ◀── 180 Ringing ─── │                     │
        │                     │ ◀── 200 OK (SDP) ── │
        │ ◀── 200 OK (SDP) ── │                     │
        │                     │ ── ACK ───────────▶ │
        │ ── ACK ───────────▶ │                     │
        │                     │ ◀── 200 OK (SDP) ── │
        │                     │ ── ACK ───────────▶ │
        │                     │ ── BYE ───────────▶ │
        │                     │ ◀── 200 OK (BYE) ── │
        │ ── BYE ───────────▶ │                     │
        │ ◀── 200 OK (BYE) ── │                     │
        │                     │ ── BYE ───────────▶ │
        │                     │ ◀── 200 OK (BYE) ── │
      """)
    #expect(call.ending == .hungUpHere)
    #expect(scene.north.calls.first?.secondAnswer?.ended == true)
    scene.expectRest()
  }

  /// The second branch answers when the call is over already: it is told so all the same.
  @Test func branchAnswersAfterTheEnd() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .answering().with { $0.secondAnswerAfter = .seconds(3) } }
    scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(1)))
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north],
      """
      alice                demarc                 north
        │ ── INVITE (SDP) ──▶ │                     │
        │ ◀── 100 Trying ──── │                     │
        │                     │ ── INVITE (SDP) ──▶ │
        │                     │ ◀── 100 Trying ──── │
        │                     │ ◀── 180 Ringing ─── │
        │ ◀── 180 Ringing ─── │                     │
        │                     │ ◀── 200 OK (SDP) ── │
        │ ◀── 200 OK (SDP) ── │                     │
        │                     │ ── ACK ───────────▶ │
        │ ── ACK ───────────▶ │                     │
        │ ── BYE ───────────▶ │                     │
        │ ◀── 200 OK (BYE) ── │                     │
        │                     │ ── BYE ───────────▶ │
        │                     │ ◀── 200 OK (BYE) ── │
        │                     │ ◀── 200 OK (SDP) ── │
        │                     │ ── ACK ───────────▶ │
        │                     │ ── BYE ───────────▶ │
        │                     │ ◀── 200 OK (BYE) ── │
      """)
    #expect(scene.north.calls.first?.secondAnswer?.ended == true)
    scene.expectRest()
  }

  /// Both sides offer at once: each gets 491, waits its own time, and then one after the other succeeds.
  @Test func glare() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in
      .answering().with { $0.reoffers = [Reoffer(after: .seconds(2), direction: .sendonly)] }
    }
    let call = scene.alice.call(
      "+441234",
      CallerScript().with {
        $0.reoffers = [Reoffer(after: .milliseconds(2_008), movesMedia: true)]
        $0.hangUpAfter = .seconds(20)
      })
    scene.finish()
    #expect(call.reoffersAnswered.last == 200)
    #expect(scene.north.calls.first?.reoffersAnswered.last == 200)
    #expect(call.reoffersAnswered.contains(491))
    scene.expectRest()
  }

  /// C5: the right Call-ID is not enough to end somebody's call.
  @Test func strangersCannotHangUp() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(30)))
    scene.world.run(for: .seconds(5))
    scene.carol.request("bye", method: "BYE", toTag: "wrong", callID: call.callID, cseq: 99_999)
    scene.carol.request(
      "offer", method: "INVITE", toTag: "wrong", callID: call.callID, cseq: 99_999)
    scene.world.run(for: .seconds(5))
    #expect(scene.carol.answers == ["bye": 481, "offer": 481])
    #expect(call.state == .answered)
    scene.finish()
    #expect(call.ending == .hungUpHere)
    // The answers return the Call-ID that carol quoted; it is alice's.
    scene.world.settle()
    #expect(scene.world.violations.allSatisfy { $0.rule == .canary })
  }
}
