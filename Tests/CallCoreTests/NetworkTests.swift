import Base
import CallCore
import MediaControl
import Policy
import Simulation
import Testing

/// One-armed and two-armed trunks, address families, NATs on either side, hosts that are down.
@Suite struct NetworkTests {
  /// The host of the first carrier is down: its system's ICMP is reason enough for the next one (G4).
  @Test func downHostGivesWayAtOnce() throws {
    // Without the OPTIONS that the target then gets.
    var resources = Scene.resources()
    resources.trunks[0].probe.enabled = false
    let scene = try Scene(Scene.settings(resources: resources))
    scene.register(scene.alice)
    scene.world.network.setDown(true, scene.north)
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(3)))
    scene.finish()
    expectLadder(
      scene, [scene.alice], [scene.north, scene.south], times: true,
      """
      alice                demarc                   north                 south
        │ ── INVITE (SDP) ──▶ │                       │                     │       0.000
        │ ◀── 100 Trying ──── │                       │                     │      +0.005
        │                     │ ── INVITE (SDP) ──✗   │                     │      +0.014
        │                     │ ── INVITE (SDP) ──────────────────────────▶ │      +0.022
        │                     │ ◀── 100 Trying ──────────────────────────── │      +0.027
        │                     │ ◀── 180 Ringing ─────────────────────────── │      +0.227
        │ ◀── 180 Ringing ─── │                       │                     │      +0.232
        │                     │ ◀── 200 OK (SDP) ────────────────────────── │      +2.027
        │ ◀── 200 OK (SDP) ── │                       │                     │      +2.032
        │                     │ ── ACK ───────────────────────────────────▶ │      +2.032
        │ ── ACK ───────────▶ │                       │                     │      +2.037
        │ ── BYE ───────────▶ │                       │                     │      +5.037
        │ ◀── 200 OK (BYE) ── │                       │                     │      +5.042
        │                     │ ── BYE ───────────────────────────────────▶ │      +5.042
        │                     │ ◀── 200 OK (BYE) ────────────────────────── │      +5.047
      """)
    #expect(call.ending == .hungUpHere)
    #expect(scene.records.first?.attempts.first?.cause == .transportFailed)
    scene.expectRest()
  }

  /// A network of one listener carries phones and carriers alike.
  @Test func oneArm() throws {
    var resources = Scene.resources()
    resources.networks = [Network(name: "all", listeners: ["inside"], media: ["inside"])]
    for index in resources.trunks.indices { resources.trunks[index].network = "all" }
    for index in resources.users.indices { resources.users[index].network = "all" }
    var settings = Scene.settings(resources: resources)
    settings.listeners.removeLast()
    settings.mediaAddresses.removeLast()
    let scene = try Scene(settings)
    scene.register(scene.alice)
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(3)))
    scene.finish()
    #expect(call.ending == .hungUpHere)
    #expect(call.remoteMedia?.ip == Scene.inside.ip)
    #expect(scene.north.calls.first?.remoteMedia?.ip == Scene.inside.ip)
    scene.expectRest()
  }

  /// In a cloud the carriers see the NAT's address, in SIP and in SDP, and the phones the inner one.
  @Test func cloudNAT() throws {
    let shown = IPAddress(v4: 0xcb00_7109)
    var resources = Scene.resources()
    resources.networks[1].advertisedSignalling = shown
    resources.networks[1].advertisedMedia = shown
    var settings = Scene.settings(resources: resources)
    settings.natted = [1: shown]
    settings.advertisedMedia = [Scene.inside.ip, shown]
    let scene = try Scene(settings)
    scene.register(scene.alice)
    scene.north.trunk = SocketAddress(shown, 5060)
    let call = scene.alice.call(
      "+441234",
      CallerScript().with { $0.reoffers = [Reoffer(after: .seconds(2), movesMedia: true)] })
    scene.north.onInvite = { _ in .answering().with { $0.hangUpAfter = .seconds(6) } }
    scene.world.run(for: .seconds(60))
    #expect(call.ending == .hungUpThere)
    #expect(scene.north.calls.first?.remoteMedia?.ip == shown)
    #expect(call.remoteMedia?.ip == Scene.inside.ip)
    let back = scene.north.call("+493010", CallerScript().hangingUp(after: .seconds(2)))
    scene.finish()
    #expect(back.ending == .hungUpHere)
    let bound = "203.0.113.1"
    let leaks = scene.world.trace.entries.filter {
      $0.to == scene.north.address && String(decoding: $0.bytes, as: UTF8.self).contains(bound)
    }
    #expect(leaks.isEmpty)
    scene.expectRest()
  }

  /// A phone that believes in its inner address is reached where it was seen (RFC 3581), also for what
  /// the dialog needs later.
  @Test func phoneBehindNAT() throws {
    let scene = try Scene()
    scene.alice.innerAddress = Scene.address(192, 168, 1, 5)
    scene.register(scene.alice)
    scene.alice.onInvite = { _ in
      .answering().with { $0.reoffers = [Reoffer(after: .seconds(1), direction: .sendonly)] }
    }
    let call = scene.north.call("+493010", CallerScript().hangingUp(after: .seconds(5)))
    scene.finish()
    #expect(call.ending == .hungUpHere)
    #expect(scene.alice.calls.first?.reoffersAnswered == [200])
    let own = scene.alice.call("+441234")
    scene.north.onInvite = { _ in .answering().with { $0.hangUpAfter = .seconds(3) } }
    scene.finish()
    #expect(own.ending == .hungUpThere)
    scene.expectRest()
  }

  /// IPv6 within, IPv4 without, and the other way round.
  @Test(arguments: [true, false]) func families(insideIsSix: Bool) throws {
    let six = { (last: UInt64) in
      SocketAddress(IPAddress(v6High: 0x2001_0db8_0000_0000, low: last), 5060)
    }
    let inside = insideIsSix ? six(1) : Scene.inside
    let outside = insideIsSix ? Scene.outside : six(1)
    let phone = insideIsSix ? six(2) : Scene.address(10, 0, 0, 101)
    let carrier = insideIsSix ? Scene.address(198, 51, 100, 10) : six(2)
    var resources = Scene.resources()
    resources.trunks = [
      Trunk(name: "north", tenant: "acme", kind: .carrier, network: "carriers", targets: [carrier])
    ]
    resources.numbers.removeLast()
    resources.routes[0].carriers = [RouteCarrier(trunk: "north")]
    var settings = WorldSettings()
    settings.resources = resources
    settings.listeners = [
      Listener(name: "inside", bound: inside), Listener(name: "outside", bound: outside),
    ]
    settings.mediaAddresses = [
      MediaAddress(name: "inside", bound: inside.ip, ports: 30_000...30_099),
      MediaAddress(name: "outside", bound: outside.ip, ports: 30_000...30_099),
    ]
    let world = World(settings)
    let alice = world.agent("alice", at: phone, trunk: inside, user: "alice")
    alice.credentials = Credentials(username: "alice", password: "secret-alice")
    let north = world.agent("north", at: carrier, trunk: outside, user: "+441000")
    try world.start()
    alice.register()
    world.run(for: .seconds(2))
    #expect(alice.registration.isRegistered)
    let out = alice.call("+441234", CallerScript().hangingUp(after: .seconds(3)))
    world.run(for: .seconds(60))
    let back = north.call("+493010", CallerScript().hangingUp(after: .seconds(3)))
    world.settle()
    #expect(out.ending == .hungUpHere && back.ending == .hungUpHere)
    #expect(out.remoteMedia?.ip == inside.ip && back.remoteMedia?.ip == outside.ip)
    world.auditor.checkAtRest(policy: .seconds(181))
    #expect(world.violations == [])
  }
}
