import Base
import CallCore
import MediaControl
import Policy
import Simulation
import Testing

/// What surrounds a call: chains, durability, drain, operators, silence, restarts.
@Suite struct CallLifeTests {
  // MARK: Chains

  /// The DID's first destination is busy: the second rings.
  @Test func chainGoesOnWhereItMay() throws {
    let scene = try Scene()
    scene.register(scene.alice, scene.bob)
    scene.alice.onInvite = { _ in .refusing(486) }
    let call = scene.north.call("+493010", CallerScript().hangingUp(after: .seconds(4)))
    scene.finish()
    expectLadder(
      scene, [scene.north], [scene.alice, scene.bob],
      """
      north                demarc                  alice                  bob
        │ ── INVITE (SDP) ──▶ │                      │                     │
        │ ◀── 100 Trying ──── │                      │                     │
        │                     │ ── INVITE (SDP) ───▶ │                     │
        │                     │ ◀── 100 Trying ───── │                     │
        │                     │ ◀── 486 Busy Here ── │                     │
        │                     │ ── ACK ────────────▶ │                     │
        │                     │ ── INVITE (SDP) ─────────────────────────▶ │
        │                     │ ◀── 100 Trying ─────────────────────────── │
        │                     │ ◀── 180 Ringing ────────────────────────── │
        │ ◀── 180 Ringing ─── │                      │                     │
        │                     │ ◀── 200 OK (SDP) ───────────────────────── │
        │ ◀── 200 OK (SDP) ── │                      │                     │
        │                     │ ── ACK ──────────────────────────────────▶ │
        │ ── ACK ───────────▶ │                      │                     │
        │ ── BYE ───────────▶ │                      │                     │
        │ ◀── 200 OK (BYE) ── │                      │                     │
        │                     │ ── BYE ──────────────────────────────────▶ │
        │                     │ ◀── 200 OK (BYE) ───────────────────────── │
      """)
    #expect(call.ending == .hungUpHere)
    let record = try #require(scene.records.first)
    #expect(record.to == "user:bob" && record.attempts.count == 2)
    scene.expectRest()
  }

  /// A decline is no reason to go on: whoever declined has answered for all.
  @Test func chainStopsWhereItMust() throws {
    let scene = try Scene()
    scene.register(scene.alice, scene.bob)
    scene.alice.onInvite = { _ in .refusing(603) }
    let call = scene.north.call("+493010")
    scene.finish()
    #expect(call.ending == .refused(603))
    #expect(scene.bob.calls.isEmpty)
    scene.expectRest()
  }

  /// Nobody of the first hop is registered: the chain passes over it.
  @Test func chainPassesTheUnregistered() throws {
    let scene = try Scene()
    scene.register(scene.bob)
    let call = scene.north.call("+493010", CallerScript().hangingUp(after: .seconds(4)))
    scene.finish()
    #expect(call.ending == .hungUpHere)
    #expect(scene.bob.calls.count == 1)
    scene.expectRest()
  }

  // MARK: Records

  /// No INVITE leaves before its attempt is on disk, however long the disk takes.
  @Test func inviteWaitsForTheStore() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.world.store.isStalled = true
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(3)))
    scene.world.run(for: .seconds(4))
    #expect(scene.north.calls.isEmpty && call.statuses == [100])
    scene.world.store.resume()
    scene.world.run(for: .milliseconds(100))
    #expect(scene.north.calls.count == 1)
    scene.finish()
    #expect(call.ending == .hungUpHere)
    scene.expectRest()
  }

  /// The store never comes back: the caller may still give up, and nothing is left behind.
  @Test func cancelWhileTheStoreStalls() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.world.store.isStalled = true
    let call = scene.alice.call("+441234", CallerScript().cancelling(after: .seconds(2)))
    scene.world.run(for: .seconds(40))
    #expect(call.ending == .cancelled)
    scene.world.store.resume()
    scene.finish()
    #expect(scene.north.calls.isEmpty)
    #expect(scene.records.map(\.cause) == [.cancelled])
    scene.expectRest()
  }

  /// Too many facts wait for the disk: new calls are refused, those that run go on.
  @Test func stalledRecordsRefuseNewCalls() throws {
    var settings = Scene.settings()
    settings.limits.unconfirmedFacts = 4
    let scene = try Scene(settings)
    scene.register(scene.alice, scene.bob)
    let running = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(30)))
    scene.world.run(for: .seconds(5))
    #expect(running.state == .answered)
    scene.world.store.isStalled = true
    var refused: AgentCall?
    for _ in 0..<8 {
      refused = scene.bob.call("*43", CallerScript().cancelling(after: .milliseconds(200)))
      scene.world.run(for: .seconds(1))
    }
    #expect(refused?.ending == .refused(503))
    #expect(scene.refusals.contains { $0.cause == .recordsStalled })
    #expect(running.state == .answered)
    scene.world.store.resume()
    scene.finish()
    #expect(running.ending == .hungUpHere)
    scene.expectRest()
  }

  // MARK: Operators

  @Test func drain() throws {
    let scene = try Scene()
    scene.register(scene.alice, scene.bob)
    let running = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(20)))
    scene.world.run(for: .seconds(5))
    scene.world.input(.drain)
    let refused = scene.bob.call("+441235")
    scene.world.run(for: .seconds(5))
    #expect(refused.ending == .refused(503))
    #expect(running.state == .answered)
    #expect(!scene.world.facts.contains { if case .drained = $0.event { true } else { false } })
    scene.finish()
    #expect(running.ending == .hungUpHere)
    #expect(scene.world.facts.contains { if case .drained = $0.event { true } else { false } })
    scene.expectRest()
  }

  @Test func operatorHangsUp() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.alice.call("+441234")
    scene.world.run(for: .seconds(5))
    guard case .calls(let calls)? = scene.world.ask(.calls), let record = calls.first else {
      Issue.record("no call to hang up")
      return
    }
    scene.world.input(.hangUp(record.id))
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
        │ ◀── BYE ─────────── │                     │
        │                     │ ── BYE ───────────▶ │
        │ ── 200 OK (BYE) ──▶ │                     │
        │                     │ ◀── 200 OK (BYE) ── │
      """)
    #expect(scene.records.map(\.cause) == [.hungUpByOperator])
    #expect(scene.records.map(\.releasedBy) == [.operator])
    scene.expectRest()
  }

  @Test func operatorEndsARingingCall() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .ringingOnly() }
    let call = scene.alice.call("+441234")
    scene.world.run(for: .seconds(5))
    if case .calls(let calls)? = scene.world.ask(.calls), let record = calls.first {
      scene.world.input(.hangUp(record.id))
    }
    scene.finish()
    #expect(call.state == .ended && scene.north.calls.first?.ending == .cancelled)
    #expect(scene.records.map(\.cause) == [.hungUpByOperator])
    scene.expectRest()
  }

  /// A call keeps the configuration it began with.
  @Test func configurationChangesUnderACall() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(20)))
    scene.world.run(for: .seconds(5))
    var resources = Scene.resources()
    resources.trunks.removeAll { $0.name != "south" }
    resources.numbers.removeLast()
    resources.routes[0].carriers = [RouteCarrier(trunk: "south")]
    try scene.world.apply(resources)
    scene.world.run(for: .seconds(2))
    let next = scene.alice.call("+441235", CallerScript().hangingUp(after: .seconds(2)))
    scene.finish()
    #expect(call.ending == .hungUpHere && next.ending == .hungUpHere)
    #expect(scene.south.calls.count == 1)
    scene.expectRest()
  }

  // MARK: Media

  @Test func deadCallEndsByItsSilence() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    let call = scene.alice.call("+441234", CallerScript().with { $0.dieAfter = .seconds(10) })
    scene.world.run(for: .seconds(60))
    #expect(scene.records.isEmpty)
    scene.finish()
    #expect(call.ending == .died)
    #expect(scene.records.map(\.cause) == [.mediaTimeout])
    #expect(scene.north.calls.first?.ending == .hungUpThere)
    scene.expectRest()
  }

  @Test func holdMayBeSilent() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    let call = scene.alice.call(
      "+441234",
      CallerScript().with {
        $0.reoffers = [
          Reoffer(after: .seconds(3), direction: .inactive), Reoffer(after: .seconds(200)),
        ]
        $0.hangUpAfter = .seconds(260)
      })
    scene.world.run(for: .seconds(190))
    #expect(call.state == .answered)
    scene.world.run(for: .seconds(100))
    #expect(call.ending == .hungUpHere)
    scene.finish()
    scene.expectRest()
  }

  @Test func portsRunOut() throws {
    var settings = Scene.settings()
    settings.mediaAddresses[0].ports = 30_000...30_003
    let scene = try Scene(settings)
    scene.register(scene.alice, scene.bob, scene.carol)
    let first = scene.alice.call("+441230", CallerScript().hangingUp(after: .seconds(20)))
    let second = scene.bob.call("+441231", CallerScript().hangingUp(after: .seconds(20)))
    scene.world.run(for: .seconds(3))
    let third = scene.carol.call("+441232")
    scene.world.run(for: .seconds(2))
    #expect(third.ending == .refused(503))
    #expect(scene.records.map(\.cause) == [.portsExhausted])
    scene.finish()
    #expect(first.ending == .hungUpHere && second.ending == .hungUpHere)
    let later = scene.carol.call("+441233", CallerScript().hangingUp(after: .seconds(2)))
    scene.finish()
    #expect(later.ending == .hungUpHere)
    scene.expectRest()
  }

  // MARK: Restart

  /// What was registered is known again; what was a call is a stranger's.
  @Test func restart() throws {
    let scene = try Scene()
    scene.register(scene.alice, scene.bob)
    let old = scene.alice.call("102")
    scene.world.run(for: .seconds(5))
    #expect(old.state == .answered)
    guard case .registrations(let bindings)? = scene.world.ask(.registrations) else {
      Issue.record("no registrations")
      return
    }
    scene.world.crash()
    scene.world.run(for: .seconds(2))
    scene.world.auditor.forget()
    try scene.world.start(restoring: bindings)
    scene.world.run(for: .seconds(2))
    old.hangUp()
    scene.world.run(for: .seconds(2))
    scene.bob.calls.last?.die()
    scene.alice.challenge = nil
    let next = scene.alice.call("102", CallerScript().hangingUp(after: .seconds(3)))
    scene.finish()
    #expect(next.ending == .hungUpHere)
    scene.expectRest()
  }
}
