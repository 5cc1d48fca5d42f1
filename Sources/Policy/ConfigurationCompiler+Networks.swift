import Base
import SIPWire

extension ConfigurationCompiler {
  mutating func compileTenants() {
    for (index, tenant) in resources.tenants.enumerated() {
      let path: [PathElement] = ["tenants", .index(index)]
      checkName(tenant.name, kind: "tenant", at: path + ["name"])
      if tables.tenants[tenant.name] == nil {
        tables.tenants[tenant.name] = index
      } else {
        reportDuplicate(
          path + ["name"], "the tenant name `\(tenant.name)`", firstIn: "another tenant")
      }
      for (position, domain) in tenant.domains.enumerated() {
        compileDomain(domain, tenant: index, at: path + ["domains", .index(position)])
      }
    }
    tables.prefixes = Array(repeating: PrefixTable(), count: resources.tenants.count)
  }

  private mutating func compileDomain(_ domain: String, tenant: Int, at path: [PathElement]) {
    let isHost = domain.utf8.allSatisfy { byte in
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
      case UInt8(ascii: "-"), UInt8(ascii: "."): true
      case UInt8(ascii: ":"), UInt8(ascii: "["), UInt8(ascii: "]"): true
      default: false
      }
    }
    guard isHost, (1...253).contains(domain.utf8.count) else {
      report(
        path, "`\(domain)` is no host name",
        remedy: "Write the host of the SIP URIs, for example pbx.example.com.")
      return
    }
    let lower = asciiLowercased(domain)
    if let holder = tables.domains[lower] {
      reportDuplicate(
        path, "the domain `\(domain)`", firstIn: "tenant `\(resources.tenants[holder].name)`")
    } else {
      tables.domains[lower] = tenant
    }
  }

  mutating func compileNetworks() {
    tables.networkOfListener = Array(repeating: nil, count: listeners.count)
    for (index, network) in resources.networks.enumerated() {
      let path: [PathElement] = ["networks", .index(index)]
      checkName(network.name, kind: "network", at: path + ["name"])
      if tables.networks[network.name] == nil {
        tables.networks[network.name] = index
      } else {
        reportDuplicate(
          path + ["name"], "the network name `\(network.name)`", firstIn: "another network")
      }
      var endpoints = NetworkEndpoints()
      compileListeners(of: network, index: index, into: &endpoints, at: path)
      compileMedia(of: network, into: &endpoints, at: path)
      checkAdvertised(network, endpoints, at: path)
      compileAccess(of: network, at: path)
      tables.endpoints.append(endpoints)
    }
    tables.sources = Array(repeating: SourceTable(), count: resources.networks.count)
  }

  private mutating func compileListeners(
    of network: Network, index: Int, into endpoints: inout NetworkEndpoints,
    at path: [PathElement]
  ) {
    if network.listeners.isEmpty {
      report(
        path + ["listeners"], "network `\(network.name)` has no listener",
        remedy: "Name at least one listener of demarc.yaml.")
    }
    for (position, name) in network.listeners.enumerated() {
      let here = path + ["listeners", .index(position)]
      guard let listener = listeners.firstIndex(where: { $0.name == name }) else {
        reportDangling(
          here, kind: "listener", name: name,
          candidates: listeners.lazy.map(\.name).filter { !$0.isEmpty })
        continue
      }
      if let holder = tables.networkOfListener[listener] {
        reportDuplicate(
          here, "the listener `\(name)`",
          firstIn: "network `\(resources.networks[holder].name)`")
        continue
      }
      tables.networkOfListener[listener] = index
      endpoints.listeners.append(
        (
          UInt16(clamping: listener), transports.element(at: listener) ?? .udp,
          listeners[listener].address.ip.family
        ))
    }
  }

  private mutating func compileMedia(
    of network: Network, into endpoints: inout NetworkEndpoints, at path: [PathElement]
  ) {
    if network.media.isEmpty {
      report(
        path + ["media"], "network `\(network.name)` has no media address",
        remedy: "Name at least one media address of demarc.yaml.")
    }
    for (position, name) in network.media.enumerated() {
      let here = path + ["media", .index(position)]
      guard let found = media.firstIndex(where: { $0.name == name }) else {
        reportDangling(
          here, kind: "media address", name: name, candidates: media.lazy.map(\.name))
        continue
      }
      let address = UInt16(clamping: found)
      if endpoints.media.contains(address) {
        reportDuplicate(here, "the media address `\(name)`", firstIn: "this network")
        continue
      }
      endpoints.media.append(address)
      switch media[found].address.family {
      case .v4: endpoints.mediaV4.append(address)
      case .v6: endpoints.mediaV6.append(address)
      }
    }
  }

  /// What stands in SIP and SDP must be an address that somebody can send to.
  private mutating func checkAdvertised(
    _ network: Network, _ endpoints: NetworkEndpoints, at path: [PathElement]
  ) {
    let fields: [(PathElement, IPAddress?, Bool, Bool)] = [
      (
        "advertisedSignalling", network.advertisedSignalling, endpoints.hasListener(.v4),
        endpoints.hasListener(.v6)
      ),
      (
        "advertisedMedia", network.advertisedMedia, !endpoints.mediaV4.isEmpty,
        !endpoints.mediaV6.isEmpty
      ),
    ]
    for (field, address, hasV4, hasV6) in fields {
      guard let address else { continue }
      if address.isUnspecified || address.isMulticast {
        report(
          path + [field], "nobody can send to \(address)",
          remedy: "Write the address under which the peers reach this network.")
      } else if address.family == .v4 ? !hasV4 && hasV6 : !hasV6 && hasV4 {
        report(
          path + [field], "\(address) is of a family that this network does not have",
          remedy: "Advertise an address of the family of its listeners and media addresses.")
      }
    }
  }
}
