import Base
import CallCore
import Policy
import Simulation
import Testing

/// What a lossy network makes of the basic call. Times are part of these ladders.
@Suite struct RetransmissionLadderTests {
  /// A scene that loses the first `count` messages which the condition names.
  private func scene(
    losing count: Int = 1, _ condition: @escaping (AgentMessage) -> Bool
  ) throws -> Scene {
    let scene = try Scene()
    scene.register(scene.alice)
    var left = count
    scene.world.network.loses = { message in
      guard left > 0, condition(message) else { return false }
      left -= 1
      return true
    }
    return scene
  }

  private func call(_ scene: Scene) {
    scene.north.onInvite = { _ in .answering(after: .seconds(1)) }
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(12)))
    scene.finish()
    #expect(call.ending == .hungUpHere)
    #expect(scene.records.count == 1)
  }

  @Test func lostInvite() throws {
    let scene = try scene(losing: 2) {
      $0.isRequest && $0.method == .invite && $0.user(.from) != "alice"
    }
    call(scene)
    expectLadder(
      scene, [scene.alice], [scene.north], times: true,
      """
      alice                demarc                     north
        │ ── INVITE (SDP) ──▶ │                         │       0.000
        │ ◀── 100 Trying ──── │                         │      +0.005
        │                     │ ── INVITE (SDP) ────✗   │      +0.014
        │                     │ ── INVITE (SDP) ↻ ──✗   │      +0.520
        │                     │ ── INVITE (SDP) ↻ ────▶ │      +1.520
        │                     │ ◀── 100 Trying ──────── │      +1.525
        │                     │ ◀── 180 Ringing ─────── │      +1.725
        │ ◀── 180 Ringing ─── │                         │      +1.730
        │                     │ ◀── 200 OK (SDP) ────── │      +2.525
        │ ◀── 200 OK (SDP) ── │                         │      +2.530
        │                     │ ── ACK ───────────────▶ │      +2.530
        │ ── ACK ───────────▶ │                         │      +2.535
        │ ── BYE ───────────▶ │                         │     +14.535
        │ ◀── 200 OK (BYE) ── │                         │     +14.540
        │                     │ ── BYE ───────────────▶ │     +14.540
        │                     │ ◀── 200 OK (BYE) ────── │     +14.545
      """)
    scene.expectRest()
  }

  /// The caller's 200 is lost three times: it is ours to repeat.
  @Test func lostAnswer() throws {
    let scene = try scene(losing: 3) {
      !$0.isRequest && $0.method == .invite && $0.status == 200 && $0.callID.hasPrefix("zq")
    }
    call(scene)
    expectLadder(
      scene, [scene.alice], [scene.north], times: true,
      """
      alice                    demarc                 north
        │ ── INVITE (SDP) ──────▶ │                     │       0.000
        │ ◀── 100 Trying ──────── │                     │      +0.005
        │                         │ ── INVITE (SDP) ──▶ │      +0.014
        │                         │ ◀── 100 Trying ──── │      +0.019
        │                         │ ◀── 180 Ringing ─── │      +0.219
        │ ◀── 180 Ringing ─────── │                     │      +0.224
        │                         │ ◀── 200 OK (SDP) ── │      +1.019
        │   ✗── 200 OK (SDP) ──── │                     │      +1.024
        │                         │ ── ACK ───────────▶ │      +1.024
        │   ✗── 200 OK (SDP) ↻ ── │                     │      +1.530
        │   ✗── 200 OK (SDP) ↻ ── │                     │      +2.530
        │ ◀── 200 OK (SDP) ↻ ──── │                     │      +4.530
        │ ── ACK ───────────────▶ │                     │      +4.535
        │ ── BYE ───────────────▶ │                     │     +16.535
        │ ◀── 200 OK (BYE) ────── │                     │     +16.540
        │                         │ ── BYE ───────────▶ │     +16.540
        │                         │ ◀── 200 OK (BYE) ── │     +16.545
      """)
    scene.expectRest()
  }

  @Test func lostAckOfTheCaller() throws {
    let scene = try scene(losing: 2) {
      $0.isRequest && $0.method == .ack && $0.callID.hasPrefix("zq")
    }
    call(scene)
    expectLadder(
      scene, [scene.alice], [scene.north], times: true,
      """
      alice                  demarc                 north
        │ ── INVITE (SDP) ────▶ │                     │       0.000
        │ ◀── 100 Trying ────── │                     │      +0.005
        │                       │ ── INVITE (SDP) ──▶ │      +0.014
        │                       │ ◀── 100 Trying ──── │      +0.019
        │                       │ ◀── 180 Ringing ─── │      +0.219
        │ ◀── 180 Ringing ───── │                     │      +0.224
        │                       │ ◀── 200 OK (SDP) ── │      +1.019
        │ ◀── 200 OK (SDP) ──── │                     │      +1.024
        │                       │ ── ACK ───────────▶ │      +1.024
        │ ── ACK ───────────✗   │                     │      +1.029
        │ ◀── 200 OK (SDP) ↻ ── │                     │      +1.530
        │ ── ACK ↻ ─────────✗   │                     │      +1.535
        │ ◀── 200 OK (SDP) ↻ ── │                     │      +2.530
        │ ── ACK ↻ ───────────▶ │                     │      +2.535
        │ ── BYE ─────────────▶ │                     │     +13.029
        │ ◀── 200 OK (BYE) ──── │                     │     +13.034
        │                       │ ── BYE ───────────▶ │     +13.034
        │                       │ ◀── 200 OK (BYE) ── │     +13.039
      """)
    scene.expectRest()
  }

  @Test func lostAckOfOurs() throws {
    let scene = try scene(losing: 2) {
      $0.isRequest && $0.method == .ack && !$0.callID.hasPrefix("zq")
    }
    call(scene)
    expectLadder(
      scene, [scene.alice], [scene.north], times: true,
      """
      alice                demarc                   north
        │ ── INVITE (SDP) ──▶ │                       │       0.000
        │ ◀── 100 Trying ──── │                       │      +0.005
        │                     │ ── INVITE (SDP) ────▶ │      +0.014
        │                     │ ◀── 100 Trying ────── │      +0.019
        │                     │ ◀── 180 Ringing ───── │      +0.219
        │ ◀── 180 Ringing ─── │                       │      +0.224
        │                     │ ◀── 200 OK (SDP) ──── │      +1.019
        │ ◀── 200 OK (SDP) ── │                       │      +1.024
        │                     │ ── ACK ───────────✗   │      +1.024
        │ ── ACK ───────────▶ │                       │      +1.029
        │                     │ ◀── 200 OK (SDP) ↻ ── │      +1.519
        │                     │ ── ACK ↻ ─────────✗   │      +1.524
        │                     │ ◀── 200 OK (SDP) ↻ ── │      +2.519
        │                     │ ── ACK ↻ ───────────▶ │      +2.524
        │ ── BYE ───────────▶ │                       │     +13.029
        │ ◀── 200 OK (BYE) ── │                       │     +13.034
        │                     │ ── BYE ─────────────▶ │     +13.034
        │                     │ ◀── 200 OK (BYE) ──── │     +13.039
      """)
    scene.expectRest()
  }

  @Test func lostBye() throws {
    let scene = try scene(losing: 4) { $0.method == .bye }
    call(scene)
    expectLadder(
      scene, [scene.alice], [scene.north], times: true,
      """
      alice                demarc                 north
        │ ── INVITE (SDP) ──▶ │                     │       0.000
        │ ◀── 100 Trying ──── │                     │      +0.005
        │                     │ ── INVITE (SDP) ──▶ │      +0.014
        │                     │ ◀── 100 Trying ──── │      +0.019
        │                     │ ◀── 180 Ringing ─── │      +0.219
        │ ◀── 180 Ringing ─── │                     │      +0.224
        │                     │ ◀── 200 OK (SDP) ── │      +1.019
        │ ◀── 200 OK (SDP) ── │                     │      +1.024
        │                     │ ── ACK ───────────▶ │      +1.024
        │ ── ACK ───────────▶ │                     │      +1.029
        │ ── BYE ─────────✗   │                     │     +13.029
        │ ── BYE ↻ ───────✗   │                     │     +13.529
        │ ── BYE ↻ ───────✗   │                     │     +14.529
        │ ── BYE ↻ ───────✗   │                     │     +16.529
        │ ── BYE ↻ ─────────▶ │                     │     +20.529
        │ ◀── 200 OK (BYE) ── │                     │     +20.534
        │                     │ ── BYE ───────────▶ │     +20.534
        │                     │ ◀── 200 OK (BYE) ── │     +20.539
      """)
    scene.expectRest()
  }

  /// The refusal is ours to repeat until the caller acknowledges it (§17.2.1, timer G).
  @Test func lostRefusal() throws {
    let scene = try scene(losing: 3) {
      !$0.isRequest && $0.status == 486 && $0.callID.hasPrefix("zq")
    }
    scene.north.onInvite = { _ in .refusing(486) }
    scene.alice.call("+441234")
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north], times: true,
      """
      alice                     demarc                  north
        │ ── INVITE (SDP) ───────▶ │                      │       0.000
        │ ◀── 100 Trying ───────── │                      │      +0.005
        │                          │ ── INVITE (SDP) ───▶ │      +0.014
        │                          │ ◀── 100 Trying ───── │      +0.019
        │                          │ ◀── 486 Busy Here ── │      +0.319
        │                          │ ── ACK ────────────▶ │      +0.324
        │   ✗── 486 Busy Here ──── │                      │      +0.324
        │   ✗── 486 Busy Here ↻ ── │                      │      +0.830
        │   ✗── 486 Busy Here ↻ ── │                      │      +1.830
        │ ◀── 486 Busy Here ↻ ──── │                      │      +3.830
        │ ── ACK ────────────────▶ │                      │      +3.835
      """)
    scene.expectRest()
  }

  /// §13.3.1.4: no ACK within 64·T1 ends the call on both sides.
  @Test func callerNeverAcknowledges() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    let call = scene.alice.call("+441234", CallerScript().with { $0.ack = .never })
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north], times: true,
      """
      alice                  demarc                 north
        │ ── INVITE (SDP) ────▶ │                     │       0.000
        │ ◀── 100 Trying ────── │                     │      +0.005
        │                       │ ── INVITE (SDP) ──▶ │      +0.014
        │                       │ ◀── 100 Trying ──── │      +0.019
        │                       │ ◀── 180 Ringing ─── │      +0.219
        │ ◀── 180 Ringing ───── │                     │      +0.224
        │                       │ ◀── 200 OK (SDP) ── │      +2.019
        │ ◀── 200 OK (SDP) ──── │                     │      +2.024
        │                       │ ── ACK ───────────▶ │      +2.024
        │ ◀── 200 OK (SDP) ↻ ── │                     │      +2.530
        │ ◀── 200 OK (SDP) ↻ ── │                     │      +3.530
        │ ◀── 200 OK (SDP) ↻ ── │                     │      +5.530
        │ ◀── 200 OK (SDP) ↻ ── │                     │      +9.530
        │ ◀── 200 OK (SDP) ↻ ── │                     │     +13.530
        │ ◀── 200 OK (SDP) ↻ ── │                     │     +17.530
        │ ◀── 200 OK (SDP) ↻ ── │                     │     +21.530
        │ ◀── 200 OK (SDP) ↻ ── │                     │     +25.530
        │ ◀── 200 OK (SDP) ↻ ── │                     │     +29.530
        │ ◀── 200 OK (SDP) ↻ ── │                     │     +33.530
        │ ◀── BYE ───────────── │                     │     +34.030
        │                       │ ── BYE ───────────▶ │     +34.030
        │ ── 200 OK (BYE) ────▶ │                     │     +34.035
        │                       │ ◀── 200 OK (BYE) ── │     +34.035
      """)
    #expect(call.ending == .hungUpThere)
    #expect(scene.records.map(\.cause) == [.acknowledgementMissing])
    scene.expectRest()
  }

  /// Nobody answers our BYE: after 64·T1 it is over anyway.
  @Test func calleeDies() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .answering().with { $0.dieAfter = .seconds(4) } }
    scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(5)))
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north], times: true,
      """
      alice                demarc                 north
        │ ── INVITE (SDP) ──▶ │                     │       0.000
        │ ◀── 100 Trying ──── │                     │      +0.005
        │                     │ ── INVITE (SDP) ──▶ │      +0.014
        │                     │ ◀── 100 Trying ──── │      +0.019
        │                     │ ◀── 180 Ringing ─── │      +0.219
        │ ◀── 180 Ringing ─── │                     │      +0.224
        │                     │ ◀── 200 OK (SDP) ── │      +2.019
        │ ◀── 200 OK (SDP) ── │                     │      +2.024
        │                     │ ── ACK ───────────▶ │      +2.024
        │ ── ACK ───────────▶ │                     │      +2.029
        │ ── BYE ───────────▶ │                     │      +7.029
        │ ◀── 200 OK (BYE) ── │                     │      +7.034
        │                     │ ── BYE ───────────▶ │      +7.034
        │                     │ ── BYE ↻ ─────────▶ │      +7.540
        │                     │ ── BYE ↻ ─────────▶ │      +8.540
        │                     │ ── BYE ↻ ─────────▶ │     +10.540
        │                     │ ── BYE ↻ ─────────▶ │     +14.540
        │                     │ ── BYE ↻ ─────────▶ │     +18.540
        │                     │ ── BYE ↻ ─────────▶ │     +22.540
        │                     │ ── BYE ↻ ─────────▶ │     +26.540
        │                     │ ── BYE ↻ ─────────▶ │     +30.540
        │                     │ ── BYE ↻ ─────────▶ │     +34.540
        │                     │ ── BYE ↻ ─────────▶ │     +38.540
      """)
    scene.expectRest()
  }

  /// The refusal of a re-INVITE is lost: its copy is refused the same way, though by then it could pass.
  @Test func lostRefusalOfAReoffer() throws {
    let scene = try scene(losing: 2) { !$0.isRequest && $0.status == 491 }
    scene.north.onInvite = { _ in
      .answering().with { $0.reoffers = [Reoffer(after: .seconds(2), direction: .sendonly)] }
    }
    let call = scene.alice.call(
      "+441234",
      CallerScript().with {
        $0.reoffers = [Reoffer(after: .milliseconds(2_004), movesMedia: true)]
        $0.hangUpAfter = .seconds(20)
      })
    scene.finish()
    #expect(call.reoffersAnswered.last == 200)
    scene.expectRest()
  }

  /// An ACK for an earlier INVITE of the dialog does not end the repeating of a later one's answer.
  @Test func lateAckOfAnEarlierReoffer() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    let call = scene.alice.call(
      "+441234",
      CallerScript().with {
        $0.reoffers = [Reoffer(after: .seconds(2)), Reoffer(after: .seconds(4))]
        $0.hangUpAfter = .seconds(20)
      })
    scene.world.run(for: .milliseconds(5_500))
    let acks = scene.world.trace.entries.filter {
      $0.callID == call.callID && $0.bytes.starts(with: Array("ACK".utf8))
    }
    let earlier = try #require(acks.last).bytes
    let number = try AgentMessage(earlier).cseq
    var left = 3
    scene.world.network.loses = { message in
      guard message.method == .ack, message.isRequest, message.callID == call.callID,
        message.cseq > number, left > 0
      else { return false }
      left -= 1
      return true
    }
    scene.world.run(for: .milliseconds(560))
    let since = scene.world.now
    scene.alice.sendRaw(earlier)
    scene.finish()
    let copies = scene.world.trace.entries.filter {
      $0.callID == call.callID && $0.at > since && $0.to == scene.alice.address
        && (try? AgentMessage($0.bytes))?.method == .invite
    }
    #expect(acks.count == 2 && copies.count == 3)
    #expect(call.ending == .hungUpHere && call.reoffersAnswered == [200, 200])
    scene.expectRest()
  }

  /// Nobody is waiting any more when the callee speaks for the first time: ACK and BYE all the same.
  @Test func answerAfterEverything() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in
      CalleeScript().with {
        $0.trying = false
        $0.steps = [CalleeStep(after: .seconds(40), status: 200, sdp: true)]
      }
    }
    scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(5)))
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north, scene.south], times: true,
      """
      alice                demarc                     north                 south
        │ ── INVITE (SDP) ──▶ │                         │                     │       0.000
        │ ◀── 100 Trying ──── │                         │                     │      +0.005
        │                     │ ── INVITE (SDP) ──────▶ │                     │      +0.014
        │                     │ ── INVITE (SDP) ↻ ────▶ │                     │      +0.520
        │                     │ ── INVITE (SDP) ↻ ────▶ │                     │      +1.520
        │                     │ ── OPTIONS ───────────▶ │                     │      +2.020
        │                     │ ── INVITE (SDP) ────────────────────────────▶ │      +2.020
        │                     │ ◀── 200 OK (OPTIONS) ── │                     │      +2.025
        │                     │ ◀── 100 Trying ────────────────────────────── │      +2.025
        │                     │ ◀── 180 Ringing ───────────────────────────── │      +2.225
        │ ◀── 180 Ringing ─── │                         │                     │      +2.230
        │                     │ ── INVITE (SDP) ↻ ────▶ │                     │      +3.520
        │                     │ ◀── 200 OK (SDP) ──────────────────────────── │      +4.025
        │ ◀── 200 OK (SDP) ── │                         │                     │      +4.030
        │                     │ ── ACK ─────────────────────────────────────▶ │      +4.030
        │ ── ACK ───────────▶ │                         │                     │      +4.035
        │                     │ ── INVITE (SDP) ↻ ────▶ │                     │      +7.520
        │ ── BYE ───────────▶ │                         │                     │      +9.035
        │ ◀── 200 OK (BYE) ── │                         │                     │      +9.040
        │                     │ ── BYE ─────────────────────────────────────▶ │      +9.040
        │                     │ ◀── 200 OK (BYE) ──────────────────────────── │      +9.045
        │                     │ ── INVITE (SDP) ↻ ────▶ │                     │     +15.520
        │                     │ ◀── 200 OK (SDP) ────── │                     │     +40.019
        │                     │ ── ACK ───────────────▶ │                     │     +40.024
        │                     │ ── BYE ───────────────▶ │                     │     +40.024
        │                     │ ◀── 200 OK (BYE) ────── │                     │     +40.029
      """)
    #expect(scene.north.calls.first?.ending == .hungUpThere)
    scene.expectRest()
  }

  /// Each datagram comes twice: nothing happens twice.
  @Test func everythingDoubled() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.world.network.setLinks(
      LinkQuality(duplication: 1, delay: .milliseconds(5), jitter: .milliseconds(4)))
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(3)))
    scene.finish()
    #expect(call.ending == .hungUpHere)
    #expect(scene.north.calls.count == 1 && scene.records.count == 1)
    scene.expectRest()
  }
}
