package import SIPWire

/// What requests to a trunk travel by.
package enum TrunkTransport: String, Sendable, CaseIterable {
  case udp, tcp, tls

  package var wire: Transport {
    switch self {
    case .udp: .udp
    case .tcp: .tcp
    case .tls: .tls
    }
  }
}

/// How the far end of a TLS connection to a trunk proves who it is (RFC 5922), and what we show it. Files
/// are in PEM, on the machine that Demarc runs on.
package struct TrunkSecurity: Hashable, Sendable {
  /// The domain that the certificate must be for. Empty: the target's name or address.
  package var serverName = ""
  /// The authorities that it may come from. Empty: the system's.
  package var authorities = ""
  /// Our own certificate, with its key, for a peer that asks for one. Empty: none.
  package var certificate = ""
  package var key = ""

  package init() {}
}

extension Trunk {
  /// Whose certificate a target must show. That of one that is written as a name is for the name, wherever DNS
  /// says that it is (RFC 5922 §4). Nil without TLS.
  package func security(of target: SIPTarget) -> TrunkSecurity? {
    guard var security = ownSecurity else { return nil }
    if security.serverName.isEmpty, case .name(let name) = target.host {
      security.serverName = name
    }
    return security
  }

  /// The same where nothing is known of the far end but its address. With whom we register is known by the
  /// registrar's domain, so its certificate is for that (RFC 5922 §4), not for the address that it happens to have; that of
  /// an outbound proxy with a name is for the proxy's.
  package var ownSecurity: TrunkSecurity? {
    guard transport == .tls else { return nil }
    var security = security ?? TrunkSecurity()
    if security.serverName.isEmpty, let domain = register?.certifiedName {
      security.serverName = domain
    }
    return security
  }
}
