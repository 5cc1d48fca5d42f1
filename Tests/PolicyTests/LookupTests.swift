import Base
import Policy
import Testing

struct LookupTests {
  let configuration: Configuration
  init() throws { configuration = try Fixtures.compile(Fixtures.resources()) }

  @Test func networks() {
    #expect(configuration.network(ofListener: 0) == 0)
    #expect(configuration.network(ofListener: 1) == 0)
    #expect(configuration.network(ofListener: 2) == 1)
    #expect(configuration.network(ofListener: 3) == nil)
    #expect(configuration.listener(ofNetwork: 0, family: .v4) == 0)
    #expect(configuration.listener(ofNetwork: 0, family: .v6) == 1)
    #expect(configuration.listener(ofNetwork: 1, family: .v6) == nil)
    #expect(configuration.listener(ofNetwork: 9, family: .v4) == nil)
    #expect(configuration.mediaAddresses(ofNetwork: 0) == [0, 1])
    #expect(configuration.mediaAddresses(ofNetwork: 0, family: .v6) == [1])
    #expect(configuration.mediaAddresses(ofNetwork: -1) == [])
    #expect(configuration.network(ofTrunk: 1) == 1)
    #expect(configuration.network(ofUser: 0) == 0)
    #expect(configuration.network(ofUser: 5) == nil)
  }

  @Test func tenants() throws {
    #expect(configuration.tenant(domain: "PBX.Example.COM") == 0)
    #expect(configuration.tenant(domain: "192.0.2.99") == 0)
    #expect(configuration.realm(ofTenant: 0) == "pbx.example.com")
    #expect(configuration.realm(ofTenant: 4) == "")

    var two = Fixtures.resources()
    two.tenants.append(Tenant(name: "other"))
    let shared = try Fixtures.compile(two)
    #expect(shared.tenant(domain: "pbx.example.com") == 0)
    #expect(shared.tenant(domain: "192.0.2.99") == nil)
    #expect(shared.realm(ofTenant: 1) == "other")
    #expect(shared.tenant(named: "other") == 1)
    #expect(Configuration().tenant(domain: "pbx.example.com") == nil)
  }

  @Test func names() {
    #expect(configuration.trunk(named: "beta", tenant: 0) == 2)
    #expect(configuration.trunk(named: "beta", tenant: 1) == nil)
    #expect(configuration.trunk(username: "office-pbx", tenant: 0) == 0)
    #expect(configuration.trunk(username: "office-pbx", tenant: nil) == 0)
    #expect(configuration.trunk(username: "alpha", tenant: nil) == nil)
    #expect(configuration.user(username: "bob", tenant: 0) == 1)
    #expect(configuration.user(extension: "1002", tenant: 0) == 1)
    #expect(configuration.user(extension: "*43", tenant: 0) == nil)
    #expect(configuration.application(named: "echo", tenant: 0) == 0)
  }

  @Test func usernameOfTwoTenantsNeedsTheTenant() throws {
    var r = Fixtures.resources()
    r.tenants.append(Tenant(name: "other"))
    r.trunks[3].authentication = Credentials(username: "office-pbx", password: "x")
    r.trunks[3].tenant = "other"
    r.routes.remove(at: 1)
    let shared = try Fixtures.compile(r)
    #expect(shared.trunk(username: "office-pbx", tenant: nil) == nil)
    #expect(shared.trunk(username: "office-pbx", tenant: 1) == 3)
  }

  @Test func sourcesFromTargets() {
    func trunk(_ source: String, _ network: Int) -> Int? {
      configuration.trunk(source: Fixtures.address(source), network: network)
    }
    // alpha and beta share an address, so only their ports tell them apart; gamma has its own.
    #expect(trunk("127.0.0.1:6001", 1) == 1)
    #expect(trunk("127.0.0.1:6002", 1) == 2)
    #expect(trunk("127.0.0.1:6003", 1) == nil)
    #expect(trunk("192.0.2.7:5060", 1) == 3)
    #expect(trunk("192.0.2.7:1024", 1) == 3)
    #expect(trunk("192.0.2.8:5060", 1) == nil)
    #expect(trunk("192.0.2.7:5060", 0) == nil)
    #expect(trunk("192.0.2.7:5060", 9) == nil)
  }

  @Test func theMostSpecificSourceWins() throws {
    var r = Fixtures.resources()
    let ten = IPAddress(v4: 10 << 24)
    let host = IPAddress(v4: 10 << 24 | 1)
    r.trunks[0].sources = [SourceMatch(network: ten, prefixLength: 8)]
    r.trunks[1].network = "inside"
    r.trunks[1].sources = [SourceMatch(host)]
    r.trunks[2].network = "inside"
    r.trunks[2].sources = [
      SourceMatch(host, port: 5070),
      SourceMatch(network: IPAddress(v6High: 0x2001_0db8 << 32, low: 0), prefixLength: 32),
    ]
    r.trunks[3].network = "inside"
    r.trunks[3].sources = [
      SourceMatch(network: IPAddress(v4: 10 << 24 | 1 << 16), prefixLength: 16),
      SourceMatch(network: ten, prefixLength: 8, port: 9_999),
    ]
    let configuration = try Fixtures.compile(r)
    func trunk(_ source: String) -> Int? {
      configuration.trunk(source: Fixtures.address(source), network: 0)
    }
    #expect(trunk("10.0.0.1:5070") == 2)
    #expect(trunk("10.0.0.1:5071") == 1)
    #expect(trunk("10.1.2.3:5060") == 3)
    #expect(trunk("10.1.2.3:9999") == 3)
    #expect(trunk("10.2.2.3:5060") == 0)
    #expect(trunk("10.2.2.3:9999") == 3)
    #expect(trunk("11.2.2.3:5060") == nil)
    #expect(trunk("[2001:db8::7]:1") == 2)
    #expect(trunk("[2001:db9::7]:1") == nil)
  }

  @Test func emptyConfigurationAnswersNothing() {
    let empty = Configuration()
    var random = RandomSource(seed: 1)
    #expect(empty.network(ofListener: 0) == nil)
    #expect(empty.trunk(source: Fixtures.address("127.0.0.1:5060"), network: 0) == nil)
    let result = empty.resolve(called: "1", caller: .user(0), tenant: 0, random: &random)
    #expect(result == .failure(.numberUnknown))
  }
}
