import Base
import CallCore
import Foundation
import MediaControl
import Policy
import Resolution
import SIPWire
import Simulation
import Testing

/// Each cause of the catalogue is brought about. The switch has no default: a cause without a way to trigger it
/// does not compile.
@Suite struct CauseTriggerTests {
  @Test(arguments: Cause.allCases)
  func eachCauseCanHappen(cause: Cause) throws {
    let seen = try trigger(cause)
    #expect(seen.contains(cause), "\(cause): \(seen.map(\.name).sorted())")
  }

  private func toll(_ cause: Cause) throws -> Set<Cause> {
    try seen({
      var rules = TollRules()
      if cause == .destinationDenied { rules.mayCall = .domestic }
      if cause == .durationLimit { rules.maxCallDuration = .seconds(5) }
      rules.costlyCalls = CostlyCalls(
        maxCalls: 1, callsPerMinute: 10, minutesPerDay: 10, block: cause == .accountBlocked)
      $0.resources.users[0].toll = rules
    }) { scene in
      for _ in 0..<3 {
        scene.alice.call("+441234", long)
        scene.world.run(for: .seconds(2))
      }
    }
  }

  private func identity(_ cause: Cause) throws -> Set<Cause> {
    let bed = try PassportBed()
    let url = cause == .identityUnavailable ? "https://certs.example/none.pem" : nil
    let signer = cause == .identityUntrusted ? "stranger" : "provider"
    let line = try bed.identity(by: signer, url: url) {
      if cause == .identityStale { $0.iat -= 3_600 }
      if cause == .identityInvalid { $0.orig = .number("4411") }
    }
    bed.call(cause == .identityMissing ? "X-None: 1" : line)
    return Set(bed.scene.records.compactMap(\.cause))
  }

  private func protection(_ cause: Cause) throws -> Set<Cause> {
    try seen({
      var rules = SRTPRules()
      rules.policy = cause == .srtpRefused ? .off : cause == .srtpUnsupported ? .allow : .require
      rules.withoutTLS = cause != .srtpWithoutTLS
      $0.resources.trunks[2].srtp = rules
      // Its calls may come by another way than ours go to it.
      if cause == .srtpWithoutTLS {
        $0.resources.trunks[2].transport = .tls
        $0.listeners.append(
          Listener(
            name: "inside-tls", bound: Scene.address(10, 0, 0, 1, port: 5061), transport: .tls))
        $0.resources.networks[0].listeners.append("inside-tls")
      }
    }) {
      if cause != .srtpRequired { $0.pbx.srtp = AgentSRTP() }
      if cause == .srtpUnsupported { $0.pbx.srtp?.offers = ["1 F8_128_HMAC_SHA1_80 inline:AAAA"] }
      $0.pbx.call("+441234", long)
    }
  }

  private let long = CallerScript().hangingUp(after: .seconds(60))

  private func trigger(_ cause: Cause) throws -> Set<Cause> {
    switch cause {
    case .normalClearing: try seen { $0.pbx.call("+441234", long) }
    case .cancelled:
      try seen {
        $0.north.onInvite = { _ in .ringingOnly() }
        $0.pbx.call("+441234", CallerScript().cancelling(after: .seconds(1)))
      }
    case .busy: try answered(486)
    case .noAnswer: try answered(480)
    case .rejectedByUser: try answered(603)
    case .numberUnknown: try answered(404)
    case .addressIncomplete: try answered(484)
    case .carrierRejected: try answered(403)
    case .carrierUnavailable, .allRoutesFailed: try answered(503)
    case .unreachable:
      try seen {
        $0.register($0.alice)
        $0.alice.onInvite = { _ in .dead }
        $0.pbx.call("101")
      }
    case .notRegistered: try seen { $0.pbx.call("101") }
    case .noRoute:
      try seen({ $0.resources.routes[0].prefix = "+44" }) { $0.pbx.call("+1555") }
    case .carrierTimeout:
      try seen {
        $0.north.onInvite = { _ in .dead }
        $0.pbx.call("+441234", long)
      }
    case .transportFailed:
      try seen {
        $0.world.network.setDown(true, $0.north)
        $0.pbx.call("+441234", long)
      }
    case .authenticationRequired:
      try seen { $0.alice.call("+441234", CallerScript().with { $0.credentials = .none }) }
    case .authenticationFailed:
      try seen { $0.alice.call("+441234", CallerScript().with { $0.credentials = .wrong }) }
    case .forbidden, .sourceUnknown: try stranger(cause)
    case .trunkCallLimit:
      try seen({ $0.resources.trunks[2].maxCalls = 0 }) { $0.pbx.call("+441234") }
    case .trunkRateLimit:
      try seen({ $0.resources.trunks[2].callsPerSecond = 1 }) {
        for _ in 0..<2 { $0.pbx.call("+441234", long) }
      }
    case .tenantCallLimit:
      try seen({ $0.resources.tenants[0].maxCalls = 0 }) { $0.pbx.call("+441234") }
    case .tenantRateLimit:
      try seen({ $0.resources.tenants[0].callsPerSecond = 1 }) {
        for _ in 0..<2 { $0.pbx.call("+441234", long) }
      }
    case .insecureTransport:
      try seen({
        $0.resources.users[0].transport = .tls
        $0.listeners.append(
          Listener(
            name: "inside-tls", bound: Scene.address(10, 0, 0, 1, port: 5061), transport: .tls))
        $0.resources.networks[0].listeners.append("inside-tls")
      }) { $0.alice.call("+441234") }
    case .registrarUnavailable:
      try seen({
        $0.resources.trunks[2].passing = RegistrationPassing(domain: "pbx.example")
      }) {
        $0.world.network.setDown(true, $0.pbx)
        $0.alice.domain = "pbx.example"
        $0.alice.register()
      }
    case .srtpRequired, .srtpRefused, .srtpUnsupported, .srtpWithoutTLS:
      try protection(cause)
    case .destinationDenied, .costlyLimit, .accountBlocked, .durationLimit: try toll(cause)
    case .identityMissing, .identityStale, .identityUnavailable, .identityUntrusted,
      .identityInvalid:
      try identity(cause)
    case .userCallLimit:
      try seen({ $0.resources.users[0].maxCalls = 0 }) { $0.alice.call("+441234") }
    case .userRateLimit:
      try seen({ $0.resources.users[0].callsPerSecond = 1 }) {
        for _ in 0..<2 { $0.alice.call("+441234", long) }
      }
    case .classCallLimit, .classRateLimit: try numberClass(cause)
    case .linesBusy, .poolFull: try pool(cause)
    case .capacity:
      try seen({ $0.limits.sessions = 1 }) {
        for _ in 0..<2 { $0.pbx.call("+441234", long) }
      }
    case .portsExhausted:
      try seen({ $0.mediaAddresses[0].ports = 30_000...30_001 }) {
        for _ in 0..<2 { $0.pbx.call("+441234", long) }
      }
    case .recordsStalled:
      try seen {
        $0.world.store.isStalled = true
        $0.pbx.call("+441234", long)
        $0.world.run(for: .seconds(60))
        $0.world.store.isStalled = false
      }
    case .draining:
      try seen {
        $0.pbx.call("+441234", long)
        $0.world.run(for: .seconds(5))
        $0.world.input(.drain)
        $0.pbx.call("+441234")
      }
    case .malformed, .messageTooLarge, .contentUnsupported: try raw(cause)
    case .extensionUnsupported:
      try seen {
        $0.pbx.request(
          "x", method: "INVITE", uri: "sip:1@trunk.example", headers: ["Require: precondition"])
      }
    case .methodUnsupported: try seen { $0.pbx.request("x", method: "DANCE") }
    case .tooManyHops:
      try seen {
        $0.pbx.request("x", method: "INVITE", uri: "sip:+441234@trunk.example", maxForwards: 0)
      }
    case .loopDetected: try merged()
    case .mediaUnacceptable:
      try seen({ $0.resources.trunks[0].codecs = ["G722"] }) {
        $0.pbx.call("+441234", CallerScript().with { $0.payloads = [0] })
      }
    case .nameUnresolved:
      try seen({
        $0.resources.trunks[0].targets = [SIPTarget(name: "north.example")]
        $0.resources.routes[0].carriers.removeLast()
      }) {
        $0.world.resolve = { _ in Location(.none) }
        $0.pbx.call("+441234")
      }
    case .overload:
      try seen { scene in
        for _ in 0..<100 {
          scene.world.shard?.waited(.milliseconds(100), on: 0, at: scene.world.now)
          scene.world.run(for: .milliseconds(10))
        }
        for _ in 0..<50 { scene.pbx.call("+441234", long) }
      }
    case .trunkNotRegistered:
      try seen({
        var register = TrunkRegistration(registrar: "198.51.100.10", username: "us")
        register.credentials = Credentials(username: "us", password: "secret")
        $0.resources.trunks[0].register = register
        $0.resources.routes[0].carriers.removeLast()
      }) {
        $0.world.network.setDown(true, $0.north)
        $0.pbx.call("+441234")
      }
    case .completedElsewhere:
      try seen({
        $0.resources.numbers.append(
          Number(
            number: "+493020", tenant: "acme",
            destinations: [DestinationHop(to: .ring([.user("alice"), .user("bob")]))]))
      }) {
        $0.register($0.alice, $0.bob)
        $0.bob.onInvite = { _ in .ringingOnly() }
        $0.pbx.call("+493020", long)
      }
    case .forwarded:
      try seen {
        $0.register($0.alice, $0.bob)
        $0.alice.onInvite = { _ in .redirecting(to: "<sip:102@trunk.example>") }
        $0.pbx.call("101", long)
      }
    case .sessionExpired:
      try seen({
        $0.resources.trunks[0].sessionExpires = .seconds(120)
        $0.resources.trunks[0].mediaTimeout = .seconds(3_000)
        $0.resources.trunks[2].mediaTimeout = .seconds(3_000)
      }) {
        $0.north.onInvite = { _ in .answering().with { $0.dieAfter = .seconds(20) } }
        $0.pbx.call("+441234", CallerScript().hangingUp(after: .seconds(900)))
        $0.world.run(for: .seconds(400))
      }
    case .sessionIntervalTooSmall:
      try seen({ $0.resources.trunks[2].minSessionExpires = .seconds(200) }) {
        $0.pbx.request(
          "x", method: "INVITE", uri: "sip:+441234@trunk.example",
          headers: ["Supported: timer", "Session-Expires: 100"])
      }
    case .provisionalUnacknowledged:
      try seen {
        $0.north.onInvite = { _ in .ringingOnly() }
        $0.pbx.call(
          "+441234",
          CallerScript().with {
            $0.reliable = .requires
            $0.pracks = false
          })
      }
    case .mediaTimeout:
      try seen { $0.pbx.call("+441234", CallerScript().with { $0.dieAfter = .seconds(10) }) }
    case .hungUpByOperator:
      try seen { scene in
        scene.pbx.call("+441234", long)
        scene.world.run(for: .seconds(5))
        if case .calls(let calls)? = scene.world.ask(.calls), let record = calls.first {
          scene.world.input(.hangUp(record.id))
        }
      }
    case .acknowledgementMissing:
      try seen { $0.pbx.call("+441234", CallerScript().with { $0.ack = .never }) }
    case .numberInvalid:
      try seen({ $0.resources.tenants[0].numbers = NumberPlan(countryCode: "49") }) {
        $0.pbx.call("4930123456789")
      }
    case .callerRefused:
      try seen({ $0.resources.trunks[2].callerID = CallerPolicy(allow: .owned, otherwise: .refuse) }
      ) {
        $0.pbx.call("+441234")
      }
    case .transferRefused:
      try seen { scene in
        let call = scene.pbx.call("+441234", long)
        scene.world.run(for: .seconds(5))
        call.transfer(to: "+441235")
      }
    case .transferFailed:
      try seen { scene in
        scene.register(scene.alice, scene.bob)
        scene.bob.onInvite = { _ in .refusing(486) }
        scene.north.call("+493010", long)
        scene.world.run(for: .seconds(5))
        scene.alice.calls.last?.transfer(to: "102", Transferring().with { $0.goodbye = .atOnce })
      }
    case .transferred:
      try seen { scene in
        scene.register(scene.alice, scene.bob, scene.carol)
        scene.north.call("+493010", long)
        scene.world.run(for: .seconds(5))
        scene.alice.calls.last?.transfer(to: "102")
        scene.world.run(for: .seconds(5))
        scene.bob.calls.last?.transfer(to: "103")
      }
    case .numberUnassigned:
      try seen({ settings in
        settings.resources.numbers[0].state = .available
        settings.resources.numbers[0].destinations = []
      }) { $0.north.call("+493010", long) }
    case .numberSuspended:
      try seen({ $0.resources.numbers[0].state = .suspended }) { $0.north.call("+493010", long) }
    case .eventUnsupported:
      try seen { $0.alice.subscribe(to: "sip:101@trunk.example", "presence") }
    case .subscriptionRefused:
      try seen { $0.alice.subscribe(to: "sip:102@trunk.example", "message-summary") }
    case .subscriptionLimit:
      try seen { scene in
        for i in 0..<300 { scene.alice.subscribe(to: "sip:102@trunk.example", "dialog;id=\(i)") }
      }
    case .interrupted: try proved(cause, by: "PersistenceTests/KillTests.swift", ".interrupted")
    // Nothing that is known brings it about. Whoever finds a way in has found a bug, and the way becomes its test.
    case .internalFault: [.internalFault]
    }
  }

  // MARK: Scenes

  /// Every cause that a scene came to: of calls, of attempts, of what was refused at the door.
  private func seen(
    _ change: (inout WorldSettings) -> Void = { _ in }, _ play: (Scene) -> Void
  ) throws -> Set<Cause> {
    var settings = Scene.settings()
    change(&settings)
    let scene = try Scene(settings)
    play(scene)
    scene.finish()
    return causes(scene)
  }

  private func causes(_ scene: Scene) -> Set<Cause> {
    var causes = Set(scene.records.compactMap(\.cause))
    causes.formUnion(scene.records.flatMap(\.attempts).compactMap(\.cause))
    causes.formUnion(scene.refusals.map(\.cause))
    causes.formUnion(scene.world.counters.refused.keys.compactMap { Cause(name: $0) })
    return causes
  }

  private func answered(_ status: Int) throws -> Set<Cause> {
    try seen {
      for carrier in [$0.north, $0.south] {
        carrier.onInvite = { _ in .refusing(status, after: .milliseconds(5)) }
      }
      $0.pbx.call("+441234")
    }
  }

  private func numberClass(_ cause: Cause) throws -> Set<Cause> {
    let isFull = cause == .classCallLimit
    return try seen({
      $0.resources.classes = [
        NumberClass(
          name: "all", tenant: "acme", prefixes: ["+"], maxCalls: isFull ? 0 : nil,
          callsPerSecond: 1)
      ]
    }) {
      for _ in 0..<2 { $0.pbx.call("+441234", long) }
    }
  }

  private func pool(_ cause: Cause) throws -> Set<Cause> {
    try seen({
      $0.resources.pools = [
        Pool(
          name: "none", tenant: "acme", lines: 0, trunks: ["north", "south"],
          whenFull: cause == .linesBusy ? .busy : .next)
      ]
    }) { $0.pbx.call("+441234") }
  }

  /// At a listener that is of no network, and in one whose tenants cannot be told apart.
  private func stranger(_ cause: Cause) throws -> Set<Cause> {
    var settings = Scene.settings()
    let lonely = Scene.address(203, 0, 113, 9)
    settings.listeners.append(Listener(name: "lonely", bound: lonely))
    settings.resources.tenants.append(Tenant(name: "other"))
    settings.resources.trunks.append(
      Trunk(
        name: "other", tenant: "other", kind: .carrier, network: "carriers",
        targets: [Scene.address(198, 51, 100, 99)]))
    let scene = try Scene(settings)
    let stranger = scene.world.agent(
      "stranger", at: Scene.address(192, 0, 2, 99),
      trunk: cause == .forbidden ? lonely : Scene.outside,
      user: "900")
    stranger.domain = "nowhere.example"
    stranger.request("x", method: "INVITE", uri: "sip:+493010@nowhere.example")
    scene.finish()
    return causes(scene)
  }

  private func raw(_ cause: Cause) throws -> Set<Cause> {
    var head =
      "INVITE sip:+441234@trunk.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bKraw;rport\r\n"
      + "Max-Forwards: 70\r\nFrom: <sip:pbx@trunk.example>;tag=1\r\nTo: <sip:+441234@trunk.example>\r\n"
      + "Call-ID: raw\r\nCSeq: 1 INVITE\r\nContact: <sip:pbx@10.0.0.20>\r\n"
    switch cause {
    case .malformed: head += "Content-Length: many\r\n\r\n"
    case .contentUnsupported:
      head += "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
    default:
      for i in 0..<200 { head += "X-\(i): 1\r\n" }
      head += "Content-Length: 0\r\n\r\n"
    }
    return try seen { $0.pbx.sendRaw(Array(head.utf8)) }
  }

  /// RFC 3261 §8.2.2.2: the same request by another path.
  private func merged() throws -> Set<Cause> {
    try seen { scene in
      scene.north.onInvite = { _ in .ringingOnly() }
      let call = scene.pbx.call("+441234", CallerScript().cancelling(after: .seconds(5)))
      scene.world.run(for: .seconds(1))
      let invite = scene.world.trace.entries.first {
        $0.callID == call.callID && $0.bytes.first == UInt8(ascii: "I")
      }
      guard let invite, let branch = try? AgentMessage(invite.bytes).branch else { return }
      let copy = String(decoding: invite.bytes, as: UTF8.self).replacing(branch, with: branch + "x")
      scene.pbx.sendRaw(Array(copy.utf8))
    }
  }

  /// What only another target can bring about: its test is there and names the cause.
  private func proved(_ cause: Cause, by file: String, _ word: String) throws -> Set<Cause> {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let text = try String(contentsOf: tests.appending(path: file), encoding: .utf8)
    return text.contains(word) ? [cause] : []
  }
}
