import Base
import CallCore
import MediaControl
import Policy
import Simulation
import Testing

/// A recording that is begun and ended by digits: whose count, in which ways, and what the other side gets of them.
@Suite struct RecordingCodeTests {
  private func scene(
    _ policy: RecordPolicy = .onDemand, _ change: (inout Resources) -> Void = { _ in }
  ) throws -> Scene {
    var resources = Scene.resources()
    resources.tenants[0].recordingCode = "*1"
    for index in resources.users.indices where resources.users[index].name == "alice" {
      resources.users[index].record = policy
    }
    change(&resources)
    return try Scene(Scene.settings(resources: resources))
  }

  private func type(
    _ scene: Scene, _ call: AgentCall, _ events: UInt8..., kind: DigitKind = .events
  ) {
    for event in events {
      scene.world.media.say(event, kind, by: call.media)
      scene.world.run(for: .milliseconds(300))
    }
  }

  private func recordings(_ scene: Scene) -> [CallRecording] {
    scene.records.last?.recordings ?? []
  }

  @Test(arguments: [DigitKind.events, .tones]) func beginsAndEnds(kind: DigitKind) throws {
    let scene = try scene()
    let (far, near) = try scene.connected()
    #expect(scene.world.media.isHeeded(near.media) && !scene.world.media.isHeeded(far.media))
    type(scene, near, 10, 1, kind: kind)
    #expect(scene.world.media.recordingCount == 1)
    type(scene, near, 10, 1, kind: kind)
    scene.world.run(for: .seconds(1))
    #expect(scene.world.media.recordingCount == 0)
    // And once more, until the call ends.
    type(scene, near, 10, 1, kind: kind)
    #expect(scene.world.media.recordingCount == 1)
    #expect(scene.world.media.digits(to: far.media).isEmpty)
    far.hangUp()
    scene.finish()
    let lines = recordings(scene)
    #expect(lines.map(\.end) == [.stopped, .released])
    #expect(lines.allSatisfy { $0.origin == .code && $0.by == "user:alice" })
    scene.expectRest()
  }

  /// What is no code is said to the other side, in its order, behind what could have been the beginning of one.
  @Test func otherDigitsPass() throws {
    let scene = try scene()
    let (far, near) = try scene.connected()
    type(scene, near, 5)
    #expect(scene.world.media.digits(to: far.media) == [5])
    type(scene, near, 10)
    #expect(scene.world.media.digits(to: far.media) == [5])
    type(scene, near, 10, 7)
    #expect(scene.world.media.digits(to: far.media) == [5, 10, 10, 7])
    // Nothing follows: it was meant for the other side.
    type(scene, near, 10)
    scene.world.run(for: .seconds(3))
    #expect(scene.world.media.digits(to: far.media) == [5, 10, 10, 7, 10])
    // A star before the code is none of it.
    type(scene, near, 10, 10, 1)
    #expect(scene.world.media.digits(to: far.media) == [5, 10, 10, 7, 10, 10])
    #expect(scene.world.media.recordingCount == 1)
    near.hangUp()
    scene.finish()
    scene.expectRest()
  }

  /// Who calls from a carrier is anybody; where nothing may be recorded digits are nobody's business.
  @Test func whoMayNot() throws {
    let scene = try scene()
    let (far, near) = try scene.connected()
    #expect(!scene.world.media.isHeeded(far.media))
    type(scene, far, 10, 1)
    #expect(scene.world.media.recordingCount == 0)
    near.hangUp()
    scene.finish()
    let off = try self.scene(.off)
    let (_, other) = try off.connected()
    #expect(!off.world.media.isHeeded(other.media))
    off.finish()
    // A PBX's side may.
    let pbx = try self.scene { $0.trunks[0].kind = .pbx }
    let (caller, _) = try pbx.connected()
    #expect(pbx.world.media.isHeeded(caller.media))
    pbx.finish()
  }

  @Test(arguments: ["1", "123456789", "1A", "*-"]) func noCode(code: String) {
    #expect(throws: (any Error).self) { try self.scene { $0.tenants[0].recordingCode = code } }
  }
}
