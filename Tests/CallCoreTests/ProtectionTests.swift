import Base
import CallCore
import MediaControl
import Policy
import SIPWire
import Simulation
import Testing

/// SRTP by the keys of a=crypto (RFC 4568): each side of a call for itself.
@Suite struct ProtectionTests {
  /// Phones and carriers by TLS.
  private func scene(
    users: SRTPPolicy = .allow, carriers: SRTPPolicy = .allow,
    _ change: (inout WorldSettings) -> Void = { _ in }
  ) throws -> Scene {
    var settings = Scene.settings()
    for i in settings.listeners.indices { settings.listeners[i].transport = .tls }
    for i in settings.resources.trunks.indices {
      settings.resources.trunks[i].transport = .tls
      settings.resources.trunks[i].srtp.policy = carriers
    }
    for i in settings.resources.users.indices {
      settings.resources.users[i].transport = .tls
      settings.resources.users[i].srtp.policy = users
    }
    change(&settings)
    let scene = try Scene(settings)
    scene.register(scene.alice, scene.bob)
    return scene
  }

  private let talk = CallerScript().hangingUp(after: .seconds(20))

  private func key(_ text: String?) throws -> [UInt8] {
    let words = try #require(text).split(separator: " ")
    let inline = try #require(words.first { $0.hasPrefix("inline:") }).dropFirst(7)
    let text = Array(String(inline.prefix { $0 != "|" }).utf8)
    let decoded = Base64.decode(text.span.rawSpan)
    return try #require(decoded)
  }

  /// What media has of the agent's leg is what SDP said to and from the agent.
  private func expectKeys(
    _ scene: Scene, _ call: AgentCall, theirs: String, _ suite: SRTPSuite = .aesCM128HMAC80,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let security = try #require(
      scene.world.media.security(of: call.media), sourceLocation: sourceLocation)
    #expect(security.sending?.suite == suite, sourceLocation: sourceLocation)
    let sent = try key(call.remoteSDP?.crypto.first)
    #expect(security.sending?.secret.exposed == sent, sourceLocation: sourceLocation)
    let received = try key("inline:" + theirs)
    #expect(security.receiving?.secret.exposed == received, sourceLocation: sourceLocation)
  }

  @Test func whatIsOfferedIsAnsweredAndTheOtherSideStaysPlain() throws {
    let scene = try scene()
    scene.alice.srtp = AgentSRTP()
    let call = scene.alice.call("+441234", talk)
    scene.world.run(for: .seconds(5))
    #expect(call.state == .answered)
    #expect(call.remoteSDP?.profile == "RTP/SAVP")
    #expect(call.remoteSDP?.crypto.count == 1)
    #expect(call.remoteSDP?.crypto.first?.hasPrefix("1 AES_CM_128_HMAC_SHA1_80 inline:") == true)
    try expectKeys(scene, call, theirs: AgentSRTP.offered)
    let far = try #require(scene.north.calls.last)
    #expect(far.remoteSDP?.profile == "RTP/AVP" && far.remoteSDP?.crypto == [])
    #expect(scene.world.media.security(of: far.media) == nil)
    let heard = scene.texts(to: scene.north)
    #expect(!heard.contains("inline") && !heard.contains(AgentSRTP.offered))
    scene.finish()
    #expect(scene.records.map(\.status) == [200])
    scene.expectRest()
  }

  /// Plain RTP with a key beside it: who offers that means it.
  @Test func anOptionalKeyIsTaken() throws {
    let scene = try scene()
    scene.alice.srtp = AgentSRTP()
    scene.alice.srtp?.profile = "RTP/AVP"
    let call = scene.alice.call("+441234", talk)
    scene.world.run(for: .seconds(5))
    #expect(call.remoteSDP?.profile == "RTP/AVP" && call.remoteSDP?.crypto.count == 1)
    try expectKeys(scene, call, theirs: AgentSRTP.offered)
    scene.finish()
    scene.expectRest()
  }

  @Test func offIgnoresAnOptionalKey() throws {
    let scene = try scene(users: .off)
    scene.alice.srtp = AgentSRTP()
    scene.alice.srtp?.profile = "RTP/AVP"
    let call = scene.alice.call("+441234", talk)
    scene.world.run(for: .seconds(5))
    #expect(call.remoteSDP?.profile == "RTP/AVP" && call.remoteSDP?.crypto == [])
    scene.finish()
    scene.expectRest()
  }

  /// The first line that can be used, with its tag; those with what we do not do are passed over.
  @Test func theFirstUsableLineIsChosen() throws {
    let scene = try scene()
    let good = AgentSRTP.offered
    scene.alice.srtp = AgentSRTP()
    scene.alice.srtp?.offers = [
      "1 F8_128_HMAC_SHA1_80 inline:\(good)",
      "2 AES_CM_128_HMAC_SHA1_80 inline:\(good) UNENCRYPTED_SRTP",
      "3 AES_CM_128_HMAC_SHA1_80 inline:\(good.dropLast(4))",
      "4 AES_CM_128_HMAC_SHA1_80 inline:\(good)|2^20|1:4;inline:\(good)|2^20|2:4",
      "7 aes_cm_128_hmac_sha1_32 inline:\(good)|2^31|1:1 WSH=128",
      "8 AES_CM_128_HMAC_SHA1_80 inline:\(good)",
    ]
    let call = scene.alice.call("+441234", talk)
    scene.world.run(for: .seconds(5))
    #expect(call.remoteSDP?.crypto.first?.hasPrefix("7 AES_CM_128_HMAC_SHA1_32 inline:") == true)
    try expectKeys(scene, call, theirs: good, .aesCM128HMAC32)
    let receiving = scene.world.media.security(of: call.media)?.receiving
    #expect(receiving?.identifier == 1 && receiving?.identifierSize == 1)
    scene.finish()
    scene.expectRest()
  }

  /// Both sides require it: each has keys of its own.
  @Test func requiredOnBothSides() throws {
    let scene = try scene(users: .require, carriers: .require)
    scene.alice.srtp = AgentSRTP()
    scene.north.srtp = AgentSRTP()
    scene.north.srtp?.takes = ["AES_CM_128_HMAC_SHA1_80"]
    let call = scene.alice.call("+441234", talk)
    scene.world.run(for: .seconds(5))
    let far = try #require(scene.north.calls.last)
    #expect(far.remoteSDP?.profile == "RTP/SAVP")
    let suites = far.remoteSDP?.crypto.map {
      $0.split(separator: " ").prefix(2).joined(separator: " ")
    }
    #expect(
      suites == [
        "1 AEAD_AES_256_GCM", "2 AEAD_AES_128_GCM", "3 AES_256_CM_HMAC_SHA1_80",
        "4 AES_CM_128_HMAC_SHA1_80",
      ])
    let keys = try #require(far.remoteSDP).crypto.map { try key($0) }
    #expect(Set(keys).count == 4)
    let near = try #require(scene.world.media.security(of: call.media))
    let away = try #require(scene.world.media.security(of: far.media))
    #expect(away.sending?.secret.exposed == keys[3])
    let received = try key("inline:" + AgentSRTP.answered)
    #expect(away.receiving?.secret.exposed == received)
    #expect(near.sending != away.sending && near.receiving != away.receiving)
    #expect(!scene.texts(to: scene.north).contains(AgentSRTP.offered))
    #expect(!scene.texts(to: scene.alice).contains(AgentSRTP.answered))
    scene.finish()
    scene.expectRest()
  }

  @Test(arguments: [true, false])
  func plainIsRefusedWhereItIsRequired(asCaller: Bool) throws {
    let scene = try scene(
      users: asCaller ? .require : .allow, carriers: asCaller ? .allow : .require)
    scene.north.srtp = AgentSRTP()
    scene.north.srtp?.answersPlain = true
    scene.south.srtp = scene.north.srtp
    let call = scene.alice.call("+441234", talk)
    scene.finish()
    #expect(call.ending == .refused(488))
    #expect(scene.records.map(\.cause) == [.srtpRequired])
    scene.expectRest()
  }

  @Test func offRefusesWhatIsNothingElse() throws {
    let scene = try scene(users: .off)
    scene.alice.srtp = AgentSRTP()
    let call = scene.alice.call("+441234", talk)
    scene.finish()
    #expect(call.ending == .refused(488))
    #expect(scene.records.map(\.cause) == [.srtpRefused])
    scene.expectRest()
  }

  /// Hold and retrieval: the same keys, the same context; a new one is taken up in both directions of change.
  @Test func aReofferKeepsTheKeysAndANewKeyIsTaken() throws {
    let scene = try scene()
    scene.alice.srtp = AgentSRTP()
    let script = CallerScript().hangingUp(after: .seconds(30)).with {
      $0.reoffers = [
        Reoffer(after: .seconds(4), direction: .sendonly), Reoffer(after: .seconds(8)),
        Reoffer(after: .seconds(14)),
      ]
    }
    let call = scene.alice.call("+441234", script)
    scene.world.run(for: .seconds(3))
    let first = try #require(scene.world.media.security(of: call.media))
    scene.world.run(for: .seconds(3))
    #expect(scene.world.media.security(of: call.media) == first)
    scene.world.run(for: .seconds(4))
    #expect(scene.world.media.security(of: call.media) == first)
    try expectKeys(scene, call, theirs: AgentSRTP.offered)
    scene.alice.srtp?.offers = ["5 AES_CM_128_HMAC_SHA1_80 inline:\(AgentSRTP.answered)"]
    scene.world.run(for: .seconds(10))
    let second = try #require(scene.world.media.security(of: call.media))
    #expect(second.sending == first.sending && second.receiving != first.receiving)
    #expect(call.remoteSDP?.crypto.first?.hasPrefix("5 ") == true)
    try expectKeys(scene, call, theirs: AgentSRTP.answered)
    scene.finish()
    scene.expectRest()
  }

  /// The callee's offers come to the caller as ours, with the keys that are in force there.
  @Test func aReofferOfTheOtherSide() throws {
    let scene = try scene()
    scene.alice.srtp = AgentSRTP()
    scene.north.onInvite = { _ in
      CalleeScript.answering().with {
        $0.reoffers = [Reoffer(after: .seconds(4), direction: .sendonly)]
      }
    }
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(15)))
    scene.world.run(for: .seconds(3))
    let first = try #require(scene.world.media.security(of: call.media))
    scene.world.run(for: .seconds(7))
    #expect(call.remoteSDP?.profile == "RTP/SAVP" && call.remoteSDP?.direction == .sendonly)
    let second = try #require(scene.world.media.security(of: call.media))
    #expect(second.sending == first.sending)
    try expectKeys(scene, call, theirs: AgentSRTP.answered)
    scene.finish()
    scene.expectRest()
  }

  /// The offer is ours in the 200, and the answer comes in the ACK.
  @Test func aDelayedOffer() throws {
    let scene = try scene(users: .require, carriers: .require)
    scene.alice.srtp = AgentSRTP()
    scene.north.srtp = AgentSRTP()
    let call = scene.alice.call("+441234", talk.with { $0.delayedOffer = true })
    scene.world.run(for: .seconds(5))
    let far = try #require(scene.north.calls.last)
    #expect(call.state == .answered)
    #expect(call.remoteSDP?.profile == "RTP/SAVP" && call.remoteSDP?.crypto.count == 4)
    let near = try #require(scene.world.media.security(of: call.media))
    let sent = try key(call.remoteSDP?.crypto.first)
    #expect(near.sending?.suite == .aeadAES256GCM && near.sending?.secret.exposed == sent)
    try expectKeys(scene, far, theirs: AgentSRTP.offered)
    scene.finish()
    #expect(scene.records.map(\.status) == [200])
    scene.expectRest()
  }

  @Test func applicationsHaveKeysToo() throws {
    let scene = try scene(users: .require)
    scene.alice.srtp = AgentSRTP()
    let call = scene.alice.call("*43", talk)
    scene.world.run(for: .seconds(5))
    #expect(call.remoteSDP?.profile == "RTP/SAVP")
    try expectKeys(scene, call, theirs: AgentSRTP.offered)
    scene.finish()
    scene.expectRest()
  }

  /// Two phones of one office, and the transfer of one to a third.
  @Test func aTransfer() throws {
    let scene = try scene(users: .require)
    for phone in [scene.alice, scene.bob, scene.carol] { phone.srtp = AgentSRTP() }
    scene.register(scene.carol)
    let call = scene.alice.call("102", CallerScript().hangingUp(after: .seconds(20)))
    scene.world.run(for: .seconds(5))
    scene.bob.calls.last?.transfer(to: "103")
    scene.world.run(for: .seconds(8))
    let third = try #require(scene.carol.calls.last)
    #expect(call.state == .answered && third.state == .answered)
    #expect(scene.world.media.partner(of: call.media) == third.media)
    #expect(scene.world.media.security(of: call.media) != nil)
    #expect(scene.world.media.security(of: third.media) != nil)
    scene.finish()
    scene.expectRest()
  }

  /// Keys stand in no ladder.
  @Test func keysAreHiddenInLadders() throws {
    let scene = try scene(carriers: .require)
    scene.alice.srtp = AgentSRTP()
    scene.north.srtp = AgentSRTP()
    scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(5)))
    scene.finish()
    let id = try #require(scene.records.first?.id)
    guard case .ladder(let messages)? = scene.world.ask(.ladder(id)) else {
      Issue.record("no ladder")
      return
    }
    let texts = messages.map { String(decoding: $0.bytes, as: UTF8.self) }
    let lines = texts.joined().split(separator: "\r\n").filter { $0.contains("a=crypto:") }
    #expect(lines.count >= 7)
    for line in lines {
      let shown = line.split(separator: ":").last.map { String($0) } ?? ""
      #expect(!shown.isEmpty && shown.allSatisfy { $0 == "*" }, "\(line)")
    }
    #expect(texts.allSatisfy { !$0.contains("CANARY") && !$0.contains(AgentSRTP.offered) })
    // On the wire they were.
    #expect(scene.texts(to: scene.north).contains("inline:"))
    scene.expectRest()
  }
}
