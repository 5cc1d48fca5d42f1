import Base
import CallCore
import Policy
import Resolution
import Simulation
import Testing

/// Trunks whose targets are names (RFC 3263), on the virtual clock.
@Suite struct TargetNameTests {
  private static let north = Scene.address(198, 51, 100, 10)
  private static let south = Scene.address(198, 51, 100, 20)

  /// North is `north.example`; south stays an address, as the route's second carrier.
  private static func named(_ name: String = "north.example") -> Resources {
    var resources = Scene.resources()
    resources.trunks[0].targets = [SIPTarget(name: name)]
    return resources
  }

  private static func request(_ host: String) -> LocationRequest? {
    DNSName(host).map { LocationRequest(host: $0) }
  }

  private static func scene(
    _ resources: Resources = named(), _ resolve: @escaping (LocationRequest) -> Location?
  ) throws -> Scene {
    let scene = try Scene(Scene.settings(resources: resources))
    scene.world.resolve = resolve
    scene.register(scene.alice)
    return scene
  }

  @Test func namesAreLocatedAhead() throws {
    var asked: [LocationRequest] = []
    let scene = try Self.scene {
      asked.append($0)
      return Location(.found, [LocatedAddress(Self.north)])
    }
    var uris: [String] = []
    scene.north.onInvite = {
      uris.append($0.requestURI)
      return .answering()
    }
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(1)))
    scene.world.run(for: .seconds(8))
    #expect(call.ending == .hungUpHere)
    #expect(
      asked.map { "\($0.host) \($0.port ?? 0) \($0.usesV4) \($0.usesV6)" } == [
        "north.example 0 true false"
      ])
    #expect(uris == ["sip:+441234@north.example"])
    let record = try #require(scene.records.last)
    #expect(record.attempts.map(\.address) == [Self.north])
    #expect((record.ringing ?? .zero) - record.setup < .milliseconds(300))
    scene.expectRest()
  }

  /// The answer comes while the call waits for it.
  @Test func aCallWaitsForTheFirstAnswer() throws {
    let scene = try Self.scene { _ in nil }
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(1)))
    scene.world.run(for: .seconds(2))
    #expect(scene.north.calls.isEmpty && scene.south.calls.isEmpty)
    let request = try #require(Self.request("north.example"))
    scene.world.input(.located(request, Location(.found, [LocatedAddress(Self.north)])))
    scene.world.run(for: .seconds(8))
    #expect(call.ending == .hungUpHere)
    #expect(scene.north.calls.count == 1 && scene.south.calls.isEmpty)
    scene.expectRest()
  }

  /// No answer in three seconds: the next carrier's turn.
  @Test func noAnswerGivesWayToTheNextCarrier() throws {
    let scene = try Self.scene { _ in nil }
    let call = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(1)))
    scene.world.run(for: .seconds(10))
    #expect(call.ending == .hungUpHere)
    let record = try #require(scene.records.last)
    #expect(record.attempts.map(\.target) == ["trunk:south"])
    let waited = try #require(record.attempts.first).started - record.setup
    #expect(waited >= .seconds(3) && waited < .milliseconds(3_100))
    scene.expectRest()
  }

  @Test func noNameIsTheCause() throws {
    var resources = Self.named()
    resources.routes[0].carriers.removeLast()
    let scene = try Self.scene(resources) { _ in Location(.none) }
    let call = scene.alice.call("+441234")
    scene.world.run(for: .seconds(1))
    #expect(call.ending == .refused(503))
    #expect(scene.records.last?.cause == .nameUnresolved)
    // A caller who gives up while the call waits leaves nothing.
    let silent = try Self.scene(resources) { _ in nil }
    _ = silent.alice.call("+441234", CallerScript().cancelling(after: .seconds(1)))
    silent.world.run(for: .seconds(2))
    #expect(silent.records.last?.cause == .cancelled)
    silent.expectRest()
    scene.expectRest()
  }

  /// A dead server of the set costs two seconds once, and the order holds.
  @Test func theSetIsWalked() throws {
    let scene = try Self.scene { _ in
      Location(
        .found,
        [
          LocatedAddress(Self.north, rank: 0, weight: 1, host: 0),
          LocatedAddress(Self.south, rank: 1, weight: 1, host: 1),
        ])
    }
    scene.north.alive = false
    _ = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(1)))
    scene.world.run(for: .seconds(10))
    let record = try #require(scene.records.last)
    #expect(record.attempts.map(\.address) == [Self.north, Self.south])
    #expect(record.attempts.map(\.target) == ["trunk:north", "trunk:north"])
    let second = record.attempts[1].started - record.attempts[0].started
    #expect(second >= .seconds(2) && second < .milliseconds(2_050))
    scene.expectRest()
  }

  /// The name comes to another address: what is watched follows, and so do calls.
  @Test func changesAreFollowed() throws {
    let scene = try Self.scene { _ in Location(.found, [LocatedAddress(Self.north)]) }
    let request = try #require(Self.request("north.example"))
    scene.world.input(.located(request, Location(.found, [LocatedAddress(Self.south)])))
    _ = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(1)))
    scene.world.run(for: .seconds(8))
    #expect(scene.north.calls.isEmpty && scene.south.calls.count == 1)
    guard case .trunks(let trunks)? = scene.world.ask(.trunks) else { return }
    let targets = trunks.first { $0.name == "north" }?.targets ?? []
    #expect(targets.map(\.address) == [Self.south] && targets.map(\.name) == ["north.example"])
    // Nobody asks for a name that no trunk has any more.
    try scene.world.apply(Scene.resources())
    scene.world.input(.located(request, Location(.none)))
    _ = scene.alice.call("+441234", CallerScript().hangingUp(after: .seconds(1)))
    scene.world.run(for: .seconds(8))
    #expect(scene.north.calls.count == 1)
    scene.expectRest()
  }

  /// Without `sources` the addresses of the name speak for the trunk.
  @Test func theNamesAddressesMayCall() throws {
    let scene = try Self.scene { _ in Location(.found, [LocatedAddress(Self.north)]) }
    scene.register(scene.bob)
    let call = scene.north.call("+493010", CallerScript().hangingUp(after: .seconds(1)))
    scene.world.run(for: .seconds(8))
    #expect(call.ending == .hungUpHere)
    #expect(scene.records.last?.from == "trunk:north")
    scene.expectRest()
  }
}
