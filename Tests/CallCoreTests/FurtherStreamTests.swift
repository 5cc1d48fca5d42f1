import Base
import CallCore
import MediaControl
import Policy
import SIPWire
import Simulation
import Testing

/// Streams that come and go in a call: video beside speech, a fax in its place. Each line has a port of ours on each
/// side, in its place in both descriptions, and what is over leaves none behind.
@Suite struct FurtherStreamTests {
  private let talk = CallerScript().hangingUp(after: .seconds(60))

  /// An answered call from alice to north.
  private func call(
    _ change: StreamChange = .none, _ settings: WorldSettings = Scene.settings(),
    _ prepare: (Scene) -> Void = { _ in }
  ) throws -> (scene: Scene, near: AgentCall, far: AgentCall) {
    let scene = try Scene(settings)
    scene.register(scene.alice, scene.bob)
    prepare(scene)
    let near = scene.alice.call("+441234", talk.with { $0.change = change })
    scene.world.run(for: .seconds(5))
    return (scene, near, try #require(scene.north.calls.first))
  }

  private func reoffer(_ scene: Scene, _ call: AgentCall, _ change: StreamChange) -> Int? {
    var reoffer = Reoffer(after: .zero)
    reoffer.change = change
    call.reoffer(reoffer)
    scene.world.run(for: .seconds(5))
    return call.reoffersAnswered.last
  }

  private func expectFax(
    _ scene: Scene, _ near: SocketAddress?, _ far: SocketAddress?,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let near = try #require(near, sourceLocation: sourceLocation)
    let far = try #require(far, sourceLocation: sourceLocation)
    let media = scene.world.media
    #expect(media.partner(of: near) == far, sourceLocation: sourceLocation)
    #expect(media.remote(of: near)?.proto == .udptl, sourceLocation: sourceLocation)
    #expect(media.remote(of: far)?.proto == .udptl, sourceLocation: sourceLocation)
  }

  // MARK: Fax

  /// From the side that answered, as gateways do; the ports stay what they were, and afterwards it is speech again.
  @Test func faxInThePlaceOfSpeechAndBack() throws {
    let (scene, near, far) = try call()
    let ports = (near.remoteMedia, far.remoteMedia)
    let opens = scene.world.media.opens
    #expect(reoffer(scene, far, .fax) == 200)
    #expect(near.isFax && near.remoteSDP?.isFax == true)
    try expectFax(scene, near.media, far.media)
    #expect(reoffer(scene, far, .speech) == 200)
    #expect(!near.isFax && scene.world.media.remote(of: near.media)?.proto == .rtp)
    #expect(near.remoteMedia == ports.0 && far.remoteMedia == ports.1)
    #expect(scene.world.media.opens == opens)
    scene.finish()
    let record = try #require(scene.records.first)
    #expect(record.notes.filter { $0 == "fax by T.38" }.count == 1)
    #expect(record.codec == "PCMA/8000")
    #expect(record.cause == .normalClearing)
    scene.expectRest()
  }

  @Test func faxFromTheFirst() throws {
    let (scene, near, far) = try call(.fax)
    try expectFax(scene, near.media, far.media)
    scene.finish()
    #expect(scene.records.map(\.codec) == ["T.38"])
    scene.expectRest()
  }

  /// The line of speech has port 0 then: the fax takes its place at the port that is there, and keeps it.
  @Test func faxBesideALineThatIsOff() throws {
    let (scene, near, far) = try call()
    let opens = scene.world.media.opens
    #expect(reoffer(scene, far, .faxBeside) == 200)
    try expectFax(scene, near.beside.first?.media, far.beside.first?.media)
    #expect(scene.world.media.opens == opens)
    #expect(reoffer(scene, near, .speech) == 200)
    #expect(scene.world.media.partner(of: near.media) == far.media)
    #expect(near.beside == [AgentLine(.image, nil)] && near.remoteSDP?.streams == 2)
    scene.finish()
    scene.expectRest()
  }

  @Test func refusedFaxLeavesTheSpeech() throws {
    let (scene, near, far) = try call()
    near.refusesReoffers = true
    #expect(reoffer(scene, far, .fax) == 488)
    #expect(!far.isFax && scene.world.media.remote(of: far.media)?.proto == .rtp)
    #expect(scene.world.media.partner(of: near.media) == far.media)
    scene.finish()
    #expect(scene.records.map(\.cause) == [.normalClearing])
    scene.expectRest()
  }

  /// An answer may reject all lines: nothing flows, and the call goes on.
  @Test func faxRejectedByPortZero() throws {
    let (scene, near, far) = try call()
    near.rejectsByPort = true
    #expect(reoffer(scene, far, .fax) == 200 && far.remoteMedia?.port == 0)
    #expect(scene.world.media.remote(of: near.media)?.weSend == false)
    near.rejectsByPort = false
    #expect(reoffer(scene, far, .speech) == 200)
    #expect(scene.world.media.partner(of: near.media) == far.media)
    #expect(scene.world.media.remote(of: near.media)?.weSend == true)
    scene.finish()
    scene.expectRest()
  }

  /// One end of a fax may say nothing for as long as it likes; when neither does, the call is over.
  @Test func aFaxIsOverWhenBothEndsAreSilent() throws {
    var settings = Scene.settings()
    settings.resources.users[0].mediaTimeout = .seconds(20)
    settings.resources.trunks[0].mediaTimeout = .seconds(20)
    let scene = try Scene(settings)
    scene.register(scene.alice)
    let near = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(900)))
    scene.world.run(for: .seconds(5))
    let far = try #require(scene.north.calls.first)
    #expect(reoffer(scene, far, .fax) == 200)
    scene.world.media.silence(near.media, at: scene.world.now)
    scene.world.run(for: .seconds(300))
    #expect(near.state == .answered)
    // In turns, with half a watch between them.
    for _ in 0..<6 {
      scene.world.media.talk(near.media, at: scene.world.now)
      scene.world.media.silence(far.media, at: scene.world.now)
      scene.world.run(for: .seconds(10))
      scene.world.media.talk(far.media, at: scene.world.now)
      scene.world.media.silence(near.media, at: scene.world.now)
      scene.world.run(for: .seconds(30))
    }
    #expect(near.state == .answered)
    scene.world.media.silence(far.media, at: scene.world.now)
    scene.world.run(for: .seconds(61))
    #expect(scene.records.map(\.cause) == [.mediaTimeout])
    scene.finish()
    scene.expectRest(policy: .seconds(700))
  }

  /// An answer is of the kind of its offer, line by line.
  @Test func speechIsNoAnswerToAFax() throws {
    let (scene, near, far) = try call()
    near.answersSpeech = true
    #expect(reoffer(scene, far, .fax) == 488)
    scene.finish()
    #expect(scene.records.map(\.cause) == [.mediaUnacceptable])
    scene.expectRest()
  }

  /// What the caller may not have is not offered to the callee either, whoever asks.
  @Test func bothSidesMustAllow() throws {
    var settings = Scene.settings()
    settings.resources.users[0].streams = []
    let (scene, near, far) = try call(.video, settings)
    #expect(far.remoteSDP?.beside == [AgentLine(.video, nil)])
    #expect(near.remoteSDP?.beside == [AgentLine(.video, nil)])
    #expect(reoffer(scene, far, .video) == 200)
    #expect(near.remoteSDP?.beside == [AgentLine(.video, nil)])
    scene.finish()
    #expect(scene.records.first?.notes.contains("with video") == false)
    scene.expectRest()
  }

  // MARK: Video

  @Test func videoComesAndGoes() throws {
    let (scene, near, far) = try call()
    let open = scene.world.media.openCount
    #expect(reoffer(scene, near, .video) == 200)
    let picture = try #require(near.beside.first?.media)
    #expect(scene.world.media.partner(of: picture) == far.beside.first?.media)
    #expect(scene.world.media.partner(of: near.media) == far.media)
    #expect(scene.world.media.remote(of: picture)?.clockRate == 90_000)
    #expect(scene.world.media.openCount == open + 2)
    // A hold and its end are nothing to it.
    let named = near.remoteSDP?.beside
    near.reoffer(Reoffer(after: .zero, direction: .sendonly))
    scene.world.run(for: .seconds(3))
    near.reoffer(Reoffer(after: .zero))
    scene.world.run(for: .seconds(3))
    #expect(near.remoteSDP?.beside == named && scene.world.media.openCount == open + 2)
    #expect(reoffer(scene, far, .noVideo) == 200)
    #expect(near.beside == [AgentLine(.video, nil)])
    #expect(scene.world.media.openCount == open)
    // Again: another transport, in the same line.
    #expect(reoffer(scene, far, .video) == 200)
    #expect(scene.world.media.openCount == open + 2)
    scene.finish()
    #expect(scene.records.first?.notes.contains("with video") == true)
    scene.expectRest()
  }

  @Test func videoFromTheFirst() throws {
    let (scene, near, far) = try call(.video)
    let picture = try #require(near.beside.first?.media)
    #expect(scene.world.media.partner(of: picture) == far.beside.first?.media)
    scene.finish()
    scene.expectRest()
  }

  @Test func whatIsNotTakenHasNoPort() throws {
    for refuses in [true, false] {
      let (scene, near, far) = try call { $0.north.takes = [] }
      let open = scene.world.media.openCount
      far.refusesReoffers = refuses
      #expect(reoffer(scene, near, .video) == (refuses ? 488 : 200))
      #expect(near.remoteSDP?.beside.compactMap(\.media) == [])
      #expect(scene.world.media.openCount == open)
      scene.finish()
      scene.expectRest()
    }
  }

  // MARK: What may pass

  /// A trunk with `streams: []` gets speech alone, whoever asks.
  @Test func onlyWhatIsAllowedPasses() throws {
    var settings = Scene.settings()
    settings.resources.trunks[0].streams = []
    let (scene, near, far) = try call(.video, settings)
    #expect(near.remoteSDP?.beside == [AgentLine(.video, nil)])
    #expect(far.remoteSDP?.beside == [AgentLine(.video, nil)])
    #expect(reoffer(scene, near, .fax) == 488)
    #expect(reoffer(scene, far, .fax) == 488)
    scene.finish()
    scene.expectRest()

    settings.resources.trunks[0].streams = [SDPStreams(.fax)]
    let (second, caller, callee) = try call(.video, settings)
    #expect(caller.remoteSDP?.beside == [AgentLine(.video, nil)])
    #expect(reoffer(second, callee, .fax) == 200)
    try expectFax(second, caller.media, callee.media)
    second.finish()
    second.expectRest()
  }

  /// What comes without keys does not go where there are any: the fax falls back to speech, which is encrypted.
  @Test func nothingPlainBesideSRTP() throws {
    var settings = Scene.settings()
    for i in settings.resources.users.indices {
      settings.resources.users[i].srtp.withoutTLS = true
    }
    let (scene, near, far) = try call(.video, settings) {
      $0.alice.srtp = AgentSRTP()
      $0.alice.srtp?.protectsVideo = false
    }
    #expect(scene.world.media.security(of: near.media) != nil)
    #expect(near.remoteSDP?.beside == [AgentLine(.video, nil)])
    #expect(reoffer(scene, far, .fax) == 488 && reoffer(scene, near, .fax) == 488)
    #expect(scene.world.media.security(of: near.media) != nil)
    scene.finish()
    scene.expectRest()
  }

  /// Six lines of video: four have a place, and the description that comes back has all six.
  @Test func furtherLinesHaveALimit() throws {
    let (scene, near, _) = try call()
    let open = scene.world.media.openCount
    var text = AgentSDP(media: near.media, payloads: [0]).text(
      canary: scene.alice.canary, version: 9)
    for _ in 0..<6 {
      let address = scene.world.network.newMediaAddress(of: scene.alice)
      text += "m=video \(address.port) RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"
    }
    var reoffer = Reoffer(after: .zero)
    reoffer.sdp = text
    near.reoffer(reoffer)
    scene.world.run(for: .seconds(5))
    #expect(near.reoffersAnswered == [200])
    #expect(near.remoteSDP?.streams == 7)
    #expect(near.remoteSDP?.beside.compactMap(\.media).count == FurtherStreams.limit)
    #expect(scene.world.media.openCount == open + 2 * FurtherStreams.limit)
    // The very same again changes nothing, and is answered with the same.
    let named = near.remoteSDP?.beside
    near.reoffer(reoffer)
    scene.world.run(for: .seconds(5))
    #expect(near.reoffersAnswered == [200, 200] && near.remoteSDP?.beside == named)
    scene.finish()
    scene.expectRest()
  }

  /// What a transfer has offered and nobody took has no port any more.
  @Test func aRefusedTransferLeavesNoPort() throws {
    let scene = try Scene()
    scene.register(scene.alice, scene.bob, scene.carol)
    let near = scene.alice.call("102", talk.with { $0.change = .video })
    scene.world.run(for: .seconds(3))
    let middle = try #require(scene.bob.calls.first)
    let consultation = scene.bob.call("103", talk)
    scene.world.run(for: .seconds(3))
    let open = scene.world.media.openCount
    try #require(scene.carol.calls.first).refusesReoffers = true
    middle.transfer(to: consultation)
    scene.world.run(for: .seconds(10))
    #expect(near.state == .answered && consultation.state == .answered)
    #expect(scene.world.media.openCount == open)
    scene.finish()
    scene.expectRest()
  }

  /// Whoever is left after a transfer is offered what the new party has; the lines of the dialog stay in their number.
  @Test func aTransferTakesVideoAlong() throws {
    let scene = try Scene()
    scene.register(scene.alice, scene.bob, scene.carol)
    let near = scene.alice.call("102", talk.with { $0.change = .video })
    scene.world.run(for: .seconds(3))
    let middle = try #require(scene.bob.calls.first)
    scene.carol.takes = []
    let consultation = scene.bob.call("103", talk)
    scene.world.run(for: .seconds(3))
    middle.transfer(to: consultation)
    scene.world.run(for: .seconds(10))
    let last = try #require(scene.carol.calls.first)
    #expect(scene.world.media.partner(of: near.media) == last.media)
    #expect(near.beside == [AgentLine(.video, nil)])
    scene.finish()
    scene.expectRest()
  }
}
