package import Policy

/// The kinds of resources, with the names that they have in documents, the API and the command line.
package enum ResourceSection: String, Sendable, CaseIterable {
  case tenants, networks, trunks, users, applications, numbers, routes
  case pools, classes, emergencies

  /// One of them.
  package var singular: String {
    switch self {
    case .classes: "class"
    case .emergencies: "emergency"
    case .tenants, .networks, .trunks, .users, .applications, .numbers, .routes, .pools:
      String(rawValue.dropLast())
    }
  }
}

extension Resources {
  /// How many there are of a kind.
  package func count(_ section: ResourceSection) -> Int {
    switch section {
    case .tenants: tenants.count
    case .networks: networks.count
    case .trunks: trunks.count
    case .users: users.count
    case .applications: applications.count
    case .numbers: numbers.count
    case .routes: routes.count
    case .pools: pools.count
    case .classes: classes.count
    case .emergencies: emergencies.count
    }
  }

  /// By kind, as the API answers it.
  package var counts: [String: Int] {
    Dictionary(
      uniqueKeysWithValues: ResourceSection.allCases.map { ($0.rawValue, count($0)) })
  }
}
