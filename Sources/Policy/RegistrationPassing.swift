package import Base

/// Registrations of phones that the PBX behind a trunk keeps: REGISTER of its domain is carried to it, and it calls
/// the phones through us (decision record 0026).
package struct RegistrationPassing: Hashable, Sendable {
  /// What stands behind the `@` of its phones' addresses, in the REGISTER's request URI as well.
  package var domain: String
  /// By which networks its phones may come. Empty: by the trunk's own.
  package var networks: [String] = []
  /// What the PBX is asked for on behalf of a phone that comes again much sooner than it must.
  package var expires = ResourceDefaults.registrationExpires
  /// What a phone behind a NAT is granted at most, so that its next REGISTER keeps the NAT's mapping open.
  package var natExpires = ResourceDefaults.natExpires
  /// Phones of one address.
  package var maxContacts = ResourceDefaults.maxContacts

  package init(domain: String) { self.domain = domain }
}

/// A trunk whose PBX keeps its phones' registrations, by index.
struct CompiledPassing: Sendable {
  var trunk: Int
  var networks: Set<Int>
}

extension Configuration {
  /// Some trunk passes registrations: what decides that is not looked at otherwise.
  package var passesRegistrations: Bool { !tables.passings.isEmpty }

  /// The trunk to whose PBX registrations of this domain go. Nil: no such domain.
  package func passing(domain: String) -> Int? {
    tables.passings[asciiLowercased(domain)]?.trunk
  }

  /// Whether its phones may come by a network.
  package func passes(_ trunk: Int, network: Int) -> Bool {
    guard let domain = trunks.element(at: trunk)?.passing?.domain else { return false }
    return tables.passings[asciiLowercased(domain)]?.networks.contains(network) ?? false
  }
}

extension ConfigurationCompiler {
  /// After tenants and networks: a domain is of one of them, or of one trunk.
  mutating func checkPassing(
    of trunk: Trunk, index: Int, network: Int?, at path: [PathElement]
  ) {
    guard let passing = trunk.passing else { return }
    let here = path + ["passesRegistrations"]
    checkPassingDomain(passing.domain, index: index, at: here + ["domain"])
    if trunk.kind != .pbx || trunk.register != nil || trunk.targets.isEmpty {
      report(
        here,
        "only a PBX with targets that we do not register with keeps its phones' registrations",
        remedy: "Make the trunk's kind pbx, give it targets, and leave register out.")
    }
    var networks: Set<Int> = []
    if passing.networks.isEmpty, let network { networks.insert(network) }
    for (position, name) in passing.networks.enumerated() {
      if let network = self.network(name, at: here + ["networks", .index(position)]) {
        networks.insert(network)
      }
    }
    checkPassingTimes(passing, at: here)
    checkRange(
      passing.maxContacts, 1...ResourceLimits.maxContacts, at: here + ["maxContacts"])
    tables.passings[asciiLowercased(passing.domain)] = CompiledPassing(
      trunk: index, networks: networks)
  }

  private mutating func checkPassingDomain(_ domain: String, index: Int, at path: [PathElement]) {
    let name = asciiLowercased(domain)
    if SIPTarget(domain) == nil || domain.contains(":") {
      report(
        path, "`\(domain)` is no domain",
        remedy:
          "Write what stands behind the @ of the phones' addresses, for example pbx.example.com.")
    }
    if let tenant = tables.domains[name] {
      reportDuplicate(
        path, "the domain `\(domain)`", firstIn: "tenant `\(resources.tenants[tenant].name)`")
    }
    if let other = tables.passings[name] {
      reportDuplicate(
        path, "the domain `\(domain)`", firstIn: "trunk `\(resources.trunks[other.trunk].name)`")
    }
  }

  private mutating func checkPassingTimes(
    _ passing: RegistrationPassing, at path: [PathElement]
  ) {
    if passing.expires < .seconds(60) || .seconds(86_400) < passing.expires {
      report(
        path + ["expires"], "a registration of \(passing.expires.seconds) s is out of range",
        remedy: "Use a duration from 60s to 24h.")
    }
    if passing.natExpires < .seconds(60) || .seconds(3_600) < passing.natExpires {
      report(
        path + ["natExpires"], "a registration of \(passing.natExpires.seconds) s is out of range",
        remedy: "Use a duration from 60s to 1h.")
    }
  }
}
