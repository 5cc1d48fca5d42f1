import Base
import Policy

/// A small provider: one tenant with two users, a PBX trunk, three carriers, numbers and a dial plan.
enum Fixtures {
  static let listeners: [(name: String, address: SocketAddress)] = [
    ("udp4", SocketAddress(.loopbackV4, 5060)),
    ("udp6", SocketAddress(IPAddress(v6High: 0, low: 1), 5060)),
    ("outside", SocketAddress(.loopbackV4, 5080)),
  ]
  static let media: [(name: String, address: IPAddress)] = [
    ("media4", .loopbackV4), ("media6", IPAddress(v6High: 0, low: 1)),
  ]

  static func address(_ text: String) -> SocketAddress {
    SocketAddress(text) ?? SocketAddress(.anyV4, 0)
  }

  static func resources() -> Resources {
    var r = Resources()
    r.tenants = [Tenant(name: "acme", domains: ["pbx.example.com", "127.0.0.1"])]
    r.networks = [
      Network(name: "inside", listeners: ["udp4", "udp6"], media: ["media4", "media6"]),
      Network(name: "outside", listeners: ["outside"], media: ["media4"]),
    ]
    r.trunks = [
      Trunk(
        name: "office", tenant: "acme", kind: .pbx, network: "inside",
        targets: [address("127.0.0.1:5070")],
        authentication: Credentials(username: "office-pbx", password: "s3cret")),
      carrier("alpha", "127.0.0.1:6001"), carrier("beta", "127.0.0.1:6002"),
      carrier("gamma", "192.0.2.7:5060"),
    ]
    r.users = [user("alice", "1001"), user("bob", "1002")]
    r.applications = [
      Application(name: "echo", tenant: "acme", kind: .echo, extension: "*43")
    ]
    r.numbers = [
      number("+441632960100", [.user("alice"), .number("+491711234567"), .application("echo")]),
      number("+441632960101", [.trunk("office")]),
      number("+441632960102", [.number("+441632960100")]),
    ]
    r.routes = [
      route("world", "+", [("alpha", 1, 100), ("beta", 2, 100)]),
      route("germany", "+49", [("gamma", 1, 100)]),
      Route(
        name: "national", tenant: "acme", prefix: "0", strip: 1, prepend: "+44",
        carriers: [RouteCarrier(trunk: "alpha")]),
    ]
    return r
  }

  static func carrier(_ name: String, _ target: String) -> Trunk {
    Trunk(
      name: name, tenant: "acme", kind: .carrier, network: "outside", targets: [address(target)])
  }

  static func user(_ name: String, _ number: String, tenant: String = "acme") -> User {
    User(name: name, tenant: tenant, network: "inside", extension: number, password: "pw-\(name)")
  }

  static func number(_ number: String, _ to: [Destination], tenant: String = "acme") -> Number {
    Number(number: number, tenant: tenant, destinations: to.map { DestinationHop(to: $0) })
  }

  static func route(_ name: String, _ prefix: String, _ carriers: [(String, Int, Int)]) -> Route {
    Route(
      name: name, tenant: "acme", prefix: prefix,
      carriers: carriers.map { RouteCarrier(trunk: $0.0, priority: $0.1, weight: $0.2) })
  }

  static func compile(_ resources: Resources) throws(ConfigurationProblems) -> Configuration {
    try Configuration(resources: resources, revision: 7, listeners: listeners, media: media)
  }

  /// What is wrong with the resources, as "path: message".
  static func problems(_ change: (inout Resources) -> Void) -> [ConfigurationProblem] {
    var r = resources()
    change(&r)
    do throws(ConfigurationProblems) {
      _ = try compile(r)
      return []
    } catch {
      return error.problems
    }
  }
}
