import Base
import CallCore
import Policy
import Simulation
import Testing

/// A PBX that registers for its trunk: one contact, and a number block (RFC 6140). And which trunk a call is
/// of, where several could be meant.
@Suite struct TrunkRegistrationLadderTests {
  private static let secret = Credentials(username: "office", password: "office-secret")

  private func scene(_ change: (inout Resources) -> Void = { _ in }) throws -> Scene {
    var resources = Scene.resources()
    resources.trunks[2].authentication = Self.secret
    resources.trunks[2].targets = []
    for last in 1...3 {
      resources.numbers.append(
        Number(
          number: "+49302100\(last)", tenant: "acme",
          destinations: [DestinationHop(to: .trunk("pbx"))]))
    }
    change(&resources)
    let scene = try Scene(Scene.settings(resources: resources))
    scene.pbx.credentials = Self.secret
    scene.pbx.user = "office"
    return scene
  }

  private func bindings(_ scene: Scene) -> [Binding] {
    if case .registrations(let bindings)? = scene.world.ask(.registrations) { return bindings }
    return []
  }

  private func register(_ scene: Scene, _ lines: String...) {
    scene.pbx.register(contactHeader: lines.joined(separator: "\r\n"))
    scene.world.run(for: .seconds(2))
  }

  private static let block = [
    "Contact: <sip:10.0.0.20:5060;bnc;x=7>", "Require: gin", "Proxy-Require: gin",
    "Supported: path",
  ]

  private func registerBlock(_ scene: Scene) {
    scene.pbx.register(contactHeader: Self.block.joined(separator: "\r\n"))
    scene.world.run(for: .seconds(2))
  }

  private func invites(_ scene: Scene) -> [AgentMessage] {
    scene.world.trace.entries.compactMap { try? AgentMessage($0.bytes) }
      .filter { $0.isRequest && $0.method == .invite }
  }

  /// Nobody is registered: the trunk has nowhere to go.
  @Test func notRegistered() throws {
    let scene = try scene()
    scene.register(scene.bob)
    scene.bob.call("+493011")
    scene.world.run(for: .seconds(5))
    #expect(scene.bob.calls.last?.ending == .refused(480))
    #expect(scene.records.last?.cause == .notRegistered)
  }

  /// One contact: called as it stands, the number in To.
  @Test func oneContact() throws {
    let scene = try scene()
    register(scene, "Contact: <sip:office@10.0.0.20:5060;line=1>")
    #expect(bindings(scene).map(\.isTrunk) == [true])
    scene.register(scene.bob)
    scene.bob.call("+493011")
    scene.world.run(for: .seconds(5))
    let invite = invites(scene).last { $0.requestURI == "sip:office@10.0.0.20:5060;line=1" }
    #expect(invite?.user(.to) == "+493011")
    #expect(scene.pbx.calls.last?.state == .answered)
  }

  /// RFC 6140 §8.1: every number of the block reaches the one contact, with the number put in.
  @Test func numberBlock() throws {
    let scene = try scene()
    scene.pbx.register(contactHeader: Self.block.joined(separator: "\r\n"))
    scene.world.run(for: .seconds(2))
    expectLadder(
      scene, [scene.pbx], [],
      """
      pbx                                demarc
       │ ── REGISTER ─────────────────────▶ │
       │ ◀── 401 Unauthorized (REGISTER) ── │
       │ ── REGISTER ─────────────────────▶ │
       │ ◀── 200 OK (REGISTER) ──────────── │
      """)
    #expect(scene.pbx.registration.contacts == ["<sip:10.0.0.20:5060;bnc;x=7>;expires=3600"])
    scene.register(scene.bob)
    for last in 1...3 {
      scene.bob.call("+49302100\(last)")
      scene.world.run(for: .seconds(4))
      #expect(scene.bob.calls.last?.state == .answered)
      #expect(
        invites(scene).contains { $0.requestURI == "sip:+49302100\(last)@10.0.0.20:5060;x=7" })
      scene.bob.calls.last?.hangUp()
      scene.world.run(for: .seconds(1))
    }
  }

  /// §5.2, §5.3: no user part, no `user` parameter; and nobody but a trunk has a block.
  @Test(
    "Number blocks that are refused",
    arguments: [
      ("Contact: <sip:office@10.0.0.20:5060;bnc>", 400),
      ("Contact: <sip:10.0.0.20:5060;bnc;user=phone>", 400),
    ])
  func refusedBlock(contact: String, status: Int) throws {
    let scene = try scene()
    register(scene, contact, "Require: gin", "Proxy-Require: gin", "Supported: path")
    #expect(scene.pbx.registration.status == status && bindings(scene).isEmpty)
  }

  /// Support is whole or refused: an option beside gin that is not known.
  @Test func partialSupport() throws {
    let scene = try scene()
    register(
      scene, "Contact: <sip:10.0.0.20:5060;bnc>", "Require: gin, vendor.block",
      "Proxy-Require: gin", "Supported: path")
    #expect(scene.pbx.registration.status == 420 && bindings(scene).isEmpty)
  }

  /// §5.2: one number of a block cannot be taken out of it.
  @Test func oneNumberStaysInTheBlock() throws {
    let scene = try scene()
    registerBlock(scene)
    register(scene, "Contact: <sip:+493021001@10.0.0.20:5060;x=7>;expires=0")
    #expect(scene.pbx.registration.status == 200)
    #expect(bindings(scene).map(\.isNumberBlock) == [true])
  }

  @Test func staticTargetsAreTheFallBack() throws {
    let scene = try scene { $0.trunks[2].targets = [SIPTarget(Scene.address(10, 0, 0, 20))] }
    scene.register(scene.bob)
    scene.bob.call("+493011")
    scene.world.run(for: .seconds(4))
    #expect(invites(scene).contains { $0.requestURI == "sip:+493011@10.0.0.20:5060" })
    scene.bob.calls.last?.hangUp()
    scene.world.run(for: .seconds(1))
    registerBlock(scene)
    scene.bob.call("+493011")
    scene.world.run(for: .seconds(4))
    #expect(invites(scene).last { $0.requestURI.contains("x=7") } != nil)
  }

  /// A carrier's credentials are good for calls, not for a registration.
  @Test func carriersDoNotRegister() throws {
    let scene = try scene {
      $0.trunks[2].kind = .carrier
      $0.trunks[2].targets = [SIPTarget(Scene.address(10, 0, 0, 20))]
    }
    register(scene, "Contact: <sip:office@10.0.0.20:5060>")
    #expect(scene.pbx.registration.status == 403 && bindings(scene).isEmpty)
  }

  // MARK: Which trunk a call is of

  /// Four trunks that a call from one address could be of.
  private func crowd() throws -> Scene {
    let scene = try scene { resources in
      resources.trunks[0].register = TrunkRegistration(
        registrar: "provider.example", username: "acme")
      resources.trunks[0].register?.credentials = Credentials(username: "acme", password: "p")
      let source = SourceMatch(Scene.address(198, 51, 100, 20).ip)
      resources.trunks[1].sources = [source]
      var header = Trunk(
        name: "by-header", tenant: "acme", kind: .carrier, network: "carriers", sources: [source])
      header.matchHeader = HeaderMatch(name: "X-Account", value: "seven")
      let password = Trunk(
        name: "by-password", tenant: "acme", kind: .carrier, network: "carriers",
        authentication: Credentials(username: "south", password: "digest-secret"))
      resources.trunks += [header, password]
    }
    scene.north.registrar = AgentRegistrar()
    scene.register(scene.alice)
    scene.world.run(for: .seconds(1))
    return scene
  }

  private func from(
    _ scene: Scene, _ agent: Agent, _ change: (inout CallerScript) -> Void
  ) -> String {
    let call = agent.call("+493010", CallerScript().with(change))
    scene.world.run(for: .seconds(4))
    call.hangUp()
    scene.world.run(for: .seconds(2))
    return scene.records.last?.from ?? "nobody"
  }

  @Test func precedence() throws {
    let scene = try crowd()
    let contact = scene.north.registrar?.binding ?? ""
    // Each alone.
    #expect(from(scene, scene.south) { _ in } == "trunk:south")
    #expect(
      from(scene, scene.south) { $0.extraHeaders = ["X-Account: seven"] } == "trunk:by-header")
    #expect(from(scene, scene.north) { $0.requestURI = contact } == "trunk:north")
    // Conflicts: the registration before the header, the header before the source.
    #expect(
      from(scene, scene.south) {
        $0.requestURI = contact
        $0.extraHeaders = ["X-Account: seven"]
      } == "trunk:north")
    #expect(from(scene, scene.south) { $0.extraHeaders = ["X-Account: six"] } == "trunk:south")
    // A header from elsewhere says nothing, and a `line` that nobody has neither.
    let stranger = scene.world.agent(
      "stranger", at: Scene.address(192, 0, 2, 9), trunk: Scene.outside, user: "x")
    stranger.call("+493010", CallerScript().with { $0.extraHeaders = ["X-Account: seven"] })
    stranger.call(
      "+493010",
      CallerScript().with {
        $0.requestURI = "sip:acme@203.0.113.1;line=\(String(repeating: "0", count: 24))"
      })
    scene.world.run(for: .seconds(4))
    #expect(stranger.calls.map(\.ending) == [.refused(401), .refused(401)])
    // Credentials, where nothing else says who it is; the source goes before them.
    stranger.credentials = Credentials(username: "south", password: "digest-secret")
    #expect(from(scene, stranger) { _ in } == "trunk:by-password")
    scene.south.credentials = stranger.credentials
    #expect(from(scene, scene.south) { _ in } == "trunk:south")
  }

  /// Known by the certificate of its connection, wherever that comes from, and by nothing without it.
  @Test(arguments: ["certificate", "sources", "header", "password"])
  func certificate(and proof: String) throws {
    let source = Scene.address(192, 0, 2, 9)
    let scene = try scene {
      var trunk = Trunk(name: "mutual", tenant: "acme", kind: .carrier, network: "carriers")
      trunk.transport = .tls
      trunk.clientName = "SBC.carrier.example"
      switch proof {
      case "sources": trunk.sources = [SourceMatch(source.ip)]
      case "header": trunk.matchHeader = HeaderMatch(name: "X-Account", value: "seven")
      case "password":
        trunk.authentication = Credentials(username: "mutual", password: "digest-secret")
      default: break
      }
      $0.trunks.append(trunk)
    }
    scene.register(scene.alice)
    let agent = scene.world.agent("sbc", at: source, trunk: Scene.outside, user: "x")
    agent.credentials = Credentials(username: "mutual", password: "digest-secret")
    let header: (inout CallerScript) -> Void = {
      if proof == "header" { $0.extraHeaders = ["X-Account: seven"] }
    }
    func show(_ domains: String..., at address: SocketAddress? = nil) {
      // The listener of Scene.outside.
      let (listener, address) = (ListenerIndex(1), address ?? source)
      scene.world.input(.flowLost(listener, address))
      if !domains.isEmpty {
        scene.world.input(.flowProven(listener, address, domains: domains))
      }
    }
    #expect(!isOf("mutual", scene, agent, header))
    show("pbx.example")
    #expect(!isOf("mutual", scene, agent, header))
    show("other.example", "sbc.carrier.example")
    #expect(isOf("mutual", scene, agent, header))
    // Gone with its connection.
    show()
    #expect(!isOf("mutual", scene, agent, header))
    // From elsewhere: only where no source is named.
    let elsewhere = Scene.address(192, 0, 2, 77)
    let other = scene.world.agent("other", at: elsewhere, trunk: Scene.outside, user: "x")
    other.credentials = agent.credentials
    show("sbc.carrier.example", at: elsewhere)
    #expect(isOf("mutual", scene, other, header) == (proof != "sources"))
  }

  private func isOf(
    _ trunk: String, _ scene: Scene, _ agent: Agent, _ change: (inout CallerScript) -> Void
  ) -> Bool {
    let records = scene.records.count
    let found = from(scene, agent, change)
    return scene.records.count > records && found == "trunk:\(trunk)"
  }

  /// Credentials of a trunk that names its sources are good from those alone.
  @Test func credentialsAndSources() throws {
    let scene = try scene { resources in
      resources.trunks.append(
        Trunk(
          name: "both", tenant: "acme", kind: .carrier, network: "carriers",
          sources: [SourceMatch(Scene.address(192, 0, 2, 9).ip)],
          authentication: Credentials(username: "both", password: "digest-secret")))
    }
    scene.register(scene.alice)
    for (last, isTaken) in [(UInt32(9), true), (10, false)] {
      let agent = scene.world.agent(
        "agent\(last)", at: Scene.address(192, 0, 2, last), trunk: Scene.outside, user: "x")
      agent.credentials = Credentials(username: "both", password: "digest-secret")
      #expect(isOf("both", scene, agent) { _ in } == isTaken)
      if !isTaken { #expect(agent.calls.last?.ending == .refused(401)) }
    }
  }

  /// A registrar that loses the parameter: our Contact's user, from the registrar's own address.
  @Test func contactWithoutItsLine() throws {
    let scene = try crowd()
    #expect(
      from(scene, scene.north) { $0.requestURI = "sip:acme@203.0.113.1:5060" } == "trunk:north")
    let stranger = scene.world.agent(
      "stranger", at: Scene.address(192, 0, 2, 9), trunk: Scene.outside, user: "x")
    stranger.call(
      "+493010", CallerScript().with { $0.requestURI = "sip:acme@203.0.113.1:5060" })
    scene.world.run(for: .seconds(4))
    #expect(stranger.calls.last?.ending == .refused(401))
  }
}
