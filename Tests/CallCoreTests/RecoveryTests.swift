import Base
import CallCore
import MediaControl
import Policy
import Simulation
import Testing

@Suite("Calls that outlive a crash")
struct RecoveryTests {
  /// A scene with a call of a carrier to alice that has been up for some seconds when the process is gone.
  private struct Bed {
    let scene: Scene
    let outside: AgentCall
    let inside: AgentCall

    init(
      _ script: CallerScript = CallerScript(), settings: WorldSettings = Scene.settings(),
      downFor: Interval = .seconds(2), recovers: Bool = true, before: (Scene) -> Void = { _ in }
    ) throws {
      scene = try Scene(settings)
      scene.register(scene.alice, scene.bob)
      outside = scene.north.call("+493010", script)
      scene.world.run(for: .seconds(5))
      before(scene)
      inside = try #require(scene.alice.calls.last)
      try #require(outside.state == .answered && inside.state == .answered)
      try scene.world.restart(after: downFor, recovers: recovers)
    }
  }

  @Test("Either side's BYE ends the call on both", arguments: [true, false])
  func bye(fromOutside: Bool) throws {
    let bed = try Bed()
    let scene = bed.scene
    let record = try #require(scene.calls.first)
    #expect(record.state == .answered && record.from == "trunk:north" && record.to == "user:alice")
    #expect(scene.world.counters.recovery.recovered == 1)
    #expect(scene.world.media.openCount == 2)
    scene.world.run(for: .seconds(3))
    (fromOutside ? bed.outside : bed.inside).hangUp()
    scene.world.run(for: .seconds(2))
    #expect(bed.outside.ending == (fromOutside ? .hungUpHere : .hungUpThere))
    #expect(bed.inside.ending == (fromOutside ? .hungUpThere : .hungUpHere))
    let ended = try #require(scene.records.first)
    #expect(scene.records.count == 1)
    #expect(ended.id == record.id && ended.cause == .normalClearing)
    #expect(ended.releasedBy == (fromOutside ? .caller : .callee))
    #expect(ended.setup == record.setup && ended.answer == record.answer)
    #expect(ended.notes.contains("went on after a restart"))
    let talked = try #require(ended.end) - (try #require(ended.answer))
    #expect(abs(talked.milliseconds - 8_000) < 400)
    scene.expectRest()
  }

  @Test("Media is open at the same ports, for the same far ends, and joined")
  func media() throws {
    let bed = try Bed()
    let world = bed.scene.world
    #expect(world.media.partner(of: bed.outside.media) == bed.inside.media)
    #expect(world.media.remote(of: bed.outside.media)?.codec == .pcmu)
    #expect(world.media.isOpen(try #require(bed.outside.remoteMedia)))
    #expect(world.media.isOpen(try #require(bed.inside.remoteMedia)))
    bed.inside.hangUp()
    bed.scene.expectRest()
  }

  @Test("Without recovery nobody knows the call")
  func withoutRecovery() throws {
    let bed = try Bed(recovers: false)
    bed.inside.hangUp()
    bed.scene.world.run(for: .seconds(2))
    #expect(bed.outside.state == .answered)
    #expect(bed.scene.records.isEmpty)
  }

  @Test("A call outlives several crashes")
  func twice() throws {
    let bed = try Bed()
    for _ in 0..<3 {
      bed.scene.world.run(for: .seconds(2))
      try bed.scene.world.restart(after: .seconds(1), recovers: true)
    }
    bed.inside.hangUp()
    bed.scene.world.run(for: .seconds(2))
    #expect(bed.outside.ending == .hungUpThere)
    #expect(bed.scene.world.counters.recovery.recovered == 1)
    #expect(bed.scene.records.map(\.cause) == [.normalClearing])
    bed.scene.expectRest()
  }

  @Test("A side that says nothing any more is missed", arguments: [true, false])
  func silence(outside: Bool) throws {
    let bed = try Bed()
    (outside ? bed.outside : bed.inside).die()
    bed.scene.world.run(for: .seconds(200))
    #expect((outside ? bed.inside : bed.outside).ending == .hungUpThere)
    #expect(bed.scene.records.map(\.cause) == [.mediaTimeout])
    bed.scene.expectRest()
  }

  @Test("Session timers go on, whoever refreshes", arguments: [true, false])
  func timers(byPeer: Bool) throws {
    let script = CallerScript().with { $0.timer = TimerHabit(seconds: 90, refreshes: byPeer) }
    let bed = try Bed(script)
    bed.scene.world.run(for: .seconds(400))
    #expect(bed.outside.state == .answered && bed.inside.state == .answered)
    bed.outside.hangUp()
    bed.scene.world.run(for: .seconds(2))
    #expect(bed.inside.ending == .hungUpThere)
    #expect(bed.scene.records.map(\.cause) == [.normalClearing])
    bed.scene.expectRest()
  }

  @Test("An offer of either side passes to the other")
  func reoffer() throws {
    let script = CallerScript().with {
      $0.reoffers = [
        Reoffer(after: .seconds(12), direction: .sendonly, movesMedia: true),
        Reoffer(after: .seconds(16)),
      ]
    }
    let bed = try Bed(script)
    bed.scene.world.run(for: .seconds(9))
    #expect(bed.inside.remoteDirection == .sendonly)
    bed.scene.world.run(for: .seconds(6))
    #expect(bed.inside.remoteDirection == .sendrecv)
    #expect(bed.scene.world.media.partner(of: bed.outside.media) == bed.inside.media)
    bed.inside.hangUp()
    bed.scene.world.run(for: .seconds(2))
    #expect(bed.outside.ending == .hungUpThere)
    bed.scene.expectRest()
  }

  @Test("What an offer changed before the crash holds after it")
  func changedBefore() throws {
    let script = CallerScript().with {
      $0.reoffers = [Reoffer(after: .seconds(1), movesMedia: true)]
    }
    let bed = try Bed(script)
    #expect(bed.scene.world.media.partner(of: bed.inside.media) == bed.outside.media)
    bed.inside.hangUp()
    bed.scene.world.run(for: .seconds(2))
    #expect(bed.outside.ending == .hungUpThere)
    bed.scene.expectRest()
  }

  @Test("New calls get other names, other ports, and are counted besides")
  func newCalls() throws {
    var resources = Scene.resources()
    resources.trunks[0].maxCalls = 2
    resources.tenants[0].maxCalls = 3
    let bed = try Bed(settings: Scene.settings(resources: resources))
    let scene = bed.scene
    guard case .trunks(let trunks)? = scene.world.ask(.trunks) else { return }
    #expect(trunks.first { $0.name == "north" }?.calls == 1)
    scene.alice.challenge = nil
    scene.bob.challenge = nil
    let second = scene.north.call("+493010")
    scene.world.run(for: .seconds(8))
    #expect(second.state == .answered)
    let third = scene.north.call("+493010")
    scene.world.run(for: .seconds(2))
    #expect(third.ending == .refused(Cause.trunkCallLimit.sipStatus))
    #expect(Set(scene.calls.map(\.id.serial)).count == 2)
    bed.outside.hangUp()
    second.hangUp()
    scene.finish()
    scene.expectRest()
  }

  @Test("Where the trunk is gone the record is closed, and nothing is left")
  func trunkGone() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    let call = scene.north.call("+493010")
    scene.world.run(for: .seconds(5))
    try #require(call.state == .answered)
    scene.world.crash()
    let gone = scene.world.now
    var resources = Scene.resources()
    resources.trunks.removeFirst()
    resources.routes[0].carriers.removeFirst()
    scene.world.auditor.forget()
    scene.world.run(for: .seconds(2))
    try scene.world.start(with: resources)
    let record = try #require(scene.records.first)
    #expect(record.state == .interrupted && record.cause == .interrupted)
    #expect(record.end == gone)
    #expect(record.notes.last?.contains("is in the configuration no more") == true)
    #expect(scene.world.counters.recovery.lost == 1)
    #expect(scene.world.counters.sessions == 0 && scene.world.media.openCount == 0)
  }

  @Test("Where the ports are gone both sides are told")
  func portsGone() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    let call = scene.north.call("+493010")
    scene.world.run(for: .seconds(5))
    scene.world.crash()
    scene.world.auditor.forget()
    scene.world.run(for: .seconds(2))
    scene.world.setMediaPorts(31_000...31_999)
    try scene.world.start(recovers: true)
    scene.world.run(for: .seconds(2))
    #expect(call.ending == .hungUpThere)
    #expect(scene.alice.calls.last?.ending == .hungUpThere)
    let record = try #require(scene.records.first)
    #expect(record.cause == .interrupted && record.releasedBy == .system)
    #expect(scene.world.counters.recovery.released == 1)
    scene.expectRest()
  }

  @Test("An answer whose ACK was lost is acknowledged")
  func lostAcknowledgement() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.world.network.loses = { $0.isRequest && $0.method == .ack }
    let call = scene.north.call("+493010")
    scene.world.run(for: .seconds(1))
    let inside = try #require(scene.alice.calls.last)
    for _ in 0..<50 where inside.state != .answered { scene.world.run(for: .milliseconds(100)) }
    scene.world.run(for: .milliseconds(300))
    scene.world.network.loses = nil
    try scene.world.restart(after: .milliseconds(300), recovers: true)
    #expect(scene.world.counters.recovery.recovered == 1)
    scene.world.run(for: .seconds(50))
    #expect(inside.state == .answered && call.state == .answered)
    call.hangUp()
    scene.world.run(for: .seconds(2))
    #expect(inside.ending == .hungUpThere)
    scene.expectRest()
  }

  @Test("Who talks to an application goes on to")
  func application() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    let call = scene.alice.call("*43")
    scene.world.run(for: .seconds(3))
    try #require(call.state == .answered)
    try scene.world.restart(after: .seconds(1), recovers: true)
    #expect(scene.world.counters.recovery.recovered == 1)
    #expect(scene.world.media.application(of: call.media) == .echo)
    call.hangUp()
    scene.world.run(for: .seconds(2))
    #expect(call.ending == .hungUpHere)
    #expect(scene.records.map(\.cause) == [.normalClearing])
    scene.expectRest()
  }

  @Test("A call that was handed on goes on, and ends on both sides", arguments: [true, false])
  func handedOn(byTarget: Bool) throws {
    let (scene, far, target) = try handedOn()
    try scene.world.restart(after: .seconds(1), recovers: true)
    #expect(scene.world.counters.recovery == scene.outcome(recovered: 2))
    #expect(scene.world.media.partner(of: far.media) == target.media)
    // And once more: what was written at the first start is enough.
    try scene.world.restart(after: .seconds(1), recovers: true)
    #expect(scene.world.counters.recovery == scene.outcome(recovered: 2))
    #expect(scene.world.media.partner(of: far.media) == target.media)
    (byTarget ? target : far).hangUp()
    scene.world.run(for: .seconds(2))
    #expect((byTarget ? far : target).ending == .hungUpThere)
    #expect(scene.records.map(\.cause) == [.normalClearing, .normalClearing])
    scene.expectRest()
  }

  @Test("An offer passes through a call that was handed on")
  func handedOnOffer() throws {
    let (scene, far, target) = try handedOn()
    try scene.world.restart(after: .seconds(1), recovers: true)
    far.reoffer(Reoffer(after: .zero, direction: .sendonly, movesMedia: true))
    scene.world.run(for: .seconds(2))
    #expect(target.remoteDirection == .sendonly)
    #expect(scene.world.media.partner(of: far.media) == target.media)
    target.hangUp()
    scene.world.run(for: .seconds(2))
    #expect(far.ending == .hungUpThere)
    scene.expectRest()
  }

  @Test("Where one half of it is gone, the other is told")
  func handedOnHalf() throws {
    let (scene, far, target) = try handedOn()
    scene.world.crash()
    scene.world.auditor.forget()
    scene.world.run(for: .seconds(1))
    scene.world.setMediaPorts(31_000...31_999)
    try scene.world.start(recovers: true)
    #expect(scene.world.counters.recovery == scene.outcome(released: 2))
    scene.world.run(for: .seconds(2))
    #expect(far.ending == .hungUpThere && target.ending == .hungUpThere)
    #expect(scene.records.map(\.cause) == [.interrupted, .interrupted])
    scene.expectRest()
  }

  /// Alice has handed her call with a carrier on to bob.
  private func handedOn() throws -> (Scene, AgentCall, AgentCall) {
    let scene = try Scene()
    scene.register(scene.alice, scene.bob)
    let call = scene.alice.call("+441230")
    scene.world.run(for: .seconds(5))
    call.transfer(to: "102")
    scene.world.run(for: .seconds(10))
    let far = try #require(scene.north.calls.last)
    let target = try #require(scene.bob.calls.last)
    try #require(call.state == .ended && far.state == .answered && target.state == .answered)
    return (scene, far, target)
  }

  @Test("A call that has a longest time ends when that is over")
  func longest() throws {
    var resources = Scene.resources()
    resources.tenants[0].toll.maxCallDuration = .seconds(30)
    let bed = try Bed(settings: Scene.settings(resources: resources), downFor: .seconds(10))
    bed.scene.world.run(for: .seconds(60))
    #expect(bed.inside.ending == .hungUpThere && bed.outside.ending == .hungUpThere)
    let record = try #require(bed.scene.records.first)
    #expect(record.cause == .durationLimit)
    let talked = try #require(record.end) - (try #require(record.answer))
    #expect(abs(talked.milliseconds - 30_000) <= 20)
    bed.scene.expectRest()
  }
}

extension Scene {
  /// Those that are up.
  fileprivate var calls: [CallRecord] {
    if case .calls(let records)? = world.ask(.calls) { return records }
    return []
  }

  fileprivate func outcome(recovered: Int = 0, released: Int = 0) -> RecoveryOutcome {
    var outcome = RecoveryOutcome()
    outcome.recovered = recovered
    outcome.released = released
    return outcome
  }
}
