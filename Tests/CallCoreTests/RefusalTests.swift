import Base
import CallCore
import Policy
import Simulation
import Testing

/// What does not become a call, and why (RFC 3261 §8.2, RELIABILITY C6, D3, D7, G6).
@Suite struct RefusalTests {
  @Test func unknownMethodsSayWhatIsAllowed() throws {
    let scene = try Scene()
    // Of whom nothing is known, a small request gets a small answer.
    scene.register(scene.alice)
    for method in ["MESSAGE", "PUBLISH"] {
      scene.alice.request(method, method: method, uri: "sip:102@trunk.example")
    }
    scene.alice.request("odd", method: "DANCE", uri: "sip:102@trunk.example")
    scene.world.run(for: .seconds(5))
    for method in ["MESSAGE", "PUBLISH"] {
      #expect(scene.alice.answers[method] == 405, "\(method)")
      #expect(scene.alice.answered[method]?.value(.allow)?.contains("INVITE") == true)
    }
    #expect([405, 501].contains(scene.alice.answers["odd"]))
    scene.expectRest()
  }

  @Test func optionsAreAnswered() throws {
    let scene = try Scene()
    scene.north.request("ping", method: "OPTIONS")
    scene.world.run(for: .seconds(2))
    #expect(scene.north.answers == ["ping": 200])
    #expect(scene.north.answered["ping"]?.has(.allow) == true)
    scene.expectRest()
  }

  @Test func requiredExtensions() throws {
    let scene = try Scene()
    scene.north.request(
      "call", method: "INVITE", uri: "sip:+493010@trunk.example",
      headers: ["Require: precondition, unheard-of"])
    scene.world.run(for: .seconds(40))
    #expect(scene.north.answers["call"] == 420)
    let unsupported =
      scene.north.answered["call"]?.values(.unsupported).joined(separator: ",") ?? ""
    #expect(unsupported.contains("unheard-of") && unsupported.contains("precondition"))
    scene.expectRest()
  }

  @Test func noHopsLeft() throws {
    let scene = try Scene()
    scene.north.request(
      "call", method: "INVITE", uri: "sip:+493010@trunk.example", maxForwards: 0)
    scene.world.run(for: .seconds(40))
    #expect(scene.north.answers["call"] == 483)
    scene.expectRest()
  }

  /// §8.2.6.2: a field that can't be read comes back as it was sent.
  @Test(arguments: [
    ("To", "<sip:+493010@trunk.example"), ("From", "<<>>;tag=1"),
  ])
  func unreadableFieldsComeBack(field: String, value: String) throws {
    let scene = try Scene()
    var fields = [
      "Via": "SIP/2.0/UDP \(scene.north.address);branch=z9hG4bKunreadable",
      "From": "<sip:north@trunk.example>;tag=1", "To": "<sip:+493010@trunk.example>",
      "Call-ID": "unreadable", "CSeq": "1 INVITE", "Max-Forwards": "70",
    ]
    fields[field] = value
    let lines = fields.map { "\($0): \($1)\r\n" }.joined()
    scene.north.sendRaw(
      Array(
        "INVITE sip:+493010@trunk.example SIP/2.0\r\n\(lines)Content-Length: 0\r\n\r\n".utf8))
    scene.world.run(for: .seconds(1))
    let answers = scene.world.trace.entries.filter { $0.bytes.starts(with: Array("SIP/2.0".utf8)) }
    #expect(answers.count == 1)
    let text = String(decoding: answers.first?.bytes ?? [], as: UTF8.self)
    #expect(text.hasPrefix("SIP/2.0 400 ") && text.contains("\r\n\(field): \(value)"))
    scene.expectRest()
  }

  /// §8.2.2.2: the same request on a second path.
  @Test func mergedRequest() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.alice.onInvite = { _ in .ringingOnly() }
    let call = scene.north.call("+493010", CallerScript().cancelling(after: .seconds(5)))
    scene.world.run(for: .seconds(1))
    let invite = try #require(
      scene.world.trace.entries.first {
        $0.callID == call.callID && $0.bytes.first == UInt8(ascii: "I")
      })
    let text = String(decoding: invite.bytes, as: UTF8.self)
    let branch = try AgentMessage(invite.bytes).branch
    let copy = text.replacing(branch, with: branch + "other")
    scene.north.sendRaw(Array(copy.utf8))
    scene.world.run(for: .seconds(1))
    #expect(scene.world.trace.entries.contains { $0.bytes.starts(with: Array("SIP/2.0 482".utf8)) })
    #expect(scene.alice.calls.count == 1)
    scene.finish()
  }

  @Test func requestsOfDialogsThatAreNot() throws {
    let scene = try Scene()
    scene.north.request("bye", method: "BYE", toTag: "nobody")
    scene.north.request("invite", method: "INVITE", toTag: "nobody")
    scene.north.request("options", method: "OPTIONS", toTag: "nobody")
    scene.world.run(for: .seconds(40))
    #expect(scene.north.answers["bye"] == 481)
    #expect(scene.north.answers["invite"] == 481)
    #expect([200, 481].contains(scene.north.answers["options"]))
    scene.expectRest()
  }

  @Test func wrongAndMissingPasswords() throws {
    let scene = try Scene()
    let wrong = scene.alice.call("+441234", CallerScript().with { $0.credentials = .wrong })
    let none = scene.bob.call("+441234", CallerScript().with { $0.credentials = .none })
    scene.finish()
    for call in [wrong, none] {
      guard case .refused(let status)? = call.ending else {
        Issue.record("\(String(describing: call.ending))")
        continue
      }
      #expect([401, 403, 407].contains(status))
    }
    #expect(scene.north.calls.isEmpty && scene.records.isEmpty)
    scene.expectRest()
  }

  /// D3 InviteReplay: credentials that were used are of no use to whoever heard them.
  @Test func replayedCredentials() throws {
    let scene = try Scene()
    let first = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(2)))
    scene.world.run(for: .seconds(30))
    #expect(first.ending == .hungUpHere)
    scene.alice.challenge = nil
    let replay = scene.alice.call("+441234", CallerScript().with { $0.credentials = .replayed })
    scene.finish()
    guard case .refused(let status)? = replay.ending else {
      Issue.record("\(String(describing: replay.ending))")
      return
    }
    #expect([401, 407].contains(status))
    #expect(scene.north.calls.count == 1)
    scene.expectRest()
  }

  @Test func unknownNumbersAndStrangers() throws {
    let scene = try Scene()
    let stranger = scene.world.agent(
      "stranger", at: Scene.address(192, 0, 2, 99), trunk: Scene.outside, user: "900")
    scene.register(scene.alice)
    let unknown = scene.alice.call("999")
    let foreign = scene.north.call("+491111")
    let nobody = stranger.call("+493010")
    scene.finish()
    #expect(unknown.ending == .refused(404))
    #expect(foreign.ending == .refused(404))
    guard case .refused(let status)? = nobody.ending else {
      Issue.record("\(String(describing: nobody.ending))")
      return
    }
    #expect([401, 403, 407].contains(status))
    #expect(scene.alice.calls.filter { !$0.isCaller }.isEmpty)
    scene.expectRest()
  }

  /// G6: the third call of a trunk of two, and what becomes free when one ends.
  @Test func trunkCallLimit() throws {
    var resources = Scene.resources()
    resources.trunks[0].maxCalls = 2
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice, scene.bob)
    let first = scene.north.call("+493010", CallerScript().hangingUp(after: .seconds(10)))
    scene.north.call("+493010", CallerScript().hangingUp(after: .seconds(60)))
    scene.world.run(for: .seconds(5))
    let third = scene.north.call("+493010")
    scene.world.run(for: .seconds(1))
    #expect(third.ending == .refused(503))
    #expect(scene.records.map(\.cause) == [.trunkCallLimit])
    scene.world.run(for: .seconds(10))
    #expect(first.ending == .hungUpHere)
    let fourth = scene.north.call("+493010", CallerScript().hangingUp(after: .seconds(5)))
    scene.finish()
    #expect(fourth.ending == .hungUpHere)
    scene.expectRest()
  }

  /// Towards a full trunk the next carrier is tried.
  @Test func fullCarrierGivesWay() throws {
    var resources = Scene.resources()
    resources.trunks[0].maxCalls = 1
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice, scene.bob)
    scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(10)))
    scene.world.run(for: .seconds(1))
    let second = scene.bob.call("+441235", CallerScript().hangingUp(after: .seconds(5)))
    scene.finish()
    #expect(second.ending == .hungUpHere)
    #expect(scene.south.calls.count == 1)
    scene.expectRest()
  }

  /// Never above the rate, and at least 98 % of it let through.
  @Test func trunkRateLimit() throws {
    var resources = Scene.resources()
    resources.trunks[0].callsPerSecond = 5
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice)
    scene.alice.onInvite = { _ in .refusing(486, after: .milliseconds(5)) }
    scene.bob.onInvite = { _ in .refusing(486, after: .milliseconds(5)) }
    var calls: [AgentCall] = []
    for _ in 0..<400 {
      calls.append(scene.north.call("+493010"))
      scene.world.run(for: .milliseconds(50))
    }
    scene.finish()
    let passed = calls.count { $0.ending != .refused(503) }
    #expect(passed >= 98 && passed <= 105, "\(passed) in 20 s")
    scene.expectRest()
  }

  @Test func codecsWithoutCommonGround() throws {
    var resources = Scene.resources()
    resources.trunks[0].codecs = ["PCMA"]
    resources.trunks[1].codecs = ["PCMA"]
    resources.users[0].transcode = false
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice)
    let call = scene.alice.call("+441234", CallerScript().with { $0.payloads = [0, 101] })
    scene.finish()
    #expect(call.ending == .refused(488))
    #expect(scene.records.map(\.cause) == [.mediaUnacceptable])
    scene.expectRest()
  }

  /// C6: a carrier that sends us back to ourselves ends by the hop count or the loop's own mark.
  @Test func loopThroughACarrier() throws {
    let scene = try Scene()
    scene.register(scene.alice, scene.bob)
    let looped = scene.north
    var depth = 0
    looped.onInvite = { [unowned looped] _ in
      depth += 1
      if depth < 200 { looped.call("+493011") }
      return .refusing(480, after: .seconds(2))
    }
    scene.pbx.onInvite = { _ in .refusing(480, after: .seconds(1)) }
    scene.alice.call("+441234")
    scene.finish()
    #expect(depth < 5)
    scene.expectRest()
  }
}
