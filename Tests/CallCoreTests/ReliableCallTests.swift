import Base
import CallCore
import Policy
import Simulation
import Testing

/// RFC 3262 and RFC 3311 through a B2BUA: each leg is reliable for itself.
@Suite struct ReliableCallTests {
  /// Who does what; all of them end in an answered call that is hung up in order.
  struct Mix: CustomTestStringConvertible {
    var caller: ReliableHabit
    var isReliable: Bool
    var hasSDP: Bool
    var isDelayed: Bool
    var repeats: Bool
    var testDescription: String {
      "caller \(caller), callee \(isReliable ? "reliable" : "unreliable")"
        + "\(hasSDP ? " with SDP" : "")\(isDelayed ? ", delayed offer" : "")"
        + "\(repeats ? ", repeats its answer" : "")"
    }
  }

  static let mixes: [Mix] = {
    var mixes: [Mix] = []
    for caller in [ReliableHabit.none, .supports, .requires] {
      for bits in 0..<16 {
        mixes.append(
          Mix(
            caller: caller, isReliable: bits & 1 != 0, hasSDP: bits & 2 != 0,
            isDelayed: bits & 4 != 0, repeats: bits & 8 != 0))
      }
    }
    return mixes
  }()

  @Test(arguments: mixes) func mix(_ mix: Mix) throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in
      CalleeScript().with {
        $0.repeatsAnswer = mix.repeats
        $0.steps = [
          CalleeStep(
            after: .milliseconds(300), status: 183, sdp: mix.hasSDP, reliable: mix.isReliable),
          CalleeStep(after: .milliseconds(900), status: 180, reliable: mix.isReliable),
          CalleeStep(after: .seconds(2), status: 200, sdp: true),
        ]
      }
    }
    let call = scene.alice.call(
      "+441234",
      CallerScript().hangingUp(after: .seconds(5)).with {
        $0.reliable = mix.caller
        $0.delayedOffer = mix.isDelayed
      })
    scene.finish()
    #expect(call.ending == .hungUpHere)
    let callee = try #require(scene.north.calls.first)
    #expect(callee.ending == .hungUpThere)
    // A callee may only be reliable where we can acknowledge with what it will ask for.
    let mayBe = mix.isReliable && (!mix.isDelayed || mix.caller != .none)
    #expect(callee.pracksReceived == (mayBe ? 2 : 0))
    let expected =
      switch mix.caller {
      case .none: 0
      case .supports: mayBe ? 2 : 0
      case .requires: 2
      }
    #expect(call.pracksSent == expected)
    let record = try #require(scene.records.first)
    #expect(record.cause == .normalClearing && scene.records.count == 1)
    scene.expectRest()
  }

  /// Patterns 3 and 5 through both legs: the offer in the caller's PRACK reaches the callee in ours.
  @Test func offerInPrackGoesThrough() throws {
    let scene = try reliable { $0.offersInPrack = true }
    let call = scene.alice.calls[0]
    #expect(call.ending == .hungUpHere && call.pracksSent == 1)
    #expect(scene.north.calls.first?.pracksReceived == 1)
    let pracks = scene.world.trace.entries.filter {
      $0.to == scene.north.address && $0.bytes.starts(with: Array("PRACK".utf8))
    }
    #expect(
      pracks.first.map { String(decoding: $0.bytes, as: UTF8.self).contains("m=audio") } == true)
    scene.expectRest()
  }

  private func reliable(
    _ callee: (inout CalleeScript) -> Void = { _ in }, _ change: (inout CallerScript) -> Void
  ) throws -> Scene {
    let scene = try Scene()
    scene.register(scene.alice)
    var script = CalleeScript().with {
      $0.updates = true
      $0.steps = [
        CalleeStep(after: .milliseconds(300), status: 183, sdp: true, reliable: true),
        CalleeStep(after: .seconds(4), status: 200),
      ]
    }
    callee(&script)
    scene.north.onInvite = { [script] _ in script }
    scene.alice.call(
      "+441234",
      CallerScript().hangingUp(after: .seconds(5)).with {
        $0.reliable = .supports
        $0.updates = true
        change(&$0)
      })
    scene.finish()
    return scene
  }

  /// UPDATE in the early dialog, from the caller.
  @Test func callerUpdatesEarly() throws {
    let scene = try reliable { $0.updatesEarlyAfter = .milliseconds(500) }
    let call = scene.alice.calls[0]
    #expect(call.reoffersAnswered == [200])
    #expect(scene.north.calls.first?.updatesReceived == 1)
    #expect(call.ending == .hungUpHere)
    scene.expectRest()
  }

  /// … and from the callee.
  @Test func calleeUpdatesEarly() throws {
    let scene = try reliable({ $0.updatesEarlyAfter = .milliseconds(500) }) { _ in }
    #expect(scene.north.calls.first?.reoffersAnswered == [200])
    #expect(scene.alice.calls[0].updatesReceived == 1)
    scene.expectRest()
  }

  /// A callee that knows no UPDATE: what changes nothing for it is answered here.
  @Test func earlyUpdateThatConcernsNobodyElse() throws {
    let scene = try reliable({ $0.updates = false }) { $0.updatesEarlyAfter = .milliseconds(500) }
    #expect(scene.alice.calls[0].reoffersAnswered == [200])
    #expect(scene.north.calls.first?.updatesReceived == 0)
    scene.expectRest()
  }

  /// Loses the first 2xx to an UPDATE: it comes half a second later.
  private func loseUpdateAnswer(_ scene: Scene) {
    var isLost = false
    scene.world.network.loses = {
      guard !isLost, $0.method == .update, $0.status == 200 else { return false }
      isLost = true
      return true
    }
  }

  /// The callee answers while the caller's UPDATE is under way: the 200 of the INVITE has no description of its own,
  /// since offer and answer were exchanged before (RFC 6337 §2.2).
  @Test(arguments: [false, true]) func answerCrossesAnUpdate(isDelayed: Bool) throws {
    let scene = try Scene()
    loseUpdateAnswer(scene)
    scene.register(scene.alice)
    scene.north.onInvite = { _ in
      CalleeScript().with {
        $0.updates = true
        $0.steps = [
          CalleeStep(after: .milliseconds(300), status: 183, sdp: true, reliable: true),
          CalleeStep(after: .milliseconds(800), status: 200),
        ]
      }
    }
    let call = scene.alice.call(
      "+441234",
      CallerScript().hangingUp(after: .seconds(5)).with {
        $0.reliable = .supports
        $0.updatesEarlyAfter = .milliseconds(300)
        $0.delayedOffer = isDelayed
      })
    scene.finish()
    let answers = scene.world.trace.entries.filter { entry in
      let text = String(decoding: entry.bytes, as: UTF8.self)
      return entry.to == scene.alice.address && text.hasPrefix("SIP/2.0 200")
        && text.contains(" INVITE\r\n")
    }
    #expect(
      !answers.isEmpty
        && answers.allSatisfy {
          !String(decoding: $0.bytes, as: UTF8.self).contains("m=audio")
        })
    #expect(call.reoffersAnswered == [200] && call.ending == .hungUpHere)
    scene.expectRest()
  }

  /// The phone that was asked about an UPDATE is given up: its sender is told so, and may offer again in the call
  /// that another phone takes.
  @Test func updateOfABranchThatIsLost() throws {
    let scene = try Scene()
    scene.register(scene.alice, scene.bob)
    scene.alice.onInvite = { _ in
      CalleeScript().with {
        $0.updates = true
        $0.steps = [CalleeStep(after: .milliseconds(300), status: 183, sdp: true, reliable: true)]
        $0.dieAfter = .seconds(1)
      }
    }
    let call = scene.north.call(
      "+493010",
      CallerScript().hangingUp(after: .seconds(20)).with {
        $0.reliable = .supports
        $0.updatesEarlyAfter = .seconds(2)
        $0.reoffers = [Reoffer(after: .seconds(2), direction: .sendonly)]
      })
    scene.world.run(for: .seconds(11))
    #expect(call.reoffersAnswered == [488])
    scene.finish()
    #expect(call.reoffersAnswered == [488, 200] && call.ending == .hungUpHere)
    scene.expectRest()
  }

  /// Of a proxy's branches another answers than the one that was asked about an UPDATE.
  @Test func updateOfAForkThatIsOver() throws {
    let scene = try Scene()
    loseUpdateAnswer(scene)
    scene.register(scene.alice)
    scene.alice.onInvite = { _ in
      CalleeScript().with {
        $0.updates = true
        $0.steps = [
          CalleeStep(after: .milliseconds(300), status: 183, sdp: true, reliable: true),
          CalleeStep(after: .milliseconds(800), status: 200, fork: 1, sdp: true),
        ]
      }
    }
    let call = scene.north.call(
      "+493010",
      CallerScript().hangingUp(after: .seconds(5)).with {
        $0.reliable = .supports
        $0.updatesEarlyAfter = .milliseconds(300)
        $0.reoffers = [Reoffer(after: .milliseconds(100), direction: .sendonly)]
      })
    scene.finish()
    #expect(call.reoffersAnswered == [488, 200] && call.ending == .hungUpHere)
    scene.expectRest()
  }

  /// 64·T1 without a PRACK: 504, and nothing stays (RFC 3262 §3).
  @Test func callerNeverAcknowledges() throws {
    let scene = try reliable { $0.pracks = false }
    #expect(scene.alice.calls[0].ending == .refused(504))
    let record = try #require(scene.records.first)
    #expect(record.cause == .provisionalUnacknowledged && record.status == 504)
    scene.expectRest()
  }

  /// Two branches of a fork, each with its own reliable answer; the second one takes the call.
  @Test func forksAreAcknowledgedEach() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in
      CalleeScript().with {
        $0.steps = [
          CalleeStep(after: .milliseconds(300), status: 183, fork: 0, sdp: true, reliable: true),
          CalleeStep(after: .milliseconds(800), status: 183, fork: 1, sdp: true, reliable: true),
          CalleeStep(after: .seconds(3), status: 200, fork: 1),
        ]
      }
    }
    let call = scene.alice.call(
      "+441234", CallerScript().hangingUp(after: .seconds(4)).with { $0.reliable = .supports })
    scene.finish()
    #expect(call.pracksSent == 2 && call.ending == .hungUpHere)
    scene.expectRest()
  }

  /// The first carrier rings reliably and fails; the second one has a dialog of its own for the caller.
  @Test func failoverAfterAReliableAnswer() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.onInvite = { _ in
      CalleeScript().with {
        $0.steps = [
          CalleeStep(after: .milliseconds(300), status: 183, sdp: true, reliable: true),
          CalleeStep(after: .seconds(1), status: 503),
        ]
      }
    }
    scene.south.onInvite = { _ in
      CalleeScript().with {
        $0.steps = [
          CalleeStep(after: .milliseconds(300), status: 183, sdp: true, reliable: true),
          CalleeStep(after: .seconds(2), status: 200),
        ]
      }
    }
    let call = scene.alice.call(
      "+441234", CallerScript().hangingUp(after: .seconds(4)).with { $0.reliable = .supports })
    scene.finish()
    #expect(call.pracksSent == 2 && call.ending == .hungUpHere)
    scene.expectRest()
  }

  // MARK: By policy

  private func scene(_ change: (inout Trunk) -> Void) throws -> Scene {
    var resources = Scene.resources()
    change(&resources.trunks[0])
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice)
    return scene
  }

  /// `earlyOffer`: an INVITE without an offer leaves with one of ours.
  @Test(arguments: [false, true]) func delayedOfferBecomesEarly(ringsWithSDP: Bool) throws {
    let scene = try scene { $0.earlyOffer = true }
    var invites: [AgentMessage] = []
    scene.north.onInvite = {
      invites.append($0)
      return CalleeScript().with {
        $0.steps = [
          CalleeStep(after: .milliseconds(300), status: 183, sdp: ringsWithSDP, reliable: true),
          CalleeStep(after: .seconds(2), status: 200, sdp: true),
        ]
      }
    }
    let call = scene.alice.call(
      "+441234", CallerScript().hangingUp(after: .seconds(4)).with { $0.delayedOffer = true })
    scene.finish()
    #expect(invites.first?.hasBody == true)
    #expect(call.ending == .hungUpHere)
    scene.expectRest()
  }

  /// `reliableProvisionals`: asked for, demanded, not mentioned.
  @Test(arguments: ReliableProvisionals.allCases) func askedOfTheCallee(
    habit: ReliableProvisionals
  ) throws {
    let scene = try scene { $0.reliableProvisionals = habit }
    var invites: [AgentMessage] = []
    scene.north.onInvite = {
      invites.append($0)
      return .answering()
    }
    scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(1)))
    scene.finish()
    let invite = try #require(invites.first)
    #expect(invite.lists("100rel", .supported) == (habit != .off))
    #expect(invite.lists("100rel", .require) == (habit == .required))
    scene.expectRest()
  }

  /// Local ringback, and what P-Early-Media authorises (RFC 5009).
  @Test(arguments: [
    (EarlyMedia.pass, "", 183, true), (.ringback, "", 180, false), (.authorized, "", 180, false),
    (.authorized, "sendrecv", 183, true), (.authorized, "inactive", 180, false),
  ])
  func earlyMedia(policy: EarlyMedia, header: String, status: Int, hasBody: Bool) throws {
    let scene = try scene { $0.earlyMedia = policy }
    scene.north.onInvite = { _ in
      CalleeScript().with {
        if !header.isEmpty { $0.extraHeaders = ["P-Early-Media: \(header)"] }
        $0.steps = [
          CalleeStep(after: .milliseconds(300), status: 183, sdp: true),
          CalleeStep(after: .seconds(2), status: 200, sdp: true),
        ]
      }
    }
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(1)))
    scene.finish()
    let ringing = scene.world.trace.entries.first {
      $0.to == scene.alice.address && $0.bytes.starts(with: Array("SIP/2.0 18".utf8))
    }
    let text = String(decoding: ringing?.bytes ?? [], as: UTF8.self)
    #expect(text.hasPrefix("SIP/2.0 \(status)") && text.contains("m=audio") == hasBody)
    #expect(call.ending == .hungUpHere)
    scene.expectRest()
  }

  /// Options that we don't have are named; those that we have are not.
  @Test func onlyWhatIsUnsupportedIsRefused() throws {
    let scene = try Scene()
    scene.north.request(
      "x", method: "INVITE", uri: "sip:+493010@203.0.113.1",
      headers: ["Require: 100rel, timer, precondition"])
    scene.world.run(for: .seconds(2))
    #expect(scene.north.answers["x"] == 420)
    #expect(scene.north.answered["x"]?.values(.unsupported) == ["precondition"])
  }
}
