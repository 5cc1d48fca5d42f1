import Base
import Policy
import SIPWire
import Testing

/// Which listener a trunk's transport leads to, and what is wrong where there is none.
@Suite struct TrunkTransportTests {
  private func compile(
    transports: [Transport], _ change: (inout Trunk) -> Void
  ) throws(ConfigurationProblems) -> Configuration {
    var resources = Resources()
    resources.tenants = [Tenant(name: "acme")]
    resources.networks = [
      Network(name: "n", listeners: transports.indices.map { "l\($0)" }, media: ["m"])
    ]
    var trunk = Trunk(
      name: "t", tenant: "acme", kind: .carrier, network: "n",
      targets: [Fixtures.address("192.0.2.1:5061")])
    change(&trunk)
    resources.trunks = [trunk]
    return try Configuration(
      resources: resources, revision: 1,
      listeners: transports.indices.map {
        (name: "l\($0)", address: SocketAddress(.loopbackV4, 5060))
      },
      media: [(name: "m", address: .loopbackV4)], transports: transports)
  }

  private func problems(
    transports: [Transport], _ change: (inout Trunk) -> Void
  ) -> [String] {
    do throws(ConfigurationProblems) {
      _ = try compile(transports: transports, change)
      return []
    } catch {
      return error.problems.map(\.description)
    }
  }

  @Test func namesOfCertificates() throws {
    let good = try compile(transports: [.tls]) {
      $0.transport = .tls
      $0.clientName = "PBX.Example.com"
    }
    let source = Fixtures.address("203.0.113.9:41000")
    #expect(good.trunk(clientName: "pbx.example.com", source: source, network: 0) == 0)
    #expect(good.trunk(clientName: "example.com", source: source, network: 0) == nil)
    // Its address alone is nobody's any more.
    #expect(good.trunk(source: Fixtures.address("192.0.2.1:5061"), network: 0) == nil)
    for (name, transport, reason) in [
      ("*.example.com", TrunkTransport.tls, "is not the name of a certificate"),
      ("", .tls, "is not the name of a certificate"),
      ("pbx.example.com", .tcp, "a trunk of transport tcp shows no certificate"),
    ] {
      let found = problems(transports: [.tls, .tcp]) {
        $0.transport = transport
        $0.clientName = name
      }
      #expect(found.count == 1 && found[0].contains(reason), "\(found)")
      #expect(found.first?.hasPrefix("trunks[0].tls.clientName") ?? false)
    }
  }

  @Test func trunksThatShareAConnectionAgreeOnIt() throws {
    func problems(_ change: (inout Trunk) -> Void) -> [String] {
      var resources = Resources()
      resources.tenants = [Tenant(name: "acme")]
      resources.networks = [Network(name: "n", listeners: ["l"], media: ["m"])]
      var first = Trunk(
        name: "t", tenant: "acme", kind: .carrier, network: "n",
        targets: [Fixtures.address("192.0.2.1:5061")])
      first.transport = .tls
      first.security = TrunkSecurity()
      first.security?.serverName = "a.example"
      first.authentication = Credentials(username: "t", password: "secret")
      var second = first
      second.authentication?.username = "u"
      second.name = "u"
      change(&second)
      resources.trunks = [first, second]
      do throws(ConfigurationProblems) {
        _ = try Configuration(
          resources: resources, revision: 1,
          listeners: [(name: "l", address: SocketAddress(.loopbackV4, 5061))],
          media: [(name: "m", address: .loopbackV4)], transports: [.tls])
        return []
      } catch {
        return error.problems.map(\.description)
      }
    }
    #expect(problems { _ in } == [])
    #expect(
      problems { $0.security?.serverName = "b.example" }.first?.hasPrefix(
        "trunks[1].targets[0]: trunk `t` reaches 192.0.2.1:5061 with other `tls` settings") == true)
    #expect(
      problems {
        $0.security?.serverName = "b.example"
        $0.targets = [SIPTarget(Fixtures.address("192.0.2.2:5061"))]
      } == [])
  }

  @Test func theListenerOfTheTransport() throws {
    let configuration = try compile(transports: [.udp, .tcp, .tls, .wss, .tcp]) {
      $0.transport = .tls
      $0.security = TrunkSecurity()
    }
    let found = [Transport.udp, .tcp, .tls, .ws, .wss].map {
      configuration.listener(ofNetwork: 0, family: .v4, transport: $0)
    }
    #expect(found == [0, 1, 2, nil, 3])
    #expect(configuration.listener(ofNetwork: 0, family: .v6, transport: .tcp) == nil)
  }

  @Test func problemsNameTheirRemedy() {
    #expect(
      problems(transports: [.udp]) { $0.transport = .tls } == [
        "trunks[0].targets[0]: network `n` has no IPv4 listener of transport tls to reach "
          + "192.0.2.1:5061 Add a listener with `transport: tls` to demarc.yaml and to the network, "
          + "or give the trunk a `transport` that its network has."
      ])
    #expect(
      problems(transports: [.tls]) { _ in }.first?.contains("of transport udp") ?? false)
    let security = problems(transports: [.udp, .tls]) {
      $0.security = TrunkSecurity()
      $0.security?.certificate = "a.pem"
      $0.security?.serverName = "two words"
    }
    #expect(security.count == 3)
    #expect(security[0].contains("Write `transport: tls`"))
    #expect(security[1].contains("`certificate` and `key`"))
    #expect(security[2].contains("no host name"))
  }
}
