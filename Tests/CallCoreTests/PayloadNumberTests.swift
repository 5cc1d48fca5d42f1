import Base
import CallCore
import MediaControl
import Policy
import Simulation
import Testing

/// What is agreed where a format has another number, or telephone-event another clock, on each side.
@Suite struct PayloadNumberTests {
  private func call(
    _ offer: [Int], _ answer: [Int], numbers: [Int: Int] = [:],
    _ change: (inout Resources) -> Void = { _ in }
  ) throws -> (scene: Scene, near: AgentCall, far: AgentCall) {
    var resources = Scene.resources()
    change(&resources)
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice, scene.bob)
    scene.north.onInvite = { _ in
      CalleeScript.answering().with {
        $0.payloads = answer
        $0.numbers = numbers
      }
    }
    let near = scene.alice.call(
      "+441234", CallerScript().hangingUp(after: .seconds(60)).with { $0.payloads = offer })
    scene.world.run(for: .seconds(5))
    let far = try #require(scene.north.calls.first)
    try #require(near.state == .answered && far.state == .answered)
    return (scene, near, far)
  }

  private func entries(_ scene: Scene, _ call: AgentCall) -> [[UInt8]] {
    let numbers = scene.world.media.numbers(of: call.media)
    return (0..<numbers.count).map { [numbers[$0].heard, numbers[$0].own, numbers[$0].leaving] }
  }

  private func event(_ scene: Scene, _ call: AgentCall) -> EventFormats.Format? {
    scene.world.media.remote(of: call.media)?.event
  }

  // MARK: Clocks

  /// An offer of ours has 8 kHz whatever the caller has; an answer the one that has the clock of its codec.
  @Test(
    arguments: [
      // Opus is agreed to, and both have 48 kHz for it.
      (
        offer: [120, 0, 106, 101], answer: [120, 0, 106, 101], offered: [120, 0, 106, 101, 8],
        answered: [120, 0, 106], near: 106, far: 106
      ),
      // The caller has nothing else, and the carrier does not have that.
      ([120, 0, 106], [120, 0, 101], [120, 0, 106, 8, 101], [120, 0, 106], 106, 101),
      ([120, 0, 106], [0, 101], [120, 0, 106, 8, 101], [0, 106], 106, 101),
      // G.711 is agreed to: 8 kHz goes with it.
      ([120, 0, 106, 101], [0, 106, 101], [120, 0, 106, 101, 8], [0, 101], 101, 101),
      ([120, 0, 106, 101], [0, 101], [120, 0, 106, 101, 8], [0, 101], 101, 101),
      ([0, 105], [0, 105], [0, 105, 8, 101], [0, 105], 105, 105),
    ])
  func eventsHaveTheClockOfTheCodec(
    offer: [Int], answer: [Int], offered: [Int], answered: [Int], near: UInt8, far: UInt8
  ) throws {
    let (scene, caller, callee) = try call(offer, answer)
    #expect(callee.remoteSDP?.payloads == offered)
    #expect(caller.remoteSDP?.payloads == answered)
    #expect(event(scene, caller)?.payloadType == near && event(scene, callee)?.payloadType == far)
    // Said again, it is the same.
    for again in [caller, callee, caller] {
      again.reoffer(Reoffer(after: .zero))
      scene.world.run(for: .seconds(5))
      #expect(again.reoffersAnswered.last == 200)
      #expect(event(scene, caller)?.payloadType == near)
      #expect(event(scene, callee)?.payloadType == far)
    }
    scene.finish()
    scene.expectRest()
  }

  /// Somebody who has named no event is not told of any, whatever clocks the other side has.
  @Test func noneIsNone() throws {
    let (scene, near, _) = try call([120, 0], [120, 0, 101])
    #expect(near.remoteSDP?.payloads == [120, 0])
    scene.finish()
  }

  // MARK: Numbers

  /// One number each way is the rule, and nothing is said to the media plane.
  @Test func oneNumberIsTheRule() throws {
    let (scene, near, far) = try call([120, 0, 101], [120, 0, 101])
    #expect(entries(scene, near).isEmpty && entries(scene, far).isEmpty)
    scene.finish()
    #expect(scene.records.first?.notes.contains { $0.contains("payload type") } == false)
  }

  /// The carrier answers by its own: what comes by either number is known, and leaves by the right one.
  @Test func twoNumbers() throws {
    let (scene, near, far) = try call(
      [120, 0, 101], [120, 0, 101], numbers: [120: 107, 101: 96])
    #expect(near.remoteSDP?.payloads == [107, 0, 96])
    #expect(
      entries(scene, near) == [
        [107, 120, 107], [96, 101, 96], [120, 120, 107], [101, 101, 96],
      ])
    #expect(
      entries(scene, far) == [
        [120, 107, 120], [101, 96, 101], [107, 107, 120], [96, 96, 101],
      ])
    scene.finish()
    #expect(
      scene.records.first?.notes.contains("a format has another payload type each way") == true)
    scene.expectRest()
  }

  /// Early media has its own numbers before there is an answer, kept or not, and the answer's afterwards.
  @Test(arguments: [false, true]) func beforeTheAnswer(reliably: Bool) throws {
    let scene = try Scene(Scene.settings(resources: Scene.resources()))
    scene.register(scene.alice, scene.bob)
    scene.north.onInvite = { _ in
      CalleeScript().with {
        $0.payloads = [120, 0, 101]
        $0.numbers = [120: 107, 101: 96]
        $0.steps = [
          CalleeStep(after: .milliseconds(300), status: 183, sdp: true, reliable: reliably),
          CalleeStep(after: .seconds(4), status: 200, sdp: true),
        ]
      }
    }
    let near = scene.alice.call(
      "+441234", CallerScript().hangingUp(after: .seconds(20)).with { $0.payloads = [120, 0, 101] })
    scene.world.run(for: .seconds(2))
    let far = try #require(scene.north.calls.first)
    try #require(near.state != .answered)
    let (fromCaller, fromCallee) = (
      [[107, 120, 107], [96, 101, 96], [120, 120, 107], [101, 101, 96]] as [[UInt8]],
      [[120, 107, 120], [101, 96, 101], [107, 107, 120], [96, 96, 101]] as [[UInt8]]
    )
    #expect(entries(scene, near) == fromCaller && entries(scene, far) == fromCallee)
    scene.world.run(for: .seconds(5))
    #expect(near.state == .answered)
    #expect(entries(scene, near) == fromCaller && entries(scene, far) == fromCallee)
    scene.finish()
    scene.expectRest()
  }

  /// What we do not speak ourselves is told apart by its name.
  @Test func whatWeDoNotSpeak() throws {
    let (scene, near, far) = try call([108, 0], [108, 0], numbers: [108: 109])
    #expect(entries(scene, near) == [[109, 108, 109], [108, 108, 109]])
    #expect(entries(scene, far) == [[108, 109, 108], [109, 109, 108]])
    scene.finish()
  }

  /// Our own telephone-event and the caller's none: the carrier may send by the number that it was offered.
  @Test func whatWeHaveAdded() throws {
    let (scene, near, far) = try call([0], [0, 101], numbers: [101: 96])
    #expect(near.remoteSDP?.payloads == [0])
    #expect(entries(scene, near).isEmpty)
    #expect(entries(scene, far) == [[101, 96, 96]])
    scene.finish()
  }

  /// An answer of ours to a caller has its own number: it is told by no other.
  @Test func whatWeHaveAnswered() throws {
    let (scene, near, far) = try call([0, 96], [0])
    #expect(near.remoteSDP?.payloads == [0, 96])
    #expect(entries(scene, near).isEmpty && entries(scene, far).isEmpty)
    scene.finish()
  }

  /// One number that means another thing on each side goes by what was offered.
  @Test func swapped() throws {
    let scene = try Scene(Scene.settings(resources: Scene.resources()))
    scene.register(scene.alice, scene.bob)
    scene.north.onInvite = { _ in CalleeScript.answering().with { $0.payloads = [96, 0, 107] } }
    let offer = [
      "v=0", "o=- 1 1 IN IP4 192.0.2.9", "s=-", "c=IN IP4 192.0.2.9", "t=0 0",
      "m=audio 40000 RTP/AVP 96 0 107", "a=rtpmap:96 opus/48000/2",
      "a=rtpmap:107 telephone-event/8000",
    ]
    let text = offer.joined(separator: "\r\n") + "\r\n"
    scene.alice.call(
      "+441234", CallerScript().hangingUp(after: .seconds(9)).with { $0.sdp = text })
    scene.world.run(for: .seconds(5))
    let far = try #require(scene.north.calls.first)
    #expect(entries(scene, far) == [[107, 96, 107], [96, 107, 96]])
  }
}
