import Base
import CallCore
import Policy
import Simulation
import Testing

/// RFC 3665 §3 through a B2BUA: each flow of the RFC that concerns a trunk, from both its sides.
@Suite struct BasicCallLadderTests {
  /// §3.1 Successful session establishment, and §3.3's challenges on the caller's side.
  @Test func phoneCallsCarrier() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.alice.challenge = nil
    scene.north.onInvite = { _ in .answering(after: .seconds(3)) }
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(10)))
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north],
      """
      alice                    demarc                 north
        │ ── INVITE (SDP) ──────▶ │                     │
        │ ◀── 401 Unauthorized ── │                     │
        │ ── ACK ───────────────▶ │                     │
        │ ── INVITE (SDP) ──────▶ │                     │
        │ ◀── 100 Trying ──────── │                     │
        │                         │ ── INVITE (SDP) ──▶ │
        │                         │ ◀── 100 Trying ──── │
        │                         │ ◀── 180 Ringing ─── │
        │ ◀── 180 Ringing ─────── │                     │
        │                         │ ◀── 200 OK (SDP) ── │
        │ ◀── 200 OK (SDP) ────── │                     │
        │                         │ ── ACK ───────────▶ │
        │ ── ACK ───────────────▶ │                     │
        │ ── BYE ───────────────▶ │                     │
        │ ◀── 200 OK (BYE) ────── │                     │
        │                         │ ── BYE ───────────▶ │
        │                         │ ◀── 200 OK (BYE) ── │
      """)
    #expect(call.ending == .hungUpHere)
    let record = try #require(scene.records.first)
    #expect(record.releasedBy == .caller && record.cause == .normalClearing && record.status == 200)
    #expect(record.from == "user:alice" && record.calledNumber == "+441234")
    #expect(scene.records.count == 1)
    scene.expectRest()
  }

  /// §3.1 the other way: a carrier calls a number of ours, the phone hangs up.
  @Test func carrierCallsPhone() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.alice.onInvite = { _ in .answering().with { $0.hangUpAfter = .seconds(5) } }
    scene.north.call("+493010")
    scene.finish()
    expectLadder(
      scene, [scene.north], [scene.alice],
      """
      north                demarc                 alice
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
        │                     │ ◀── BYE ─────────── │
        │                     │ ── 200 OK (BYE) ──▶ │
        │ ◀── BYE ─────────── │                     │
        │ ── 200 OK (BYE) ──▶ │                     │
      """)
    let record = try #require(scene.records.first)
    #expect(
      record.releasedBy == .callee && record.from == "trunk:north" && record.to == "user:alice")
    scene.expectRest()
  }

  /// §3.3: the carrier asks for our credentials.
  @Test func carrierChallengesUs() throws {
    var resources = Scene.resources()
    resources.trunks[0].credentials = Credentials(username: "demarc", password: "north")
    let scene = try Scene(Scene.settings(resources: resources))
    scene.north.demands = resources.trunks[0].credentials
    scene.register(scene.alice)
    scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(2)))
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north],
      """
      alice                demarc                                      north
        │ ── INVITE (SDP) ──▶ │                                          │
        │ ◀── 100 Trying ──── │                                          │
        │                     │ ── INVITE (SDP) ───────────────────────▶ │
        │                     │ ◀── 407 Proxy Authentication Required ── │
        │                     │ ── ACK ────────────────────────────────▶ │
        │                     │ ── INVITE (SDP) ───────────────────────▶ │
        │                     │ ◀── 100 Trying ───────────────────────── │
        │                     │ ◀── 180 Ringing ──────────────────────── │
        │ ◀── 180 Ringing ─── │                                          │
        │                     │ ◀── 200 OK (SDP) ─────────────────────── │
        │ ◀── 200 OK (SDP) ── │                                          │
        │                     │ ── ACK ────────────────────────────────▶ │
        │ ── ACK ───────────▶ │                                          │
        │ ── BYE ───────────▶ │                                          │
        │ ◀── 200 OK (BYE) ── │                                          │
        │                     │ ── BYE ────────────────────────────────▶ │
        │                     │ ◀── 200 OK (BYE) ─────────────────────── │
      """)
    scene.expectRest()
  }

  /// A nonce of the carrier's grows stale between challenge and answer: once more, with the new one.
  @Test func carrierFindsOurNonceStale() throws {
    var resources = Scene.resources()
    resources.trunks[0].credentials = Credentials(username: "demarc", password: "north")
    let scene = try Scene(Scene.settings(resources: resources))
    scene.north.demands = resources.trunks[0].credentials
    scene.north.stalesNext = true
    scene.register(scene.alice)
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(2)))
    scene.finish()
    #expect(call.ending == .hungUpHere)
    scene.expectRest()
  }

  /// RELIABILITY C6: a carrier that never accepts the password is not asked for ever.
  @Test func carrierNeverAcceptsOurPassword() throws {
    var resources = Scene.resources()
    resources.trunks[0].credentials = Credentials(username: "demarc", password: "wrong")
    resources.routes[0].carriers.removeLast()
    let scene = try Scene(Scene.settings(resources: resources))
    scene.north.demands = Credentials(username: "demarc", password: "right")
    scene.register(scene.alice)
    let call = scene.alice.call("+441234")
    scene.finish()
    #expect(call.ending != nil)
    let invites = scene.world.trace.entries.filter {
      $0.to == scene.north.address && $0.bytes.starts(with: Array("INVITE".utf8)) && !$0.lost
    }
    #expect(invites.count <= 3)
    scene.expectRest()
  }

  /// §3.4 Successful session with proxy failure: the first carrier says nothing.
  @Test func silentCarrierGivesWayToTheNext() throws {
    let scene = try Scene(Scene.settings(resources: Self.unprobed()))
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .dead }
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(10)))
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north, scene.south], times: true,
      """
      alice                demarc                   north                 south
        │ ── INVITE (SDP) ──▶ │                       │                     │       0.000
        │ ◀── 100 Trying ──── │                       │                     │      +0.005
        │                     │ ── INVITE (SDP) ────▶ │                     │      +0.014
        │                     │ ── INVITE (SDP) ↻ ──▶ │                     │      +0.520
        │                     │ ── INVITE (SDP) ↻ ──▶ │                     │      +1.520
        │                     │ ── INVITE (SDP) ──────────────────────────▶ │      +2.020
        │                     │ ◀── 100 Trying ──────────────────────────── │      +2.025
        │                     │ ◀── 180 Ringing ─────────────────────────── │      +2.225
        │ ◀── 180 Ringing ─── │                       │                     │      +2.230
        │                     │ ── INVITE (SDP) ↻ ──▶ │                     │      +3.520
        │                     │ ◀── 200 OK (SDP) ────────────────────────── │      +4.025
        │ ◀── 200 OK (SDP) ── │                       │                     │      +4.030
        │                     │ ── ACK ───────────────────────────────────▶ │      +4.030
        │ ── ACK ───────────▶ │                       │                     │      +4.035
        │                     │ ── INVITE (SDP) ↻ ──▶ │                     │      +7.520
        │ ── BYE ───────────▶ │                       │                     │     +14.035
        │ ◀── 200 OK (BYE) ── │                       │                     │     +14.040
        │                     │ ── BYE ───────────────────────────────────▶ │     +14.040
        │                     │ ◀── 200 OK (BYE) ────────────────────────── │     +14.045
        │                     │ ── INVITE (SDP) ↻ ──▶ │                     │     +15.520
      """)
    #expect(call.ending == .hungUpHere)
    let attempts = try #require(scene.records.first).attempts
    #expect(attempts.map(\.cause) == [.carrierTimeout, nil])
    scene.expectRest()
  }

  /// The first carrier is full.
  @Test func unavailableCarrierGivesWayToTheNext() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .refusing(503, after: .milliseconds(40)) }
    scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(3)))
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north, scene.south],
      """
      alice                demarc                            north                 south
        │ ── INVITE (SDP) ──▶ │                                │                     │
        │ ◀── 100 Trying ──── │                                │                     │
        │                     │ ── INVITE (SDP) ─────────────▶ │                     │
        │                     │ ◀── 100 Trying ─────────────── │                     │
        │                     │ ◀── 503 Service Unavailable ── │                     │
        │                     │ ── ACK ──────────────────────▶ │                     │
        │                     │ ── INVITE (SDP) ───────────────────────────────────▶ │
        │                     │ ◀── 100 Trying ───────────────────────────────────── │
        │                     │ ◀── 180 Ringing ──────────────────────────────────── │
        │ ◀── 180 Ringing ─── │                                │                     │
        │                     │ ◀── 200 OK (SDP) ─────────────────────────────────── │
        │ ◀── 200 OK (SDP) ── │                                │                     │
        │                     │ ── ACK ────────────────────────────────────────────▶ │
        │ ── ACK ───────────▶ │                                │                     │
        │ ── BYE ───────────▶ │                                │                     │
        │ ◀── 200 OK (BYE) ── │                                │                     │
        │                     │ ── BYE ────────────────────────────────────────────▶ │
        │                     │ ◀── 200 OK (BYE) ─────────────────────────────────── │
      """)
    scene.expectRest()
  }

  /// A carrier that comes back to life after it was given up: its late answer is acknowledged and ended.
  @Test func lateAnswerOfAnAbandonedCarrier() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in
      CalleeScript().with {
        $0.steps = [CalleeStep(after: .seconds(9), status: 200, sdp: true)]
        $0.answersCancelled = true
      }
    }
    scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(20)))
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north, scene.south],
      """
      alice                demarc                    north                 south
        │ ── INVITE (SDP) ──▶ │                        │                     │
        │ ◀── 100 Trying ──── │                        │                     │
        │                     │ ── INVITE (SDP) ─────▶ │                     │
        │                     │ ◀── 100 Trying ─────── │                     │
        │                     │ ── CANCEL ───────────▶ │                     │
        │                     │ ── INVITE (SDP) ───────────────────────────▶ │
        │                     │ ◀── 200 OK (CANCEL) ── │                     │
        │                     │ ◀── 100 Trying ───────────────────────────── │
        │                     │ ◀── 180 Ringing ──────────────────────────── │
        │ ◀── 180 Ringing ─── │                        │                     │
        │                     │ ◀── 200 OK (SDP) ─────────────────────────── │
        │ ◀── 200 OK (SDP) ── │                        │                     │
        │                     │ ── ACK ────────────────────────────────────▶ │
        │ ── ACK ───────────▶ │                        │                     │
        │                     │ ◀── 200 OK (SDP) ───── │                     │
        │                     │ ── ACK ──────────────▶ │                     │
        │                     │ ── BYE ──────────────▶ │                     │
        │                     │ ◀── 200 OK (BYE) ───── │                     │
        │ ── BYE ───────────▶ │                        │                     │
        │ ◀── 200 OK (BYE) ── │                        │                     │
        │                     │ ── BYE ────────────────────────────────────▶ │
        │                     │ ◀── 200 OK (BYE) ─────────────────────────── │
      """)
    scene.expectRest()
  }

  /// §3.6's SDP in the ACK: the caller offers nothing, the callee's offer is answered in the ACK.
  @Test func offerInTheAnswer() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.alice.call(
      "+441234",
      CallerScript().with {
        $0.delayedOffer = true
        $0.hangUpAfter = .seconds(3)
      })
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north],
      """
      alice                demarc                 north
        │ ── INVITE ────────▶ │                     │
        │ ◀── 100 Trying ──── │                     │
        │                     │ ── INVITE ────────▶ │
        │                     │ ◀── 100 Trying ──── │
        │                     │ ◀── 180 Ringing ─── │
        │ ◀── 180 Ringing ─── │                     │
        │                     │ ◀── 200 OK (SDP) ── │
        │ ◀── 200 OK (SDP) ── │                     │
        │ ── ACK (SDP) ─────▶ │                     │
        │                     │ ── ACK (SDP) ─────▶ │
        │ ── BYE ───────────▶ │                     │
        │ ◀── 200 OK (BYE) ── │                     │
        │                     │ ── BYE ───────────▶ │
        │                     │ ◀── 200 OK (BYE) ── │
      """)
    #expect(scene.north.calls.first?.remoteMedia != nil)
    scene.expectRest()
  }

  /// §3.7 Session with re-INVITE (IP address change).
  @Test func callerMovesItsMedia() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.alice.call(
      "+441234",
      CallerScript().with {
        $0.reoffers = [Reoffer(after: .seconds(4), movesMedia: true)]
        $0.hangUpAfter = .seconds(8)
      })
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
        │ ── INVITE (SDP) ──▶ │                     │
        │ ◀── 100 Trying ──── │                     │
        │                     │ ── INVITE (SDP) ──▶ │
        │                     │ ◀── 200 OK (SDP) ── │
        │ ◀── 200 OK (SDP) ── │                     │
        │                     │ ── ACK ───────────▶ │
        │ ── ACK ───────────▶ │                     │
        │ ── BYE ───────────▶ │                     │
        │ ◀── 200 OK (BYE) ── │                     │
        │                     │ ── BYE ───────────▶ │
        │                     │ ◀── 200 OK (BYE) ── │
      """)
    scene.expectRest()
  }

  @Test func calleeHoldsAndResumes() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in
      .answering().with {
        $0.reoffers = [
          Reoffer(after: .seconds(2), direction: .sendonly), Reoffer(after: .seconds(90)),
        ]
        $0.hangUpAfter = .seconds(100)
      }
    }
    let call = scene.alice.call("+441234")
    scene.world.run(for: .seconds(10))
    #expect(call.remoteDirection == .sendonly)
    scene.world.run(for: .seconds(85))
    #expect(call.remoteDirection == .sendrecv)
    scene.finish()
    #expect(scene.north.calls.first?.reoffersAnswered == [200, 200])
    #expect(call.ending == .hungUpThere)
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
        │                     │ ◀── INVITE (SDP) ── │
        │                     │ ── 100 Trying ────▶ │
        │ ◀── INVITE (SDP) ── │                     │
        │ ── 200 OK (SDP) ──▶ │                     │
        │                     │ ── 200 OK (SDP) ──▶ │
        │ ◀── ACK ─────────── │                     │
        │                     │ ◀── ACK ─────────── │
        │                     │ ◀── INVITE (SDP) ── │
        │                     │ ── 100 Trying ────▶ │
        │ ◀── INVITE (SDP) ── │                     │
        │ ── 200 OK (SDP) ──▶ │                     │
        │                     │ ── 200 OK (SDP) ──▶ │
        │ ◀── ACK ─────────── │                     │
        │                     │ ◀── ACK ─────────── │
        │                     │ ◀── BYE ─────────── │
        │                     │ ── 200 OK (BYE) ──▶ │
        │ ◀── BYE ─────────── │                     │
        │ ── 200 OK (BYE) ──▶ │                     │
      """)
    scene.expectRest()
  }

  /// §3.8 Unsuccessful no answer: the caller gives up.
  @Test func callerGivesUp() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .ringingOnly() }
    let call = scene.alice.call("+441234", CallerScript().cancelling(after: .seconds(20)))
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north],
      """
      alice                          demarc                           north
        │ ── INVITE (SDP) ────────────▶ │                               │
        │ ◀── 100 Trying ────────────── │                               │
        │                               │ ── INVITE (SDP) ────────────▶ │
        │                               │ ◀── 100 Trying ────────────── │
        │                               │ ◀── 180 Ringing ───────────── │
        │ ◀── 180 Ringing ───────────── │                               │
        │ ── CANCEL ──────────────────▶ │                               │
        │ ◀── 200 OK (CANCEL) ───────── │                               │
        │ ◀── 487 Request Terminated ── │                               │
        │                               │ ── CANCEL ──────────────────▶ │
        │ ── ACK ─────────────────────▶ │                               │
        │                               │ ◀── 200 OK (CANCEL) ───────── │
        │                               │ ◀── 487 Request Terminated ── │
        │                               │ ── ACK ─────────────────────▶ │
      """)
    #expect(call.ending == .cancelled)
    let record = try #require(scene.records.first)
    #expect(record.cause == .cancelled && record.releasedBy == .caller && record.status == 487)
    scene.expectRest()
  }

  /// §3.9 Unsuccessful busy.
  @Test func calleeIsBusy() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .refusing(486) }
    scene.alice.call("+441234")
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north],
      """
      alice                 demarc                  north
        │ ── INVITE (SDP) ───▶ │                      │
        │ ◀── 100 Trying ───── │                      │
        │                      │ ── INVITE (SDP) ───▶ │
        │                      │ ◀── 100 Trying ───── │
        │                      │ ◀── 486 Busy Here ── │
        │                      │ ── ACK ────────────▶ │
        │ ◀── 486 Busy Here ── │                      │
        │ ── ACK ────────────▶ │                      │
      """)
    #expect(scene.records.map(\.cause) == [.busy])
    scene.expectRest()
  }

  /// Without the OPTIONS that a silent target gets, which are not what these ladders are about.
  private static func unprobed() -> Resources {
    var resources = Scene.resources()
    for i in resources.trunks.indices { resources.trunks[i].probe.enabled = false }
    return resources
  }

  /// §3.10 Unsuccessful no response from user agent: neither carrier says anything.
  @Test func nobodyResponds() throws {
    let scene = try Scene(Scene.settings(resources: Self.unprobed()))
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .dead }
    scene.south.onInvite = { _ in .dead }
    scene.alice.call("+441234")
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north, scene.south], times: true,
      """
      alice                           demarc                   north                 south
        │ ── INVITE (SDP) ─────────────▶ │                       │                     │       0.000
        │ ◀── 100 Trying ─────────────── │                       │                     │      +0.005
        │                                │ ── INVITE (SDP) ────▶ │                     │      +0.014
        │                                │ ── INVITE (SDP) ↻ ──▶ │                     │      +0.520
        │                                │ ── INVITE (SDP) ↻ ──▶ │                     │      +1.520
        │                                │ ── INVITE (SDP) ──────────────────────────▶ │      +2.020
        │                                │ ── INVITE (SDP) ↻ ────────────────────────▶ │      +2.520
        │                                │ ── INVITE (SDP) ↻ ──▶ │                     │      +3.520
        │                                │ ── INVITE (SDP) ↻ ────────────────────────▶ │      +3.520
        │                                │ ── INVITE (SDP) ↻ ────────────────────────▶ │      +5.520
        │ ◀── 503 Service Unavailable ── │                       │                     │      +7.020
        │ ── ACK ──────────────────────▶ │                       │                     │      +7.025
        │                                │ ── INVITE (SDP) ↻ ──▶ │                     │      +7.520
        │                                │ ── INVITE (SDP) ↻ ────────────────────────▶ │      +9.520
        │                                │ ── INVITE (SDP) ↻ ──▶ │                     │     +15.520
        │                                │ ── INVITE (SDP) ↻ ────────────────────────▶ │     +17.520
      """)
    scene.expectRest()
  }

  /// §3.11 Unsuccessful temporarily unavailable.
  @Test func calleeIsTemporarilyUnavailable() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in
      CalleeScript().with {
        $0.steps = [
          CalleeStep(after: .milliseconds(200), status: 180),
          CalleeStep(after: .seconds(4), status: 480),
        ]
      }
    }
    scene.alice.call("+441234")
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north],
      """
      alice                               demarc                                north
        │ ── INVITE (SDP) ─────────────────▶ │                                    │
        │ ◀── 100 Trying ─────────────────── │                                    │
        │                                    │ ── INVITE (SDP) ─────────────────▶ │
        │                                    │ ◀── 100 Trying ─────────────────── │
        │                                    │ ◀── 180 Ringing ────────────────── │
        │ ◀── 180 Ringing ────────────────── │                                    │
        │                                    │ ◀── 480 Temporarily Unavailable ── │
        │                                    │ ── ACK ──────────────────────────▶ │
        │ ◀── 480 Temporarily Unavailable ── │                                    │
        │ ── ACK ──────────────────────────▶ │                                    │
      """)
    scene.expectRest()
  }

  /// Both rings run out: the DID's chain goes from alice to bob, and then the caller hears 480.
  @Test func nobodyAnswers() throws {
    let scene = try Scene()
    scene.register(scene.alice, scene.bob)
    scene.alice.onInvite = { _ in .ringingOnly() }
    scene.bob.onInvite = { _ in .ringingOnly() }
    scene.north.call("+493010")
    scene.finish()
    expectLadder(
      scene, [scene.north], [scene.alice, scene.bob], times: true,
      """
      north                               demarc                           alice                  bob
        │ ── INVITE (SDP) ─────────────────▶ │                               │                     │       0.000
        │ ◀── 100 Trying ─────────────────── │                               │                     │      +0.005
        │                                    │ ── INVITE (SDP) ────────────▶ │                     │      +0.010
        │                                    │ ◀── 100 Trying ────────────── │                     │      +0.015
        │                                    │ ◀── 180 Ringing ───────────── │                     │      +0.215
        │ ◀── 180 Ringing ────────────────── │                               │                     │      +0.220
        │                                    │ ── CANCEL ──────────────────▶ │                     │     +10.020
        │                                    │ ── INVITE (SDP) ──────────────────────────────────▶ │     +10.020
        │                                    │ ◀── 200 OK (CANCEL) ───────── │                     │     +10.025
        │                                    │ ◀── 487 Request Terminated ── │                     │     +10.025
        │                                    │ ◀── 100 Trying ──────────────────────────────────── │     +10.025
        │                                    │ ── ACK ─────────────────────▶ │                     │     +10.030
        │                                    │ ◀── 180 Ringing ─────────────────────────────────── │     +10.225
        │ ◀── 180 Ringing ────────────────── │                               │                     │     +10.230
        │                                    │ ── CANCEL ────────────────────────────────────────▶ │     +30.020
        │ ◀── 480 Temporarily Unavailable ── │                               │                     │     +30.020
        │                                    │ ◀── 200 OK (CANCEL) ─────────────────────────────── │     +30.025
        │                                    │ ◀── 487 Request Terminated ──────────────────────── │     +30.025
        │ ── ACK ──────────────────────────▶ │                               │                     │     +30.025
        │                                    │ ── ACK ───────────────────────────────────────────▶ │     +30.030
      """)
    #expect(scene.records.map(\.cause) == [.noAnswer])
    scene.expectRest()
  }

  @Test func phoneCallsApplication() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.alice.call("*43", CallerScript().hangingUp(after: .seconds(6)))
    let announcement = scene.alice.call("*44")
    scene.finish()
    #expect(announcement.ending == .hungUpThere)
    #expect(scene.records.map(\.to).sorted() == ["application:echo", "application:hello"])
    scene.expectRest()
  }

  @Test func phoneCallsPhone() throws {
    let scene = try Scene()
    scene.register(scene.alice, scene.bob)
    scene.alice.call("102", CallerScript().hangingUp(after: .seconds(3)))
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.bob],
      """
      alice                demarc                  bob
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
      """)
    scene.expectRest()
  }
}
