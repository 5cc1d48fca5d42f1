import Base

/// The transport of a Via field or a URI parameter.
@frozen
package enum Transport: UInt8, Sendable, CaseIterable {
  case udp, tcp, tls, ws, wss, other

  /// In any case (RFC 3261 §7.3.1).
  package static func parse(_ bytes: RawSpan) -> Transport {
    if bytes.equalsIgnoringCase("udp") { return .udp }
    if bytes.equalsIgnoringCase("tcp") { return .tcp }
    if bytes.equalsIgnoringCase("tls") { return .tls }
    if bytes.equalsIgnoringCase("ws") { return .ws }
    if bytes.equalsIgnoringCase("wss") { return .wss }
    return .other
  }

  /// Over it nothing is lost, doubled or overtaken while the connection lasts, so nothing is sent again
  /// (RFC 3261 §17).
  package var isReliable: Bool {
    switch self {
    case .udp, .other: false
    case .tcp, .tls, .ws, .wss: true
    }
  }

  package var isSecure: Bool { self == .tls || self == .wss }
  package var isWebSocket: Bool { self == .ws || self == .wss }

  /// As Via has it (§20.42, RFC 7118 §5.2).
  package var token: StaticString {
    switch self {
    case .udp, .other: "UDP"
    case .tcp: "TCP"
    case .tls: "TLS"
    case .ws: "WS"
    case .wss: "WSS"
    }
  }

  /// As people write it.
  package var name: String { "\(token)".lowercased() }

  /// What a URI of ours has behind its host, so that whoever follows it comes the same way. UDP needs
  /// nothing; a WebSocket is `ws` in a URI whether it is secured or not (RFC 7118 §5.3).
  package var parameter: StaticString {
    switch self {
    case .udp, .other: ""
    case .tcp: ";transport=tcp"
    case .tls: ";transport=tls"
    case .ws, .wss: ";transport=ws"
    }
  }

  /// §19.1.2, RFC 7118 §5.3.
  package var defaultPort: UInt16 {
    switch self {
    case .udp, .tcp, .other: 5060
    case .tls: 5061
    case .ws: 80
    case .wss: 443
    }
  }
}
