import Base
import CallCore
import MediaControl
import Policy
import Simulation
import Testing

/// Who is joined although they have no codec in common, and what each of them is told.
@Suite struct SpeechLadderTests {
  private func speaking(_ payloads: Int..., for talk: Interval = .seconds(60)) -> CallerScript {
    CallerScript().hangingUp(after: talk).with { $0.payloads = payloads }
  }

  private func call(_ scene: Scene, _ script: CallerScript) -> AgentCall {
    let call = scene.alice.call("+441234", script)
    scene.world.run(for: .seconds(5))
    return call
  }

  private func speech(_ scene: Scene, _ call: AgentCall) -> [AudioCodec] {
    let speech = scene.world.media.remote(of: call.media)?.speech ?? SpeechFormats()
    return (0..<speech.count).map { speech[$0].codec }
  }

  /// The carrier hears what the phone offers, then what we can make of it; the phone hears of its own codec alone.
  @Test func oneLawEach() throws {
    let scene = try Scene.answered(with: [0, 101])
    let near = call(scene, speaking(8, 101))
    let far = try #require(scene.north.calls.first)
    #expect(near.state == .answered && far.state == .answered)
    #expect(far.remoteSDP?.payloads == [8, 101, 0])
    #expect(near.remoteSDP?.payloads == [8, 101])
    #expect(speech(scene, near) == [.pcma] && speech(scene, far) == [.pcmu])
    scene.finish()
    let record = try #require(scene.records.first)
    #expect(record.notes.filter { $0 == "speech is converted: PCMA and PCMU" }.count == 1)
    scene.expectRest()
  }

  /// Where there is a common one nothing is converted, and nothing is said that the caller has not offered.
  @Test func onlyWhereItIsNeeded() throws {
    let scene = try Scene.answered(with: [0, 8, 101])
    let near = call(scene, speaking(8, 101))
    let far = try #require(scene.north.calls.first)
    #expect(near.remoteSDP?.payloads == [8, 101])
    #expect(speech(scene, near) == [.pcma] && speech(scene, far) == [.pcma, .pcmu])
    scene.finish()
    #expect(scene.records.first?.notes.contains { $0.hasPrefix("speech is converted") } == false)
  }

  /// An offer of both laws is passed on as it stands.
  @Test func bothLawsAreEnough() throws {
    let scene = try Scene.answered(with: [8])
    let near = call(scene, speaking(0, 8, 101))
    #expect(scene.north.calls.first?.remoteSDP?.payloads == [0, 8, 101])
    #expect(near.remoteSDP?.payloads == [8, 101])
    #expect(speech(scene, near) == [.pcma])
  }

  /// What costs least is taken of what the caller has: G.711 before G.722.
  @Test func theCheapestOfSeveral() throws {
    let scene = try Scene.answered(with: [8]) { $0.trunks[0].codecs = ["PCMA"] }
    let near = call(scene, speaking(9, 0, 101))
    #expect(scene.north.calls.first?.remoteSDP?.payloads == [101, 8])
    #expect(near.remoteSDP?.payloads == [0, 101] && speech(scene, near) == [.pcmu])
  }

  /// A codec that only the trunk's list asks for.
  @Test func whatTheListNames() throws {
    let scene = try Scene.answered(with: [9]) { $0.trunks[0].codecs = ["G722"] }
    let near = call(scene, speaking(8))
    #expect(scene.north.calls.first?.remoteSDP?.payloads == [9, 101])
    #expect(near.remoteSDP?.payloads == [8])
    #expect(speech(scene, near) == [.pcma])
  }

  /// A user's list holds what it may say and hear, as a trunk's does; what is between is converted.
  @Test func theListOfAUser() throws {
    let scene = try Scene.answered(with: [0]) {
      $0.users[0].codecs = ["PCMA"]
      $0.users[1].codecs = ["G722"]
    }
    let near = call(scene, speaking(0, 8, 101))
    #expect(scene.north.calls.first?.remoteSDP?.payloads == [8, 101, 0])
    #expect(near.remoteSDP?.payloads == [8, 101] && speech(scene, near) == [.pcma])
    scene.bob.onInvite = { _ in CalleeScript.answering().with { $0.payloads = [9] } }
    let inner = scene.alice.call("102", speaking(8))
    scene.world.run(for: .seconds(5))
    #expect(scene.bob.calls.first?.remoteSDP?.payloads.first == 9)
    #expect(scene.bob.calls.first?.remoteSDP?.payloads.contains(8) == false)
    #expect(inner.state == .answered && inner.remoteSDP?.payloads == [8])
  }

  /// Who wants its speech evenly: the media plane is told of that side alone, whichever called.
  @Test func whoWantsItsSpeechEvenly() throws {
    let scene = try Scene.answered(with: [8]) {
      $0.trunks[0].playout = .adaptive
      $0.users[1].playout = .adaptive
    }
    let near = call(scene, speaking(8))
    let far = try #require(scene.north.calls.first)
    #expect(scene.world.media.remote(of: near.media)?.treatment == [])
    #expect(scene.world.media.remote(of: far.media)?.treatment == .even)
    let inner = scene.bob.call("+441234", speaking(8))
    scene.world.run(for: .seconds(5))
    #expect(scene.world.media.remote(of: inner.media)?.treatment == .even)
  }

  /// Silence is left out for who has named comfort noise and is allowed it; an answer of ours names it then.
  @Test(arguments: [SilenceSuppressionPolicy.off, .allow])
  func whoIsSparedSilence(policy: SilenceSuppressionPolicy) throws {
    let scene = try Scene.answered(with: [0]) {
      $0.users[0].silenceSuppression = policy
      $0.trunks[0].silenceSuppression = policy
    }
    let near = call(scene, speaking(8, 13))
    let far = try #require(scene.north.calls.first)
    let isAllowed = policy == .allow
    #expect(near.remoteSDP?.payloads == (isAllowed ? [8, 13] : [8]))
    #expect(
      scene.world.media.remote(of: near.media)?.treatment
        == (isAllowed ? [.comfortNoise, .suppressed] : .comfortNoise))
    #expect(scene.world.media.remote(of: far.media)?.treatment == (isAllowed ? .suppressed : []))
    scene.finish()
    scene.expectRest()
  }

  /// The pauses of an announcement are left out for the same; our answer names comfort noise for that alone, and it is not
  /// sent where the answer says nothing of it.
  @Test(arguments: [("*44", SilenceSuppressionPolicy.allow), ("*44", .off), ("*43", .allow)])
  func whoIsSparedPauses(number: String, policy: SilenceSuppressionPolicy) throws {
    let scene = try Scene.answered(with: [0]) { $0.users[0].silenceSuppression = policy }
    let near = scene.alice.call(number, speaking(8, 101, 13))
    scene.world.run(for: .milliseconds(900))
    let isSpared = number == "*44" && policy == .allow
    #expect(near.remoteSDP?.payloads == (isSpared ? [8, 101, 13] : [8, 101]))
    let treatment = scene.world.media.remote(of: near.media)?.treatment
    #expect(treatment == (isSpared ? [.comfortNoise, .suppressed] : .comfortNoise))
    scene.finish()
    scene.expectRest()
  }

  /// A callee that has nothing of an offer with G.711 in it is asked again with the rest, the wide ones first where the
  /// caller has one; and an offer that has everything is refused once.
  @Test func askedOnceMore() throws {
    let scene = try Scene.answered(with: [9])
    let near = call(scene, speaking(120, 101))
    #expect(scene.north.calls.count == 2)
    #expect(scene.north.calls.first?.remoteSDP?.payloads == [120, 101, 0, 8])
    let far = try #require(scene.north.calls.last)
    #expect(far.remoteSDP?.payloads == [120, 101, 9, 0, 8, 3, 127, 126])
    #expect(near.state == .answered && near.remoteSDP?.payloads == [120, 101])
    #expect(speech(scene, near) == [.opus] && speech(scene, far) == [.g722])
    scene.finish()
    let notes = scene.records.first?.notes ?? []
    #expect(notes.contains("speech is converted: opus and G722"))
    #expect(scene.records.first?.attempts.count == 1)
    scene.expectRest()
  }

  @Test func refusedOnceMore() throws {
    let scene = try Scene.answered(with: [97])
    scene.south.onInvite = { _ in .refusing(404) }
    let near = call(scene, speaking(8, 101))
    #expect(scene.north.calls.count == 2 && near.state != .answered)
    scene.finish()
    scene.expectRest()
  }

  /// G.729 is spoken where its library is installed, and passes between two that have it otherwise.
  @Test(arguments: [true, false]) func whereItsLibraryIs(installed: Bool) throws {
    var settings = Scene.settings(resources: Scene.resources())
    settings.speaksG729 = installed
    let scene = try Scene(settings)
    scene.register(scene.alice)
    scene.north.onInvite = { _ in CalleeScript.answering().with { $0.payloads = [0] } }
    scene.south.onInvite = { _ in .refusing(404) }
    let near = call(scene, speaking(18))
    #expect((near.state == .answered) == installed)
    #expect(
      scene.north.calls.first?.remoteSDP?.payloads == (installed ? [18, 0, 8, 101] : [18, 101]))
    scene.north.onInvite = { _ in CalleeScript.answering().with { $0.payloads = [18] } }
    let alike = call(scene, speaking(18, 101))
    #expect(alike.state == .answered && alike.remoteSDP?.payloads == [18, 101])
    #expect(speech(scene, alike) == (installed ? [.g729] : []))
  }

  /// Linear samples are told apart by their rate; an application speaks what there is.
  @Test func applicationsSpeakWhatThereIs() throws {
    let scene = try Scene.answered(with: [0])
    let echo = scene.alice.call("*43", speaking(121, 120))
    scene.world.run(for: .seconds(2))
    #expect(echo.state == .answered && echo.remoteSDP?.payloads == [121])
    #expect(scene.world.media.remote(of: echo.media)?.codec == .l16Wide)
    scene.finish()
    #expect(scene.records.first?.codec == "L16/16000")
  }

  /// Switched off on either side, or for codecs that we do not speak, it is as it was.
  @Test(arguments: ["trunk", "user", "G729"])
  func nothingIsConverted(why: String) throws {
    let scene = try Scene.answered(with: [0]) {
      if why == "trunk" { $0.trunks[0].transcode = false }
      if why == "user" { $0.users[0].transcode = false }
    }
    scene.south.onInvite = { _ in .refusing(404) }
    let near = call(scene, why == "G729" ? speaking(18) : speaking(8))
    #expect(
      scene.north.calls.first?.remoteSDP?.payloads == (why == "G729" ? [18, 101] : [8, 101]))
    #expect(near.state != .answered)
  }

  /// Re-offers of either side keep each to its own: the same again, hold, and another codec.
  @Test func reoffers() throws {
    let scene = try Scene.answered(with: [0, 101])
    let near = call(scene, speaking(8, 101))
    let far = try #require(scene.north.calls.first)
    func reoffer(_ call: AgentCall, _ reoffer: Reoffer) -> Int? {
      call.reoffer(reoffer)
      scene.world.run(for: .seconds(5))
      return call.reoffersAnswered.last
    }
    for call in [near, far, near] {
      #expect(reoffer(call, Reoffer(after: .zero)) == 200)
      #expect(near.remoteSDP?.payloads.contains(8) == true)
      #expect(far.remoteSDP?.payloads.contains(0) == true)
      #expect(speech(scene, near) == [.pcma] && speech(scene, far) == [.pcmu])
    }
    scene.finish()
    #expect(scene.records.first?.cause == .normalClearing)
    scene.expectRest()
  }

  /// A call that is handed on to somebody with another codec.
  @Test func afterATransfer() throws {
    let scene = try Scene.answered(with: [0, 101])
    scene.bob.onInvite = { _ in CalleeScript.answering().with { $0.payloads = [0, 101] } }
    let near = call(scene, speaking(8, 101))
    #expect(near.state == .answered)
    near.transfer(to: "102")
    scene.world.run(for: .seconds(10))
    let taken = try #require(scene.bob.calls.last)
    #expect(taken.state == .answered)
    taken.hangUp()
    scene.world.run(for: .seconds(2))
    scene.finish()
    scene.expectRest()
  }

  /// The session is refreshed with what was agreed, whatever else the caller had offered.
  @Test(arguments: [[8, 101], [18, 8, 101]]) func refreshes(offered: [Int]) throws {
    let scene = try Scene.answered(with: [0, 101]) {
      $0.trunks[0].sessionExpires = .seconds(120)
      $0.trunks[0].minSessionExpires = .seconds(90)
      $0.trunks[0].sessionRefresher = .us
    }
    var script = speaking(for: .seconds(600))
    script.payloads = offered
    let near = call(scene, script)
    let far = try #require(scene.north.calls.first)
    scene.world.run(for: .seconds(400))
    #expect(near.state == .answered && far.state == .answered)
    #expect(near.remoteSDP?.payloads == [8, 101] && far.remoteSDP?.payloads == [0, 101])
    #expect(speech(scene, near) == [.pcma] && speech(scene, far) == [.pcmu])
    scene.finish()
  }
}
