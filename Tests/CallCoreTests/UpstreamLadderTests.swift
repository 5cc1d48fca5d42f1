import Base
import CallCore
import Policy
import Simulation
import Testing

/// Our own registrations with a provider, on the virtual clock: `north` is the provider.
@Suite struct UpstreamLadderTests {
  private static let secret = Credentials(username: "acme", password: "provider-secret")

  private func scene(
    password: String = "provider-secret", moods: [AgentRegistrar.Mood] = [],
    prepare: (inout AgentRegistrar) -> Void = { _ in }
  ) throws -> Scene {
    try scene(password: password, moods: moods, changed: { _ in }, prepare: prepare)
  }

  private func scene(
    password: String = "provider-secret", moods: [AgentRegistrar.Mood] = [],
    changed change: (inout TrunkRegistration) -> Void,
    prepare: (inout AgentRegistrar) -> Void
  ) throws -> Scene {
    var resources = Scene.resources()
    var register = TrunkRegistration(registrar: "provider.example", username: "acme")
    register.credentials = Credentials(username: "acme", password: password)
    change(&register)
    resources.trunks[0].register = register
    let scene = try Scene(Scene.settings(resources: resources))
    var registrar = AgentRegistrar(demands: Self.secret)
    registrar.moods = moods
    prepare(&registrar)
    scene.north.registrar = registrar
    return scene
  }

  private func status(_ scene: Scene) -> UpstreamStatus? {
    if case .upstreams(let statuses)? = scene.world.ask(.upstreams) { return statuses.first }
    return nil
  }

  private func states(_ scene: Scene) -> [UpstreamStatus.State] {
    scene.world.facts.compactMap {
      if case .registrationState(let status) = $0.event { return status.state }
      return nil
    }
  }

  private func seconds(_ scene: Scene) -> [Int] {
    let times = scene.north.registrar?.times ?? []
    guard let first = times.first else { return [] }
    return times.map { ($0 - first).wholeSeconds }
  }

  @Test func registers() throws {
    let scene = try scene()
    scene.world.run(for: .seconds(5))
    expectLadder(
      scene, [], [scene.north],
      """
      demarc                                north
          │ ── REGISTER ─────────────────────▶ │
          │ ◀── 401 Unauthorized (REGISTER) ── │
          │ ── REGISTER ─────────────────────▶ │
          │ ◀── 200 OK (REGISTER) ──────────── │
      """)
    let now = status(scene)
    #expect(now?.state == .registered && now?.isRegistered == true && now?.reason == "")
    #expect(states(scene) == [.unregistered, .trying, .challenged, .registered])
    let request = scene.north.registrar?.requests.first
    #expect(request?.requestURI == "sip:provider.example")
    #expect(request?.value(.to) == "<sip:acme@provider.example>")
    #expect(request?.uri(.contact)?.hasPrefix("sip:acme@203.0.113.1:5060;line=") == true)
    #expect(scene.world.violations == [])
  }

  /// The refresh is due at 85 % of what was granted, and needs no second challenge: nc goes up.
  @Test func refreshes() throws {
    let scene = try scene { $0.grants = 100 }
    scene.world.run(for: .seconds(300))
    #expect(seconds(scene) == [0, 0, 85, 170, 255])
    let requests: [AgentMessage] = scene.north.registrar?.requests ?? []
    let counts = requests.map { (message: AgentMessage) -> String in
      let answer = message.value(.authorization) ?? ""
      return answer.firstRange(of: "nc=").map { String(answer[$0.upperBound...].prefix(8)) } ?? ""
    }
    #expect(counts == ["", "00000001", "00000002", "00000003", "00000004"])
    let sequences = requests.map(\.cseq)
    #expect(sequences == sequences.sorted() && Set(sequences).count == 5)
    #expect(Set(requests.map(\.callID)).count == 1)
    #expect(states(scene) == [.unregistered, .trying, .challenged, .registered])
  }

  @Test func staleNonceIsAnsweredAgain() throws {
    let scene = try scene { $0.grants = 100 }
    scene.world.run(for: .seconds(5))
    scene.north.registrar?.moods = [.stale]
    scene.world.run(for: .seconds(100))
    #expect(seconds(scene) == [0, 0, 85, 85] && status(scene)?.state == .registered)
  }

  /// C6 and task: at most three answers to a challenge, then half an hour of silence, and it says why.
  @Test func wrongPasswordDoesNotHammer() throws {
    let scene = try scene(password: "guess")
    scene.world.run(for: .seconds(800))
    let answers = scene.north.registrar?.requests.filter { $0.value(.authorization) != nil } ?? []
    #expect(answers.count == 3)
    let now = status(scene)
    #expect(now?.state == .failed && now?.status == 401 && now?.isRegistered == false)
    #expect(now?.reason == "username or password refused with 401")
    // A new password is tried at once.
    var resources = scene.world.settings.resources
    resources.trunks[0].register?.credentials = Self.secret
    try scene.world.apply(resources)
    scene.world.run(for: .seconds(1))
    #expect(status(scene)?.state == .registered)
  }

  @Test func proxyChallengeOfTheRealmAmongSeveral() throws {
    let scene = try scene(changed: { $0.realm = "right" }) {
      $0.isProxy = true
      $0.challenges = [
        "realm=\"other\", algorithm=MD5, qop=\"auth\"",
        "realm=\"right\", algorithm=AKAv1-MD5, qop=\"auth\"",
        "realm=\"right\", algorithm=SHA-256, qop=\"auth-int,auth\"",
      ]
    }
    scene.world.run(for: .seconds(2))
    #expect(status(scene)?.state == .registered)
    let answer = scene.north.registrar?.requests.last?.value(.proxyAuthorization) ?? ""
    #expect(answer.contains("realm=\"right\"") && answer.contains("algorithm=SHA-256"))
    #expect(answer.contains("qop=auth,"))
  }

  /// Old servers offer no qop: then there is no count, and a nonce is answered once.
  @Test func withoutQop() throws {
    let scene = try scene {
      $0.challenges = ["realm=\"old\""]
      $0.grants = 100
    }
    scene.world.run(for: .seconds(90))
    #expect(status(scene)?.state == .registered)
    let answers = scene.north.registrar?.requests.map { $0.value(.authorization) != nil }
    #expect(answers == [false, true, false, true])
    #expect(scene.north.registrar?.requests[1].value(.authorization)?.contains("qop") == false)
  }

  /// D2: a challenge of a realm that is not the configured one gets no answer.
  @Test func foreignRealmGetsNoAnswer() throws {
    let scene = try scene(changed: { $0.realm = "provider.example" }) { _ in }
    scene.world.run(for: .seconds(60))
    #expect(scene.north.registrar?.requests.allSatisfy { $0.value(.authorization) == nil } == true)
    #expect(status(scene)?.reason == "a challenge that cannot be answered")
  }

  // MARK: By a connection (RFC 5626 §4)

  private func streamScene(
    _ transport: TrunkTransport = .tls, prepare: (inout AgentRegistrar) -> Void = { _ in }
  ) throws -> Scene {
    var settings = Scene.settings()
    settings.listeners[1].transport = transport.wire
    var register = TrunkRegistration(registrar: "provider.example", username: "acme")
    register.credentials = Self.secret
    settings.resources.trunks[0].register = register
    settings.resources.trunks[0].transport = transport
    settings.resources.trunks[1].transport = transport
    let scene = try Scene(settings)
    var registrar = AgentRegistrar(demands: Self.secret)
    prepare(&registrar)
    scene.north.registrar = registrar
    return scene
  }

  private func pings(_ scene: Scene) -> Int {
    scene.world.trace.entries.count {
      $0.to == scene.north.address && $0.bytes == Array("\r\n\r\n".utf8)
    }
  }

  @Test(arguments: [TrunkTransport.tcp, .tls])
  func registersByAConnection(transport: TrunkTransport) throws {
    let scene = try streamScene(transport)
    scene.world.run(for: .seconds(5))
    #expect(status(scene)?.state == .registered)
    let contact = scene.north.registrar?.requests.last?.uri(.contact) ?? ""
    #expect(contact.contains(";transport=\(transport.rawValue)"), "\(contact)")
    #expect(pings(scene) == 0)
    // Calls leave by the same connection.
    scene.bob.register()
    scene.world.run(for: .seconds(1))
    scene.bob.call("+44123")
    scene.world.run(for: .seconds(5))
    #expect(scene.bob.calls.last?.state == .answered)
    // Between two pings lie 80 to 100 % of two minutes.
    scene.world.run(for: .seconds(1_200))
    #expect((10...12).contains(pings(scene)), "\(pings(scene))")
  }

  /// §5.4: the registrar says how often it wants to hear of the flow.
  @Test func theRegistrarSaysHowOften() throws {
    let scene = try streamScene { $0.headers = ["Flow-Timer: 30"] }
    scene.world.run(for: .seconds(300))
    #expect((10...12).contains(pings(scene)), "\(pings(scene))")
  }

  /// §4.5: the registration ends with its connection, and comes about anew after a wait that grows.
  @Test func registersAnewWhenTheConnectionEnds() throws {
    let scene = try streamScene()
    scene.world.run(for: .seconds(5))
    scene.world.network.breakFlow(of: scene.north)
    scene.world.run(for: .seconds(1))
    let lost = status(scene)
    #expect(lost?.state == .failed && lost?.isRegistered == false)
    #expect(lost?.reason == "the connection ended")
    scene.world.run(for: .seconds(4))
    #expect(status(scene)?.state == .registered)
    // Each that ends soon after it registered lengthens the wait: 4, 8, 16 and 32 s at most.
    for most in [8, 16, 32] {
      scene.world.network.breakFlow(of: scene.north)
      scene.world.run(for: .seconds(most / 2 - 1))
      #expect(status(scene)?.state == .failed)
      scene.world.run(for: .seconds(most / 2 + 2))
      #expect(status(scene)?.state == .registered)
    }
    // One that lasted is forgiven.
    scene.world.run(for: .seconds(150))
    scene.world.network.breakFlow(of: scene.north)
    scene.world.run(for: .seconds(5))
    #expect(status(scene)?.state == .registered)
    #expect(scene.world.violations == [])
  }

  /// The certificate of whom we register with is for the registrar's domain (RFC 5922 §4).
  @Test func theCertificateIsForTheDomain() throws {
    let scene = try streamScene()
    #expect(scene.world.settings.resources.trunks[0].ownSecurity?.serverName == "provider.example")
    var trunk = scene.world.settings.resources.trunks[0]
    trunk.security = TrunkSecurity()
    trunk.security?.serverName = "sip.provider.example"
    #expect(trunk.ownSecurity?.serverName == "sip.provider.example")
    trunk.register = nil
    trunk.security = nil
    #expect(trunk.ownSecurity?.serverName == "")
  }

  @Test func tooBriefIsRaised() throws {
    let scene = try scene(changed: { $0.expires = .seconds(60) }) { $0.leastExpires = 600 }
    scene.world.run(for: .seconds(5))
    #expect(scene.north.registrar?.requests.map { $0.value(.expires) } == ["60", "60", "600"])
    #expect(status(scene)?.state == .registered)
  }

  @Test func retryAfterIsHonoured() throws {
    let scene = try scene(moods: [.status(503, headers: ["Retry-After: 40 (maintenance)"])])
    scene.world.run(for: .seconds(39))
    #expect(seconds(scene) == [0])
    let now = status(scene)
    #expect(now?.state == .failed && now?.reason == "refused with 503" && now?.status == 503)
    scene.world.run(for: .seconds(5))
    #expect(status(scene)?.state == .registered)
  }

  /// RELIABILITY C6: a registrar that wants to be asked again at once, or answers 408 for ever, is asked at growing
  /// distances all the same.
  @Test(arguments: [503, 408]) func refusalsDoNotLoop(code: Int) throws {
    let moods = Array(
      repeating: AgentRegistrar.Mood.status(code, headers: ["Retry-After: 0"]), count: 1_000)
    let scene = try scene(moods: moods)
    scene.world.run(for: .seconds(600))
    #expect((5...12).contains(seconds(scene).count), "\(seconds(scene))")
    #expect(status(scene)?.state == .failed && status(scene)?.status == code)
  }

  /// The provider is gone and comes back: tries at growing distances, then registered again.
  @Test func outage() throws {
    let scene = try scene { $0.grants = 60 }
    scene.world.run(for: .seconds(10))
    scene.world.network.setDown(true, scene.north)
    scene.world.run(for: .seconds(120))
    #expect(status(scene)?.reason == "nobody listens there")
    #expect(status(scene)?.isRegistered == false)
    scene.bob.register()
    scene.world.run(for: .seconds(1))
    scene.bob.call("+44123")
    scene.world.run(for: .seconds(30))
    let targets = scene.records.last?.attempts.map { ($0.target, $0.cause) } ?? []
    #expect(targets.first?.0 != "trunk:north", "a provider that does not know us gets no call")
    scene.world.network.setDown(false, scene.north)
    scene.world.run(for: .seconds(600))
    #expect(status(scene)?.state == .registered)
  }

  /// The second address of a registrar is tried at once when the first does not listen.
  @Test func nextAddress() throws {
    var resources = Scene.resources()
    var register = TrunkRegistration(registrar: "provider.example", username: "acme")
    register.credentials = Self.secret
    resources.trunks[0].register = register
    resources.trunks[0].targets += resources.trunks[1].targets
    resources.trunks[1].targets = [SIPTarget(Scene.address(198, 51, 100, 30))]
    let scene = try Scene(Scene.settings(resources: resources))
    scene.south.registrar = AgentRegistrar(demands: Self.secret)
    scene.world.network.setDown(true, scene.north)
    scene.world.run(for: .seconds(2))
    #expect(status(scene)?.state == .registered)
    scene.south.onInvite = { _ in .answering() }
    scene.bob.register()
    scene.world.run(for: .seconds(1))
    scene.bob.call("+44123")
    scene.world.run(for: .seconds(4))
    #expect(scene.south.calls.count == 1, "calls leave by the flow that registered")
  }

  /// RFC 3608, RFC 7315: the route and the identity that the registrar gave stand in our calls.
  @Test func callsUseWhatTheRegistrarGave() throws {
    let scene = try scene {
      $0.headers = [
        "Service-Route: <sip:edge.provider.example;lr>, <sip:orig@core.provider.example;lr>",
        "P-Associated-URI: <sip:+49302@provider.example>, <sip:+49301102@provider.example>",
      ]
    }
    scene.north.demands = Self.secret
    scene.register(scene.bob)
    scene.bob.call("+44123")
    scene.world.run(for: .seconds(5))
    let invites = scene.world.trace.entries.compactMap { try? AgentMessage($0.bytes) }
      .filter { $0.isRequest && $0.method == .invite && $0.value(.route) != nil }
    #expect(invites.count == 2)
    guard let invite = invites.last else { return }
    #expect(invite.requestURI == "sip:+44123@provider.example")
    #expect(
      invite.value(.route)
        == "<sip:edge.provider.example;lr>, <sip:orig@core.provider.example;lr>")
    #expect(invite.value(.preferredIdentity) == "<sip:+49301102@provider.example>")
    #expect(invite.value(.from)?.hasPrefix("<sip:+49301102@provider.example>") == true)
    #expect(invite.value(.proxyAuthorization) != nil)
    #expect(status(scene)?.identities.count == 2)
    #expect(scene.bob.calls.last?.state == .answered)
  }

  /// The registrar puts our Contact into the request URI, from wherever it sends: the call is the trunk's.
  @Test func inboundByContact() throws {
    let scene = try scene()
    scene.register(scene.alice)
    scene.world.run(for: .seconds(2))
    let contact = scene.north.registrar?.binding ?? ""
    // Another host of the provider's, which no trunk names as a source.
    let edge = scene.world.agent(
      "edge", at: Scene.address(198, 51, 100, 99), trunk: Scene.outside, user: "+44999")
    edge.call("+493010", CallerScript().with { $0.requestURI = contact })
    scene.world.run(for: .seconds(5))
    #expect(scene.alice.calls.last?.state == .answered)
    // Without it, it is nobody.
    edge.call("+493010")
    scene.world.run(for: .seconds(5))
    #expect(edge.calls.last?.ending == .refused(401))
  }

  @Test func removedWithItsTrunk() throws {
    let scene = try scene()
    scene.world.run(for: .seconds(5))
    scene.world.trace.removeAll()
    try scene.world.apply(Scene.resources())
    scene.world.run(for: .seconds(5))
    expectLadder(
      scene, [], [scene.north],
      """
      demarc                      north
          │ ── REGISTER ───────────▶ │
          │ ◀── 200 OK (REGISTER) ── │
      """)
    #expect(scene.north.registrar?.binding == nil && status(scene) == nil)
    scene.expectRest()
  }

  @Test func takenBackAtDrain() throws {
    let scene = try scene()
    scene.world.run(for: .seconds(5))
    scene.world.input(.drain)
    #expect(!scene.world.facts.contains { if case .drained = $0.event { true } else { false } })
    scene.world.run(for: .seconds(1))
    #expect(scene.north.registrar?.binding == nil)
    #expect(scene.world.facts.contains { if case .drained = $0.event { true } else { false } })
  }

  /// A provider that is dead does not hold up the end.
  @Test func drainDoesNotWaitForTheDead() throws {
    let scene = try scene()
    scene.world.run(for: .seconds(5))
    scene.north.alive = false
    scene.world.input(.drain)
    scene.world.run(for: .seconds(5))
    #expect(scene.world.facts.contains { if case .drained = $0.event { true } else { false } })
  }

  /// Three accounts with one provider: each has a Contact of its own, and calls go where they belong.
  @Test func severalAtOneProvider() throws {
    var resources = Scene.resources()
    resources.trunks[0].register = nil
    for (i, name) in ["one", "two", "three"].enumerated() {
      var trunk = Trunk(
        name: name, tenant: "acme", kind: .carrier, network: "carriers")
      trunk.targets = resources.trunks[0].targets
      trunk.register = TrunkRegistration(registrar: "provider.example", username: "acme\(i)")
      trunk.register?.credentials = Credentials(username: "acme\(i)", password: "secret\(i)")
      resources.trunks.append(trunk)
    }
    resources.trunks.removeFirst()
    resources.routes = []
    let scene = try Scene(Scene.settings(resources: resources))
    scene.north.registrar = AgentRegistrar()
    scene.register(scene.alice)
    scene.world.run(for: .seconds(2))
    let contacts = scene.north.registrar?.requests.compactMap { $0.uri(.contact) } ?? []
    #expect(Set(contacts).count == 3)
    for contact in contacts {
      let call = scene.north.call("+493010", CallerScript().with { $0.requestURI = contact })
      scene.world.run(for: .seconds(4))
      #expect(call.state == .answered)
      call.hangUp()
      scene.world.run(for: .seconds(2))
    }
    #expect(scene.records.map(\.from) == ["trunk:one", "trunk:two", "trunk:three"])
  }

  /// RFC 6140 §5.1, as the enterprise's side.
  @Test func numberBlock() throws {
    let scene = try scene(changed: { $0.numberBlock = true }) { _ in }
    scene.register(scene.alice)
    scene.world.run(for: .seconds(2))
    guard let request = scene.north.registrar?.requests.first,
      let contact = request.uri(.contact)
    else {
      Issue.record("no REGISTER")
      return
    }
    #expect(contact.hasPrefix("sip:203.0.113.1:5060;line=") && contact.hasSuffix(";bnc"))
    #expect(request.value(.require) == "gin" && request.value(.proxyRequire) == "gin")
    // §5.2: the registrar puts the number before the host and leaves out `bnc`.
    let target =
      "sip:+493010@" + contact.dropFirst("sip:".count).dropLast(";bnc".count)
    scene.north.call("+493010", CallerScript().with { $0.requestURI = target })
    scene.world.run(for: .seconds(4))
    #expect(scene.alice.calls.last?.state == .answered)
  }
}
