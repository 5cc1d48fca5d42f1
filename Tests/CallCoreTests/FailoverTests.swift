import Base
import CallCore
import Policy
import Simulation
import Testing

/// What a dead, busy or returning target costs the caller (RFC 3263 §4.3), on the virtual clock.
@Suite struct FailoverTests {
  /// One carrier with two addresses: north's first, south's second.
  private static func oneCarrier(_ change: (inout Trunk) -> Void = { _ in }) -> Resources {
    var resources = Scene.resources()
    resources.trunks[0].targets += resources.trunks[1].targets
    resources.trunks.remove(at: 1)
    resources.routes[0].carriers = [RouteCarrier(trunk: "north")]
    change(&resources.trunks[0])
    return resources
  }

  /// From the INVITE to the first ringing, in milliseconds.
  private static func delay(_ scene: Scene, _ number: String = "+441234") -> Int? {
    let call = scene.alice.call(number, CallerScript().hangingUp(after: .seconds(1)))
    let began = scene.world.now
    scene.world.run(for: .seconds(8))
    _ = call
    guard let record = scene.records.last, record.setup >= began, let ringing = record.ringing
    else { return nil }
    return (ringing - record.setup).milliseconds
  }

  private static func states(_ scene: Scene) -> [(usable: Bool, reason: TargetReason)] {
    scene.world.facts.compactMap {
      if case .targetState(_, _, let usable, let reason) = $0.event { return (usable, reason) }
      return nil
    }
  }

  private static func status(_ scene: Scene, _ trunk: String = "north") -> [TargetStatus] {
    guard case .trunks(let all)? = scene.world.ask(.trunks) else { return [] }
    return all.first { $0.name == trunk }?.targets ?? []
  }

  @Test func deadAddressCostsTwoSecondsOnce() throws {
    let scene = try Scene(Scene.settings(resources: Self.oneCarrier()))
    scene.register(scene.alice)
    scene.world.run(for: .seconds(5))
    scene.north.alive = false
    let first = try #require(Self.delay(scene))
    #expect(first >= 2_000 && first <= 2_300, "\(first) ms")
    for _ in 0..<10 {
      let later = try #require(Self.delay(scene))
      #expect(later < 300, "\(later) ms while it is known to be dead")
    }
    #expect(Self.states(scene).map(\.usable) == [false])
    #expect(Self.status(scene).map(\.state) == [.down, .usable])
    #expect(Self.status(scene)[0].reason == .silent)
    scene.expectRest()
  }

  /// The same with the second address at another carrier: the silence is cut there too.
  @Test func deadCarrierCostsTwoSecondsOnce() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.alive = false
    let first = try #require(Self.delay(scene))
    #expect(first >= 2_000 && first <= 2_300, "\(first) ms")
    for _ in 0..<10 {
      let later = try #require(Self.delay(scene))
      #expect(later < 300, "\(later) ms while it is known to be dead")
    }
    let record = try #require(scene.records.last)
    #expect(record.attempts.map(\.target) == ["trunk:south"])
    scene.expectRest()
  }

  @Test func icmpCostsNothing() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.world.network.setDown(true, scene.north)
    let first = try #require(Self.delay(scene))
    #expect(first < 300, "\(first) ms")
    #expect(Self.states(scene).map(\.usable) == [false])
    #expect(Self.status(scene)[0].reason == .unreachable)
    scene.expectRest()
  }

  /// The host comes back: probes find it, and its share of the calls grows over half a minute.
  @Test func returnsSlowly() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.world.network.setDown(true, scene.north)
    _ = Self.delay(scene)
    scene.world.run(for: .seconds(60))
    scene.world.network.setDown(false, scene.north)
    var waited = 0
    while Self.status(scene)[0].state != .usable, waited < 80 {
      scene.world.run(for: .seconds(1))
      waited += 1
    }
    #expect(Self.status(scene)[0].state == .usable && waited < 75, "back after \(waited) s")
    #expect(Self.states(scene).map(\.usable) == [false, true])
    #expect(Self.status(scene)[0].share == 100)
    let before = scene.north.calls.count
    for _ in 0..<40 {
      _ = scene.alice.call("+441234", CallerScript().cancelling(after: .milliseconds(400)))
      scene.world.run(for: .milliseconds(25))
    }
    scene.world.run(for: .seconds(35))
    let early = scene.north.calls.count - before
    #expect(early >= 1 && early <= 15, "\(early) of 40 in the first second")
    let late = scene.north.calls.count
    for _ in 0..<20 {
      _ = scene.alice.call("+441234", CallerScript().cancelling(after: .milliseconds(400)))
      scene.world.run(for: .milliseconds(25))
    }
    scene.world.run(for: .seconds(5))
    #expect(scene.north.calls.count - late == 20)
    scene.expectRest()
  }

  @Test func retryAfterIsHonoured() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in CalleeScript.refusing(503).with { $0.retryAfter = 20 } }
    let first = try #require(Self.delay(scene))
    #expect(first < 700, "\(first) ms")
    #expect(scene.north.calls.count == 1)
    scene.north.onInvite = { _ in .answering() }
    _ = Self.delay(scene)
    #expect(scene.north.calls.count == 1, "it asked for 20 s")
    #expect(Self.status(scene)[0].state == .resting)
    scene.world.run(for: .seconds(60))
    _ = Self.delay(scene)
    #expect(scene.north.calls.count == 2)
    #expect(Self.states(scene).map(\.usable) == [false, true])
    scene.expectRest()
  }

  /// A 503 that does not say how long says nothing of the next call (§21.5.4).
  @Test func plain503IsOneCallsAffair() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .refusing(503) }
    for _ in 0..<3 { _ = Self.delay(scene) }
    #expect(scene.north.calls.count == 3 && scene.south.calls.count == 3)
    #expect(Self.states(scene).isEmpty)
    scene.expectRest()
  }

  /// RELIABILITY C6: neither a 503 that wants to be asked again at once nor 408 without end makes a loop of a call.
  @Test(arguments: [(503, Int?(0)), (408, nil), (408, Int?(0)), (500, Int?(0))])
  func refusalsDoNotLoop(status: Int, retryAfter: Int?) throws {
    let scene = try Scene()
    scene.register(scene.alice)
    let refusal = CalleeScript.refusing(status, after: .milliseconds(5)).with {
      $0.retryAfter = retryAfter
    }
    scene.north.onInvite = { _ in refusal }
    scene.south.onInvite = { _ in refusal }
    for number in 1...3 {
      let call = scene.alice.call("+441234")
      scene.world.run(for: .seconds(60))
      #expect(call.ending != nil)
      #expect(scene.north.calls.count == number && scene.south.calls.count <= number)
    }
    #expect(scene.records.count == 3)
    scene.expectRest()
  }

  /// Whoever is left alone is not called at all, not even as the last one (§21.5.4).
  @Test func restingSoleCarrierIsLeftAlone() throws {
    var resources = Scene.resources()
    resources.routes[0].carriers = [RouteCarrier(trunk: "north")]
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice)
    scene.north.onInvite = { _ in CalleeScript.refusing(503).with { $0.retryAfter = 20 } }
    _ = Self.delay(scene)
    let call = scene.alice.call("+441234")
    scene.world.run(for: .seconds(2))
    #expect(call.ending == .refused(503))
    #expect(scene.north.calls.count == 1)
    scene.expectRest()
  }

  /// All are down: the call is tried all the same, since a verdict may be out of date.
  @Test func lastResortIsTried() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.world.network.setDown(true, scene.north)
    scene.world.network.setDown(true, scene.south)
    let failed = scene.alice.call("+441234")
    scene.world.run(for: .seconds(10))
    #expect(failed.ending == .refused(503))
    #expect(Self.status(scene)[0].state == .down)
    // Back, but not probed yet.
    scene.world.network.setDown(false, scene.south)
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(1)))
    scene.world.run(for: .seconds(8))
    #expect(call.ending == .hungUpHere)
    scene.expectRest()
  }

  /// A carrier with nobody beside it has the route's whole time-out.
  @Test func soleCarrierIsWaitedForLonger() throws {
    var resources = Scene.resources()
    resources.routes[0].carriers = [RouteCarrier(trunk: "north")]
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .dead }
    let call = scene.alice.call("+441234")
    scene.world.run(for: .seconds(10))
    #expect(call.ending == .refused(408))
    let attempt = try #require(scene.records.last?.attempts.first)
    let waited = try #require(attempt.ended) - attempt.started
    #expect(waited >= .seconds(5) && waited < .milliseconds(5_050))
    scene.expectRest()
  }

  /// A 100 proves that somebody is there: then the route's time-out counts, not the two seconds.
  @Test func aHundredBuysTheRoutesTime() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in .answering(after: .seconds(4), ringing: .seconds(3)) }
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(1)))
    scene.world.run(for: .seconds(10))
    #expect(call.ending == .hungUpHere)
    #expect(scene.south.calls.isEmpty)
    scene.expectRest()
  }

  /// Three hours of calls and probes over paths that lose one datagram in five.
  @Test func nothingFlapsUnderLoss() throws {
    let scene = try Scene(
      Scene.settings(resources: Self.oneCarrier { $0.probe.enabled = true }))
    scene.register(scene.alice)
    scene.world.network.setLink(LinkQuality(loss: 0.2), of: scene.north)
    scene.world.network.setLink(LinkQuality(loss: 0.2), of: scene.south)
    for _ in 0..<360 {
      _ = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(1)))
      scene.world.run(for: .seconds(30))
    }
    #expect(Self.states(scene).isEmpty)
    #expect((Self.status(scene).map(\.probes).max() ?? 0) > 100)
    let answered = scene.records.filter { $0.answer != nil }.count
    #expect(answered >= 355, "\(answered) of 360 calls")
  }

  /// A target that a new configuration does not name is forgotten in the middle of a call to it.
  @Test func forgottenTargetsLeaveNothing() throws {
    let scene = try Scene(
      Scene.settings(resources: Self.oneCarrier { $0.probe.enabled = true }))
    scene.register(scene.alice)
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(5)))
    scene.world.run(for: .milliseconds(100))
    try scene.world.apply(Self.oneCarrier { $0.targets.removeFirst() })
    scene.world.run(for: .seconds(10))
    #expect(call.ending == .hungUpHere)
    #expect(Self.status(scene).count == 1)
    try scene.world.apply(Self.oneCarrier { $0.probe.enabled = false })
    #expect(Self.status(scene).count == 2)
    scene.expectRest()
    #expect(scene.world.counters.probes == 0)
  }
}
