package import Base
package import SIPWire

/// The resources compiled for the engine: immutable, indexed, swapped whole between two events.
///
/// Indices are those of the tables below and good for this configuration only: what must survive a
/// swap (counters, limits) is kept by name.
package final class Configuration: Sendable {
  package let revision: UInt64
  package let resources: Resources
  package let tenants: [Tenant]
  package let networks: [Network]
  package let trunks: [Trunk]
  package let users: [User]
  package let applications: [Application]
  let tables: ConfigurationTables

  /// Nothing in it: each call is refused.
  package init() {
    revision = 0
    resources = Resources()
    tenants = []
    networks = []
    trunks = []
    users = []
    applications = []
    tables = ConfigurationTables()
  }

  /// Compiles the resources against what the process has: listeners and media addresses by name, in the
  /// order of their indices. Either all of it is right, or every problem found is thrown.
  ///
  /// - Parameter transports: of the listeners, in the same order; UDP where there is none.
  package init(
    resources: Resources, revision: UInt64,
    listeners: [(name: String, address: SocketAddress)],
    media: [(name: String, address: IPAddress)], transports: [Transport] = []
  ) throws(ConfigurationProblems) {
    var compiler = ConfigurationCompiler(
      resources: resources, listeners: listeners, media: media, transports: transports)
    tables = try compiler.compile()
    self.revision = revision
    self.resources = resources
    tenants = resources.tenants
    networks = resources.networks
    trunks = resources.trunks.map(\.expanded)
    users = resources.users
    applications = resources.applications
  }
}

extension Configuration {
  /// The trunk that hears what a tenant's calls were like.
  package func qualityCollector(ofTenant tenant: Int) -> Int? { tables.collectors[tenant] }

  /// What the collector hears in the midst of a tenant's calls; nil: nothing.
  package func qualityWatch(ofTenant tenant: Int) -> QualityWatchRule? {
    guard tables.collectors[tenant] != nil, tenants.indices.contains(tenant) else { return nil }
    let rule = QualityWatchRule(
      interval: tenants[tenant].qualityInterval, alert: tenants[tenant].qualityAlert)
    return rule.interval > 0 || rule.alert != nil ? rule : nil
  }
}

// MARK: Networks

extension Configuration {
  /// The network whose listener this is; nil: nobody's, so nothing is accepted there.
  package func network(ofListener listener: UInt16) -> Int? {
    let index = Int(listener)
    guard index < tables.networkOfListener.count else { return nil }
    return tables.networkOfListener[index]
  }

  /// The listener that speaks for a network by a transport to an address of the family: the first one named.
  package func listener(
    ofNetwork network: Int, family: IPAddress.Family, transport: Transport = .udp
  ) -> UInt16? {
    guard tables.endpoints.indices.contains(network) else { return nil }
    return tables.endpoints[network].listener(transport, family)
  }

  /// Indices of the network's media addresses, in the order in which they are to be used.
  package func mediaAddresses(ofNetwork network: Int) -> [UInt16] {
    guard tables.endpoints.indices.contains(network) else { return [] }
    return tables.endpoints[network].media
  }

  package func mediaAddresses(ofNetwork network: Int, family: IPAddress.Family) -> [UInt16] {
    guard tables.endpoints.indices.contains(network) else { return [] }
    return family == .v4 ? tables.endpoints[network].mediaV4 : tables.endpoints[network].mediaV6
  }

  package func network(named name: String) -> Int? { tables.networks[name] }
  package func network(ofTrunk trunk: Int) -> Int? { tables.networkOfTrunk.element(at: trunk) }
  package func network(ofUser user: Int) -> Int? { tables.networkOfUser.element(at: user) }
}

// MARK: Tenants

extension Configuration {
  package func tenant(ofTrunk trunk: Int) -> Int? { tables.tenantOfTrunk.element(at: trunk) }
  package func tenant(ofUser user: Int) -> Int? { tables.tenantOfUser.element(at: user) }
  package func tenant(ofApplication application: Int) -> Int? {
    tables.tenantOfApplication.element(at: application)
  }

  /// The tenant of a network whose trunks and users all belong to one, or the only tenant there is.
  package func tenant(ofNetwork network: Int) -> Int? {
    if case .one(let tenant)? = tables.endpoints.element(at: network)?.tenants { return tenant }
    return tenants.count == 1 ? 0 : nil
  }

  /// The tenant that a host name of a SIP URI stands for, in any letter case. A host that is no
  /// tenant's (our own address, a proxy's name) means the only tenant, and nothing where there are more.
  package func tenant(domain: String) -> Int? {
    let found =
      domain.utf8.contains(where: { (0x41...0x5a).contains($0) })
      ? tables.domains[asciiLowercased(domain)] : tables.domains[domain]
    return found ?? (tenants.count == 1 ? 0 : nil)
  }

  package func tenant(named name: String) -> Int? { tables.tenants[name] }

  /// The realm of a tenant's digest challenges: its first domain, or its name where it has none.
  package func realm(ofTenant tenant: Int) -> String {
    guard tenants.indices.contains(tenant) else { return "" }
    return tenants[tenant].domains.first ?? tenants[tenant].name
  }
}

// MARK: Trunks, users, applications

extension Configuration {
  /// The trunk that may speak from this source: the most specific match of address and port, of the
  /// address alone, then of the longest prefix.
  package func trunk(source: SocketAddress, network: Int) -> Int? {
    guard tables.sources.indices.contains(network) else { return nil }
    return tables.sources[network].match(source)
  }

  /// The trunk that a certificate of this domain, in lower case, speaks for; where the trunk names sources, from one
  /// of them.
  package func trunk(clientName: String, source: SocketAddress, network: Int) -> Int? {
    guard let found = tables.trunksByClientName[TenantKey(network, clientName)],
      allows(source, proofOfTrunk: found)
    else { return nil }
    return found
  }

  /// The domain, in lower case, of which a trunk's connections must show a certificate.
  package func clientName(ofTrunk trunk: Int) -> String? {
    tables.clientNames.isEmpty ? nil : tables.clientNames[trunk]
  }

  /// Whether a trunk's certificate or credentials are good from there: one that names its sources is nowhere else.
  package func allows(_ source: SocketAddress, proofOfTrunk trunk: Int) -> Bool {
    tables.sourcesOfTrunk[trunk]?.matches(source) ?? true
  }

  /// Whether a user's password is good from there.
  package func allows(_ source: SocketAddress, proofOfUser user: Int) -> Bool {
    tables.sourcesOfUser.isEmpty || tables.sourcesOfUser[user]?.matches(source) ?? true
  }

  /// The trunk whose registration bears this `line` in its Contact.
  package func trunk(line: String) -> Int? { tables.trunksByLine[line] }
  /// The trunk that registers with this user part at a registrar of this address; `isLocated` says whether
  /// the name of a trunk's came to the address.
  package func trunk(
    contactUser: String, source: SocketAddress, network: Int, isLocated: (Int) -> Bool
  ) -> Int? {
    tables.trunksByContact[TenantKey(network, contactUser)]?.first {
      $0.sources.matches(source) || isLocated($0.trunk)
    }?.trunk
  }
  package var hasRegistrations: Bool { !tables.trunksByLine.isEmpty }

  /// Trunks of the network that a header tells from others of the same source, in the document's order.
  package func trunks(matchingHeaders network: Int) -> [HeaderTrunk] {
    tables.headerTrunks.element(at: network) ?? []
  }

  /// The trunk that answers our challenge with this username. Without a tenant: the only one of that
  /// username anywhere.
  package func trunk(username: String, tenant: Int?) -> Int? {
    guard let tenant else { return tables.trunksByUsernameAnywhere[username] ?? nil }
    return tables.trunksByUsername[TenantKey(tenant, username)]
  }

  package func trunk(named name: String, tenant: Int) -> Int? {
    tables.trunks[TenantKey(tenant, name)]
  }

  /// A user's digest username is its name.
  package func user(username: String, tenant: Int) -> Int? {
    tables.users[TenantKey(tenant, username)]
  }

  package func user(named name: String, tenant: Int) -> Int? {
    tables.users[TenantKey(tenant, name)]
  }

  package func user(extension: String, tenant: Int) -> Int? {
    guard case .user(let user)? = tables.extensions[TenantKey(tenant, `extension`)] else {
      return nil
    }
    return user
  }

  /// How the caller's numbers are read; nil: as they are.
  package func numberReader(of caller: CallerKind) -> NumberReader? {
    switch caller {
    case .trunk(let trunk): return tables.readerOfTrunk.element(at: trunk) ?? nil
    case .user(let user):
      guard let tenant = tenant(ofUser: user) else { return nil }
      return tables.readerOfTenant.element(at: tenant) ?? nil
    case .phone: return nil
    }
  }

  /// What is changed in a trunk's messages; nil: nothing.
  package func rules(ofTrunk trunk: Int) -> RuleSet? {
    tables.rulesOfTrunk.element(at: trunk) ?? nil
  }

  /// How numbers are written towards a trunk.
  package func numberWriter(ofTrunk trunk: Int) -> NumberWriter {
    tables.writerOfTrunk.element(at: trunk) ?? .asIs
  }

  package func application(named name: String, tenant: Int) -> Int? {
    tables.applications[TenantKey(tenant, name)]
  }
}

extension Array {
  func element(at index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}

func asciiLowercased(_ text: String) -> String {
  String(decoding: text.utf8.map { (0x41...0x5a).contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
}
