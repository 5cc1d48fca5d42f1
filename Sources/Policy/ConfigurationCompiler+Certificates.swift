import Base

// Trunks that are known by the certificate that their connections show (RFC 5922 §7), and by what else.

extension ConfigurationCompiler {
  /// `tls.clientName` of a trunk, and the sources that its certificate and its credentials are good from.
  mutating func compileProofs(of trunk: Trunk, index: Int, network: Int, at path: [PathElement]) {
    if !trunk.sources.isEmpty { tables.sourcesOfTrunk[index] = SourceSet(trunk.sources) }
    guard let name = trunk.clientName.map(asciiLowercased) else { return }
    let here = path + ["tls", "clientName"]
    guard !name.isEmpty, name.utf8.count <= 255, !name.utf8.contains(UInt8(ascii: "*")) else {
      return report(
        here, "`\(name)` is not the name of a certificate",
        remedy: "Write a domain of the certificate as it stands there; wildcards mean nothing "
          + "(RFC 5922 §7.2).")
    }
    guard trunk.transport == .tls else {
      return report(
        here, "a trunk of transport \(trunk.transport.rawValue) shows no certificate",
        remedy: "Set the trunk's `transport: tls`, or leave `clientName` out.")
    }
    tables.clientNames[index] = name
    guard trunk.matchHeader == nil else { return }
    let key = TenantKey(network, name)
    if let holder = tables.trunksByClientName[key] {
      return reportDuplicate(
        here, "a certificate of `\(name)`",
        firstIn: "trunk `\(resources.trunks[holder].name)`")
    }
    tables.trunksByClientName[key] = index
  }
}

extension Trunk {
  /// Nothing tells it from others of its source but that: no header, no certificate.
  package var isKnownByItsSource: Bool { matchHeader == nil && clientName == nil }
}
