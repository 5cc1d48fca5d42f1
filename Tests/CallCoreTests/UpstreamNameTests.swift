import Base
import CallCore
import Policy
import Resolution
import Simulation
import Testing

/// Registrations with a provider that is a name (RFC 3263), on the virtual clock: nothing in the configuration
/// says which address it has.
@Suite struct UpstreamNameTests {
  private static let secret = Credentials(username: "acme", password: "provider-secret")
  private static let north = Scene.address(198, 51, 100, 10)
  private static let south = Scene.address(198, 51, 100, 20)
  private static let provider = DNSName("provider.example").map { LocationRequest(host: $0) }

  /// North and south are two servers of the provider; the second trunk is elsewhere.
  private static func resources(_ change: (inout Trunk) -> Void = { _ in }) -> Resources {
    var resources = Scene.resources()
    var register = TrunkRegistration(registrar: "provider.example", username: "acme")
    register.credentials = secret
    resources.trunks[0].register = register
    resources.trunks[0].targets = []
    resources.trunks[1].targets = [SIPTarget(Scene.address(198, 51, 100, 30))]
    change(&resources.trunks[0])
    return resources
  }

  private static func scene(
    _ resources: Resources = resources(), grants: Int = 3_600,
    _ resolve: @escaping (LocationRequest) -> Location?
  ) throws -> Scene {
    let scene = try Scene(Scene.settings(resources: resources))
    scene.world.resolve = resolve
    for agent in [scene.north, scene.south] {
      agent.registrar = AgentRegistrar(demands: secret)
      agent.registrar?.grants = grants
    }
    return scene
  }

  private static func both(first: SocketAddress, second: SocketAddress) -> Location {
    Location(
      .found,
      [LocatedAddress(first, rank: 0, host: 0), LocatedAddress(second, rank: 1, host: 1)])
  }

  private func status(_ scene: Scene) -> UpstreamStatus? {
    if case .upstreams(let statuses)? = scene.world.ask(.upstreams) { return statuses.first }
    return nil
  }

  private func located(_ scene: Scene, _ location: Location) throws {
    scene.world.input(.located(try #require(Self.provider), location))
  }

  /// NAPTR, SRV and addresses are the resolver's; what it found is registered with, called by and called from.
  @Test func registersByNameAlone() throws {
    var asked: [LocationRequest] = []
    let scene = try Self.scene {
      asked.append($0)
      return Location(.found, [LocatedAddress(Self.north)])
    }
    scene.world.run(for: .seconds(2))
    #expect(Set(asked) == Set([try #require(Self.provider)]))
    let now = try #require(status(scene))
    #expect(now.state == .registered && now.address == Self.north && now.reason.isEmpty)
    #expect(scene.north.registrar?.requests.first?.requestURI == "sip:provider.example")
    // A call leaves by the registration.
    var uris: [String] = []
    scene.north.onInvite = {
      uris.append($0.requestURI)
      return .answering()
    }
    scene.register(scene.bob, scene.alice)
    let out = scene.bob.call("+44123", CallerScript().hangingUp(after: .seconds(1)))
    scene.world.run(for: .seconds(8))
    #expect(out.ending == .hungUpHere && uris == ["sip:+44123@provider.example"])
    // One comes from an address that the name has, whatever it says of our Contact.
    let call = scene.north.call("+493010", CallerScript().hangingUp(after: .seconds(1)))
    scene.world.run(for: .seconds(8))
    #expect(call.ending == .hungUpHere && scene.records.last?.from == "trunk:north")
    #expect(scene.world.violations == [])
  }

  /// RFC 3263 §4.3: a server that says nothing costs four seconds, one that does not listen nothing.
  @Test(arguments: [true, false])
  func nextServer(isSilent: Bool) throws {
    let scene = try Self.scene { _ in Self.both(first: Self.north, second: Self.south) }
    if isSilent {
      scene.north.alive = false
    } else {
      scene.world.network.setDown(true, scene.north)
    }
    let started = scene.world.now
    scene.world.run(for: .seconds(8))
    let now = try #require(status(scene))
    #expect(now.state == .registered && now.address == Self.south)
    let waited = try #require(scene.south.registrar?.times.first) - started
    #expect(waited < .milliseconds(isSilent ? 4_200 : 200), "\(waited)")
    // The refresh stays with whoever answered.
    scene.north.alive = true
    scene.world.network.setDown(false, scene.north)
    let before = scene.south.registrar?.requests.count ?? 0
    scene.world.run(for: .seconds(3_200))
    #expect(scene.south.registrar?.requests.count == before + 1)
    #expect(status(scene)?.state == .registered)
  }

  /// The record changes: the registration moves within seconds, under the same Call-ID, and calls with it.
  @Test func followsAChangedRecord() throws {
    let scene = try Self.scene { _ in Location(.found, [LocatedAddress(Self.north)]) }
    scene.world.run(for: .seconds(2))
    try located(scene, Location(.found, [LocatedAddress(Self.south)]))
    scene.world.run(for: .seconds(6))
    let now = try #require(status(scene))
    #expect(now.state == .registered && now.address == Self.south)
    let old = try #require(scene.north.registrar?.requests.last)
    let new = try #require(scene.south.registrar?.requests.last)
    #expect(old.callID == new.callID && new.cseq > old.cseq)
    #expect(old.uri(.contact) == new.uri(.contact))
    scene.register(scene.bob, scene.alice)
    scene.south.onInvite = { _ in .answering() }
    scene.bob.call("+44123", CallerScript().hangingUp(after: .seconds(1)))
    scene.world.run(for: .seconds(8))
    #expect(scene.south.calls.count == 1 && scene.north.calls.isEmpty)
    // Who speaks for the trunk follows as well.
    let call = scene.south.call("+493010", CallerScript().hangingUp(after: .seconds(1)))
    let stranger = scene.north.call("+493010")
    scene.world.run(for: .seconds(8))
    #expect(call.ending == .hungUpHere && stranger.ending == .refused(401))
    #expect(scene.world.violations == [])
  }

  /// The same answer in another order, or another priority for a server that we are not at, moves nobody; a better
  /// server than ours is gone to at the next refresh.
  @Test func staysWhereItIsAsLongAsItMay() throws {
    let scene = try Self.scene(grants: 100) { _ in
      Self.both(first: Self.north, second: Self.south)
    }
    scene.world.run(for: .seconds(2))
    try located(scene, Location(.found, [LocatedAddress(Self.north)]))
    scene.world.run(for: .seconds(90))
    #expect(status(scene)?.address == Self.north)
    try located(scene, Self.both(first: Self.south, second: Self.north))
    scene.world.run(for: .seconds(6))
    #expect(status(scene)?.address == Self.north)
    scene.world.run(for: .seconds(90))
    #expect(status(scene)?.address == Self.south && status(scene)?.state == .registered)
  }

  /// DNS forgets the name: who is registered stays so at the address that it had.
  @Test func aLostNameUnregistersNobody() throws {
    let scene = try Self.scene(grants: 100) { _ in Location(.found, [LocatedAddress(Self.north)]) }
    scene.world.run(for: .seconds(2))
    try located(scene, Location(.none))
    scene.world.run(for: .seconds(300))
    #expect(status(scene)?.state == .registered && status(scene)?.address == Self.north)
  }

  /// A name without an address is a state with its reason, tried again at growing distances, and at once when
  /// there is an address.
  @Test func noAddress() throws {
    let scene = try Self.scene { _ in Location(.none) }
    scene.world.run(for: .seconds(1))
    let now = try #require(status(scene))
    #expect(now.state == .failed && now.reason == "no address is known for provider.example")
    #expect(now.address == nil && now.attempts == 0)
    let wait = try #require(now.next) - scene.world.now
    #expect(wait < .seconds(4), "\(wait)")
    scene.world.run(for: .seconds(120))
    let later = try #require(status(scene))
    #expect((4...10).contains(later.failures), "\(later.failures)")
    try located(scene, Location(.found, [LocatedAddress(Self.north)]))
    scene.world.run(for: .seconds(1))
    #expect(status(scene)?.state == .registered)
    #expect(status(scene)?.reason == "")
  }

  /// No answer yet from any name server: the start waits, and says for what.
  @Test func waitsForTheFirstAnswer() throws {
    let scene = try Self.scene { _ in nil }
    scene.world.run(for: .seconds(1))
    let now = try #require(status(scene))
    #expect(now.state == .unregistered)
    #expect(now.reason == "waits for the address of provider.example")
    try located(scene, Location(.found, [LocatedAddress(Self.north)]))
    scene.world.run(for: .seconds(1))
    #expect(status(scene)?.state == .registered)
    let silent = try Self.scene { _ in nil }
    silent.world.run(for: .seconds(5))
    #expect(status(silent)?.state == .failed)
    try located(silent, Location(.found, [LocatedAddress(Self.north)]))
    silent.world.run(for: .seconds(1))
    #expect(status(silent)?.state == .registered)
  }

  /// An outbound proxy that is a name is located in place of the registrar, which stays in the request URI.
  @Test func outboundProxyByName() throws {
    var asked: [LocationRequest] = []
    let resources = Self.resources {
      $0.register?.outboundProxy = SIPTarget(name: "edge.example", port: 5080)
      $0.targets = [SIPTarget(Self.north)]
    }
    let edge = SocketAddress(Self.south.ip, 5_060)
    let scene = try Self.scene(resources) {
      asked.append($0)
      return Location(.found, [LocatedAddress(edge)])
    }
    scene.world.run(for: .seconds(2))
    #expect(Set(asked.map { "\($0.host) \($0.port ?? 0)" }) == ["edge.example 5080"])
    #expect(status(scene)?.state == .registered && status(scene)?.address == edge)
    #expect(scene.south.registrar?.requests.first?.requestURI == "sip:provider.example")
    #expect(scene.north.registrar?.requests.isEmpty == true)
    var trunk = resources.trunks[0]
    trunk.transport = .tls
    #expect(trunk.ownSecurity?.serverName == "edge.example")
  }

  /// Two accounts with one provider by name: its address speaks for neither, the user of the Contact for each.
  @Test func severalAtOneName() throws {
    var resources = Self.resources()
    var second = resources.trunks[0]
    second.name = "second"
    second.register?.username = "other"
    resources.trunks.append(second)
    let scene = try Self.scene(resources) { _ in Location(.found, [LocatedAddress(Self.north)]) }
    scene.register(scene.alice)
    for (user, trunk) in [("acme", "trunk:north"), ("other", "trunk:second")] {
      let call = scene.north.call(
        "+493010",
        CallerScript().hangingUp(after: .seconds(1)).with {
          $0.requestURI = "sip:\(user)@203.0.113.1:5060"
          $0.extraHeaders = ["P-Called-Party-ID: <sip:+493010@provider.example>"]
        })
      scene.world.run(for: .seconds(8))
      #expect(call.ending == .hungUpHere && scene.records.last?.from == trunk)
    }
    let call = scene.north.call("+493010")
    scene.world.run(for: .seconds(2))
    #expect(call.ending == .refused(401))
  }

  /// Trunks of one name that a header tells apart.
  @Test func headerBesideAName() throws {
    var resources = Self.resources()
    resources.trunks[0].matchHeader = HeaderMatch(name: "X-Account", value: "7")
    let scene = try Self.scene(resources) { _ in Location(.found, [LocatedAddress(Self.north)]) }
    scene.register(scene.alice)
    let call = scene.north.call(
      "+493010",
      CallerScript().hangingUp(after: .seconds(1)).with { $0.extraHeaders = ["X-Account: 7"] })
    scene.world.run(for: .seconds(8))
    #expect(call.ending == .hungUpHere && scene.records.last?.from == "trunk:north")
    let other = scene.north.call("+493010")
    scene.world.run(for: .seconds(2))
    #expect(other.ending == .refused(401))
  }
}
