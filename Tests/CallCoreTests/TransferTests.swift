import Base
import CallCore
import MediaControl
import Policy
import Simulation
import Testing

/// Calls that are handed on: RFC 5359 §2.4 and §2.5, RFC 5589, RFC 3515, RFC 4488.
@Suite struct TransferTests {
  private func scene(_ change: (inout Resources) -> Void = { _ in }) throws -> Scene {
    var resources = Scene.resources()
    change(&resources)
    let scene = try Scene(Scene.settings(resources: resources))
    for agent in scene.world.agents { agent.keepsMessages = true }
    return scene
  }

  /// North calls alice, who answers; what follows begins with the REFER.
  private func connected(_ scene: Scene) throws -> (far: AgentCall, near: AgentCall) {
    scene.register(scene.alice, scene.bob, scene.carol)
    let far = scene.north.call("+493010")
    scene.world.run(for: .seconds(5))
    let near = try #require(scene.alice.calls.last)
    #expect(far.state == .answered && near.state == .answered)
    return (far, near)
  }

  private func statuses(_ call: AgentCall) -> [Int] { call.notified.map(\.status) }

  // MARK: RFC 5359 §2.4: unattended

  @Test func blind() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    let since = scene.world.now
    near.transfer(to: "102")
    scene.world.run(for: .seconds(6))
    let target = try #require(scene.bob.calls.last)
    #expect(near.ending == .hungUpThere && far.state == .answered && target.state == .answered)
    #expect(scene.world.media.partner(of: far.media) == target.media)
    target.hangUp()
    scene.finish()
    #expect(far.ending == .hungUpThere && target.ending == .hungUpHere)
    expectLadder(
      scene, [scene.alice, scene.north], [scene.bob], since: since,
      """
      alice                 north                demarc                  bob
        │ ── REFER ───────────────────────────────▶ │                     │
        │ ◀── 202 Accepted (REFER) ──────────────── │                     │
        │ ◀── NOTIFY ────────────────────────────── │                     │
        │ ── 200 OK (NOTIFY) ─────────────────────▶ │                     │
        │                     │                     │ ── INVITE (SDP) ──▶ │
        │                     │                     │ ◀── 100 Trying ──── │
        │                     │                     │ ◀── 180 Ringing ─── │
        │ ◀── NOTIFY ────────────────────────────── │                     │
        │ ── 200 OK (NOTIFY) ─────────────────────▶ │                     │
        │                     │                     │ ◀── 200 OK (SDP) ── │
        │                     │                     │ ── ACK ───────────▶ │
        │                     │ ◀── INVITE (SDP) ── │                     │
        │                     │ ── 200 OK (SDP) ──▶ │                     │
        │                     │ ◀── ACK ─────────── │                     │
        │ ◀── NOTIFY ────────────────────────────── │                     │
        │ ── 200 OK (NOTIFY) ─────────────────────▶ │                     │
        │ ◀── BYE ───────────────────────────────── │                     │
        │ ── 200 OK (BYE) ────────────────────────▶ │                     │
        │                     │                     │ ◀── BYE ─────────── │
        │                     │                     │ ── 200 OK (BYE) ──▶ │
        │                     │ ◀── BYE ─────────── │                     │
        │                     │ ── 200 OK (BYE) ──▶ │                     │
      """)
    #expect(near.referAnswers == [202] && statuses(near) == [100, 180, 200])
    #expect(near.notified.last?.state == "terminated;reason=noresource")
    // Each call has its record: that of the transfer is the transferor's, and names the one it comes of.
    let records = scene.records
    let made = try #require(records.first { $0.isTransfer })
    let first = try #require(records.first { !$0.isTransfer })
    #expect(records.count == 2 && made.from == "user:alice" && made.to == "user:bob")
    #expect(made.notes.contains("transfer of \(first.id) by user:alice"))
    #expect(first.notes.contains("goes on with \(made.id), transferred by user:alice"))
    #expect(made.attempts.map(\.forwardedBy) == ["user:alice"])
    #expect(made.releasedBy == .callee && first.releasedBy == .callee)
    #expect(made.callerNumber == "+441000" && made.end == first.end)
    // The target sees the transferee, and who sent it.
    let invite = try #require(scene.bob.received.first { $0.isRequest && $0.method == .invite })
    #expect(invite.user(.from) == "+441000")
    #expect(invite.line("Referred-By") == "<sip:+49301101@10.0.0.1:5060>")
    scene.expectRest()
  }

  /// The transferor's BYE overtakes its answer to a re-INVITE of the transferee's: nobody is left to agree with, and
  /// what is agreed with the target comes later.
  @Test func byeOvertakesTheAnswerToAReinvite() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    var isLost = false
    scene.world.network.loses = {
      guard !isLost, $0.method == .invite, $0.status == 200 else { return false }
      isLost = true
      return true
    }
    far.reoffer(Reoffer(after: .zero, direction: .sendonly))
    scene.world.run(for: .milliseconds(20))
    near.transfer(to: "102", Transferring().with { $0.goodbye = .atOnce })
    scene.world.run(for: .milliseconds(100))
    #expect(isLost && near.ending == .hungUpHere && far.reoffersAnswered == [491])
    scene.world.run(for: .seconds(10))
    let target = try #require(scene.bob.calls.last)
    #expect(far.state == .answered && target.state == .answered)
    #expect(far.reoffersAnswered == [491, 200])
    far.hangUp()
    scene.finish()
    #expect(target.ending == .hungUpThere)
    scene.expectRest()
  }

  /// The target refuses: the two that spoke still do, and the transferor learns why.
  @Test func blindToABusyOne() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    scene.bob.onInvite = { _ in .refusing(486) }
    near.transfer(to: "102")
    scene.world.run(for: .seconds(6))
    #expect(near.referAnswers == [202] && statuses(near) == [100, 486])
    #expect(near.notified.last?.state == "terminated;reason=noresource")
    #expect(near.state == .answered && far.state == .answered)
    #expect(scene.world.media.partner(of: far.media) == near.media)
    // And once more: now the NOTIFYs say of which REFER they are (RFC 3515 §2.4.6).
    near.transfer(to: "103")
    scene.world.run(for: .seconds(6))
    let notify = try #require(scene.alice.received.last { $0.method == .notify && $0.isRequest })
    let refer = near.referAnswers.count
    #expect(refer == 2 && notify.value(.event)?.hasPrefix("refer;id=") == true)
    far.hangUp()
    scene.finish()
    #expect(scene.carol.calls.map(\.ending) == [.hungUpThere])
    let records = scene.records
    #expect(records.map(\.cause) == [.busy, .normalClearing, .normalClearing])
    #expect(records.map(\.from) == ["user:alice", "user:alice", "trunk:north"])
    scene.expectRest()
  }

  @Test func blindToNobody() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    near.transfer(to: "199")
    scene.world.run(for: .seconds(2))
    #expect(statuses(near) == [100, 404] && far.state == .answered)
    far.hangUp()
    scene.finish()
    #expect(scene.records.map(\.cause) == [.noRoute, .normalClearing])
    scene.expectRest()
  }

  /// A caller who is put through to an application.
  @Test func blindToAnApplication() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    near.transfer(to: "*43")
    scene.world.run(for: .seconds(3))
    #expect(statuses(near) == [100, 200] && near.ending == .hungUpThere && far.state == .answered)
    far.hangUp()
    scene.finish()
    #expect(scene.records.map(\.to) == ["application:echo", "user:alice"])
    scene.expectRest()
  }

  /// The transferor hangs up behind its REFER: the transferee is put through all the same.
  @Test func blindWithoutWaiting() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    near.transfer(to: "102", Transferring().with { $0.goodbye = .atOnce })
    scene.world.run(for: .seconds(6))
    let target = try #require(scene.bob.calls.last)
    #expect(near.ending == .hungUpHere && far.state == .answered && target.state == .answered)
    #expect(scene.world.media.partner(of: far.media) == target.media)
    far.hangUp()
    scene.finish()
    #expect(target.ending == .hungUpThere)
    scene.expectRest()
  }

  /// The transferee is not left in silence meanwhile, and hears the target and nothing else once that answers.
  @Test(arguments: [0, 8]) func ringback(payload: Int) throws {
    let scene = try scene()
    scene.register(scene.alice, scene.bob)
    scene.bob.onInvite = { _ in .answering(after: .seconds(4)) }
    let far = scene.north.call("+493010", CallerScript().with { $0.payloads = [payload, 101] })
    scene.world.run(for: .seconds(5))
    let near = try #require(scene.alice.calls.last)
    near.transfer(to: "102", Transferring().with { $0.goodbye = .atOnce })
    scene.world.run(for: .seconds(2))
    #expect(scene.world.media.application(of: far.media) == .tone(.ringing))
    scene.world.run(for: .seconds(6))
    let target = try #require(scene.bob.calls.last)
    #expect(scene.world.media.application(of: far.media) == nil)
    #expect(scene.world.media.partner(of: far.media) == target.media)
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  /// RFC 4488: nothing is told; the trunk hangs the transferor up when it is done.
  @Test func blindInSilence() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    near.transfer(
      to: "102",
      Transferring().with {
        $0.isSilent = true
        $0.goodbye = .never
      })
    scene.world.run(for: .seconds(6))
    #expect(near.referAnswers == [202] && near.notified.isEmpty && near.ending == .hungUpThere)
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  /// The transferee hangs up while the target rings.
  @Test func transfereeGivesUp() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    scene.bob.onInvite = { _ in .ringingOnly() }
    near.transfer(to: "102")
    scene.world.run(for: .seconds(2))
    far.hangUp()
    scene.finish()
    #expect(scene.bob.calls.map(\.ending) == [.cancelled] && near.ending == .hungUpThere)
    #expect(Set(scene.records.map(\.cause)) == [.cancelled, .normalClearing])
    scene.expectRest()
  }

  /// The transferee offers something itself in the moment in which it is asked (RFC 3261 §14.2).
  @Test func glareWithTheTransferee() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    scene.world.network.setLink(LinkQuality(delay: .milliseconds(80)), of: scene.north)
    scene.bob.onInvite = { _ in .answering(after: .seconds(1)) }
    near.transfer(to: "102")
    scene.world.run(for: .milliseconds(960))
    far.reoffer(Reoffer(after: .zero))
    scene.world.run(for: .seconds(8))
    #expect(statuses(near) == [100, 180, 200] && far.state == .answered)
    let target = try #require(scene.bob.calls.last)
    #expect(scene.world.media.partner(of: far.media) == target.media)
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  /// A carrier that wants credentials for the re-INVITE too.
  @Test func challengedInTheCall() throws {
    let scene = try scene {
      $0.trunks[0].credentials = Credentials(username: "us", password: "north-secret")
    }
    scene.north.demands = Credentials(username: "us", password: "north-secret")
    scene.register(scene.alice, scene.bob)
    let near = scene.alice.call("+441999")
    scene.world.run(for: .seconds(5))
    let far = try #require(scene.north.calls.last)
    near.transfer(to: "102")
    scene.world.run(for: .seconds(6))
    #expect(near.state == .ended && scene.bob.calls.last?.state == .answered)
    far.hangUp()
    scene.finish()
    // The number that was called is who calls now.
    #expect(scene.records.first { $0.isTransfer }?.callerNumber == "+441999")
    scene.expectRest()
  }

  /// Nothing of it depends on a clean path.
  @Test(arguments: 1...6) func underLoss(seed: Int) throws {
    var settings = Scene.settings(seed: UInt64(seed))
    settings.link = LinkQuality(loss: 0.2, delay: .milliseconds(20))
    let scene = try Scene(settings)
    scene.register(scene.alice, scene.bob)
    scene.world.run(for: .seconds(30))
    let far = scene.north.call("+493010", CallerScript().hangingUp(after: .seconds(90)))
    scene.world.run(for: .seconds(30))
    scene.alice.calls.last?.transfer(to: "102")
    scene.world.run(for: .seconds(40))
    scene.alice.calls.last?.hangUp()
    scene.bob.calls.last?.hangUp()
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  /// Put on hold before: the target and the transferee hear each other all the same.
  @Test func fromHold() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    near.reoffer(Reoffer(after: .zero, direction: .sendonly))
    scene.world.run(for: .seconds(1))
    near.transfer(to: "102")
    scene.world.run(for: .seconds(6))
    #expect(far.remoteDirection == .sendrecv && scene.bob.calls.last?.remoteDirection == .sendrecv)
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  // MARK: Who may

  @Test func whoMayNot() throws {
    let scene = try scene { $0.users[0].transfer = .deny }
    let (far, near) = try connected(scene)
    near.transfer(to: "102")
    far.transfer(to: "102")
    scene.world.run(for: .seconds(2))
    #expect(near.referAnswers == [403] && far.referAnswers == [403])
    #expect(scene.refusals.map(\.cause) == [.transferRefused, .transferRefused])
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  /// A carrier's REFER leads where a call of the carrier's would: not back out.
  @Test func carrierThatMay() throws {
    let scene = try scene { $0.trunks[0].transfer = .allow }
    let (far, near) = try connected(scene)
    far.transfer(to: "+441999")
    scene.world.run(for: .seconds(2))
    #expect(statuses(far) == [100, 404])
    far.transfer(to: "+493010")
    scene.world.run(for: .seconds(20))
    #expect(near.state == .answered && scene.records.count == 1)
    near.hangUp()
    scene.finish()
    scene.expectRest()
  }

  /// The limits of the transferor hold for what it transfers to.
  @Test func limitsHold() throws {
    let scene = try scene { $0.users[0].maxCalls = 0 }
    let (far, near) = try connected(scene)
    near.transfer(to: "+441999")
    scene.world.run(for: .seconds(2))
    #expect(statuses(near) == [100, 480])
    #expect(scene.records.map(\.cause) == [.userCallLimit])
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  @Test(arguments: [
    "", "<mailto:bob@example.com>", "<sip:102@trunk.example;method=BYE>",
    "<sip:102@trunk.example>, <sip:103@trunk.example>",
    "<sip:102@trunk.example?Replaces=x%3Bto-tag%3Dy>",
  ])
  func badReferTo(value: String) throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    near.transfer(to: "102", Transferring().with { $0.referTo = value })
    scene.world.run(for: .seconds(2))
    #expect(near.referAnswers == [400])
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  @Test func oneAtATime() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    scene.bob.onInvite = { _ in .ringingOnly() }
    near.transfer(to: "102")
    scene.world.run(for: .seconds(1))
    near.transfer(to: "103")
    scene.world.run(for: .seconds(1))
    #expect(near.referAnswers == [202, 491])
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  // MARK: RFC 5359 §2.5: attended

  @Test func attended() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    let consultation = scene.alice.call("102")
    scene.world.run(for: .seconds(5))
    let target = try #require(scene.bob.calls.last)
    #expect(consultation.state == .answered)
    let since = scene.world.now
    near.transfer(to: consultation)
    scene.world.run(for: .seconds(3))
    #expect(near.referAnswers == [202] && statuses(near) == [100, 200])
    #expect(near.state == .ended && consultation.ending == .hungUpThere)
    #expect(scene.world.media.partner(of: far.media) == target.media)
    far.hangUp()
    scene.finish()
    #expect(target.ending == .hungUpThere)
    expectLadder(
      scene, [scene.alice, scene.north], [scene.bob], since: since,
      """
      alice                 north                demarc                  bob
        │ ── REFER ───────────────────────────────▶ │                     │
        │ ◀── 202 Accepted (REFER) ──────────────── │                     │
        │ ◀── NOTIFY ────────────────────────────── │                     │
        │                     │                     │ ── INVITE (SDP) ──▶ │
        │ ── 200 OK (NOTIFY) ─────────────────────▶ │                     │
        │                     │                     │ ◀── 200 OK (SDP) ── │
        │                     │                     │ ── ACK ───────────▶ │
        │                     │ ◀── INVITE (SDP) ── │                     │
        │                     │ ── 200 OK (SDP) ──▶ │                     │
        │                     │ ◀── ACK ─────────── │                     │
        │ ◀── NOTIFY ────────────────────────────── │                     │
        │ ◀── BYE ───────────────────────────────── │                     │
        │ ── 200 OK (NOTIFY) ─────────────────────▶ │                     │
        │ ── 200 OK (BYE) ────────────────────────▶ │                     │
        │ ◀── BYE ───────────────────────────────── │                     │
        │ ── 200 OK (BYE) ────────────────────────▶ │                     │
        │                     │ ── BYE ───────────▶ │                     │
        │                     │ ◀── 200 OK (BYE) ── │                     │
        │                     │                     │ ── BYE ───────────▶ │
        │                     │                     │ ◀── 200 OK (BYE) ── │
      """)
    #expect(scene.records.map(\.from) == ["trunk:north", "user:alice"])
    #expect(scene.records.map(\.releasedBy) == [.caller, .caller])
    #expect(scene.records.allSatisfy { $0.isJoined })
    scene.expectRest()
  }

  /// The target is asked to change its media and will not: both calls stay as they are.
  @Test func attendedRefused() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    scene.bob.onInvite = { _ in .answering().with { $0.payloads = [8] } }
    far.payloads = [0]
    let consultation = scene.alice.call("102")
    scene.world.run(for: .seconds(5))
    scene.bob.calls.last?.refusesReoffers = true
    near.transfer(to: consultation)
    scene.world.run(for: .seconds(3))
    #expect(statuses(near) == [100, 488])
    #expect(near.state == .answered && consultation.state == .answered)
    far.hangUp()
    consultation.hangUp()
    scene.finish()
    scene.expectRest()
  }

  /// A dialog that is nobody's, and one of somebody else's.
  @Test func attendedToAForeignCall() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    let foreign = scene.carol.call("102")
    scene.world.run(for: .seconds(5))
    near.transfer(to: foreign)
    scene.world.run(for: .seconds(1))
    #expect(statuses(near) == [100, 481])
    near.transfer(
      to: "102",
      Transferring().with {
        $0.referTo = "<sip:102@trunk.example?Replaces=nobody%3Bto-tag%3D1%3Bfrom-tag%3D2>"
      })
    scene.world.run(for: .seconds(1))
    #expect(statuses(near) == [100, 481, 100, 481] && foreign.state == .answered)
    far.hangUp()
    foreign.hangUp()
    scene.finish()
    scene.expectRest()
  }

  /// The consultation rings still: it is given up, and its target called for the transferee.
  @Test func semiAttended() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    scene.bob.onInvite = { _ in .answering(after: .seconds(8)) }
    let consultation = scene.alice.call("102")
    scene.world.run(for: .seconds(2))
    near.transfer(to: consultation)
    scene.world.run(for: .seconds(15))
    #expect(consultation.state == .ended && near.state == .ended)
    let target = try #require(scene.bob.calls.last)
    #expect(scene.world.media.partner(of: far.media) == target.media)
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  // MARK: One behind the other

  @Test func handedOnTwice() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    near.transfer(to: "102")
    scene.world.run(for: .seconds(6))
    scene.bob.calls.last?.transfer(to: "103")
    scene.world.run(for: .seconds(6))
    let last = try #require(scene.carol.calls.last)
    #expect(scene.bob.calls.last?.state == .ended && far.state == .answered)
    #expect(scene.world.media.partner(of: far.media) == last.media)
    // What the two that are left say to each other goes through.
    far.reoffer(Reoffer(after: .zero, direction: .sendonly))
    scene.world.run(for: .seconds(1))
    #expect(far.reoffersAnswered == [200] && last.remoteDirection == .sendonly)
    last.hangUp()
    scene.finish()
    #expect(far.ending == .hungUpThere)
    #expect(scene.records.map(\.cause) == [.transferred, .normalClearing, .normalClearing])
    scene.expectRest()
  }

  @Test func operatorEndsBoth() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    near.transfer(to: "102")
    scene.world.run(for: .seconds(6))
    guard case .calls(let calls)? = scene.world.ask(.calls) else { return }
    #expect(calls.count == 2)
    if let first = calls.first { scene.world.input(.hangUp(first.id)) }
    scene.finish()
    #expect(far.ending == .hungUpThere && scene.bob.calls.map(\.ending) == [.hungUpThere])
    #expect(scene.records.map(\.cause) == [.hungUpByOperator, .hungUpByOperator])
    scene.expectRest()
  }

  // MARK: Subscriptions

  @Test func outsideOfCalls() throws {
    let scene = try scene()
    scene.register(scene.alice)
    scene.alice.request("refer", method: "REFER", headers: ["Refer-To: <sip:102@trunk.example>"])
    scene.alice.request("presence", method: "SUBSCRIBE", headers: ["Event: presence"])
    scene.alice.request("subscribe", method: "SUBSCRIBE", headers: ["Event: refer"])
    scene.alice.request("notify", method: "NOTIFY", headers: ["Event: refer"])
    scene.world.run(for: .seconds(1))
    #expect(
      scene.alice.answers == ["refer": 403, "presence": 489, "subscribe": 403, "notify": 481])
    #expect(
      scene.alice.answered["presence"]?.value(.allowEvents) == "refer, dialog, message-summary, reg"
    )
    scene.expectRest()
  }

  /// Longer, and no more (RFC 3515 §2.4.4); another package, and none (RFC 6665 §4.2.1.1).
  @Test func subscribedInTheCall() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    scene.bob.onInvite = { _ in .answering(after: .seconds(8)) }
    var answers: [Int] = []
    func subscribe(_ event: String, _ expires: Int) {
      near.send(
        .subscribe,
        headers: [
          "Event: \(event)", "Expires: \(expires)", "Contact: <\(scene.alice.contact)>",
        ]
      ) { answers.append($0?.status ?? 408) }
      scene.world.run(for: .seconds(1))
    }
    subscribe("refer", 60)
    near.transfer(to: "102")
    scene.world.run(for: .seconds(1))
    subscribe("refer", 60)
    subscribe("dialog", 60)
    subscribe("refer", 0)
    #expect(answers == [403, 200, 489, 200])
    #expect(near.notified.last?.state == "terminated;reason=timeout")
    scene.world.run(for: .seconds(8))
    // Nothing more is told, and the transfer is carried out all the same.
    #expect(near.notified.last?.status == 180 && near.ending == .hungUpThere)
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  // MARK: RFC 3891: an INVITE in the place of a dialog

  private func replaces(_ call: AgentCall, _ more: String = "") -> CallerScript {
    CallerScript().with {
      $0.extraHeaders = [
        "Require: replaces",
        "Replaces: \(call.callID);to-tag=\(call.remoteTag);from-tag=\(call.localTag)\(more)",
      ]
    }
  }

  @Test func replaced() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    let since = scene.world.now
    let new = scene.bob.call("101", replaces(near))
    scene.world.run(for: .seconds(2))
    #expect(new.state == .answered && near.ending == .hungUpThere && far.state == .answered)
    #expect(scene.world.media.partner(of: far.media) == new.media)
    far.hangUp()
    scene.finish()
    expectLadder(
      scene, [scene.bob, scene.alice], [scene.north], since: since,
      """
       bob                  alice                demarc                 north
        │ ── INVITE (SDP) ────────────────────────▶ │                     │
        │ ◀── 100 Trying ────────────────────────── │                     │
        │                     │                     │ ── INVITE (SDP) ──▶ │
        │                     │                     │ ◀── 200 OK (SDP) ── │
        │                     │                     │ ── ACK ───────────▶ │
        │ ◀── 200 OK (SDP) ──────────────────────── │                     │
        │                     │ ◀── BYE ─────────── │                     │
        │ ── ACK ─────────────────────────────────▶ │                     │
        │                     │ ── 200 OK (BYE) ──▶ │                     │
        │                     │                     │ ◀── BYE ─────────── │
        │                     │                     │ ── 200 OK (BYE) ──▶ │
        │ ◀── BYE ───────────────────────────────── │                     │
        │ ── 200 OK (BYE) ────────────────────────▶ │                     │
      """)
    let record = try #require(scene.records.first { $0.from == "user:bob" })
    #expect(record.to == "trunk:north" && record.isJoined && record.cause == .normalClearing)
    scene.expectRest()
  }

  /// It is taken back before the one who stays has answered.
  @Test func replacementCancelled() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    scene.world.network.setLink(LinkQuality(delay: .milliseconds(300)), of: scene.north)
    let new = scene.bob.call("101", replaces(near).cancelling(after: .milliseconds(100)))
    scene.world.run(for: .seconds(3))
    #expect(new.ending == .cancelled && near.state == .answered && far.state == .answered)
    #expect(scene.world.media.partner(of: far.media) == near.media)
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  /// Without an offer: the one that the other party's description makes, and the answer in the ACK.
  @Test func replacedWithoutAnOffer() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    let since = scene.world.now
    let new = scene.bob.call("101", replaces(near).with { $0.delayedOffer = true })
    scene.world.run(for: .seconds(2))
    #expect(new.state == .answered && near.ending == .hungUpThere && far.state == .answered)
    #expect(scene.world.media.partner(of: far.media) == new.media)
    far.hangUp()
    scene.finish()
    expectLadder(
      scene, [scene.bob, scene.alice], [scene.north], since: since,
      """
       bob                  alice                demarc                 north
        │ ── INVITE ──────────────────────────────▶ │                     │
        │ ◀── 100 Trying ────────────────────────── │                     │
        │ ◀── 200 OK (SDP) ──────────────────────── │                     │
        │ ── ACK (SDP) ───────────────────────────▶ │                     │
        │                     │                     │ ── INVITE (SDP) ──▶ │
        │                     │                     │ ◀── 200 OK (SDP) ── │
        │                     │                     │ ── ACK ───────────▶ │
        │                     │ ◀── BYE ─────────── │                     │
        │                     │ ── 200 OK (BYE) ──▶ │                     │
        │                     │                     │ ◀── BYE ─────────── │
        │                     │                     │ ── 200 OK (BYE) ──▶ │
        │ ◀── BYE ───────────────────────────────── │                     │
        │ ── 200 OK (BYE) ────────────────────────▶ │                     │
      """)
    scene.expectRest()
  }

  /// The one who stays will not: who was answered already is hung up, and everything else is as it was.
  @Test func replacementWithoutAnOfferRefused() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    far.refusesReoffers = true
    let new = scene.bob.call("101", replaces(near).with { $0.delayedOffer = true })
    scene.world.run(for: .seconds(3))
    #expect(new.ending == .hungUpThere && near.state == .answered && far.state == .answered)
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  @Test func replacesElsewhere() throws {
    let scene = try scene()
    scene.alice.request("x", method: "OPTIONS", headers: ["Replaces: a;to-tag=1;from-tag=2"])
    scene.world.run(for: .seconds(1))
    #expect(scene.alice.answers == ["x": 400])
    scene.expectRest()
  }

  /// The one who stays will not: everything is as it was.
  @Test func replacementRefused() throws {
    let scene = try scene()
    let (far, near) = try connected(scene)
    far.refusesReoffers = true
    let new = scene.bob.call("101", replaces(near))
    scene.world.run(for: .seconds(2))
    #expect(new.ending == .refused(488) && near.state == .answered && far.state == .answered)
    far.hangUp()
    scene.finish()
    scene.expectRest()
  }

  /// §3, case by case.
  @Test func replacementsThatAreNone() throws {
    let scene = try scene { $0.users[2].transfer = .deny }
    let (far, near) = try connected(scene)
    var unknown = replaces(near)
    unknown.extraHeaders = ["Replaces: x;to-tag=\(near.remoteTag);from-tag=\(near.localTag)"]
    var broken = unknown
    broken.extraHeaders = ["Replaces: x;to-tag=1"]
    var twice = replaces(near)
    twice.extraHeaders.append("Replaces: x;to-tag=1;from-tag=2")
    let rows: [(Agent, CallerScript, Int)] = [
      (scene.bob, replaces(near, ";early-only"), 486), (scene.bob, unknown, 481),
      (scene.bob, broken, 400), (scene.bob, twice, 400), (scene.carol, replaces(near), 403),
      (scene.pbx, replaces(near), 403),
    ]
    for (agent, script, status) in rows {
      let call = agent.call("101", script)
      scene.world.run(for: .seconds(1))
      #expect(call.ending == .refused(status))
    }
    #expect(near.state == .answered && far.state == .answered)
    far.hangUp()
    scene.world.run(for: .milliseconds(20))
    let late = scene.bob.call("101", replaces(near))
    scene.world.run(for: .seconds(1))
    #expect([.refused(603), .refused(481)].contains(late.ending))
    scene.finish()
    scene.expectRest()
  }
}
