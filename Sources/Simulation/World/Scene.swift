package import Base
import CallCore
import MediaControl
package import Policy

/// The world that most tests happen in: an office with three phones and a PBX behind the inner
/// listener, two carriers before the outer one, and the trunk between them.
package final class Scene {
  package let world: World
  package let alice: Agent
  package let bob: Agent
  package let carol: Agent
  package let pbx: Agent
  package let north: Agent
  package let south: Agent

  package static let inside = address(10, 0, 0, 1)
  package static let outside = address(203, 0, 113, 1)

  package static func address(
    _ a: UInt32, _ b: UInt32, _ c: UInt32, _ d: UInt32, port: UInt16 = 5060
  )
    -> SocketAddress
  {
    SocketAddress(IPAddress(v4: a << 24 | b << 16 | c << 8 | d), port)
  }

  private static let aliceAddress = address(10, 0, 0, 101)
  private static let bobAddress = address(10, 0, 0, 102)
  private static let carolAddress = address(10, 0, 0, 103)
  private static let pbxAddress = address(10, 0, 0, 20)
  private static let northAddress = address(198, 51, 100, 10)
  private static let southAddress = address(198, 51, 100, 20)

  /// Users 101 to 103, carriers for everything that begins with +, numbers +493010 and +493011, an echo
  /// at *43 and an announcement at *44.
  package static func resources() -> Resources {
    var resources = Resources()
    resources.tenants = [Tenant(name: "acme", domains: ["trunk.example"])]
    resources.networks = [
      Network(name: "office", listeners: ["inside"], media: ["inside"]),
      Network(name: "carriers", listeners: ["outside"], media: ["outside"]),
    ]
    resources.trunks = [
      Trunk(
        name: "north", tenant: "acme", kind: .carrier, network: "carriers", targets: [northAddress]),
      Trunk(
        name: "south", tenant: "acme", kind: .carrier, network: "carriers", targets: [southAddress]),
      Trunk(name: "pbx", tenant: "acme", kind: .pbx, network: "office", targets: [pbxAddress]),
    ]
    resources.users = [("alice", "101"), ("bob", "102"), ("carol", "103")].map {
      User(
        name: $0.0, tenant: "acme", network: "office", extension: $0.1, password: "secret-\($0.0)",
        callerID: "+49301" + $0.1)
    }
    resources.numbers = [
      Number(
        number: "+493010", tenant: "acme",
        destinations: [
          DestinationHop(to: .user("alice"), timeout: .seconds(10)),
          DestinationHop(to: .user("bob"), timeout: .seconds(20)),
        ]),
      Number(
        number: "+493011", tenant: "acme", destinations: [DestinationHop(to: .trunk("pbx"))]),
    ]
    resources.routes = [
      Route(
        name: "world", tenant: "acme", prefix: "+",
        carriers: [
          RouteCarrier(trunk: "north", priority: 1), RouteCarrier(trunk: "south", priority: 2),
        ])
    ]
    resources.applications = [
      Application(name: "echo", tenant: "acme", kind: .echo, extension: "*43"),
      Application(
        name: "hello", tenant: "acme", kind: .announcement, extension: "*44", file: "hello.wav"),
    ]
    resources.allowCallsAbroad()
    return resources
  }

  package static func settings(seed: UInt64 = 1, resources: Resources = resources())
    -> WorldSettings
  {
    var settings = WorldSettings()
    settings.seed = seed
    settings.resources = resources
    settings.listeners = [
      Listener(name: "inside", bound: inside), Listener(name: "outside", bound: outside),
    ]
    settings.mediaAddresses = [
      MediaAddress(name: "inside", bound: inside.ip, ports: 30_000...30_999),
      MediaAddress(name: "outside", bound: outside.ip, ports: 30_000...30_999),
    ]
    return settings
  }

  package init(_ settings: WorldSettings = Scene.settings()) throws(ConfigurationProblems) {
    world = World(settings)
    alice = world.agent("alice", at: Scene.aliceAddress, trunk: Scene.inside, user: "alice")
    bob = world.agent("bob", at: Scene.bobAddress, trunk: Scene.inside, user: "bob")
    carol = world.agent("carol", at: Scene.carolAddress, trunk: Scene.inside, user: "carol")
    pbx = world.agent("pbx", at: Scene.pbxAddress, trunk: Scene.inside, user: "pbx")
    north = world.agent("north", at: Scene.northAddress, trunk: Scene.outside, user: "+441000")
    south = world.agent("south", at: Scene.southAddress, trunk: Scene.outside, user: "+442000")
    for phone in [alice, bob, carol] {
      phone.credentials = Credentials(username: phone.user, password: "secret-\(phone.user)")
    }
    try world.start()
  }

  /// Registers phones and forgets how, so that a ladder begins with what comes after.
  package func register(_ phones: Agent...) {
    for phone in phones { phone.register() }
    world.run(for: .seconds(2))
    world.trace.removeAll()
  }
}

extension Resources {
  /// The worlds of tests are German and call anywhere, as often as they like; those that are about what calls may cost
  /// say so.
  package mutating func allowCallsAbroad() {
    for i in tenants.indices {
      tenants[i].toll.mayCall = .all
      tenants[i].toll.costlyCalls = .unlimited
    }
    for i in users.indices { users[i].toll.costlyCalls = .unlimited }
    for i in trunks.indices where trunks[i].kind == .pbx { trunks[i].toll.costlyCalls = .unlimited }
  }
}
