import Base
import CallCore
import MediaControl
import Policy
import Simulation
import Testing

/// How each side of a call has its digits, what its descriptions say of that, and what goes by INFO.
@Suite struct DigitTests {
  private func call(_ scene: Scene, _ payloads: [Int]) throws -> (near: AgentCall, far: AgentCall) {
    let call = scene.alice.call(
      "+441234", CallerScript().hangingUp(after: .seconds(60)).with { $0.payloads = payloads })
    scene.world.run(for: .seconds(5))
    let far = try #require(scene.north.calls.first)
    try #require(call.state == .answered && far.state == .answered)
    return (call, far)
  }

  private func kinds(_ scene: Scene, _ near: AgentCall, _ far: AgentCall) -> [DigitKind?] {
    [near, far].map { scene.world.media.remote(of: $0.media)?.digits }
  }

  private func passed(_ scene: Scene) -> [String] {
    scene.world.facts.compactMap {
      guard case .digitPassed(let side, let from, let to) = $0.event else { return nil }
      return "\(side) \(from.name) \(to?.name ?? "application")"
    }
  }

  // MARK: What is said

  /// Our offer has telephone-event whatever the caller's has, and each side is told of its own.
  @Test(
    arguments: [
      (
        offer: [8, 101], answer: [8, 101], offered: [8, 101, 0], answered: [8, 101],
        [.events, .events]
      ),
      ([8], [8, 101], [8, 0, 101], [8], [DigitKind.tones, .events]),
      ([8, 101], [8], [8, 101, 0], [8, 101], [.events, .tones]),
      ([8], [8], [8, 0, 101], [8], [.tones, .tones]),
      ([8, 101], [0], [8, 101, 0], [8, 101], [.events, .tones]),
    ])
  func eachSideForItself(
    offer: [Int], answer: [Int], offered: [Int], answered: [Int], kinds: [DigitKind]
  ) throws {
    let scene = try Scene.answered(with: answer)
    let (near, far) = try call(scene, offer)
    #expect(far.remoteSDP?.payloads == offered)
    #expect(near.remoteSDP?.payloads == answered)
    #expect(self.kinds(scene, near, far) == kinds)
    // Said again, it is the same.
    for call in [near, far, near] {
      call.reoffer(Reoffer(after: .zero))
      scene.world.run(for: .seconds(5))
      #expect(call.reoffersAnswered.last == 200)
      #expect(near.remoteSDP?.payloads.contains(101) == answered.contains(101))
      #expect(self.kinds(scene, near, far) == kinds)
    }
    scene.finish()
    scene.expectRest()
  }

  @Test func policies() throws {
    for (policy, kind, offersEvents) in [
      (DTMFPolicy.auto, DigitKind.events, true), (.rtp, .events, true), (.info, .info, true),
      (.inband, .tones, false),
    ] {
      let scene = try Scene.answered(with: [8, 101]) { $0.trunks[0].dtmf = policy }
      let (near, far) = try call(scene, [8, 101])
      #expect(far.remoteSDP?.payloads.contains(101) == offersEvents, "\(policy)")
      #expect(near.remoteSDP?.payloads.contains(101) == true, "\(policy)")
      #expect(kinds(scene, near, far) == [.events, kind], "\(policy)")
      scene.finish()
    }
    // And of the one who calls.
    let scene = try Scene.answered(with: [8, 101]) { $0.users[0].dtmf = .inband }
    let (near, far) = try call(scene, [8, 101])
    #expect(near.remoteSDP?.payloads.contains(101) == false)
    #expect(kinds(scene, near, far) == [.tones, .events])
  }

  // MARK: By INFO and back

  private func say(_ call: AgentCall, _ scene: Scene, _ signals: [String]) -> [Int] {
    var statuses: [Int] = []
    for signal in signals {
      call.sendInfo("Signal=\(signal)\r\nDuration=120\r\n", type: "application/dtmf-relay") {
        statuses.append($0)
      }
      scene.world.run(for: .milliseconds(300))
    }
    return statuses
  }

  /// Whatever the other side's media takes, it gets; each INFO is answered at once.
  @Test(arguments: [DTMFPolicy.auto, .inband]) func infoToMedia(policy: DTMFPolicy) throws {
    let scene = try Scene.answered(with: [8, 101]) { $0.trunks[0].dtmf = policy }
    let (near, far) = try call(scene, [8, 101])
    #expect(say(near, scene, ["5", "*", "#", "D", "11", "0"]) == [200, 200, 200, 200, 200, 200])
    #expect(scene.world.media.digits(to: far.media) == [5, 10, 11, 15, 11, 0])
    #expect(far.infos.isEmpty)
    let to = policy == .auto ? "telephone-event" : "in-band"
    #expect(passed(scene) == Array(repeating: "a INFO \(to)", count: 6))
    scene.finish()
    #expect(scene.records.first?.notes.contains("digits are converted: INFO to \(to)") == true)
    scene.expectRest()
  }

  /// One after the other, in order.
  @Test(arguments: [DigitKind.events, .tones]) func mediaToInfo(kind: DigitKind) throws {
    let scene = try Scene.answered(with: [8, 101]) { $0.trunks[0].dtmf = .info }
    let (near, far) = try call(scene, kind == .events ? [8, 101] : [8])
    for event in [UInt8(1), 2, 10, 11, 12] {
      scene.world.media.say(event, kind, by: near.media)
      scene.world.run(for: .milliseconds(60))
    }
    scene.world.run(for: .seconds(3))
    #expect(
      far.infos == ["1", "2", "*", "#", "A"].map { "Signal=\($0)\r\nDuration=100\r\n" })
    #expect(passed(scene).allSatisfy { $0 == "a \(kind.name) INFO" } && passed(scene).count == 5)
    // What the other side says in INFO goes the other way.
    #expect(say(far, scene, ["7"]) == [200])
    #expect(scene.world.media.digits(to: near.media) == [7])
    scene.finish()
    scene.expectRest()
  }

  /// A peer that answers none of them: as many as can wait do, the call's end ends it, and nothing stays open.
  @Test func infoIsNeverAnswered() throws {
    let scene = try Scene.answered(with: [8, 101]) { $0.trunks[0].dtmf = .info }
    let (near, far) = try call(scene, [8, 101])
    far.answersInfo = false
    for i in 0..<40 { scene.world.media.say(UInt8(i % 10), .events, by: near.media) }
    scene.world.run(for: .milliseconds(200))
    #expect(Set(far.infos).count == 1)
    near.hangUp()
    scene.finish()
    #expect(
      scene.records.first?.notes.contains("digits were lost: INFO is not answered fast enough")
        == true)
    scene.expectRest()
  }

  /// Both in INFO: as it was, the other side answers.
  @Test func infoToInfo() throws {
    let scene = try Scene.answered(with: [8, 101]) { $0.trunks[0].dtmf = .info }
    let (near, far) = try call(scene, [8, 101])
    #expect(say(near, scene, ["5"]) == [200])
    #expect(far.infos == ["Signal=5\r\nDuration=120\r\n"])
    #expect(passed(scene) == ["a INFO INFO"])
  }

  /// Nobody who looks at a call sees what was typed.
  @Test func digitsAreHidden() throws {
    let scene = try Scene.answered(with: [8, 101]) { $0.trunks[0].dtmf = .info }
    let (near, _) = try call(scene, [8, 101])
    _ = say(near, scene, ["7"])
    scene.world.media.say(9, .events, by: near.media)
    scene.world.run(for: .seconds(1))
    let id = try #require(scene.world.facts.lazy.compactMap(\.call).first)
    guard case .ladder(let messages)? = scene.world.ask(.ladder(id)) else {
      Issue.record("no ladder")
      return
    }
    let infos = messages.map { String(decoding: $0.bytes, as: UTF8.self) }.filter {
      $0.hasPrefix("INFO ")
    }
    #expect(infos.count == 3)
    for info in infos {
      #expect(info.contains("\r\n\r\nSignal=x\r\nDuration=1"))
    }
    #expect("\(MediaDigit(event: 7, milliseconds: 1, kind: .info))".contains("•••"))
  }
}
