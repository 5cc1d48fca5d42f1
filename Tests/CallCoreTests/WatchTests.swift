import Base
import CallCore
import Foundation
import Policy
import SIPCore
import Simulation
import Testing

/// Subscriptions to the state of users: RFC 6665, RFC 4235, RFC 3680, RFC 3842.
@Suite struct WatchTests {
  private func scene(_ change: (inout WorldSettings) -> Void = { _ in }) throws -> Scene {
    var settings = Scene.settings()
    change(&settings)
    let scene = try Scene(settings)
    for agent in scene.world.agents { agent.keepsMessages = true }
    return scene
  }

  private func watch(
    _ agent: Agent, _ user: String, _ event: String = "dialog", expires: Int? = 300
  ) -> AgentSubscription {
    agent.subscribe(to: "sip:\(user)@trunk.example", event, expires: expires)
  }

  /// `state` elements of each document in turn.
  private func states(_ subscription: AgentSubscription) -> [[String]] {
    subscription.bodies.map { body in
      body.matches(of: #/<state>(\w+)</state>/#).map { String($0.output.1) }
    }
  }

  private func status(_ scene: Scene) -> [SubscriptionStatus] {
    guard case .subscriptions(let all)? = scene.world.ask(.subscriptions) else { return [] }
    return all
  }

  // MARK: RFC 6665

  /// Subscribed, refreshed, and given up: a NOTIFY follows each SUBSCRIBE at once.
  @Test func lifeOfASubscription() throws {
    let scene = try scene()
    let lamp = watch(scene.bob, "101", expires: 3_600)
    scene.world.run(for: .seconds(2))
    #expect(lamp.statuses == [200] && lamp.answers[0].value(.expires) == "600")
    #expect(lamp.states == ["active;expires=600"])
    #expect(lamp.notified[0].value(.event) == "dialog")
    #expect(lamp.notified[0].value(.contentType) == "application/dialog-info+xml")
    #expect(
      lamp.bodies[0] == """
        <?xml version="1.0"?>\r
        <dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="0" state="full" \
        entity="sip:101@trunk.example">\r
        </dialog-info>\r

        """)
    #expect(status(scene).map(\.watcher) == ["bob"] && status(scene).map(\.user) == ["alice"])
    lamp.subscribe(expires: 60)
    scene.world.run(for: .milliseconds(500))
    #expect(lamp.statuses == [200, 200] && lamp.states.last == "active;expires=60")
    #expect(lamp.bodies.last?.contains("version=\"1\"") == true)
    lamp.subscribe(expires: 0)
    scene.world.run(for: .seconds(2))
    #expect(lamp.statuses == [200, 200, 200])
    #expect(lamp.states.last == "terminated;reason=timeout")
    #expect(status(scene).isEmpty)
    // The dialog is gone.
    lamp.subscribe(expires: 60)
    scene.world.run(for: .seconds(2))
    #expect(lamp.statuses.last == 481 && lamp.notified.count == 3)
    scene.expectRest()
  }

  @Test func timeIsUp() throws {
    let scene = try scene()
    let lamp = watch(scene.bob, "101", expires: 60)
    scene.world.run(for: .seconds(61))
    #expect(lamp.states == ["active;expires=60", "terminated;reason=timeout"])
    #expect(scene.world.counters.subscriptions == 0)
    scene.expectRest()
  }

  /// §4.4.3: asked once.
  @Test func fetch() throws {
    let scene = try scene()
    let lamp = watch(scene.bob, "101", expires: 0)
    scene.world.run(for: .seconds(1))
    #expect(lamp.statuses == [200] && lamp.states == ["terminated;reason=timeout"])
    #expect(scene.world.counters.subscriptions == 0)
    scene.expectRest()
  }

  @Test func tooBrief() throws {
    let scene = try scene()
    let lamp = watch(scene.bob, "101", expires: 30)
    scene.world.run(for: .seconds(1))
    #expect(lamp.statuses == [423] && lamp.answers[0].line("Min-Expires") == "60")
    scene.expectRest()
  }

  @Test func whatThereIsNot() throws {
    let scene = try scene()
    let presence = watch(scene.bob, "101", "presence")
    let refer = watch(scene.bob, "101", "refer")
    let nobody = watch(scene.bob, "199")
    let mailbox = watch(scene.bob, "101", "message-summary")
    let contacts = watch(scene.bob, "101", "reg")
    let stranger = scene.bob.subscribe(
      to: "sip:101@trunk.example", "dialog", authorises: false)
    scene.world.run(for: .seconds(2))
    #expect(presence.statuses == [489])
    #expect(presence.answers[0].value(.allowEvents) == "refer, dialog, message-summary, reg")
    #expect(refer.statuses == [403] && nobody.statuses == [404])
    #expect(mailbox.statuses == [403] && contacts.statuses == [403] && stranger.statuses == [401])
    scene.expectRest()
  }

  /// §4.2.2: who refuses a NOTIFY, or says nothing, is not told any more.
  @Test(arguments: [481, 408, 0]) func notifyFails(answer: Int) throws {
    let scene = try scene()
    scene.register(scene.alice)
    let lamp = watch(scene.bob, "101")
    scene.world.run(for: .seconds(2))
    lamp.answer = answer
    lamp.isDeaf = answer == 0
    scene.alice.call("103")
    scene.world.run(for: .seconds(40))
    #expect(scene.world.counters.subscriptions == 0 && scene.world.counters.notifiesFailed == 1)
    #expect(lamp.notified.count >= 2)
    scene.finish()
    scene.expectRest()
  }

  /// A phone that starts anew has forgotten its subscriptions: the new one takes the place of the old.
  @Test func samePhoneAgain() throws {
    let scene = try scene()
    let first = watch(scene.bob, "101")
    scene.world.run(for: .seconds(2))
    let second = watch(scene.bob, "101")
    scene.world.run(for: .seconds(2))
    #expect(first.notified.count == 1 && second.notified.count == 1)
    #expect(scene.world.counters.subscriptions == 1)
    second.subscribe(expires: 0)
    scene.world.run(for: .seconds(40))
    scene.expectRest()
  }

  @Test func limits() throws {
    let scene = try scene { $0.limits.subscriptions = 300 }
    func fill(_ agent: Agent, _ count: Int) -> [AgentSubscription] {
      (0..<count).map { watch(agent, "103", "dialog;id=\($0)") }
    }
    _ = watch(scene.bob, "103")
    _ = watch(scene.alice, "103")
    scene.world.run(for: .seconds(2))
    let first = fill(scene.bob, 256)
    scene.world.run(for: .seconds(5))
    #expect(first.count { $0.statuses == [200] } == 255)
    #expect(first.count { $0.statuses == [480] } == 1)
    let second = fill(scene.alice, 50)
    scene.world.run(for: .seconds(5))
    #expect(second.count { $0.statuses == [200] } == 43)
    #expect(second.count { $0.statuses == [503] } == 7)
    #expect(scene.world.counters.refused["subscription-limit"] == 1)
    scene.world.run(for: .seconds(400))
    #expect(scene.world.counters.subscriptions == 0)
    scene.expectRest()
  }

  @Test func drained() throws {
    let scene = try scene()
    let lamp = watch(scene.bob, "101")
    scene.world.run(for: .seconds(2))
    scene.world.input(.drain)
    scene.world.run(for: .seconds(1))
    #expect(lamp.states.last == "terminated;reason=probation;retry-after=30")
    let late = watch(scene.bob, "101")
    scene.world.run(for: .seconds(40))
    #expect(late.statuses == [503])
    scene.expectRest()
  }

  /// Record-Route of the SUBSCRIBE is the route of the NOTIFY, and `id` is repeated.
  @Test func behindAProxy() throws {
    let scene = try scene()
    let lamp = scene.bob.subscribe(
      to: "sip:101@trunk.example", "dialog;id=7",
      headers: ["Record-Route: <sip:10.0.0.102;lr>"])
    scene.world.run(for: .seconds(2))
    #expect(lamp.answers[0].value(.recordRoute) == "<sip:10.0.0.102;lr>")
    #expect(lamp.notified[0].value(.route) == "<sip:10.0.0.102;lr>")
    #expect(lamp.notified[0].value(.event) == "dialog;id=7")
    lamp.subscribe(expires: 0)
    scene.world.run(for: .seconds(40))
    scene.expectRest()
  }

  @Test(arguments: 1...4) func underLoss(seed: Int) throws {
    let scene = try scene {
      $0.seed = UInt64(seed)
      $0.link = LinkQuality(loss: 0.2, delay: .milliseconds(20))
    }
    scene.register(scene.alice, scene.bob)
    scene.world.run(for: .seconds(30))
    let lamp = watch(scene.carol, "102")
    scene.world.run(for: .seconds(20))
    scene.alice.call("102", CallerScript().hangingUp(after: .seconds(20)))
    scene.world.run(for: .seconds(120))
    #expect(states(lamp).last?.contains("confirmed") != true)
    scene.world.run(for: .seconds(300))
    scene.expectRest()
  }

  // MARK: Calls

  /// RFC 4235 §3.7.1 for both sides of a call; who it is with is not told.
  @Test func lampsOfBothSides() throws {
    let scene = try scene()
    scene.register(scene.alice, scene.bob)
    let calling = watch(scene.carol, "101")
    let called = watch(scene.carol, "102")
    scene.world.run(for: .seconds(2))
    let call = scene.alice.call("102", CallerScript().hangingUp(after: .seconds(5)))
    scene.world.run(for: .seconds(15))
    #expect(call.ending == .hungUpHere)
    #expect(states(calling) == [[], ["trying"], ["early"], ["confirmed"], ["terminated"]])
    #expect(states(called) == [[], ["trying"], ["early"], ["confirmed"], ["terminated"]])
    let versions = called.bodies.map { $0.firstMatch(of: #/version="(\d)" state/#)?.output.1 ?? "" }
    #expect(versions == ["0", "1", "2", "3", "4"])
    #expect(calling.bodies.last?.contains("direction=\"initiator\"") == true)
    #expect(called.bodies.last?.contains("direction=\"recipient\"") == true)
    // Neither who it is with nor anything that the call could be disturbed by.
    for body in called.bodies + calling.bodies {
      #expect(!body.contains("call-id") && !body.contains("remote") && !body.contains("zqcanary"))
    }
    for body in called.bodies { #expect(!body.contains("101")) }
    scene.finish()
    scene.expectRest()
  }

  /// More than one change a second is told as one.
  @Test func paced() throws {
    let scene = try scene()
    scene.register(scene.alice, scene.bob)
    scene.bob.onInvite = { _ in .answering(after: .milliseconds(300), ringing: .milliseconds(100)) }
    let lamp = watch(scene.carol, "102")
    scene.world.run(for: .seconds(2))
    scene.alice.call("102", CallerScript().hangingUp(after: .milliseconds(400)))
    scene.world.run(for: .seconds(10))
    #expect(states(lamp) == [[], ["trying"], ["terminated"]])
    scene.finish()
    scene.expectRest()
  }

  /// Somebody who may see calls is told with whom, by names that are good for taking the call and nothing else.
  @Test func withWhom() throws {
    let scene = try scene { $0.resources.users[1].pickup = ["carol"] }
    scene.register(scene.alice, scene.bob)
    let open = watch(scene.carol, "102")
    let closed = watch(scene.alice, "102")
    let own = watch(scene.bob, "102")
    scene.world.run(for: .seconds(2))
    scene.alice.call("102", CallerScript().hangingUp(after: .seconds(5)))
    scene.world.run(for: .milliseconds(1_500))
    let ringing = try #require(open.bodies.last)
    #expect(ringing.contains("<remote><identity>sip:+49301101@trunk.example</identity>"))
    #expect(ringing.contains("call-id=\"") && ringing == own.bodies.last)
    #expect(closed.bodies.last?.contains("<remote>") == false)
    let invite = try #require(scene.bob.received.first { $0.method == .invite && $0.isRequest })
    #expect(!ringing.contains(invite.callID) && !ringing.contains(invite.fromTag))
    #expect(status(scene).map(\.seesCalls) == [false, true, true])
    scene.finish()
    scene.expectRest()
  }

  /// A URI without a user means whoever asks; an `id` that is no token, and a message that is too large to be kept,
  /// begin nothing.
  @Test func forms() throws {
    let scene = try scene()
    let own = scene.bob.subscribe(to: "sip:trunk.example", "dialog", expires: 60)
    let broken = watch(scene.bob, "101", "dialog;id=\"a, b\"")
    let large = scene.bob.subscribe(
      to: "sip:101@trunk.example", "dialog",
      headers: [String](repeating: "X-Much: " + String(repeating: "x", count: 500), count: 8))
    scene.world.run(for: .seconds(2))
    #expect(own.bodies[0].contains("entity=\"sip:102@trunk.example\""))
    #expect(broken.statuses == [400] && large.statuses == [513])
    scene.world.run(for: .seconds(100))
    scene.expectRest()
  }

  /// A lamp that is switched on during a call shows it.
  @Test func duringACall() throws {
    let scene = try scene()
    scene.register(scene.alice, scene.bob)
    scene.alice.call("102", CallerScript().hangingUp(after: .seconds(30)))
    scene.world.run(for: .seconds(5))
    let lamp = watch(scene.carol, "102", expires: 60)
    scene.world.run(for: .seconds(2))
    #expect(states(lamp) == [["confirmed"]])
    scene.world.run(for: .seconds(50))
    #expect(states(lamp) == [["confirmed"], ["terminated"]])
    scene.finish()
    scene.expectRest()
  }

  /// Who hands a call on and hangs up at once is in no call any more, however long the next one rings.
  @Test func aTransferorThatLeavesIsDark() throws {
    let scene = try scene()
    scene.register(scene.alice, scene.bob, scene.carol)
    scene.bob.onInvite = { _ in .answering(after: .seconds(1)) }
    scene.carol.onInvite = { _ in
      CalleeScript().with { $0.steps = [CalleeStep(after: .seconds(1), status: 180)] }
    }
    let lamp = watch(scene.carol, "101")
    scene.world.run(for: .seconds(2))
    let call = scene.alice.call("102")
    scene.world.run(for: .seconds(4))
    #expect(states(lamp).last == ["confirmed"])
    call.transfer(to: "103")
    scene.world.run(for: .seconds(3))
    #expect(states(lamp).last == ["confirmed"])
    call.hangUp()
    scene.world.run(for: .seconds(3))
    #expect(states(lamp).last == ["terminated"])
    scene.finish()
    scene.expectRest()
  }

  /// Of a group, every phone that rings, and only the one that answered; a transfer moves the lamp.
  @Test func groupAndTransfer() throws {
    let scene = try scene {
      $0.resources.numbers.append(
        Number(
          number: "+493020", tenant: "acme",
          destinations: [DestinationHop(to: .ring([.user("alice"), .user("bob")]))]))
    }
    scene.register(scene.alice, scene.bob, scene.carol)
    scene.alice.onInvite = { _ in .answering(after: .seconds(4)) }
    scene.bob.onInvite = { _ in
      CalleeScript().with { $0.steps = [CalleeStep(after: .seconds(2), status: 180)] }
    }
    let one = watch(scene.carol, "101")
    let two = watch(scene.carol, "102")
    let three = watch(scene.alice, "103")
    scene.world.run(for: .seconds(2))
    let far = scene.north.call("+493020")
    scene.world.run(for: .seconds(8))
    #expect(states(one) == [[], ["trying"], ["early"], ["confirmed"]])
    #expect(states(two) == [[], ["trying"], ["early"], ["terminated"]])
    scene.alice.calls.last?.transfer(to: "103")
    scene.world.run(for: .seconds(10))
    #expect(states(one).last == ["terminated"])
    #expect(states(three).last == ["confirmed"])
    far.hangUp()
    scene.world.run(for: .seconds(5))
    #expect(states(three).last == ["terminated"])
    scene.finish()
    scene.expectRest()
  }

  /// Another configuration: rights that are gone end what they had allowed.
  @Test func followsTheConfiguration() throws {
    let scene = try scene { $0.resources.users[1].pickup = ["carol"] }
    let lamp = watch(scene.carol, "102")
    let other = watch(scene.alice, "102")
    scene.world.run(for: .seconds(2))
    var resources = Scene.resources()
    try scene.world.apply(resources)
    scene.world.run(for: .seconds(2))
    #expect(status(scene).allSatisfy { !$0.seesCalls } && lamp.notified.count == 2)
    resources.users[1].busyLamp = .nothing
    try scene.world.apply(resources)
    scene.world.run(for: .seconds(2))
    #expect(lamp.states.last == "terminated;reason=rejected")
    #expect(other.states.last == "terminated;reason=rejected")
    let late = watch(scene.alice, "102")
    let own = watch(scene.bob, "102")
    scene.world.run(for: .seconds(2))
    #expect(late.statuses == [403] && own.statuses == [200])
    resources.users.remove(at: 1)
    resources.numbers[0].destinations.removeLast()
    try scene.world.apply(resources)
    scene.world.run(for: .seconds(2))
    #expect(own.states.last == "terminated;reason=noresource")
    scene.world.run(for: .seconds(40))
    scene.expectRest()
  }

  // MARK: Contacts

  /// RFC 3680 §6: registered, and gone again.
  @Test func ownContacts() throws {
    let scene = try scene()
    let watcher = watch(scene.alice, "alice", "reg")
    scene.world.run(for: .seconds(6))
    #expect(watcher.bodies[0].contains("state=\"init\""))
    scene.register(scene.alice)
    scene.world.run(for: .seconds(6))
    let active = try #require(watcher.bodies.last)
    #expect(watcher.notified.last?.value(.contentType) == "application/reginfo+xml")
    #expect(
      active.contains(
        "<registration aor=\"sip:alice@trunk.example\" id=\"alice\" state=\"active\">"))
    #expect(active.contains("state=\"active\" event=\"registered\" expires=\"3600\""))
    #expect(active.contains("<uri>sip:alice@10.0.0.101:5060</uri>"))
    scene.alice.register(expires: 0)
    scene.world.run(for: .seconds(6))
    let gone = try #require(watcher.bodies.last)
    #expect(gone.contains("state=\"terminated\" event=\"unregistered\""))
    #expect(gone.contains("<uri>sip:alice@10.0.0.101:5060</uri>"))
    scene.alice.register(expires: 60)
    scene.world.run(for: .seconds(70))
    #expect(watcher.bodies.last?.contains("event=\"expired\"") == true)
    watcher.subscribe(expires: 0)
    scene.world.run(for: .seconds(40))
    scene.expectRest()
  }

  // MARK: Mailboxes

  /// RFC 3842 §5.2.
  @Test func messagesWait() throws {
    let scene = try scene()
    let lamp = watch(scene.alice, "101", "message-summary")
    scene.world.run(for: .seconds(2))
    scene.world.input(
      .mailbox(tenant: "acme", user: "alice", MessageSummary(new: 2, old: 8, oldUrgent: 1)))
    scene.world.input(.mailbox(tenant: "acme", user: "nobody", MessageSummary(new: 2)))
    scene.world.run(for: .seconds(2))
    #expect(
      lamp.bodies == [
        "Messages-Waiting: no\r\nMessage-Account: sip:101@trunk.example\r\n"
          + "Voice-Message: 0/0 (0/0)\r\n",
        "Messages-Waiting: yes\r\nMessage-Account: sip:101@trunk.example\r\n"
          + "Voice-Message: 2/8 (0/1)\r\n",
      ])
    #expect(lamp.notified[0].value(.contentType) == "application/simple-message-summary")
    guard case .mailboxes(let mailboxes)? = scene.world.ask(.mailboxes) else {
      Issue.record("no answer")
      return
    }
    #expect(mailboxes.map(\.user) == ["alice"])
    let told = scene.world.facts.compactMap {
      if case .mailboxSet(let status) = $0.event { return status } else { return nil }
    }
    #expect(told == mailboxes)
    scene.world.run(for: .seconds(400))
    scene.expectRest()
  }

  /// As they were before the restart, and those of users who are gone meanwhile are forgotten in the store too.
  @Test func messagesWaitAfterARestart() throws {
    let scene = try scene()
    let known = MailboxStatus(tenant: "acme", user: "alice", summary: MessageSummary(new: 2))
    let gone = MailboxStatus(tenant: "acme", user: "zoe", summary: MessageSummary(new: 1))
    scene.world.input(.restoreMailboxes([known, gone]))
    guard case .mailboxes(let mailboxes)? = scene.world.ask(.mailboxes) else {
      Issue.record("no answer")
      return
    }
    #expect(mailboxes == [known])
    let told = scene.world.facts.compactMap {
      if case .mailboxSet(let status) = $0.event { return status } else { return nil }
    }
    #expect(told.map(\.user) == ["zoe"] && told.map(\.summary) == [MessageSummary()])
    let lamp = watch(scene.alice, "101", "message-summary")
    scene.world.run(for: .seconds(2))
    #expect(lamp.bodies.first?.contains("Voice-Message: 2/0") == true)
  }
}
