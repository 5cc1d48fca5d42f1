import Base

/// What a running server told of its resources, as far as it is judged. Passwords are never among it.
package struct DoctorResources: Sendable, Decodable {
  package struct Network: Sendable, Decodable {
    package var name: String
    package var listeners: [String]
    package var trusted: Bool?
  }

  package struct Trunk: Sendable, Decodable {
    package var name: String
    package var network: String
    package var sources: [String]?
    package var authentication: Authentication?
    package var wideLatching: Bool?
    package var maxCalls: Int?
    package var callsPerSecond: Int?
  }

  /// Its password is left out.
  package struct Authentication: Sendable, Decodable {
    package var username: String
  }

  package struct User: Sendable, Decodable {
    package var name: String
    package var network: String
    package var transport: String?
    package var maxCalls: Int?
  }

  package struct Tenant: Sendable, Decodable {
    package var name: String
    package var maxCalls: Int?
  }

  package var networks: [Network] = []
  package var trunks: [Trunk] = []
  package var users: [User] = []
  package var tenants: [Tenant] = []

  package init() {}
}

extension DoctorFacts {
  /// Addresses that a trunk's `sources` may have without much being said: a /20, or a /48 of IPv6.
  private static let widestSources = (v4: 20, v6: 48)

  var resourceFindings: [DoctorFinding] {
    if let resourcesUnseen {
      return [
        DoctorFinding(.resources, "resources", .advice, "not looked at: \(resourcesUnseen)")
      ]
    }
    guard let resources else { return [] }
    let open = Set(listeners.filter { $0.address.reach == .everybody }.map(\.name))
    let outside = Set(
      resources.networks.filter { !open.isDisjoint(with: $0.listeners) }.map(\.name))
    var found =
      resources.networks.filter { $0.trusted == true && outside.contains($0.name) }.map(trusted)
      + resources.trunks.flatMap {
        wide($0) + (outside.contains($0.network) ? unproven($0) : []) + latching($0)
      }
    if let finding = uncapped(resources, outside) { found.append(finding) }
    if found.isEmpty {
      found.append(
        DoctorFinding(
          .resources, "resources", .good, "no trunk, user or network is open without need"))
    }
    return found
  }

  private func trusted(_ network: DoctorResources.Network) -> DoctorFinding {
    DoctorFinding(
      .resources, "network \(network.name)", .bad,
      "its listeners are open to everybody, and its peers are believed who calls (`trusted`)",
      remedy: "take `trusted` away, or keep trusted peers on a network of their own")
  }

  private func wide(_ trunk: DoctorResources.Trunk) -> [DoctorFinding] {
    (trunk.sources ?? []).filter(Self.isWide).map { source in
      DoctorFinding(
        .resources, "trunk \(trunk.name)", trunk.authentication == nil ? .bad : .advice,
        "whoever speaks from \(source) is taken for it"
          + (trunk.authentication == nil
            ? ", and no password is asked for" : " when he has its password"),
        remedy: "name the addresses that it really has under `sources`")
    }
  }

  private static func isWide(_ source: String) -> Bool {
    guard source.contains("/"), let network = IPNetwork(source) else { return false }
    let widest = network.address.family == .v4 ? widestSources.v4 : widestSources.v6
    return network.prefixLength < widest
  }

  /// By UDP anybody can write a source address.
  private func unproven(_ trunk: DoctorResources.Trunk) -> [DoctorFinding] {
    guard trunk.authentication == nil, trunk.maxCalls == nil, trunk.callsPerSecond == nil else {
      return []
    }
    return [
      DoctorFinding(
        .resources, "trunk \(trunk.name)", .advice,
        "its address alone proves who it is, and it may make any number of calls",
        remedy:
          "set maxCalls and callsPerSecond, or give it `authentication` or TLS with a clientName")
    ]
  }

  private func latching(_ trunk: DoctorResources.Trunk) -> [DoctorFinding] {
    guard trunk.wideLatching == true else { return [] }
    return [
      DoctorFinding(
        .resources, "trunk \(trunk.name)", .advice,
        "the first to send RTP to a port of its calls gets their speech (`wideLatching`)",
        remedy: "leave it off wherever the trunk's media comes from the address that its SDP names")
    ]
  }

  /// Phones that anybody can try passwords for, and nothing that ends what a found one may cost.
  private func uncapped(
    _ resources: DoctorResources, _ outside: Set<String>
  ) -> DoctorFinding? {
    let open = resources.users.filter { outside.contains($0.network) && $0.maxCalls == nil }
    guard let first = open.first, resources.tenants.contains(where: { $0.maxCalls == nil }) else {
      return nil
    }
    return DoctorFinding(
      .resources, "users", .advice,
      "\(open.count) that register from anywhere (\(first.name)\(open.count > 1 ? ", …" : "")) may "
        + "make any number of calls at once: so may who steals a password",
      remedy: "set maxCalls for users, or for their tenant")
  }
}
