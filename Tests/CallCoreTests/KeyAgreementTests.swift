import Base
import CallCore
import MediaControl
import Policy
import SIPWire
import Simulation
import Testing

/// SRTP with keys by DTLS (RFC 5763): each side of a call for itself.
@Suite struct KeyAgreementTests {
  /// Phones by UDP and carriers by UDP: nothing that the signalling says of DTLS has to be hidden.
  private func scene(
    users: SRTPPolicy = .allow, carriers: SRTPPolicy = .allow, keys: SRTPKeying = .dtls,
    _ change: (inout WorldSettings) -> Void = { _ in }
  ) throws -> Scene {
    var settings = Scene.settings()
    for i in settings.resources.trunks.indices {
      settings.resources.trunks[i].srtp.policy = carriers
      settings.resources.trunks[i].srtp.keys = keys
    }
    for i in settings.resources.users.indices {
      settings.resources.users[i].srtp.policy = users
      settings.resources.users[i].srtp.keys = keys
    }
    change(&settings)
    let scene = try Scene(settings)
    scene.register(scene.alice, scene.bob)
    return scene
  }

  private let talk = CallerScript().hangingUp(after: .seconds(20))

  private func handshake(_ scene: Scene, _ call: AgentCall) throws -> MediaHandshake {
    let security = try #require(scene.world.media.security(of: call.media))
    return try #require(security.handshake)
  }

  private func digest(_ first: UInt8) throws -> [CertificateFingerprint] {
    [try #require(CertificateFingerprint(.sha256, AgentDTLS.digest(first)))]
  }

  private func notes(_ scene: Scene) -> [String] {
    scene.records.flatMap(\.notes).filter { $0.contains("DTLS") }
  }

  /// RFC 5763 §5: to actpass we are active; the other side stays plain and hears nothing of it.
  @Test(arguments: [
    ("actpass", "active", MediaHandshake.Role.client), ("active", "passive", .server),
    ("passive", "active", .client), ("", "passive", .server),
  ])
  func whatIsOfferedIsAnswered(
    offered: String, answered: String, role: MediaHandshake.Role
  ) throws {
    let scene = try scene()
    scene.alice.dtls = AgentDTLS()
    scene.alice.dtls?.setup = offered.isEmpty ? nil : offered
    let call = scene.alice.call("+441234", talk)
    scene.world.run(for: .seconds(5))
    #expect(call.state == .answered)
    let answer = try #require(call.remoteSDP)
    #expect(answer.profile == "UDP/TLS/RTP/SAVP" && answer.crypto == [])
    #expect(answer.handshake.setup == answered)
    #expect(answer.handshake.fingerprints == [AgentDTLS.oursText])
    let agreed = try handshake(scene, call)
    #expect(agreed.role == role)
    let theirs = try digest(0xa0)
    #expect(agreed.fingerprints == theirs)
    let far = try #require(scene.north.calls.last)
    #expect(far.remoteSDP?.profile == "RTP/AVP" && far.remoteSDP?.handshake.fingerprints == [])
    #expect(scene.world.media.security(of: far.media) == nil)
    let heard = scene.texts(to: scene.north)
    #expect(!heard.contains("fingerprint") && !heard.contains("setup:"))
    scene.finish()
    #expect(notes(scene) == ["caller: keys agreed by DTLS, SRTP_AEAD_AES_128_GCM"])
    scene.expectRest()
  }

  /// With feedback, and in the way of before there was a protocol for it.
  @Test(arguments: ["UDP/TLS/RTP/SAVPF", "RTP/SAVPF", "RTP/SAVP"])
  func theProtocolOfTheOfferIsThatOfTheAnswer(profile: String) throws {
    let scene = try scene()
    scene.alice.dtls = AgentDTLS()
    scene.alice.dtls?.profile = profile
    let call = scene.alice.call("+441234", talk)
    scene.world.run(for: .seconds(5))
    #expect(call.remoteSDP?.profile == profile)
    #expect(call.remoteSDP?.handshake.setup == "active")
    _ = try handshake(scene, call)
    scene.finish()
    scene.expectRest()
  }

  @Test(arguments: ["active", "passive"])
  func requiredOnBothSides(answer: String) throws {
    let scene = try scene(users: .require, carriers: .require)
    scene.alice.dtls = AgentDTLS()
    scene.north.dtls = AgentDTLS()
    scene.north.dtls?.fingerprints = ["sha-256 " + AgentDTLS.text(0x60)]
    scene.north.dtls?.answers = answer
    let call = scene.alice.call("+441234", talk)
    scene.world.run(for: .seconds(5))
    let far = try #require(scene.north.calls.last)
    #expect(far.remoteSDP?.profile == "UDP/TLS/RTP/SAVP")
    #expect(far.remoteSDP?.handshake.setup == "actpass")
    #expect(far.remoteSDP?.handshake.fingerprints == [AgentDTLS.oursText])
    let (near, away) = (try handshake(scene, call), try handshake(scene, far))
    let theirs = try digest(0x60)
    #expect(away.fingerprints == theirs && near.fingerprints != away.fingerprints)
    #expect(away.role == (answer == "active" ? .server : .client))
    #expect(!scene.texts(to: scene.north).contains(AgentDTLS.text(0xa0)))
    #expect(!scene.texts(to: scene.alice).contains(AgentDTLS.text(0x60)))
    scene.finish()
    #expect(scene.records.map(\.status) == [200])
    #expect(notes(scene).count == 2)
    scene.expectRest()
  }

  /// Keys in SDP on one side, by a handshake on the other: each ends its own.
  @Test func bridgedWithKeysInSDP() throws {
    let scene = try scene(carriers: .require, keys: .sdes) {
      for i in $0.listeners.indices { $0.listeners[i].transport = .tls }
      for i in $0.resources.trunks.indices { $0.resources.trunks[i].transport = .tls }
      for i in $0.resources.users.indices { $0.resources.users[i].transport = .tls }
    }
    scene.alice.dtls = AgentDTLS()
    scene.north.srtp = AgentSRTP()
    let call = scene.alice.call("+441234", talk)
    scene.world.run(for: .seconds(5))
    let far = try #require(scene.north.calls.last)
    #expect(far.remoteSDP?.profile == "RTP/SAVP" && far.remoteSDP?.handshake.fingerprints == [])
    _ = try handshake(scene, call)
    #expect(scene.world.media.security(of: far.media)?.sending != nil)
    scene.finish()
    scene.expectRest()
  }

  /// Between two users, with feedback, and keys that may be read on their way.
  @Test func bridgedWithKeysInSDPOfAUser() throws {
    let scene = try scene {
      $0.resources.users[1].srtp.policy = .require
      $0.resources.users[1].srtp.keys = .sdes
      $0.resources.users[1].srtp.withoutTLS = true
    }
    scene.alice.dtls = AgentDTLS()
    scene.alice.dtls?.profile = "UDP/TLS/RTP/SAVPF"
    scene.bob.srtp = AgentSRTP()
    let call = scene.alice.call("102", talk)
    scene.world.run(for: .seconds(5))
    let far = try #require(scene.bob.calls.last)
    #expect(call.state == .answered && far.remoteSDP?.profile == "RTP/SAVP")
    #expect(call.remoteSDP?.profile == "UDP/TLS/RTP/SAVPF")
    _ = try handshake(scene, call)
    #expect(scene.world.media.security(of: far.media)?.sending != nil)
    scene.finish()
    scene.expectRest()
  }

  @Test(arguments: [true, false])
  func plainIsRefusedWhereItIsRequired(asCaller: Bool) throws {
    let scene = try scene(
      users: asCaller ? .require : .allow, carriers: asCaller ? .allow : .require)
    scene.north.dtls = AgentDTLS()
    scene.north.dtls?.answersPlain = true
    scene.south.dtls = scene.north.dtls
    let call = scene.alice.call("+441234", talk)
    scene.finish()
    #expect(call.ending == .refused(488))
    #expect(scene.records.map(\.cause) == [.srtpRequired])
    scene.expectRest()
  }

  @Test func offRefusesWhatIsNothingElse() throws {
    let scene = try scene(users: .off)
    scene.alice.dtls = AgentDTLS()
    let call = scene.alice.call("+441234", talk)
    scene.finish()
    #expect(call.ending == .refused(488))
    #expect(scene.records.map(\.cause) == [.srtpRefused])
    scene.expectRest()
  }

  /// SHA-1 proves nothing, no fingerprint proves nothing, and who will not begin has nothing to go on with.
  @Test(arguments: [
    (["sha-1 " + String(AgentDTLS.text(0xa0).prefix(59))], "actpass"), ([], "active"),
    (["sha-256 " + AgentDTLS.text(0xa0)], "holdconn"),
  ])
  func unusable(fingerprints: [String], setup: String) throws {
    let scene = try scene()
    scene.alice.dtls = AgentDTLS()
    scene.alice.dtls?.fingerprints = fingerprints
    scene.alice.dtls?.setup = setup
    let call = scene.alice.call("+441234", talk)
    scene.finish()
    #expect(call.ending == .refused(488))
    #expect(scene.records.map(\.cause) == [.srtpUnsupported])
    scene.expectRest()
  }

  /// RFC 8842 §5.3: hold and retrieval keep certificate and role, whatever is offered; another certificate is another
  /// handshake.
  @Test func aReofferKeepsTheAssociationAndAnotherCertificateIsTaken() throws {
    let scene = try scene()
    scene.alice.dtls = AgentDTLS()
    scene.alice.dtls?.setup = "active"
    let script = CallerScript().hangingUp(after: .seconds(30)).with {
      $0.reoffers = [
        Reoffer(after: .seconds(4), direction: .sendonly), Reoffer(after: .seconds(8)),
        Reoffer(after: .seconds(14)),
      ]
    }
    let call = scene.alice.call("+441234", script)
    scene.world.run(for: .seconds(3))
    let first = try handshake(scene, call)
    #expect(first.role == .server)
    // Its further offers are as RFC 8842 §5.5 has them, and its role stays.
    scene.alice.dtls?.setup = "actpass"
    scene.world.run(for: .seconds(3))
    #expect(call.remoteSDP?.handshake.setup == "passive")
    #expect(try handshake(scene, call) == first)
    scene.world.run(for: .seconds(4))
    #expect(try handshake(scene, call) == first)
    scene.alice.dtls?.fingerprints = ["sha-256 " + AgentDTLS.text(0x33)]
    scene.world.run(for: .seconds(10))
    let theirs = try digest(0x33)
    #expect(try handshake(scene, call).fingerprints == theirs)
    scene.finish()
    scene.expectRest()
  }

  /// The callee's offers come to the caller as ours: actpass, and the association stays.
  @Test func aReofferOfTheOtherSide() throws {
    let scene = try scene()
    scene.alice.dtls = AgentDTLS()
    scene.alice.dtls?.answers = "passive"
    scene.north.onInvite = { _ in
      CalleeScript.answering().with {
        $0.reoffers = [Reoffer(after: .seconds(4), direction: .sendonly)]
      }
    }
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(15)))
    scene.world.run(for: .seconds(3))
    let first = try handshake(scene, call)
    scene.world.run(for: .seconds(7))
    #expect(call.remoteSDP?.direction == .sendonly)
    #expect(call.remoteSDP?.handshake.setup == "actpass")
    #expect(call.remoteSDP?.profile == "UDP/TLS/RTP/SAVP")
    #expect(try handshake(scene, call) == first)
    scene.finish()
    scene.expectRest()
  }

  /// The offer is ours in the 200, and the answer comes in the ACK.
  @Test func aDelayedOffer() throws {
    let scene = try scene(users: .require, carriers: .require)
    scene.alice.dtls = AgentDTLS()
    scene.north.dtls = AgentDTLS()
    let call = scene.alice.call("+441234", talk.with { $0.delayedOffer = true })
    scene.world.run(for: .seconds(5))
    let far = try #require(scene.north.calls.last)
    #expect(call.state == .answered)
    #expect(call.remoteSDP?.handshake.setup == "actpass")
    #expect(try handshake(scene, call).role == .server)
    #expect(try handshake(scene, far).role == .client)
    scene.finish()
    #expect(scene.records.map(\.status) == [200])
    scene.expectRest()
  }

  @Test func applicationsShakeHandsToo() throws {
    let scene = try scene(users: .require)
    scene.alice.dtls = AgentDTLS()
    let call = scene.alice.call("*43", talk)
    scene.world.run(for: .seconds(5))
    #expect(call.remoteSDP?.profile == "UDP/TLS/RTP/SAVP")
    _ = try handshake(scene, call)
    scene.finish()
    scene.expectRest()
  }

  /// Two phones of one office, and the transfer of one to a third.
  @Test func aTransfer() throws {
    let scene = try scene(users: .require)
    for (i, phone) in [scene.alice, scene.bob, scene.carol].enumerated() {
      phone.dtls = AgentDTLS()
      phone.dtls?.fingerprints = ["sha-256 " + AgentDTLS.text(UInt8(0x40 + 0x20 * i))]
    }
    scene.register(scene.carol)
    let call = scene.alice.call("102", CallerScript().hangingUp(after: .seconds(20)))
    scene.world.run(for: .seconds(5))
    let before = try handshake(scene, call)
    scene.bob.calls.last?.transfer(to: "103")
    scene.world.run(for: .seconds(8))
    let third = try #require(scene.carol.calls.last)
    #expect(call.state == .answered && third.state == .answered)
    #expect(scene.world.media.partner(of: call.media) == third.media)
    let theirs = try digest(0x80)
    #expect(try handshake(scene, third).fingerprints == theirs)
    #expect(try handshake(scene, call).fingerprints == before.fingerprints)
    scene.finish()
    scene.expectRest()
  }

  /// What media finds out is told once.
  @Test func aWrongFingerprintIsTold() throws {
    let scene = try scene()
    scene.alice.dtls = AgentDTLS()
    let call = scene.alice.call("*43", talk)
    scene.world.run(for: .seconds(2))
    let (transport, _) = try #require(scene.world.media.examination(of: call.media))
    for _ in 0..<3 { scene.world.input(.media(.handshake(transport, .wrongFingerprint))) }
    var evidence = MediaEvidence()
    evidence.handshake = .wrongFingerprint
    evidence.unopened = 50
    scene.world.input(.media(.evidence(transport, evidence)))
    evidence.handshake = .unfinished
    scene.world.input(.media(.evidence(transport, evidence)))
    scene.finish()
    let notes = scene.records.flatMap(\.notes)
    #expect(notes.filter { $0.hasPrefix("caller: wrong fingerprint") }.count == 1)
    #expect(notes.contains { $0.contains("the caller is not heard: wrong-fingerprint: ") })
    #expect(notes.contains { $0.contains("the caller is not heard: no-handshake: ") })
    scene.expectRest()
  }

  /// A phone whose address only its own network knows has to begin itself: ours would not arrive.
  @Test func whoIsBehindANATBegins() throws {
    let scene = try scene()
    scene.alice.dtls = AgentDTLS()
    var sdp = AgentSDP(media: SocketAddress(IPAddress(v4: 0x0a09_0807), 4_000), payloads: [0])
    sdp.profile = "UDP/TLS/RTP/SAVP"
    sdp.handshake.fingerprints = AgentDTLS().fingerprints
    sdp.handshake.setup = "actpass"
    scene.world.media.know(SocketAddress(IPAddress(v4: 0x0a09_0807), 4_000))
    let text = sdp.text(canary: "inside", version: 1)
    let call = scene.alice.call("+441234", talk.with { $0.sdp = text })
    scene.world.run(for: .seconds(5))
    #expect(call.remoteSDP?.handshake.setup == "passive")
    scene.finish()
    scene.expectRest()
  }
}
