package import Policy

/// A certificate with its chain and its private key, as PEM files.
package struct TLSIdentity: Hashable, Sendable {
  package var certificate: String
  package var key: String

  package init(certificate: String, key: String) {
    self.certificate = certificate
    self.key = key
  }
}

/// What a listener of TLS or WSS shows, and of whom it demands to be shown something.
package struct TLSListenerSettings: Hashable, Sendable {
  package var identity: TLSIdentity
  /// Other certificates by the name that a client asks for (RFC 6066 §3).
  package var named: [Named] = []
  /// A file of certificate authorities. Given: a client without a certificate of one of them is refused.
  package var clientAuthorities: String?

  package struct Named: Hashable, Sendable {
    package var name: String
    package var identity: TLSIdentity
    package init(name: String, identity: TLSIdentity) {
      self.name = name
      self.identity = identity
    }
  }

  package init(identity: TLSIdentity) { self.identity = identity }
}

/// Why certificates could not be taken into use, with what to do about it.
package struct TLSProblem: Error, Hashable, Sendable, CustomStringConvertible {
  package var file: String
  package var reason: String
  package var remedy: String

  package var description: String { "\(file): \(reason). \(remedy)" }
}

extension TLSProblem {
  /// What stands in the way of connections with a trunk's settings: a file that is not there, or is not what it
  /// should be. Nil: nothing. Reads files.
  package static func of(_ security: TrunkSecurity) -> TLSProblem? {
    do throws(TLSProblem) {
      _ = try TLSContext(security)
      return nil
    } catch {
      return error
    }
  }
}

/// A certificate that is in use.
package struct CertificateState: Hashable, Sendable {
  package var listener: String
  /// The name that it is shown for; empty: for any.
  package var name: String
  /// Seconds since 1970.
  package var expires: Int64
}

extension CertificateState {
  /// Those of a listener's files, the one for any name first. Reads files.
  package static func read(
    _ settings: TLSListenerSettings, listener: String
  ) throws(TLSProblem) -> [CertificateState] {
    try TLSContext(settings).states(of: listener)
  }
}
