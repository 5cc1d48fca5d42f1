import Base
import CallCore
import Policy
import SIPWire
import Simulation
import Testing

/// Phones of a PBX behind us: it keeps their registrations, challenges them, and they call one another through both.
@Suite struct PassedRegistrationTests {
  private static let domain = "pbx.example"
  private static let secret = Credentials(username: "alice", password: "pbx-secret")

  private func scene(
    password: String = "pbx-secret", natExpires: Int = 60, listeners: Transport = .udp,
    _ change: (inout WorldSettings) -> Void = { _ in },
    prepare: (inout AgentRegistrar) -> Void = { _ in }
  ) throws -> Scene {
    var settings = Scene.settings()
    var passing = RegistrationPassing(domain: Self.domain)
    passing.natExpires = .seconds(natExpires)
    settings.resources.trunks[2].passing = passing
    settings.listeners[0].transport = listeners
    if listeners == .tcp { settings.resources.trunks[2].transport = .tcp }
    change(&settings)
    let scene = try Scene(settings)
    var registrar = AgentRegistrar(demands: Self.secret)
    registrar.challenges = ["realm=\"pbx.example\", algorithm=MD5, qop=\"auth\""]
    prepare(&registrar)
    scene.pbx.registrar = registrar
    for phone in [scene.alice, scene.bob] {
      phone.domain = Self.domain
      phone.credentials = Credentials(username: "alice", password: password)
    }
    scene.alice.keepsMessages = true
    return scene
  }

  private func bindings(_ scene: Scene) -> [Binding] {
    if case .registrations(let bindings)? = scene.world.ask(.registrations) { return bindings }
    return []
  }

  private func passing(_ scene: Scene) -> PassingCounters { scene.world.counters.passing }

  private func register(
    _ scene: Scene, expires: Int = 3_600, for time: Interval = .seconds(2)
  ) {
    scene.alice.register(expires: expires)
    scene.world.run(for: time)
  }

  /// What crosses of proofs is the phone's and the PBX's own, and a call that the PBX challenges has two records;
  /// nothing else may be broken.
  private func violations(_ scene: Scene) -> [Violation] {
    scene.world.violations.filter {
      $0.rule != .canary && $0.text != "a second record of one INVITE"
    }
  }

  private func expectNothingLeft(_ scene: Scene) {
    let counters = scene.world.counters
    #expect(counters.sessions == 0 && counters.transactions == 0 && counters.portsLeased == 0)
    #expect(counters.passing.pending == 0 && violations(scene) == [])
  }

  private func token(_ scene: Scene) -> String { bindings(scene).first?.passed?.token ?? "" }

  private func answers(_ scene: Scene) -> [AgentMessage] {
    scene.alice.received.filter { !$0.isRequest }
  }

  private func says(_ scene: Scene, _ line: String) -> Bool {
    answers(scene).last.map { String(decoding: $0.bytes, as: UTF8.self).contains(line + "\r\n") }
      ?? false
  }

  // MARK: REGISTER

  @Test func theChallengeIsThePBXs() throws {
    let scene = try scene()
    register(scene)
    expectLadder(
      scene, [scene.alice], [scene.pbx],
      """
      alice                               demarc                                 pbx
        │ ── REGISTER ─────────────────────▶ │                                    │
        │                                    │ ── REGISTER ─────────────────────▶ │
        │                                    │ ◀── 401 Unauthorized (REGISTER) ── │
        │ ◀── 401 Unauthorized (REGISTER) ── │                                    │
        │ ── REGISTER ─────────────────────▶ │                                    │
        │                                    │ ── REGISTER ─────────────────────▶ │
        │                                    │ ◀── 200 OK (REGISTER) ──────────── │
        │ ◀── 200 OK (REGISTER) ──────────── │                                    │
      """)
    let requests = scene.pbx.registrar?.requests ?? []
    #expect(requests.count == 2)
    // The PBX sees the phone's address of record and request URI, a Contact of ours, and one dialogue of requests.
    #expect(requests.allSatisfy { $0.requestURI == "sip:pbx.example" })
    #expect(requests.last?.value(.to) == "<sip:alice@pbx.example>")
    #expect(requests.last?.value(.authorization)?.contains("realm=\"pbx.example\"") == true)
    #expect(requests.last?.value(.authorization)?.contains("uri=\"sip:pbx.example\"") == true)
    #expect(requests.last?.uri(.contact) == "sip:\(token(scene))@10.0.0.1:5060")
    #expect(Set(requests.map(\.callID)).count == 1 && Set(requests.map(\.fromTag)).count == 1)
    #expect(requests.map(\.cseq) == requests.map(\.cseq).sorted())
    #expect(requests.allSatisfy { !$0.callID.contains("zqcanary") })
    let binding = try #require(bindings(scene).first)
    #expect(binding.user == "alice@pbx.example" && binding.contact == scene.alice.contact)
    #expect(binding.passed?.trunk == "pbx" && token(scene).count == 32)
    #expect(scene.alice.registration.isRegistered)
    #expect(scene.alice.registration.contacts == ["<\(scene.alice.contact)>;expires=3600"])
    #expect(passing(scene).answered == 2 && passing(scene).contacts == 1)
    #expect(passing(scene).pending == 0 && violations(scene) == [])
  }

  @Test func aWrongPasswordStaysOutside() throws {
    let scene = try scene(password: "guess")
    register(scene)
    #expect(scene.alice.registration.status == 401 && bindings(scene).isEmpty)
    #expect(scene.pbx.registrar?.requests.count == 3 && passing(scene).pending == 0)
  }

  private func bans(_ scene: Scene) -> [Ban.Reason] {
    if case .bans(let bans)? = scene.world.ask(.bans) { return bans.map(\.reason) }
    return []
  }

  /// What the PBX refuses is a guess here too, and it is spared the rest.
  @Test(arguments: [401, 403]) func guessesThatThePBXJudgesAreCounted(status: Int) throws {
    let scene = try scene(password: "guess")
    for _ in 0..<20 where bans(scene).isEmpty {
      if status == 403 {
        // The first is challenged, what answers that is forbidden.
        let challenge = "WWW-Authenticate: Digest realm=\"pbx.example\", nonce=\"n\", qop=\"auth\""
        scene.pbx.registrar?.moods = [
          .status(401, headers: [challenge]), .status(403, headers: []),
        ]
      }
      register(scene, for: .seconds(1))
    }
    #expect(bans(scene) == [.passwords])
    let seen = try #require(scene.pbx.registrar?.requests.count)
    #expect(seen <= 20)
    register(scene)
    #expect(scene.pbx.registrar?.requests.count == seen)
    let told = scene.world.facts.compactMap { fact -> String? in
      if case .authenticationFailed(let name, _, let reason) = fact.event {
        return "\(name) \(reason)"
      }
      return nil
    }
    #expect(told.first == "alice@pbx.example refused by pbx")
  }

  /// A challenge, a nonce that is too old, and a phone that is let in are no guesses.
  @Test func whatIsNoGuess() throws {
    let scene = try scene()
    for _ in 0..<40 { register(scene, expires: 0, for: .seconds(1)) }
    #expect(scene.alice.registration.status == 200 && bans(scene).isEmpty)
    let stale = try self.scene(password: "guess")
    stale.pbx.registrar?.challenges = [
      "realm=\"pbx.example\", algorithm=MD5, qop=\"auth\", stale=true"
    ]
    for _ in 0..<40 { register(stale, for: .seconds(1)) }
    #expect(stale.alice.registration.status == 401 && bans(stale).isEmpty)
    let asking = try self.scene()
    asking.alice.credentials = nil
    for _ in 0..<100 { register(asking, for: .milliseconds(300)) }
    #expect(asking.alice.registration.status == 401 && bans(asking).isEmpty)
  }

  /// Behind a NAT the phone is kept on a short leash, the PBX is not: half of its hour long it hears nothing.
  @Test func refreshesAreAnsweredHere() throws {
    let scene = try scene()
    scene.alice.innerAddress = Scene.address(192, 168, 1, 5)
    register(scene)
    #expect(scene.alice.registration.contacts == ["<\(scene.alice.contact)>;expires=60"])
    #expect(scene.pbx.registrar?.requests.last?.value(.expires) == "3600")
    for _ in 0..<60 { register(scene, for: .seconds(25)) }
    #expect(scene.alice.registration.isRegistered && bindings(scene).count == 1)
    #expect(scene.pbx.registrar?.requests.count == 2, "an hour's half is 1800 s; 1500 have passed")
    #expect(passing(scene).answeredHere == 60)
    for _ in 0..<20 { register(scene, for: .seconds(25)) }
    // One more was carried, with the nonce that the phone had.
    #expect((3...4).contains(scene.pbx.registrar?.requests.count ?? 0))
    #expect(scene.alice.registration.isRegistered && violations(scene) == [])
  }

  /// A refresh from another place is no refresh: the PBX has to say.
  @Test func anotherPlaceIsAskedAbout() throws {
    let scene = try scene()
    register(scene)
    let before = scene.pbx.registrar?.requests.count ?? 0
    scene.bob.user = "alice"
    scene.bob.register(contactHeader: "Contact: <\(scene.alice.contact)>")
    scene.world.run(for: .seconds(2))
    #expect((scene.pbx.registrar?.requests.count ?? 0) == before + 2)
    #expect(bindings(scene).map(\.source) == [scene.bob.address])
  }

  @Test func removal() throws {
    let scene = try scene()
    register(scene)
    let contact = token(scene)
    register(scene, expires: 0)
    #expect(bindings(scene).isEmpty && scene.alice.registration.status == 200)
    #expect(
      scene.pbx.registrar?.requests.last?.value(.contact)?.contains(
        "\(contact)@10.0.0.1:5060>;expires=0")
        == true)
    register(scene)
    #expect(token(scene) == contact, "the same phone has the same name")
    scene.alice.register(expires: 0, all: true)
    scene.world.run(for: .seconds(2))
    #expect(scene.pbx.registrar?.requests.last?.value(.contact) == "*")
    #expect(bindings(scene).isEmpty && passing(scene).contacts == 0)
  }

  @Test func severalContacts() throws {
    let scene = try scene()
    scene.alice.register(
      contactHeader: "Contact: <sip:a@10.0.0.101:5060>;q=0.5, <sip:b@10.0.0.101:5062>")
    scene.world.run(for: .seconds(2))
    let contacts = scene.pbx.registrar?.requests.last?.values(.contact) ?? []
    #expect(contacts.count == 2 && contacts.first?.contains(";q=0.500") == true)
    #expect(Set(bindings(scene).compactMap(\.passed?.token)).count == 2)
  }

  @Test func tooBriefForThePBX() throws {
    let scene = try scene { _ in
    } prepare: {
      $0.leastExpires = 600
    }
    register(scene, expires: 120)
    #expect(scene.alice.registration.status == 423)
    #expect(says(scene, "Min-Expires: 600") && bindings(scene).isEmpty)
    // Less than a minute is too brief for us already.
    register(scene, expires: 30)
    #expect(says(scene, "Min-Expires: 60"))
  }

  @Test(arguments: [(403, 403), (404, 404), (302, 503), (503, 503)])
  func refusals(status: Int, shown: Int) throws {
    let scene = try scene { _ in
    } prepare: {
      $0.moods = [.status(status, headers: status == 503 ? ["Retry-After: 7"] : [])]
    }
    register(scene)
    #expect(scene.alice.registration.status == shown && bindings(scene).isEmpty)
    #expect((answers(scene).last?.value(.retryAfter) != nil) == (shown == 503))
    if status == 503 { #expect(answers(scene).last?.value(.retryAfter) == "7") }
  }

  /// A PBX that is gone: 503 at once where the network says so, 504 where nobody says anything; and when.
  @Test func thePBXIsGone() throws {
    let scene = try scene()
    scene.world.network.setDown(true, scene.pbx)
    register(scene)
    #expect(scene.alice.registration.status == 503)
    let wait = Int(answers(scene).last?.value(.retryAfter) ?? "") ?? 0
    #expect((10..<30).contains(wait))
    #expect(scene.world.counters.refused["registrar-unavailable"] ?? 0 > 0)
    #expect(passing(scene).unanswered == 1 && passing(scene).pending == 0)
  }

  @Test func thePBXIsSilent() throws {
    let scene = try scene { _ in
    } prepare: {
      $0.moods = [.silence]
    }
    register(scene, for: .seconds(9))
    #expect(scene.alice.registration.status == 0 && passing(scene).pending == 1)
    scene.world.run(for: .seconds(3))
    #expect(scene.alice.registration.status == 504 && passing(scene).pending == 0)
  }

  /// Its second address is tried.
  @Test func theNextAddress() throws {
    let scene = try scene({ settings in
      settings.resources.trunks[2].targets.insert(
        SIPTarget(Scene.address(10, 0, 0, 103)), at: 0)
    })
    scene.world.network.setDown(true, scene.carol)
    register(scene, for: .seconds(6))
    #expect(scene.alice.registration.isRegistered)
  }

  /// One that comes back may have forgotten its phones: the next refresh is carried.
  @Test func thePBXRestarts() throws {
    let scene = try scene { $0.resources.trunks[2].probe.interval = .seconds(5) }
    scene.alice.innerAddress = Scene.address(192, 168, 1, 5)
    register(scene)
    register(scene, for: .seconds(30))
    let before = scene.pbx.registrar?.requests.count ?? 0
    #expect(before == 2)
    scene.world.network.setDown(true, scene.pbx)
    scene.world.run(for: .seconds(20))
    scene.world.network.setDown(false, scene.pbx)
    scene.world.run(for: .seconds(20))
    register(scene)
    #expect((scene.pbx.registrar?.requests.count ?? 0) > before)
    #expect(scene.alice.registration.isRegistered)
  }

  /// At the limit of REGISTERs under way the next phone comes back later.
  @Test func theLimit() throws {
    let scene = try scene {
      $0.limits.passedRegistrations = 1
    } prepare: {
      $0.moods = [.silence]
    }
    scene.alice.register()
    scene.bob.register()
    scene.world.run(for: .seconds(1))
    #expect(scene.bob.registration.status == 503 && passing(scene).atLimit == 1)
    #expect(passing(scene).pending == 1)
  }

  @Test func foreignNetworksAreRefused() throws {
    let scene = try scene()
    scene.north.domain = Self.domain
    scene.north.register()
    scene.world.run(for: .seconds(1))
    #expect(scene.north.registration.status == 403 && scene.pbx.registrar?.requests.isEmpty == true)
  }

  /// What was registered is there after a restart, under the name that the PBX knows.
  @Test func restart() throws {
    let scene = try scene()
    register(scene)
    let before = bindings(scene)
    let kept = before.map { binding in
      var kept = binding
      kept.passed = binding.passed.map {
        PassedContact(trunk: $0.trunk, token: $0.token, since: .zero, kept: $0.kept)
      }
      return kept
    }
    scene.world.crash()
    try scene.world.start(restoring: kept)
    #expect(token(scene) == before.first?.passed?.token)
    // Nobody knows how the PBX fared: the next refresh is carried to it.
    let asked = scene.pbx.registrar?.requests.count ?? 0
    register(scene)
    #expect((scene.pbx.registrar?.requests.count ?? 0) > asked)
    #expect(token(scene) == before.first?.passed?.token && bindings(scene).count == 1)
  }

  // MARK: Calls

  private func callPhone(_ scene: Scene, _ token: String) {
    scene.pbx.call(
      "101",
      CallerScript().hangingUp(after: .seconds(3)).with {
        $0.requestURI = "sip:\(token)@10.0.0.1:5060"
      })
  }

  @Test func thePBXCallsThePhone() throws {
    let scene = try scene()
    scene.alice.innerAddress = Scene.address(192, 168, 1, 5)
    register(scene)
    callPhone(scene, token(scene))
    scene.finish()
    let record = try #require(scene.records.first)
    #expect(record.status == 200 && record.cause == .normalClearing)
    #expect(record.from == "trunk:pbx" && record.to == "phone:alice@pbx.example")
    let invite = try #require(scene.alice.received.first { $0.method == .invite })
    #expect(invite.requestURI == scene.alice.contact)
    #expect(invite.uri(.from)?.hasSuffix("@pbx.example") == true)
    expectNothingLeft(scene)
  }

  /// A name that was never given, or whose phone is gone.
  @Test func theNameOfNobody() throws {
    let scene = try scene()
    register(scene)
    let gone = token(scene)
    register(scene, expires: 0)
    register(scene, expires: 120)
    #expect(token(scene) == gone)
    callPhone(scene, String(gone.reversed()))
    scene.finish()
    #expect(scene.records.last?.status == 480 && scene.records.last?.cause == .notRegistered)
  }

  /// A PBX that is a proxy calls all contacts of an address by one INVITE each: same Call-ID, tag and CSeq.
  @Test func forksAreNoLoop() throws {
    let scene = try scene()
    scene.alice.register(
      contactHeader: "Contact: <sip:alice@10.0.0.101:5060>, <sip:two@10.0.0.101:5060>")
    scene.world.run(for: .seconds(2))
    let tokens = bindings(scene).compactMap(\.passed?.token)
    #expect(tokens.count == 2)
    for token in tokens {
      scene.pbx.request(
        token, method: "INVITE", uri: "sip:\(token)@10.0.0.1:5060", callID: "fork-1")
    }
    scene.world.run(for: .seconds(1))
    let rung = scene.alice.received.filter { $0.method == .invite }.map(\.requestURI)
    #expect(Set(rung) == ["sip:alice@10.0.0.101:5060", "sip:two@10.0.0.101:5060"])
  }

  private func dial(
    _ number: String, _ phone: Agent, _ change: (inout CallerScript) -> Void = { _ in }
  ) {
    phone.call(
      number,
      CallerScript().hangingUp(after: .seconds(3)).with {
        $0.requestURI = "sip:\(number)@\(Self.domain)"
        change(&$0)
      })
  }

  @Test func thePhoneCallsThroughThePBX() throws {
    let scene = try scene()
    register(scene)
    scene.pbx.demands = Self.secret
    dial("bob.smith", scene.alice)
    scene.finish()
    let call = try #require(scene.alice.calls.last)
    #expect(call.state == .ended || call.ending != nil)
    // The PBX's challenge has an attempt of its own; then the call.
    #expect(scene.records.map(\.status) == [407, 200])
    #expect(scene.records.first?.cause == .authenticationRequired)
    let record = try #require(scene.records.last)
    #expect(record.from == "phone:alice@pbx.example" && record.to == "trunk:pbx")
    #expect(record.calledNumber == "bob.smith" && record.callerNumber == "alice")
    let invite = try #require(
      scene.pbx.calls.last.flatMap { _ in
        scene.world.trace.entries.last {
          $0.to == scene.pbx.address && $0.bytes.starts(with: Array("INVITE".utf8))
        }
      })
    let text = String(decoding: invite.bytes, as: UTF8.self)
    #expect(text.hasPrefix("INVITE sip:bob.smith@pbx.example SIP/2.0\r\n"))
    #expect(text.contains("From: <sip:alice@pbx.example>;tag="))
    #expect(text.contains("To: <sip:bob.smith@pbx.example>\r\n"))
    expectNothingLeft(scene)
  }

  @Test func aPhonesWrongPasswordIsThePBXsToRefuse() throws {
    let scene = try scene()
    register(scene)
    scene.pbx.demands = Self.secret
    dial("102", scene.alice) { $0.credentials = .wrong }
    scene.finish()
    #expect(scene.records.last?.status == 403 && scene.pbx.calls.isEmpty)
    #expect(scene.alice.calls.last?.ending == .refused(403))
  }

  /// Whoever is not registered calls nobody: the PBX is not asked.
  @Test func strangersDoNotReachThePBX() throws {
    let scene = try scene()
    dial("102", scene.alice)
    scene.finish()
    #expect(scene.alice.calls.last?.ending == .refused(403))
    #expect(scene.pbx.calls.isEmpty && scene.records.isEmpty)
    // From another address than the one that registered, neither.
    register(scene)
    dial("102", scene.bob) { $0.callerNumber = "alice" }
    scene.finish()
    #expect(scene.bob.calls.last?.ending == .refused(403) && scene.records.isEmpty)
  }

  /// By TCP the flow is the registration: calls to the phone go there, and end with it.
  @Test func byAConnection() throws {
    let scene = try scene(listeners: .tcp)
    register(scene)
    #expect(scene.alice.registration.isRegistered)
    callPhone(scene, token(scene))
    scene.finish()
    #expect(scene.records.first?.status == 200)
    let name = token(scene)
    scene.world.network.breakFlow(of: scene.alice)
    scene.world.run(for: .seconds(1))
    #expect(bindings(scene).isEmpty)
    callPhone(scene, name)
    scene.finish()
    #expect(scene.records.last?.status == 480)
  }
}
