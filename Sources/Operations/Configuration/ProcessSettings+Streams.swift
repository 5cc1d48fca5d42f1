import Edge
import Policy
import SIPWire

// What listeners of TCP, TLS, WS and WSS have beyond an address, and the bounds of connections.

extension DocumentReader {
  static let securityKeys = ["certificate", "key", "clientCA", "serverNames"]

  mutating func streamLimits(_ fields: DocumentFields, _ limits: inout StreamLimits) {
    limits.connections
      ?= optional(fields, "connections", .number(1...1_000_000, example: 20_000))
    limits.connectionsPerSource
      ?= optional(fields, "connectionsPerSource", .number(1...1_000_000, example: 256))
    limits.handshakeTime ?= optional(fields, "handshakeTime", .duration(example: "8s"))
    limits.messageTime ?= optional(fields, "messageTime", .duration(example: "30s"))
    limits.idleTime ?= optional(fields, "idleTime", .duration(example: "1h"))
    limits.connectTime ?= optional(fields, "connectTime", .duration(example: "4s"))
    limits.outputBytes ?= optional(fields, "connectionOutput", .bytes)
    if limits.outputBytes < 65_536 {
      report(
        fields.position, ["limits", "connectionOutput"],
        "\(limits.outputBytes) bytes are less than one message may have",
        remedy: "Write 64KiB or more.")
    }
  }

  /// Certificates where the transport has them, and nowhere else.
  mutating func security(
    _ fields: DocumentFields, _ path: [PathElement], _ listener: inout ListenerSettings
  ) {
    let transport = listener.transport
    if transport.wire.isSecure {
      listener.tls = certificates(fields, path)
    } else {
      for key in Self.securityKeys where fields.has(key) {
        report(
          fields.position, path + [.key(key)],
          "a listener of \(transport.rawValue) has no `\(key)`",
          remedy: "Leave it out, or write `transport: tls` (or wss).")
      }
    }
    if transport.wire.isWebSocket {
      listener.origins = list(
        fields, "origins", .text("an origin", example: "https://phone.example.com"))
    } else if fields.has("origins") {
      report(
        fields.position, path + ["origins"],
        "`origins` are those of web pages; a listener of \(transport.rawValue) has none",
        remedy: "Leave it out, or write `transport: wss`.")
    }
  }

  private mutating func certificates(_ fields: DocumentFields, _ path: [PathElement])
    -> TLSListenerSettings?
  {
    guard let identity = identity(fields) else { return nil }
    var tls = TLSListenerSettings(identity: identity)
    tls.clientAuthorities = optional(
      fields, "clientCA", .text("a file", example: "/etc/demarc/clients.pem"))
    for (node, here) in items(fields, "serverNames") {
      guard let own = self.fields(node, here, keys: ["name", "certificate", "key"]) else {
        continue
      }
      let name = required(own, "name", .text("a host name", example: "sip.example.com")) ?? ""
      guard let shown = self.identity(own) else { continue }
      if tls.named.contains(where: { $0.name.lowercased() == name.lowercased() }) {
        report(
          own.position, here + ["name"], "the name `\(name)` is used twice",
          remedy: "Give each name one certificate.")
      }
      tls.named.append(TLSListenerSettings.Named(name: name, identity: shown))
    }
    return tls
  }

  private mutating func identity(_ fields: DocumentFields) -> TLSIdentity? {
    let certificate = required(
      fields, "certificate", .text("a file", example: "/etc/demarc/cert.pem"))
    let key = required(fields, "key", .text("a file", example: "/etc/demarc/key.pem"))
    guard let certificate, let key else { return nil }
    return TLSIdentity(certificate: certificate, key: key)
  }
}
