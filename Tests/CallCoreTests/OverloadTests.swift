import Base
import CallCore
import Foundation
import MediaControl
import Policy
import Simulation
import Testing

/// More comes than can be done: who is refused, how, and what is left for those who are let in (SIG-8, G1 of
/// RELIABILITY), on the virtual clock.
@Suite struct OverloadTests {
  // MARK: At twice the load and more

  /// What the engine's thread takes for a message. A call is 10 ms in all, so that 100 a second are what it can
  /// carry; an INVITE that comes to nothing takes a twenty-fifth, with its ACK.
  private static func cost(_ message: AgentMessage?, _ letIn: Bool) -> Interval {
    guard let message else { return .microseconds(100) }
    guard message.isRequest else { return .microseconds(1_200) }
    switch message.method {
    case .invite: return letIn ? .microseconds(5_000) : .microseconds(300)
    case .ack: return .microseconds(100)
    default: return .microseconds(1_300)
    }
  }

  private static let script = CallerScript().hangingUp(after: .milliseconds(500))

  private static func scene(_ change: (inout Resources) -> Void = { _ in }) throws -> Scene {
    var resources = Scene.resources()
    resources.routes[0].carriers = [RouteCarrier(trunk: "north")]
    change(&resources)
    var settings = Scene.settings(resources: resources)
    for i in settings.mediaAddresses.indices { settings.mediaAddresses[i].ports = 20_000...39_999 }
    let scene = try Scene(settings)
    scene.north.onInvite = { _ in .answering(after: .milliseconds(50), ringing: nil) }
    return scene
  }

  private struct Outcome {
    var offered = 0
    /// Answered within two seconds, and hung up by the caller with an answer to its BYE.
    var good = 0
    var refused = 0
    /// Answered, but not ended by the caller's BYE.
    var lost = 0

    /// The first quarter is the time in which the engine finds out.
    init(_ calls: [AgentCall]) {
      for call in calls.dropFirst(calls.count / 4) {
        offered += 1
        if call.ending == .refused(503) { refused += 1 }
        guard let answered = call.answeredAt else { continue }
        if call.ending != .hungUpHere { lost += 1 }
        if answered - call.started <= .seconds(2) { good += 1 }
      }
    }
  }

  private func recover(_ scene: Scene) -> Interval {
    let end = scene.world.now
    while scene.world.counters.refusedStrangers > 0, scene.world.now - end < .seconds(20) {
      scene.world.run(for: .milliseconds(100))
    }
    return scene.world.now - end
  }

  /// Of what the engine can carry, nearly all is carried, however much more is asked for.
  @Test(arguments: [(2, 0.9), (4, 0.8)])
  func goodputHolds(_ factor: Int, _ least: Double) throws {
    let scene = try Self.scene()
    scene.world.service = Self.cost
    let seconds = 8
    var calls: [AgentCall] = []
    for _ in 0..<100 * factor * seconds {
      calls.append(scene.pbx.call("+441234", Self.script))
      scene.world.run(for: .microseconds(10_000 / factor))
    }
    let recovery = recover(scene)
    scene.world.run(for: .seconds(60))
    let outcome = Outcome(calls)
    let share = Double(outcome.good) / Double(75 * seconds)
    #expect(share >= least, "\(share) of what it can carry: \(outcome)")
    #expect(outcome.lost == 0, "\(outcome)")
    #expect(recovery <= .seconds(5), "\(recovery.seconds) s")
  }

  /// Sixty calls a second of a PBX and a hundred and forty of people who have proved nothing yet, where a hundred
  /// can be carried.
  @Test func knownCallersSurviveStrangers() throws {
    let scene = try Self.scene {
      $0.emergencies = [
        Emergency(
          tenant: "acme", country: "49", carriers: [RouteCarrier(trunk: "north")], reserved: 60)
      ]
    }
    scene.world.service = Self.cost
    var (known, strangers, help): ([AgentCall], [AgentCall], [AgentCall]) = ([], [], [])
    for i in 0..<1_200 {
      if i % 10 < 3 {
        known.append(scene.pbx.call("+441234", Self.script))
      } else {
        // As if each had come for the first time.
        scene.carol.challenge = nil
        strangers.append(scene.carol.call("+441234", Self.script))
      }
      if i % 60 == 30 { help.append(scene.pbx.call("112", Self.script)) }
      scene.world.run(for: .milliseconds(5))
    }
    let recovery = recover(scene)
    scene.world.run(for: .seconds(60))
    let (outcome, others) = (Outcome(known), Outcome(strangers))
    #expect(Double(outcome.good) >= 0.99 * Double(outcome.offered), "\(outcome)")
    #expect(outcome.lost == 0 && others.lost == 0, "\(outcome) \(others)")
    #expect(others.refused > others.offered / 2, "\(others)")
    #expect(help.count == 20 && help.allSatisfy { $0.ending == .hungUpHere })
    // What the known leave is not left lying: of the 450 calls that could be carried meanwhile, most are.
    #expect(outcome.good + others.good >= 360, "\(outcome) \(others)")
    #expect(recovery <= .seconds(5), "\(recovery.seconds) s")
  }

  // MARK: Who is refused, and how

  /// The shard is told of waits until strangers are refused and nearly everybody else.
  private func press(_ scene: Scene) {
    for _ in 0..<300 {
      scene.world.shard?.waited(.milliseconds(200), on: 0, at: scene.world.now)
      scene.world.run(for: .milliseconds(10))
    }
  }

  private func retryAfter(_ message: AgentMessage) -> Int? {
    message.value(.retryAfter).flatMap { Int($0) }
  }

  @Test func refusalsSayWhenToComeBackButNotToNeighbours() throws {
    let scene = try Scene()
    press(scene)
    for agent in [scene.carol, scene.pbx] {
      for i in 0..<40 {
        agent.request("\(i)", method: "INVITE", uri: "sip:+441234@trunk.example")
      }
    }
    scene.world.run(for: .milliseconds(300))
    let phone = (0..<40).compactMap { scene.carol.answered["\($0)"] }
    #expect(phone.count == 40 && phone.allSatisfy { $0.status == 503 })
    let times = phone.compactMap(retryAfter)
    #expect(times.count == 40 && Set(times).count > 5 && times.allSatisfy { (2...60).contains($0) })
    // RFC 7339 §5.10.2. One in twenty of those who are known is let in.
    let trunk = (0..<40).compactMap { scene.pbx.answered["\($0)"] }.filter { $0.status == 503 }
    #expect(trunk.count > 30 && trunk.allSatisfy { retryAfter($0) == nil })
    #expect(scene.refusals.allSatisfy { $0.cause == .overload })
    #expect(scene.world.counters.refused["overload"] == UInt64(phone.count + trunk.count))
  }

  @Test func phonesThatAreRegisteredAreKnown() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    // Until only strangers are refused.
    for _ in 0..<12 {
      scene.world.shard?.waited(.milliseconds(100), on: 0, at: scene.world.now)
      scene.world.run(for: .milliseconds(10))
    }
    scene.alice.challenge = nil
    scene.alice.request("a", method: "INVITE", uri: "sip:+441234@trunk.example")
    scene.carol.request("c", method: "INVITE", uri: "sip:+441234@trunk.example")
    scene.world.run(for: .milliseconds(300))
    #expect(scene.alice.answers["a"] == 401 && scene.carol.answers["c"] == 503)
  }

  /// So is a trunk that has to prove itself, at its own address.
  @Test func trunksAreChallengedAsBefore() throws {
    var resources = Scene.resources()
    resources.trunks[2].authentication = Credentials(username: "pbx", password: "secret")
    let scene = try Scene(Scene.settings(resources: resources))
    press(scene)
    scene.pbx.request("p", method: "INVITE", uri: "sip:+441234@trunk.example")
    scene.world.run(for: .milliseconds(300))
    #expect(scene.pbx.answers["p"] == 401)
  }

  /// A phone that is refused a refresh is lost to its callers; one that nobody knows can wait.
  @Test func registrationsOfTheKnownAreTaken() throws {
    let scene = try Scene()
    scene.register(scene.alice)
    press(scene)
    for (agent, name) in [(scene.alice, "alice"), (scene.carol, "carol")] {
      agent.request(name, method: "REGISTER", uri: "sip:trunk.example")
      agent.request(name + "?", method: "OPTIONS", uri: "sip:trunk.example")
    }
    scene.world.run(for: .milliseconds(300))
    #expect(scene.alice.answers["alice"] == 401 && scene.carol.answers["carol"] == 503)
    #expect(scene.alice.answers["alice?"] == 200 && scene.carol.answers["carol?"] == 200)
    scene.alice.register()
    scene.world.run(for: .seconds(1))
    #expect(scene.world.counters.bindings == 1)
  }

  /// What began is finished: re-INVITE, BYE from either side; and whoever calls for help gets it.
  @Test func dialogsAndHelpAreNeverRefused() throws {
    var resources = Scene.resources()
    resources.emergencies = [
      Emergency(
        tenant: "acme", country: "49", carriers: [RouteCarrier(trunk: "south")], reserved: 20)
    ]
    let scene = try Scene(Scene.settings(resources: resources))
    scene.north.onInvite = { _ in .answering(ringing: nil) }
    let script = CallerScript().hangingUp(after: .seconds(4)).with {
      $0.reoffers = [Reoffer(after: .milliseconds(2_500), direction: .sendonly)]
    }
    let calls = (0..<20).map { _ in scene.pbx.call("+441234", script) }
    scene.world.run(for: .seconds(1))
    press(scene)
    let help = (0..<10).map { _ in scene.pbx.call("112", Self.script) }
    let stranger = scene.carol.call("112", Self.script)
    scene.finish()
    #expect(calls.allSatisfy { $0.ending == .hungUpHere && $0.reoffersAnswered == [200] })
    #expect(help.allSatisfy { $0.ending == .hungUpHere })
    #expect(stranger.ending == .hungUpHere)
    scene.expectRest()
  }

  /// A copy of a refused INVITE that was under way meanwhile must not become a call.
  @Test func copiesAreRefusedToo() throws {
    let scene = try Scene()
    for _ in 0..<30 {
      scene.world.shard?.waited(.milliseconds(60), on: 0, at: scene.world.now)
      scene.world.run(for: .milliseconds(10))
    }
    let share = scene.world.counters.refusedKnown
    #expect(share > 150 && share < 800)
    for i in 0..<100 {
      scene.pbx.sendRaw(Self.invite(i))
      scene.pbx.sendRaw(Self.invite(i))
    }
    scene.world.run(for: .milliseconds(50))
    let refused = Int(scene.world.counters.refused["overload"] ?? 0)
    let attempted = Int(scene.world.counters.callsAttempted)
    #expect(refused % 2 == 0 && refused / 2 + attempted == 100 && attempted > 0 && refused > 0)
  }

  private static func invite(_ i: Int) -> [UInt8] {
    Array(
      ("INVITE sip:+441234@trunk.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bKo\(i);rport\r\n"
        + "Max-Forwards: 70\r\nFrom: <sip:pbx@trunk.example>;tag=\(i)\r\nTo: <sip:+441234@trunk.example>\r\n"
        + "Call-ID: copy\(i)\r\nCSeq: 1 INVITE\r\nContact: <sip:pbx@10.0.0.20>\r\nContent-Length: 0\r\n\r\n")
        .utf8)
  }

  /// Two facts, whatever lies between them; and of those who are refused only so many.
  @Test func factsAreFew() throws {
    var settings = Scene.settings()
    settings.limits.admission.sourceRate = 2_000
    settings.limits.admission.blockRate = 2_000
    let scene = try Scene(settings)
    press(scene)
    for i in 0..<2_000 {
      scene.carol.request("\(i)", method: "INVITE", uri: "sip:+441234@trunk.example")
    }
    scene.world.run(for: .seconds(10))
    let told = scene.world.facts.compactMap { fact -> Bool? in
      if case .overload(let isBehind, let wait) = fact.event {
        #expect(wait == (isBehind ? .milliseconds(200) : .zero))
        return isBehind
      }
      return nil
    }
    #expect(told == [true, false])
    #expect(scene.refusals.count < 400)
    #expect(scene.world.counters.refused["overload"] == 2_000)
    #expect(scene.world.counters.overloads == 1)
  }

  // MARK: RFC 7339, as server

  @Test func trunksThatAskAreTold() throws {
    let scene = try Scene()
    for agent in [scene.pbx, scene.alice] { agent.viaParameters = ";oc;oc-algo=\"loss,A\"" }
    scene.pbx.request("calm", method: "OPTIONS")
    scene.north.request("plain", method: "OPTIONS")
    scene.alice.request("phone", method: "OPTIONS")
    scene.world.run(for: .seconds(1))
    let calm = try #require(scene.pbx.answered["calm"]?.value(.via))
    #expect(calm.contains(";oc=0;oc-algo=\"loss\";oc-validity=0;oc-seq="))
    #expect(calm.components(separatedBy: "oc-algo").count == 2)
    #expect(scene.north.answered["plain"]?.value(.via)?.contains("oc") == false)
    // A phone learns nothing: what it said comes back as it was.
    let phone = try #require(scene.alice.answered["phone"]?.value(.via))
    #expect(phone.contains(";oc;oc-algo=\"loss,A\"") && !phone.contains("oc-seq"))
    // An algorithm that we do not have.
    scene.pbx.viaParameters = ";oc;oc-algo=\"rate\""
    scene.pbx.request("rate", method: "OPTIONS")
    scene.world.run(for: .milliseconds(100))
    #expect(scene.pbx.answered["rate"]?.value(.via)?.contains("oc-seq") == false)
    scene.pbx.viaParameters = ";oc;oc-algo=\"loss\""
    press(scene)
    scene.pbx.request("busy", method: "OPTIONS")
    scene.world.run(for: .milliseconds(50))
    let busy = try #require(scene.pbx.answered["busy"]?.value(.via))
    #expect(busy.contains(";oc=95;oc-algo=\"loss\";oc-validity=500;oc-seq="), "\(busy)")
    #expect(Self.sequence(calm) < Self.sequence(busy))
  }

  private static func sequence(_ via: String) -> Double {
    guard let at = via.range(of: "oc-seq=") else { return .nan }
    return Double(via[at.upperBound...].prefix { $0.isNumber || $0 == "." }) ?? .nan
  }

  /// Whoever refuses at its own door is refused less here, and no less than others when nothing else helps.
  @Test func neighboursThatFollowAreRefusedLess() throws {
    func refused(_ parameters: String) throws -> Int {
      let scene = try Scene()
      scene.pbx.viaParameters = parameters
      for _ in 0..<30 {
        scene.world.shard?.waited(.milliseconds(60), on: 0, at: scene.world.now)
        scene.world.run(for: .milliseconds(10))
      }
      for i in 0..<200 {
        scene.pbx.request("\(i)", method: "INVITE", uri: "sip:+441234@trunk.example")
      }
      scene.world.run(for: .milliseconds(50))
      return Int(scene.world.counters.refused["overload"] ?? 0)
    }
    let (plain, follows) = (try refused(""), try refused(";oc;oc-algo=\"loss\""))
    #expect(follows > 0 && follows < plain)
  }
}
