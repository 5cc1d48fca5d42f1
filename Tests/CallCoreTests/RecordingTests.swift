import Base
import CallCore
import MediaControl
import Policy
import Simulation
import Testing

/// Recordings of calls: who wants one, what its record says, and what becomes of it when the call is handed on.
@Suite struct RecordingTests {
  private func scene(_ change: (inout Resources) -> Void = { _ in }) throws -> Scene {
    var resources = Scene.resources()
    change(&resources)
    return try Scene(Scene.settings(resources: resources))
  }

  private func setUser(
    _ name: String, _ policy: RecordPolicy, notice: String? = nil
  ) -> (inout Resources) -> Void {
    { resources in
      for index in resources.users.indices where resources.users[index].name == name {
        resources.users[index].record = policy
        resources.users[index].recordingNotice = notice
      }
    }
  }

  /// North calls alice, who answers.
  private func connected(_ scene: Scene) throws -> (far: AgentCall, near: AgentCall, id: CallID) {
    scene.register(scene.alice, scene.bob, scene.carol)
    let far = scene.north.call("+493010")
    scene.world.run(for: .seconds(5))
    let near = try #require(scene.alice.calls.last)
    let attempt = scene.world.facts.compactMap { fact -> CallID? in
      if case .callAttempted(let record) = fact.event { record.id } else { nil }
    }
    return (far, near, try #require(attempt.last))
  }

  private func record(_ scene: Scene, _ id: CallID) -> CallRecord? {
    if case .call(let record?)? = scene.world.ask(.call(id)) { return record }
    return scene.world.facts.compactMap { fact -> CallRecord? in
      if case .callEnded(let record) = fact.event, record.id == id { record } else { nil }
    }.last
  }

  private func ask(_ scene: Scene, _ id: CallID, _ action: RecordingAction) -> RecordingAnswer? {
    defer { scene.world.run(for: .seconds(1)) }
    if case .recording(let answer)? = scene.world.ask(.recording(id, action)) { return answer }
    return nil
  }

  private func isDone(_ answer: RecordingAnswer?) -> Bool {
    if case .done? = answer { return true }
    return false
  }

  @Test func byRule() throws {
    let scene = try scene(setUser("alice", .on))
    let (_, near, id) = try connected(scene)
    let line = try #require(record(scene, id)?.recordings.first)
    #expect(line.name == "\(id)-1" && line.origin == .rule && line.by == "user:alice")
    #expect(line.format == .wav && line.started != nil && line.end == nil && !line.hasNotice)
    #expect(line.file.hasSuffix("_\(id)-1.wav"))
    #expect(scene.world.media.recordingCount == 1)
    near.hangUp()
    scene.finish()
    let ended = try #require(record(scene, id)?.recordings)
    #expect(ended.count == 1 && ended.first?.end == .released)
    #expect(scene.world.media.recordingCount == 0)
  }

  @Test func offIsNever() throws {
    let scene = try scene()
    let (_, near, id) = try connected(scene)
    #expect(ask(scene, id, .start(nil)) == .notAllowed)
    #expect(ask(scene, id, .pause) == .notRecording && ask(scene, id, .stop) == .notRecording)
    #expect(record(scene, id)?.recordings.isEmpty == true)
    near.hangUp()
    scene.finish()
  }

  /// Asked for, paused, continued, ended and asked for again; with the consent of both sides stamped each time.
  @Test func onDemand() throws {
    let scene = try scene(setUser("alice", .onDemand, notice: "hello"))
    let (_, near, id) = try connected(scene)
    #expect(record(scene, id)?.recordings.isEmpty == true)
    #expect(isDone(ask(scene, id, .start(.opus))))
    #expect(ask(scene, id, .start(nil)) == .alreadyRecording)
    #expect(ask(scene, id, .resume) == .notPaused)
    #expect(isDone(ask(scene, id, .pause)))
    #expect(ask(scene, id, .pause) == .alreadyPaused)
    #expect(isDone(ask(scene, id, .resume)))
    #expect(isDone(ask(scene, id, .stop)))
    #expect(isDone(ask(scene, id, .start(nil))))
    #expect(isDone(ask(scene, id, .pause)))
    near.hangUp()
    scene.finish()
    let lines = try #require(record(scene, id)?.recordings)
    #expect(lines.map(\.name) == ["\(id)-1", "\(id)-2"] && lines.map(\.format) == [.opus, .wav])
    #expect(lines.map(\.end) == [.stopped, .released])
    #expect(lines.allSatisfy { $0.origin == .api && $0.hasNotice && $0.announced.count == 1 })
    #expect(lines.allSatisfy { $0.pauses.count == 1 && $0.pauses[0].to != nil })
    #expect(lines.allSatisfy { ($0.announced.first ?? .distantFuture) <= ($0.started ?? .zero) })
  }

  @Test func whoAsksForNothing() throws {
    let scene = try scene(setUser("alice", .on))
    #expect(
      ask(scene, CallID(incarnation: 1, serial: 1), .start(nil)) == .noCall)
    scene.register(scene.alice)
    // Nobody is at the other end of an echo test.
    let call = scene.alice.call("*43")
    scene.world.run(for: .seconds(3))
    #expect(scene.world.media.recordingCount == 0)
    call.hangUp()
    scene.finish()
  }

  @Test func asManyAsMayBe() throws {
    var settings = Scene.settings()
    settings.limits.recordings = 0
    setUser("alice", .on)(&settings.resources)
    let scene = try Scene(settings)
    let (_, near, id) = try connected(scene)
    #expect(ask(scene, id, .start(nil)) == .tooMany)
    near.hangUp()
    scene.finish()
    let notes = try #require(record(scene, id)?.notes)
    #expect(notes.contains { $0.hasPrefix("not recorded, though user:alice wants it") })
  }

  /// Who hands the call on leaves; the recording goes on with who is there now, in its one file.
  @Test func handedOn() throws {
    let scene = try scene(setUser("alice", .on))
    let (far, near, id) = try connected(scene)
    near.transfer(to: "102")
    scene.world.run(for: .seconds(6))
    let target = try #require(scene.bob.calls.last)
    #expect(far.state == .answered && target.state == .answered)
    #expect(scene.world.media.recordingCount == 1)
    target.hangUp()
    scene.finish()
    #expect(record(scene, id)?.recordings.map(\.end) == [.released])
    #expect(scene.world.media.recordingCount == 0)
  }

  /// Whom the call is handed on to is recorded from there on.
  @Test func handedOnToWhoIsRecorded() throws {
    let scene = try scene(setUser("bob", .on))
    let (_, near, id) = try connected(scene)
    #expect(scene.world.media.recordingCount == 0)
    near.transfer(to: "102")
    scene.world.run(for: .seconds(6))
    #expect(scene.world.media.recordingCount == 1)
    try #require(scene.bob.calls.last).hangUp()
    scene.finish()
    #expect(record(scene, id)?.recordings.isEmpty == true)
    let lines = scene.world.facts.flatMap { fact -> [CallRecording] in
      if case .callEnded(let record) = fact.event { record.recordings } else { [] }
    }
    #expect(lines.map(\.by) == ["user:bob"] && lines.map(\.end) == [.released])
  }

  /// Two calls that are both to be recorded become one: one recording goes on.
  @Test func joined() throws {
    let scene = try scene { resources in
      setUser("alice", .on)(&resources)
      setUser("bob", .on)(&resources)
    }
    let (_, near, id) = try connected(scene)
    near.transfer(to: "102")
    scene.world.run(for: .seconds(6))
    #expect(scene.world.media.recordingCount == 1)
    let target = try #require(scene.bob.calls.last)
    target.hangUp()
    scene.finish()
    #expect(record(scene, id)?.recordings.map(\.end) == [.released])
    let ends = scene.world.facts.compactMap { fact -> [RecordingEnd?]? in
      if case .callEnded(let record) = fact.event { record.recordings.map(\.end) } else { nil }
    }
    #expect(ends.flatMap { $0 } == [.released])
  }

  @Test func theDiskIsFull() throws {
    let scene = try scene(setUser("alice", .on))
    let (far, near, id) = try connected(scene)
    scene.world.input(
      .media(.recording(RecordingID(raw: 1), .ended(RecordingResult(.diskFull)))))
    scene.world.run(for: .seconds(2))
    #expect(far.state == .answered && near.state == .answered)
    #expect(record(scene, id)?.recordings.first?.end == .diskFull)
    #expect(record(scene, id)?.notes.contains("recording \(id)-1 ended: disk-full") == true)
    #expect(ask(scene, id, .stop) == .notRecording)
    near.hangUp()
    scene.world.run(for: .seconds(5))
  }

  @Test func ruleOfBothSides() throws {
    var resources = Scene.resources()
    setUser("alice", .onDemand, notice: "hello")(&resources)
    setUser("bob", .on)(&resources)
    let configuration = try Configuration(
      resources: resources, revision: 1,
      listeners: [("inside", Scene.inside), ("outside", Scene.outside)],
      media: [("inside", Scene.inside.ip), ("outside", Scene.outside.ip)])
    var rule = configuration.recordRule(of: ["user:alice", "user:bob"], tenant: 0)
    #expect(rule.policy == .on && rule.by == "user:bob" && rule.notice == "hello")
    rule = configuration.recordRule(of: ["trunk:north", "user:alice"], tenant: 0)
    #expect(rule.policy == .onDemand && rule.by == "user:alice")
    rule = configuration.recordRule(of: ["trunk:north", "application:echo", ""], tenant: 0)
    #expect(rule.policy == .off && rule.notice == nil)
    #expect(configuration.notice(named: "hello", tenant: 0) == 0)
    #expect(configuration.notice(named: "echo", tenant: 0) == nil)
  }

  @Test(arguments: ["nobody", "echo"])
  func aNoticeThatIsNone(name: String) throws {
    var resources = Scene.resources()
    setUser("alice", .on, notice: name)(&resources)
    #expect(throws: ConfigurationProblems.self) {
      try Configuration(
        resources: resources, revision: 1,
        listeners: [("inside", Scene.inside), ("outside", Scene.outside)],
        media: [("inside", Scene.inside.ip), ("outside", Scene.outside.ip)])
    }
  }
}
