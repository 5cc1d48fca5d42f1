package import Base
import CallCore
import Edge
import Policy

/// `stir` of demarc.yaml: what calls are signed with, and whose signatures are believed (RFC 8224, RFC 8226).
package struct STIRSettings: Hashable, Sendable {
  package struct Certificate: Hashable, Sendable {
    package var name: String
    /// Where others fetch it.
    package var url: String
    package var certificate: String
    package var key: String
  }

  /// PEM files of authorities.
  package var trust: [String] = []
  /// Revocation lists: files, and https URLs that are fetched every hour.
  package var crls: [String] = []
  package var certificates: [Certificate] = []
  package var freshness = Interval.seconds(60)
  /// How long a call waits for a certificate.
  package var fetchTimeout = Interval.seconds(2)
  /// Hosts that certificates may be fetched from; empty: any.
  package var hosts: [String] = []
  /// Hosts that may be in a private network.
  package var privateHosts: [String] = []
  /// Authorities of the https servers; nil: those of the system.
  package var ca: String?

  package init() {}

  var isEmpty: Bool { trust.isEmpty && certificates.isEmpty }

  /// Of certificates.
  var fetch: FetchSettings {
    var fetch = FetchSettings()
    fetch.timeout = fetchTimeout
    fetch.hosts = Set(hosts.map { $0.lowercased() })
    fetch.privateHosts = Set(privateHosts.map { $0.lowercased() })
    fetch.authorities = ca ?? ""
    return fetch
  }

  /// Of revocation lists, which are longer, and which the operator has named himself.
  var listFetch: FetchSettings {
    var fetch = fetch
    fetch.timeout = .seconds(20)
    fetch.bytes = 4 << 20
    fetch.hosts = []
    return fetch
  }
}

extension DocumentReader {
  mutating func stir(_ parent: DocumentFields, _ settings: inout STIRSettings) {
    let keys = [
      "trust", "crls", "certificates", "freshness", "fetchTimeout", "hosts", "privateHosts", "ca",
    ]
    guard let fields = group(parent, "stir", keys: keys) else { return }
    settings.trust = list(fields, "trust", .text("a file", example: "/etc/demarc/sti-ca.pem"))
    settings.crls = list(
      fields, "crls", .text("a file or an https URL", example: "https://crl.example.com/list.crl"))
    settings.certificates = certificates(fields)
    settings.freshness
      ?= optional(fields, "freshness", .duration(from: 1, to: 3_600, example: "60s"))
    settings.fetchTimeout
      ?= optional(fields, "fetchTimeout", .duration(from: 1, to: 10, example: "2s"))
    settings.hosts = list(fields, "hosts", .text("a host", example: "certs.example.com"))
    settings.privateHosts = list(
      fields, "privateHosts", .text("a host", example: "certs.internal.example"))
    settings.ca = optional(fields, "ca", .text("a file", example: "/etc/demarc/https-ca.pem"))
  }

  private mutating func certificates(_ parent: DocumentFields) -> [STIRSettings.Certificate] {
    var found: [STIRSettings.Certificate] = []
    for (node, path) in items(parent, "certificates") {
      guard let fields = fields(node, path, keys: ["name", "url", "certificate", "key"]) else {
        continue
      }
      let certificate = STIRSettings.Certificate(
        name: required(fields, "name", .text("a name", example: "provider")) ?? "",
        url: required(fields, "url", .httpsURL) ?? "",
        certificate: required(fields, "certificate", .text("a file", example: "provider.pem"))
          ?? "",
        key: required(fields, "key", .text("a file", example: "provider.key")) ?? "")
      if found.contains(where: { $0.name == certificate.name }) {
        report(
          fields.position, path + ["name"], "the name `\(certificate.name)` is used twice",
          remedy: "Change one of the two.")
      }
      found.append(certificate)
    }
    return found
  }
}

extension ValueRule where Value == String {
  fileprivate static var httpsURL: ValueRule {
    ValueRule(expected: "an https URL", example: "https://certs.example.com/provider.pem") { text in
      HTTPSAddress(text) == nil ? nil : text
    }
  }
}

extension ValueRule where Value == Interval {
  fileprivate static func duration(from least: Int, to most: Int, example: String) -> ValueRule {
    let any = duration(example: example)
    return ValueRule(expected: "a duration from \(least)s to \(most)s", example: example) { text in
      any.parse(text).flatMap { .seconds(least) <= $0 && $0 <= .seconds(most) ? $0 : nil }
    }
  }
}
