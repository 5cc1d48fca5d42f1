import Base
import Policy
import Testing

struct ConfigurationProblemTests {
  @Test func theFixtureIsRight() throws {
    let configuration = try Fixtures.compile(Fixtures.resources())
    #expect(configuration.revision == 7)
    #expect(configuration.resources == Fixtures.resources())
  }

  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var path: String
    var message: String
    var suggestion: String?
    var change: @Sendable (inout Resources) -> Void

    init(
      _ name: String, _ path: String, _ message: String, suggestion: String? = nil,
      _ change: @escaping @Sendable (inout Resources) -> Void
    ) {
      self.name = name
      self.path = path
      self.message = message
      self.suggestion = suggestion
      self.change = change
    }
    var testDescription: String { name }
  }

  static let references: [Case] = [
    Case(
      "SRTP by UDP", "trunks[4].srtp", "trunk `delta` requires SRTP by udp, which shows the keys"
    ) {
      $0.trunks.append(Fixtures.carrier("delta", "192.0.2.9:5060"))
      $0.trunks[4].srtp.policy = .require
    },
    Case(
      "SRTP of phones that may come by anything", "users[0].srtp",
      "user `alice` requires SRTP, and its phones may come without TLS, which shows the keys"
    ) { $0.users[0].srtp.policy = .require },
    Case("tenant of a trunk", "trunks[4].tenant", "no tenant is named `acmee`", suggestion: "acme")
    {
      $0.trunks.append(Fixtures.carrier("delta", "192.0.2.9:5060"))
      $0.trunks[4].tenant = "acmee"
    },
    Case(
      "network of a user", "users[1].network", "no network is named `insid`", suggestion: "inside"
    ) { $0.users[1].network = "insid" },
    Case(
      "listener", "networks[0].listeners[1]", "no listener is named `udp7`", suggestion: "udp4"
    ) { $0.networks[0].listeners[1] = "udp7" },
    Case("media", "networks[1].media[0]", "no media address is named `x`") {
      $0.networks[1].media = ["x"]
    },
    Case(
      "user of a chain", "numbers[0].destinations[0].user",
      "no user of tenant `acme` is named `alcie`", suggestion: "alice"
    ) { $0.numbers[0].destinations[0].to = .user("alcie") },
    Case(
      "trunk of a chain", "numbers[1].destinations[0].trunk",
      "no trunk of tenant `acme` is named `ofice`", suggestion: "office"
    ) { $0.numbers[1].destinations[0].to = .trunk("ofice") },
    Case(
      "application of a chain", "numbers[1].destinations[0].application",
      "no application of tenant `acme` is named `ecco`", suggestion: "echo"
    ) { $0.numbers[1].destinations[0].to = .application("ecco") },
    Case(
      "number of a chain", "numbers[1].destinations[0].number", "the number `12345` leads nowhere"
    ) { $0.numbers[1].destinations[0].to = .number("12345") },
    Case(
      "carrier of a route", "routes[0].carriers[1].trunk",
      "no trunk of tenant `acme` is named `betta`", suggestion: "beta"
    ) { $0.routes[0].carriers[1].trunk = "betta" },
    Case(
      "unknown collector of quality", "tenants[0].qualityCollector",
      "no trunk of tenant `acme` is named `betta`", suggestion: "beta"
    ) { $0.tenants[0].qualityCollector = "betta" },
    Case("interval without a collector", "tenants[0].qualityInterval", "nobody is told") {
      $0.tenants[0].qualityInterval = 60
    },
    Case("alert without a collector", "tenants[0].qualityAlert", "nobody is told") {
      $0.tenants[0].qualityAlert = 360
    },
    Case("another tenant's trunk", "routes[0].carriers[0].trunk", "no trunk of tenant `acme`") {
      $0.tenants.append(Tenant(name: "other"))
      $0.routes.removeLast()
      $0.trunks[1].tenant = "other"
    },
  ]

  static let duplicates: [Case] = [
    Case("tenant", "tenants[1].name", "the tenant name `acme` is used twice") {
      $0.tenants.append(Tenant(name: "acme"))
    },
    Case("domain in another case", "tenants[1].domains[0]", "the domain `PBX.example.com`") {
      $0.tenants.append(Tenant(name: "other", domains: ["PBX.example.com"]))
    },
    Case("network", "networks[2].name", "the network name `inside`") {
      $0.networks[0].listeners = ["udp4"]
      $0.networks.append(Network(name: "inside", listeners: ["udp6"], media: ["media6"]))
    },
    Case("listener of two networks", "networks[1].listeners[0]", "the listener `udp4`") {
      $0.networks[1].listeners = ["udp4"]
    },
    Case("trunk", "trunks[4].name", "the trunk name `alpha`") {
      $0.trunks.append(Fixtures.carrier("alpha", "192.0.2.9:5060"))
    },
    Case("user", "users[1].name", "the user name `alice`") { $0.users[1].name = "alice" },
    Case("extension", "users[1].extension", "the extension 1001") {
      $0.users[1].extension = "1001"
    },
    Case("extension of an application", "applications[0].extension", "the extension 1002") {
      $0.applications[0].extension = "1002"
    },
    Case("number with separators", "numbers[1].number", "the number +44 1632 960100") {
      $0.numbers[1].number = "+44 1632 960100"
    },
    Case("prefix", "routes[1].prefix", "the prefix `+`") { $0.routes[1].prefix = "+" },
    Case("route", "routes[1].name", "the route name `world`") { $0.routes[1].name = "world" },
    Case("username of two trunks", "trunks[1].authentication.username", "the username") {
      $0.trunks[1].authentication = Credentials(username: "office-pbx", password: "x")
    },
    Case("username of a trunk and a user", "users[0].name", "the username `alice`") {
      $0.trunks[0].authentication?.username = "alice"
    },
    Case("carrier twice", "routes[0].carriers[1].trunk", "the trunk `alpha` is used twice") {
      $0.routes[0].carriers[1].trunk = "alpha"
    },
    Case("written source", "trunks[3].sources[0]", "this source is used twice") {
      $0.trunks[2].sources = [SourceMatch(network: IPAddress(v4: 10 << 24), prefixLength: 8)]
      $0.trunks[3].sources = [SourceMatch(network: IPAddress(v4: 10 << 24 | 5), prefixLength: 8)]
    },
    Case("source by targets", "trunks[2].targets[0]", "calls from 127.0.0.1:6001 could be of") {
      $0.trunks[2].targets = $0.trunks[1].targets
    },
  ]

  static let values: [Case] = [
    Case("name", "users[0].name", "`al ice` cannot be the name of a user") {
      $0.users[0].name = "al ice"
      $0.numbers[0].destinations.removeFirst()
    },
    Case("empty name", "trunks[3].name", "`` cannot be the name of a trunk") {
      $0.trunks[3].name = ""
      $0.routes.remove(at: 1)
      $0.numbers[0].destinations.remove(at: 1)
    },
    Case("empty chain", "numbers[1].destinations", "leads nowhere") {
      $0.numbers[1].destinations = []
    },
    Case("no carriers", "routes[1].carriers", "has no carrier") { $0.routes[1].carriers = [] },
    Case("weight 0", "routes[0].carriers[0].weight", "0 is out of range") {
      $0.routes[0].carriers[0].weight = 0
    },
    Case("negative weight", "routes[0].carriers[0].weight", "-3 is out of range") {
      $0.routes[0].carriers[0].weight = -3
    },
    Case("priority", "routes[0].carriers[0].priority", "65536 is out of range") {
      $0.routes[0].carriers[0].priority = 65_536
    },
    Case("carrier's allowance", "trunks[1].mayCall", "is a carrier") {
      $0.trunks[1].toll.mayCall = .all
    },
    Case("call duration", "users[0].maxCallDuration", "out of range") {
      $0.users[0].toll.maxCallDuration = .zero
    },
    Case("calls a minute", "tenants[0].callsPerMinute", "0 is out of range") {
      $0.tenants[0].toll.callsPerMinute = 0
    },
    Case("costly calls", "trunks[0].costlyCalls.maxCalls", "-1 is out of range") {
      $0.trunks[0].toll.costlyCalls = CostlyCalls(
        maxCalls: -1, callsPerMinute: 1, minutesPerDay: 1)
    },
    Case("prefix", "routes[0].prefix", "`4a` is no prefix") { $0.routes[0].prefix = "4a" },
    Case("long prefix", "routes[0].prefix", "is no prefix") {
      $0.routes[0].prefix = "12345678901234567"
    },
    Case("strip", "routes[0].strip", "-1 is out of range") { $0.routes[0].strip = -1 },
    Case("prepend", "routes[0].prepend", "cannot stand before") { $0.routes[0].prepend = "x" },
    Case("timeout", "routes[0].timeout", "a duration of 0.0 s") { $0.routes[0].timeout = .zero },
    Case("hop timeout", "numbers[0].destinations[0].timeout", "a duration of 7200.0 s") {
      $0.numbers[0].destinations[0].timeout = .seconds(7_200)
    },
    Case("family", "trunks[1].targets[0]", "network `outside` has no IPv6 listener") {
      $0.trunks[1].targets = [SIPTarget(Fixtures.address("[2001:db8::1]:5060"))]
    },
    Case("target", "trunks[1].targets[0]", "0.0.0.0:5060 cannot be sent to") {
      $0.trunks[1].targets = [SIPTarget(SocketAddress(.anyV4, 5060))]
    },
    Case(
      "target transport", "trunks[1].targets[0]", "the trunk's transport is udp, not that of sips:"
    ) {
      $0.trunks[1].targets = SIPTarget("sips:sip.example.com").map { [$0] } ?? []
    },
    Case("probe interval", "trunks[1].probe.interval", "of 0.5 s is out of range") {
      $0.trunks[1].probe.interval = .milliseconds(500)
    },
    Case("probe failures", "trunks[1].probe.failures", "0 is out of range") {
      $0.trunks[1].probe.failures = 0
    },
    Case("slow start", "trunks[1].probe.slowStart", "is out of range") {
      $0.trunks[1].probe.slowStart = .seconds(3_601)
    },
    Case("target port", "trunks[1].targets[0]", "cannot be sent to") {
      $0.trunks[1].targets[0].port = 0
    },
    Case("trunk without targets", "routes[1].carriers[0].trunk", "has no targets") {
      $0.trunks[3].targets = []
    },
    Case("call limit", "trunks[1].maxCalls", "-1 is out of range") { $0.trunks[1].maxCalls = -1 },
    Case("rate", "trunks[1].callsPerSecond", "0 is out of range") {
      $0.trunks[1].callsPerSecond = 0
    },
    Case("codec", "trunks[1].codecs[0]", "`PC MU` is no codec name") {
      $0.trunks[1].codecs = ["PC MU"]
    },
    Case("codec of a user", "users[0].codecs[1]", "`PC MU` is no codec name") {
      $0.users[0].codecs = ["PCMA", "PC MU"]
    },
    Case("playout without conversion", "trunks[1].playout", "is decoded and encoded") {
      $0.trunks[1].playout = .adaptive
      $0.trunks[1].transcode = false
    },
    Case("playout of a user", "users[0].playout", "is decoded and encoded") {
      $0.users[0].playout = .adaptive
      $0.users[0].transcode = false
    },
    Case("no listener", "networks[1].listeners", "has no listener") {
      $0.networks[1].listeners = []
    },
    Case("no media", "networks[1].media", "has no media address") { $0.networks[1].media = [] },
    Case("advertised", "networks[0].advertisedSignalling", "nobody can send to 0.0.0.0") {
      $0.networks[0].advertisedSignalling = .anyV4
    },
    Case("advertised family", "networks[1].advertisedMedia", "of a family") {
      $0.networks[1].advertisedMedia = IPAddress(v6High: 0x2001_0db8 << 32, low: 1)
    },
    Case("announcement", "applications[0]", "has no file") {
      $0.applications[0].kind = .announcement
    },
    Case("file", "applications[0].file", "plays no file") { $0.applications[0].file = "x.wav" },
    Case("password", "users[0].password", "a password has") { $0.users[0].password = "" },
    Case("caller", "users[0].callerID", "`me` is no number") { $0.users[0].callerID = "me" },
    Case("contacts", "users[0].maxContacts", "0 is out of range") {
      $0.users[0].maxContacts = 0
    },
    Case("extension", "users[0].extension", "cannot be dialled") { $0.users[0].extension = "a1" },
    Case("number", "numbers[1].number", "`main` is no telephone number") {
      $0.numbers[1].number = "main"
    },
    Case("circle", "numbers[2].destinations", "+441632960102 → +441632960102") {
      $0.numbers[2].destinations[0].to = .number("+441632960102")
    },
    Case("bigger circle", "numbers[2].destinations", "lead in a circle") {
      $0.numbers[0].destinations[1].to = .number("+441632960102")
    },
    Case("nothing left", "numbers[1].destinations[0].number", "nothing of `0` is left") {
      $0.routes[2].prepend = ""
      $0.numbers[1].destinations[0].to = .number("0")
    },
    Case("too many numbers in a row", "numbers[4].destinations", "more than 8 numbers") { r in
      for i in 0..<9 {
        let next: Destination = i == 8 ? .user("bob") : .number("555\(i + 1)")
        r.numbers.insert(Fixtures.number("555\(i)", [next]), at: 4 + i - 1)
      }
      r.numbers.insert(Fixtures.number("666", [.user("bob")]), at: 3)
    },
  ]

  @Test(arguments: references + duplicates + values)
  func problem(_ test: Case) throws {
    let problems = Fixtures.problems(test.change)
    #expect(problems.count == 1, "\(problems.map(\.description))")
    let problem = try #require(problems.first)
    #expect(problem.pathText == test.path)
    #expect(problem.message.contains(test.message), "\(problem.message)")
    #expect(problem.suggestion == test.suggestion)
    #expect(problem.remedy.hasSuffix("."))
  }

  /// By DTLS no key stands in the signalling, so nothing has to hide it.
  @Test func keysByDTLSNeedNoTLS() {
    let problems = Fixtures.problems {
      $0.trunks.append(Fixtures.carrier("delta", "192.0.2.9:5060"))
      $0.trunks[4].srtp.policy = .require
      $0.trunks[4].srtp.keys = .dtls
      $0.users[0].srtp = $0.trunks[4].srtp
    }
    #expect(problems.isEmpty)
  }

  @Test func everyProblemIsReported() {
    let problems = Fixtures.problems {
      $0.users[0].network = "nowhere"
      $0.routes[0].carriers[0].weight = 0
      $0.trunks[1].maxCalls = -1
      $0.numbers[1].destinations = []
    }
    #expect(
      problems.map(\.pathText) == [
        "trunks[1].maxCalls", "users[0].network", "routes[0].carriers[0].weight",
        "numbers[1].destinations",
      ])
  }

  @Test func reportsAreBounded() {
    let problems = Fixtures.problems { r in
      r.users += (0..<3_000).map { Fixtures.user("u\($0)", "2\($0)", tenant: "nobody\($0)") }
    }
    #expect(problems.count == ConfigurationProblems.limit + 1)
    #expect(problems.last?.message == "2000 further problems are not shown")
  }

  @Test func oneNameInTwoTenantsIsNoDuplicate() throws {
    var r = Fixtures.resources()
    r.tenants.append(Tenant(name: "other", domains: ["other.example.com"]))
    r.users.append(Fixtures.user("alice", "1001", tenant: "other"))
    let configuration = try Fixtures.compile(r)
    #expect(configuration.user(extension: "1001", tenant: 0) == 0)
    #expect(configuration.user(extension: "1001", tenant: 1) == 2)
    #expect(configuration.tenant(ofUser: 2) == 1)
    #expect(configuration.tenant(ofNetwork: 0) == nil)
    #expect(configuration.tenant(ofNetwork: 1) == 0)
  }

  @Test func passwordsAreNeverPrinted() {
    let r = Fixtures.resources()
    var dumped = ""
    dump(r, to: &dumped)
    for text in ["\(r)", String(reflecting: r), dumped, "\(r.users[0])", "\(r.trunks[0])"] {
      #expect(!text.contains("s3cret") && !text.contains("pw-alice"), "\(text)")
      #expect(text.contains("•••"))
    }
  }

  @Test func nearestMatches() {
    #expect(nearestMatch(to: "adress", in: ["address", "port"]) == "address")
    #expect(nearestMatch(to: "ADDRESS", in: ["address"]) == "address")
    #expect(nearestMatch(to: "prot", in: ["port", "path"]) == "port")
    #expect(nearestMatch(to: "zzz", in: ["address", "port"]) == nil)
    #expect(nearestMatch(to: "", in: ["a"]) == nil)
    #expect(nearestMatch(to: String(repeating: "a", count: 65), in: ["a"]) == nil)
  }
}
