import Base
import CallCore
import Edge
import Operations
import Policy
import SIPWire
import Testing

/// Listeners of TCP, TLS, WS and WSS, and trunks that are reached by them, as people write them down.
struct ConfigurationStreamTests {
  private func settings(_ text: String) throws(ConfigErrors) -> ProcessSettings {
    try ProcessSettings.read(text, source: "demarc.yaml")
  }

  private func errors(_ text: String) -> [String] {
    do throws(ConfigErrors) {
      _ = try settings(text)
      return []
    } catch {
      return error.errors.map(\.description)
    }
  }

  @Test func listenersOfEachTransport() throws {
    let settings = try settings(
      """
      listeners:
        - {name: udp, address: 127.0.0.1}
        - {name: tcp, transport: tcp, address: 127.0.0.1}
        - name: tls
          transport: tls
          address: 127.0.0.1
          certificate: a.pem
          key: a.key
          clientCA: ca.pem
          serverNames: [{name: B.example, certificate: b.pem, key: b.key}]
        - {name: ws, transport: ws, address: 127.0.0.1}
        - {name: wss, transport: wss, address: 127.0.0.1, certificate: a.pem, key: a.key,
           origins: ["https://phone.example"]}
      limits: {connections: 10, connectionsPerSource: 2, handshakeTime: 5s, messageTime: 20s,
        idleTime: 10m, connectTime: 2s, connectionOutput: 128KiB}
      """)
    #expect(settings.listeners.map(\.port) == [5060, 5060, 5061, 80, 443])
    let tls = try #require(settings.listeners[2].tls)
    #expect(tls.identity.certificate == "a.pem" && tls.identity.key == "a.key")
    #expect(tls.clientAuthorities == "ca.pem" && tls.named.map(\.name) == ["B.example"])
    #expect(settings.listeners[4].origins == ["https://phone.example"])
    let limits = settings.limits.streams
    #expect(limits.connections == 10 && limits.connectionsPerSource == 2)
    #expect(limits.handshakeTime == .seconds(5) && limits.messageTime == .seconds(20))
    #expect(limits.idleTime == .seconds(600) && limits.connectTime == .seconds(2))
    #expect(limits.outputBytes == 131_072)
    let server = ServerSettings(settings)
    #expect(server.streams.certificates.keys.sorted() == ["tls", "wss"])
    #expect(server.listeners.map(\.transport.isReliable) == [false, true, true, true, true])
  }

  @Test func mistakes() {
    #expect(
      errors(
        """
        listeners:
          - {name: a, transport: tsl, address: 127.0.0.1}
          - {name: b, transport: tls, address: 127.0.0.1}
          - {name: c, transport: tcp, address: 127.0.0.1, port: 5070, key: a.key}
          - {name: d, transport: ws, address: 127.0.0.1, port: 5070}
          - {name: e, address: 127.0.0.1, port: 5071, origins: [x]}
        limits: {connectionOutput: 1KiB}
        """
      ) == [
        "demarc.yaml:2:26: `tsl` is not a transport; did you mean `tls`? "
          + "One of: udp, tcp, tls, ws, wss.",
        "demarc.yaml:3:5: the key `certificate` is missing. Add certificate: /etc/demarc/cert.pem.",
        "demarc.yaml:3:5: the key `key` is missing. Add key: /etc/demarc/key.pem.",
        "demarc.yaml:4:5: a listener of tcp has no `key`. "
          + "Leave it out, or write `transport: tls` (or wss).",
        "demarc.yaml:5:5: 127.0.0.1:5070 is the listener `c`'s already. "
          + "Give each listener an address and port of its own.",
        "demarc.yaml:6:5: `origins` are those of web pages; a listener of udp has none. "
          + "Leave it out, or write `transport: wss`.",
        "demarc.yaml:7:9: 1024 bytes are less than one message may have. Write 64KiB or more.",
      ])
  }

  @Test func trunksReadBackAsTheyAreWritten() throws {
    let text = """
      tenants: [{name: acme}]
      networks: [{name: n, listeners: [udp, tls], media: [m]}]
      trunks:
        - name: carrier
          kind: carrier
          network: n
          targets: ["127.0.0.1", "127.0.0.2:5070"]
          transport: tls
          tls: {serverName: sip.example, ca: ca.pem, certificate: us.pem, key: us.key}
      """
    let document = try ResourceDocument.parse(text, source: "a.yaml")
    let trunk = try #require(document.resources.trunks.first)
    #expect(trunk.transport == .tls && trunk.security?.serverName == "sip.example")
    #expect(trunk.targets.map(\.description) == ["127.0.0.1:5061", "127.0.0.2:5070"])
    let written = DocumentWriter.yaml(document.resources.document(secrets: .written))
    let again = try ResourceDocument.parse(written, source: "again")
    #expect(again.resources.trunks == document.resources.trunks)
  }
}
