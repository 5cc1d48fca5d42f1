import Base
import CallCore
import MediaControl
import Policy
import SIPWire
import Simulation
import Testing

/// SRTP on the lines beside speech: each has keys of its own on each side of a call, under the rules of speech.
@Suite struct FurtherProtectionTests {
  private let talk = CallerScript().hangingUp(after: .seconds(60))

  private static func settings(
    users: SRTPPolicy = .allow, carriers: SRTPPolicy = .allow, keys: SRTPKeying = .sdes
  ) -> WorldSettings {
    Scene.settings(users: users, carriers: carriers, keys: keys)
  }

  /// An answered call from alice to north.
  private struct Bed {
    let scene: Scene
    let near: AgentCall
    let far: AgentCall
    var media: SimulatedMedia { scene.world.media }

    init(
      _ settings: WorldSettings, _ script: CallerScript, _ prepare: (Scene) -> Void
    ) throws {
      scene = try Scene(settings)
      prepare(scene)
      scene.register(scene.alice, scene.bob)
      near = scene.alice.call("+441234", script)
      scene.world.run(for: .seconds(5))
      far = try #require(scene.north.calls.last)
    }

    func reoffer(_ call: AgentCall, _ change: StreamChange = .none, late: Bool = false) -> Int? {
      var reoffer = Reoffer(after: .zero, withoutOffer: late)
      reoffer.change = change
      call.reoffer(reoffer)
      scene.world.run(for: .seconds(5))
      return call.reoffersAnswered.last
    }

    /// The security of the picture's two ends, which are bridged with each other.
    func pictures(
      sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> (near: MediaSecurity?, far: MediaSecurity?) {
      let one = try #require(near.beside.first?.media, sourceLocation: sourceLocation)
      let other = try #require(far.beside.first?.media, sourceLocation: sourceLocation)
      #expect(media.partner(of: one) == other, sourceLocation: sourceLocation)
      #expect(media.remote(of: one)?.proto == .rtpAsSent, sourceLocation: sourceLocation)
      return (media.security(of: one), media.security(of: other))
    }

    func finish(sourceLocation: SourceLocation = #_sourceLocation) {
      scene.finish()
      scene.expectRest(sourceLocation: sourceLocation)
    }
  }

  private func key(_ text: String?) throws -> [UInt8] {
    let words = try #require(text).split(separator: " ")
    let inline = try #require(words.first { $0.hasPrefix("inline:") }).dropFirst(7)
    let text = Array(String(inline).utf8)
    let decoded = Base64.decode(text.span.rawSpan)
    return try #require(decoded)
  }

  // MARK: Keys in SDP

  /// One side has keys for both lines, the other none for either.
  @Test func eachLineHasKeysOfItsOwn() throws {
    let bed = try Bed(Self.settings(), talk.with { $0.change = .video }) {
      $0.alice.srtp = AgentSRTP()
    }
    let (near, far) = try bed.pictures()
    let line = try #require(bed.near.remoteSDP?.beside.first)
    #expect(line.profile == "RTP/SAVPF" && line.crypto.count == 1)
    let (sent, received) = (try key(line.crypto.first), try key("inline:" + AgentSRTP.pictures))
    #expect(near?.sending?.secret.exposed == sent)
    #expect(near?.receiving?.secret.exposed == received)
    let speech = try #require(bed.media.security(of: bed.near.media))
    #expect(speech.sending != nil && speech.sending != near?.sending)
    #expect(speech.receiving != near?.receiving)
    #expect(far == nil && bed.far.remoteSDP?.beside.first?.profile == "RTP/AVPF")
    #expect(bed.far.remoteSDP?.beside.first?.crypto == [])
    #expect(!bed.scene.texts(to: bed.scene.north).contains("inline:"))
    bed.finish()
  }

  @Test func bothSidesHaveKeysOfTheirOwn() throws {
    let bed = try Bed(
      Self.settings(users: .require, carriers: .require), talk.with { $0.change = .video }
    ) {
      $0.alice.srtp = AgentSRTP()
      $0.north.srtp = AgentSRTP()
    }
    let (near, far) = try bed.pictures()
    let offered = try #require(bed.far.remoteSDP)
    #expect(offered.beside.first?.profile == "RTP/SAVPF")
    let keys = try (offered.crypto + (offered.beside.first?.crypto ?? [])).map { try key($0) }
    #expect(keys.count == 8 && Set(keys).count == 8)
    let sending = try #require(far?.sending?.secret.exposed)
    #expect(keys[4...].contains(sending))
    #expect(near?.sending != nil && near?.sending != far?.sending)
    for agent in [bed.scene.alice, bed.scene.north] {
      let heard = bed.scene.texts(to: agent)
      #expect(!heard.contains(AgentSRTP.offered) && !heard.contains(AgentSRTP.pictures))
      #expect(!heard.contains(AgentSRTP.answered))
    }
    bed.finish()
  }

  /// What a leg's policy makes of a caller's lines, as they are offered.
  @Test(arguments: [
    (SRTPPolicy.off, "plain", "plain"), (.off, "keys", "refused"), (.off, "optional", "plain"),
    (.allow, "plain", "plain"), (.allow, "keys", "protected"), (.allow, "optional", "protected"),
    (.allow, "keysForSpeechAlone", "noPictures"),
    (.require, "plain", "refused"), (.require, "keys", "protected"),
    (.require, "optional", "protected"), (.require, "keysForSpeechAlone", "noPictures"),
  ])
  func policyAndProfile(policy: SRTPPolicy, offer: String, outcome: String) throws {
    let scene = try Scene(Self.settings(users: policy))
    switch offer {
    case "keys": scene.alice.srtp = AgentSRTP()
    case "optional":
      scene.alice.srtp = AgentSRTP()
      scene.alice.srtp?.profile = "RTP/AVP"
    case "keysForSpeechAlone":
      scene.alice.srtp = AgentSRTP()
      scene.alice.srtp?.protectsVideo = false
    default: break
    }
    scene.register(scene.alice)
    let call = scene.alice.call("+441234", talk.with { $0.change = .video })
    scene.world.run(for: .seconds(5))
    guard outcome != "refused" else {
      #expect(call.state == .ended && scene.north.calls.isEmpty)
      scene.finish()
      return scene.expectRest()
    }
    let media = scene.world.media
    let line = try #require(call.remoteSDP?.beside.first)
    switch outcome {
    case "noPictures":
      #expect(line.media == nil && call.state == .answered)
      #expect(scene.north.calls.last?.remoteSDP?.beside.first?.media == nil)
    case "plain":
      #expect(line.media != nil && line.crypto == [])
      #expect(media.security(of: try #require(call.beside.first?.media)) == nil)
    default:
      #expect(line.media != nil && line.crypto.count == 1)
      #expect(line.profile == (offer == "optional" ? "RTP/AVPF" : "RTP/SAVPF"))
      #expect(media.security(of: try #require(call.beside.first?.media)) != nil)
    }
    scene.finish()
    scene.expectRest()
  }

  /// A line that is asked for with keys and answered without has nobody: it is never plain.
  @Test func anAnswerWithoutKeysEndsTheLine() throws {
    let bed = try Bed(
      Self.settings(users: .require, carriers: .require), talk.with { $0.change = .video }
    ) {
      $0.alice.srtp = AgentSRTP()
      $0.north.srtp = AgentSRTP()
      $0.north.srtp?.protectsVideo = false
    }
    #expect(bed.near.state == .answered)
    #expect(bed.near.remoteSDP?.beside.first?.media == nil)
    let picture = try #require(bed.far.beside.first?.media)
    #expect(bed.media.remote(of: picture) == nil)
    #expect(bed.media.security(of: bed.far.media) != nil)
    bed.finish()
  }

  /// Speech that is plain, and pictures that are not: each line for itself, and what is written down has no key.
  @Test func picturesAlone() throws {
    let bed = try Bed(Self.settings(), talk) { _ in }
    let address = bed.scene.world.network.newMediaAddress(of: bed.scene.alice)
    var reoffer = Reoffer(after: .zero)
    reoffer.sdp =
      AgentSDP(media: bed.near.media, payloads: [8]).text(
        canary: bed.scene.alice.canary, version: 9)
      + "m=video \(address.port) RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n"
      + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:\(AgentSRTP.pictures)\r\n"
    bed.near.reoffer(reoffer)
    bed.scene.world.run(for: .seconds(5))
    #expect(bed.near.reoffersAnswered == [200])
    #expect(bed.media.security(of: address)?.sending != nil)
    #expect(bed.media.security(of: bed.near.media) == nil)
    #expect(bed.far.remoteSDP?.beside.first?.profile == "RTP/AVPF")
    bed.finish()
  }

  // MARK: Later

  /// RFC 3711 §3.3.1: a hold, the other side's offers and a repetition leave the keys alone. RFC 4568 §7.1.4: another key
  /// of the far end is another key, and ours stays.
  @Test func aReofferKeepsTheKeys() throws {
    let bed = try Bed(
      Self.settings(carriers: .require), talk.with { $0.change = .video }
    ) {
      $0.alice.srtp = AgentSRTP()
      $0.north.srtp = AgentSRTP()
      $0.north.srtp?.takes = ["AES_CM_128_HMAC_SHA1_80"]
    }
    let before = try bed.pictures()
    bed.near.reoffer(Reoffer(after: .zero, direction: .sendonly))
    bed.scene.world.run(for: .seconds(3))
    #expect(bed.reoffer(bed.near) == 200)
    var after = try bed.pictures()
    #expect(before.near == after.near && before.far?.sending == after.far?.sending)
    #expect(bed.reoffer(bed.far) == 200)
    after = try bed.pictures()
    #expect(before.near?.sending == after.near?.sending)
    #expect(before.far?.sending == after.far?.sending)
    #expect(bed.reoffer(bed.near, late: true) == 200)
    after = try bed.pictures()
    #expect(before.near?.sending == after.near?.sending)
    #expect(before.far?.sending == after.far?.sending)
    bed.finish()
  }

  @Test func picturesComeAndGo() throws {
    let bed = try Bed(Self.settings(users: .require, carriers: .require), talk) {
      $0.alice.srtp = AgentSRTP()
      $0.north.srtp = AgentSRTP()
    }
    let open = bed.media.openCount
    var seen: [SRTPKey?] = []
    for _ in 0..<2 {
      #expect(bed.reoffer(bed.far, .video) == 200)
      let (near, far) = try bed.pictures()
      seen += [near?.sending, far?.sending]
      #expect(bed.reoffer(bed.near, .noVideo) == 200)
      #expect(bed.media.openCount == open)
    }
    // A line that comes again counts anew, and so has new keys.
    #expect(!seen.contains(nil) && Set(seen).count == 4)
    bed.finish()
  }

  /// The same in the middle of a call: what was there is over on both sides.
  @Test func anAnswerWithoutKeysEndsWhatWasThere() throws {
    let bed = try Bed(Self.settings(carriers: .require), talk.with { $0.change = .video }) {
      $0.north.srtp = AgentSRTP()
    }
    _ = try bed.pictures()
    let open = bed.media.openCount
    bed.scene.north.srtp?.protectsVideo = false
    #expect(bed.reoffer(bed.near) == 200)
    #expect(bed.near.remoteSDP?.beside.first?.media == nil)
    #expect(bed.media.openCount == open - 2)
    #expect(bed.media.security(of: bed.far.media) != nil)
    bed.finish()
  }

  /// Offers that nobody takes leave nothing behind that would keep others out.
  @Test func refusedOffersLeaveNothing() throws {
    let bed = try Bed(Self.settings(), talk) { $0.alice.srtp = AgentSRTP() }
    bed.far.refusesReoffers = true
    let open = bed.media.openCount
    for lines in 1...6 {
      var text = AgentSDP(media: bed.near.media, payloads: [8])
      text.profile = "RTP/SAVP"
      text.crypto = AgentSRTP().offers
      var reoffer = Reoffer(after: .zero)
      reoffer.sdp = text.text(canary: bed.scene.alice.canary, version: 9 + lines)
      for _ in 0..<lines { reoffer.sdp? += "m=video 0 RTP/SAVPF 96\r\n" }
      let address = bed.scene.world.network.newMediaAddress(of: bed.scene.alice)
      reoffer.sdp? += "m=video \(address.port) RTP/SAVPF 96\r\n"
      reoffer.sdp? += "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:\(AgentSRTP.pictures)\r\n"
      bed.near.reoffer(reoffer)
      bed.scene.world.run(for: .seconds(5))
    }
    #expect(bed.near.reoffersAnswered == Array(repeating: 488, count: 6))
    #expect(bed.media.openCount == open)
    bed.far.refusesReoffers = false
    #expect(bed.reoffer(bed.near, .video) == 200)
    _ = try bed.pictures()
    bed.finish()
  }

  @Test func aTransferGivesNoKeyAway() throws {
    let scene = try Scene(Self.settings(users: .require))
    for phone in [scene.alice, scene.bob, scene.carol] { phone.srtp = AgentSRTP() }
    scene.register(scene.alice, scene.bob, scene.carol)
    let near = scene.alice.call("102", talk.with { $0.change = .video })
    scene.world.run(for: .seconds(3))
    let middle = try #require(scene.bob.calls.first)
    let picture = try #require(near.beside.first?.media)
    let before = try #require(scene.world.media.security(of: picture)?.sending)
    let consultation = scene.bob.call("103", talk.with { $0.change = .video })
    scene.world.run(for: .seconds(3))
    middle.transfer(to: consultation)
    scene.world.run(for: .seconds(10))
    let last = try #require(scene.carol.calls.first)
    #expect(scene.world.media.partner(of: near.media) == last.media)
    let far = try #require(last.beside.first?.media)
    #expect(scene.world.media.partner(of: picture) == far)
    #expect(scene.world.media.security(of: picture)?.sending == before)
    #expect(scene.world.media.security(of: far)?.sending != before)
    scene.finish()
    scene.expectRest()
  }

  // MARK: Keys by DTLS

  @Test(arguments: [SRTPKeying.sdes, .dtls])
  func aHandshakeForEachLine(carrier: SRTPKeying) throws {
    let bed = try Bed(
      Self.settings(carriers: .require, keys: carrier), talk.with { $0.change = .video }
    ) {
      // It keeps the role that it has had.
      $0.alice.dtls = AgentDTLS()
      $0.alice.dtls?.answers = "passive"
      if carrier == .dtls { $0.north.dtls = AgentDTLS() } else { $0.north.srtp = AgentSRTP() }
      $0.north.srtp?.takes = ["AES_CM_128_HMAC_SHA1_80"]
    }
    let (near, far) = try bed.pictures()
    #expect(near?.handshake?.role == .client)
    #expect(far?.handshake?.role == (carrier == .dtls ? .server : nil))
    #expect((far?.sending != nil) == (carrier == .sdes))
    let answered = try #require(bed.near.remoteSDP?.beside.first)
    #expect(answered.profile == "UDP/TLS/RTP/SAVPF" && answered.crypto == [])
    #expect(answered.handshake.setup == "active")
    #expect(answered.handshake.fingerprints == [AgentDTLS.oursText])
    let offered = try #require(bed.far.remoteSDP?.beside.first)
    #expect(offered.profile == (carrier == .dtls ? "UDP/TLS/RTP/SAVPF" : "RTP/SAVP"))
    #expect(offered.handshake.setup == (carrier == .dtls ? "actpass" : nil))
    // RFC 8842 §5.3: nothing that concerns the association changes.
    #expect(bed.reoffer(bed.near) == 200 && bed.reoffer(bed.far) == 200)
    let after = try bed.pictures()
    #expect(after.near == near && after.far?.handshake == far?.handshake)
    #expect(after.far?.sending == far?.sending)
    bed.finish()
  }

  @Test func aHandshakeOnOneSide() throws {
    let bed = try Bed(Self.settings(), talk.with { $0.change = .video }) {
      $0.alice.dtls = AgentDTLS()
    }
    let (near, far) = try bed.pictures()
    #expect(near?.handshake != nil && far == nil)
    // Who does not speak DTLS often refuses the name of feedback (as for speech).
    #expect(bed.far.remoteSDP?.beside.first?.profile == "RTP/AVP")
    bed.finish()
  }
}
