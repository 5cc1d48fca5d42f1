import Base
import Edge
import Foundation
import MediaControl
import MediaEngine
import Operations
import Testing

struct DoctorTests {
  private let media = MediaAddress(name: "inside", bound: .loopbackV4, ports: 20_000...20_999)

  private func finding(_ check: String, _ facts: DoctorFacts) throws -> DoctorFinding {
    try #require(facts.findings.first { $0.check == check })
  }

  @Test func aGoodMachine() {
    let findings = DoctorFacts(media: [media]).findings
    #expect(findings.count == 5)
    #expect(findings.allSatisfy { $0.verdict == .good && $0.remedy == nil })
  }

  private static let obstacles: [(FastPathObstacle, String)] = [
    (.notPermitted(missing: ["CAP_BPF"]), "CAP_BPF"),
    (.kernelTooOld(5, 10), "5.10 is too old; 5.12"), (.byteOrder, "little-endian"),
    (.refused("R1 invalid"), "R1 invalid"), (.noInterface, "no Ethernet"),
    (.system(step: "map", reason: "no memory"), "map: no memory"),
  ]

  @Test(arguments: obstacles)
  func whatKeepsMediaOutOfTheKernel(obstacle: FastPathObstacle, words: String) throws {
    let found = try finding("media in the kernel", DoctorFacts(media: [media], obstacle: obstacle))
    #expect(found.verdict == .advice)
    #expect(found.finding.contains(words))
    #expect(found.remedy?.isEmpty == false)
  }

  @Test func switchedOffIsNoTrouble() throws {
    let facts = DoctorFacts(media: [media], fastPath: .off, obstacle: nil, justInTime: 0)
    #expect(try finding("media in the kernel", facts).finding.contains("switched off"))
    #expect(!facts.findings.contains { $0.check == "BPF compiler" })
  }

  @Test func policiesOfIPsecKeepMediaOut() throws {
    var facts = DoctorFacts(media: [media])
    facts.hasIPsecPolicies = true
    #expect(try finding("media in the kernel", facts).finding.contains("IPsec"))
  }

  @Test(arguments: [BanTableObstacle.notPermitted, .taken, .unsupported, .system(12)])
  func whatKeepsBansOutOfTheKernel(obstacle: BanTableObstacle) throws {
    var facts = DoctorFacts(media: [media])
    facts.kernelTableObstacle = obstacle
    #expect(!facts.findings.contains { $0.check == "bans in the kernel" })
    facts.kernelTable = "demarc"
    let found = try finding("bans in the kernel", facts)
    #expect(found.verdict == .advice && found.finding.contains(obstacle.description))
    #expect(found.remedy == obstacle.remedy)
    facts.kernelTableObstacle = nil
    #expect(try finding("bans in the kernel", facts).verdict == .good)
  }

  @Test func interpretedProgramsAreSlow() throws {
    let facts = DoctorFacts(media: [media], justInTime: 0)
    #expect(try finding("BPF compiler", facts).remedy == "sysctl -w net.core.bpf_jit_enable=1")
  }

  /// 1 000 ports and what the rest of the process needs.
  @Test func tooFewDescriptors() throws {
    let found = try finding("open files", DoctorFacts(media: [media], descriptors: 1_024))
    #expect(found.verdict == .bad)
    #expect(found.remedy?.contains("1512") == true)
    #expect(
      try finding("open files", DoctorFacts(media: [media], descriptors: 1_512)).verdict == .good)
  }

  private static let ports: [(String, String, String?)] = [
    ("32768\t60999", "", nil), ("10000 60999", "", "20000-20999"),
    ("10000 60999", "20000-20999", nil),
    ("10000 60999", "5060,20000-20499", "5060,20000-20499,20500-20999"),
    ("20500 60999", "", "20500-20999"), ("", "", nil),
  ]

  @Test(arguments: ports)
  func portsThatTheKernelLends(lent: String, kept: String, reserved: String?) throws {
    let found = try finding(
      "ports of inside",
      DoctorFacts(media: [media], localPorts: lent, reservedPorts: kept))
    #expect(found.verdict == (reserved == nil ? .good : .advice))
    #expect(
      found.remedy == reserved.map { "sysctl -w net.ipv4.ip_local_reserved_ports=\($0)" })
  }

  /// 1 000 ports are 250 calls.
  @Test(arguments: [(249, DoctorFinding.Verdict.good), (250, .good), (251, .advice)])
  func portsForCalls(limit: Int, verdict: DoctorFinding.Verdict) throws {
    var facts = DoctorFacts(media: [media])
    facts.callLimit = limit
    #expect(try finding("calls with media", facts).verdict == verdict)
  }

  private static let listeners: [(ListenerTransport, String, String)] = [
    (.udp, "127.0.0.1", "udp 127.0.0.1:5060 is open to this machine"),
    (.udp, "10.1.2.3", "udp 10.1.2.3:5060 is open to the own network"),
    (.udp, "100.64.0.1", "the own network"), (.udp, "100.128.0.1", "everybody"),
    (.udp, "172.31.255.1", "the own network"), (.udp, "172.32.0.1", "everybody"),
    (.tls, "192.0.2.1", "tls 192.0.2.1:5060 is open to everybody"), (.udp, "0.0.0.0", "everybody"),
    (.udp, "fd00::1", "the own network"),
    (.udp, "2001:db8::1", "udp [2001:db8::1]:5060 is open to everybody"),
    (.wss, "192.0.2.1", "to any web page"),
  ]

  @Test(arguments: listeners)
  func whoReachesAPort(transport: ListenerTransport, address: String, words: String) throws {
    var facts = DoctorFacts(media: [media])
    facts.listeners = [try listener(transport, address)]
    #expect(try finding("port \(transport.rawValue)", facts).finding.contains(words))
  }

  private func listener(_ transport: ListenerTransport, _ address: String) throws
    -> ListenerSettings
  {
    let ip = try #require(IPAddress(address))
    return ListenerSettings(name: transport.rawValue, transport: transport, address: ip)
  }

  /// TLS beside it is enough; inside the own network nothing is said.
  @Test func theInternetWithoutTLS() throws {
    var facts = DoctorFacts(media: [media])
    facts.listeners = [try listener(.udp, "192.0.2.1")]
    #expect(try finding("signalling in the clear", facts).verdict == .advice)
    facts.listeners.append(try listener(.tls, "192.0.2.1"))
    #expect(!facts.findings.contains { $0.check == "signalling in the clear" })
    facts.listeners = [try listener(.udp, "10.0.0.1")]
    #expect(!facts.findings.contains { $0.check == "signalling in the clear" })
  }

  @Test(arguments: [
    ("127.0.0.1", DoctorFinding.Verdict.good), ("10.0.0.1", .advice), ("0.0.0.0", .bad),
  ])
  func metricsForEverybody(address: String, verdict: DoctorFinding.Verdict) throws {
    var facts = DoctorFacts(media: [media])
    var page = MetricsSettings()
    page.address = try listener(.tcp, address).address
    facts.metrics = page
    #expect(try finding("metrics", facts).verdict == verdict)
  }

  private static let expiries: [(Int64?, DoctorFinding.Verdict, String)] = [
    (nil, .bad, "not a certificate"), (-1, .bad, "expired 1 days ago"), (0, .bad, "expired"),
    (13, .advice, "in 13 days"), (14, .good, "for 14 days"),
  ]

  @Test(arguments: expiries)
  func certificatesThatEnd(days: Int64?, verdict: DoctorFinding.Verdict, words: String) throws {
    var facts = DoctorFacts(media: [media])
    facts.wallClock = 1_800_000_000
    var shown = CertificateFacts(listener: "tls", file: "cert.pem", keyFile: "key.pem")
    shown.expires = days.map { facts.wallClock + $0 * 86_400 }
    shown.problem = "cert.pem: not a certificate"
    shown.isKeyOpen = days == 14
    facts.certificates = [shown]
    let found = try finding("certificate of tls", facts)
    #expect(found.verdict == verdict)
    #expect(found.finding.contains(words))
    #expect((found.remedy == nil) == (verdict == .good))
    #expect(facts.findings.contains { $0.check == "key of tls" } == (days == 14))
  }

  /// What is known to be done goes before what can be said of any.
  @Test func certificateThatIsEncrypted() throws {
    var facts = DoctorFacts(media: [media])
    var shown = CertificateFacts(listener: "tls", file: "cert.pem", keyFile: "key.pem")
    shown.problem = "key.pem: it is encrypted"
    shown.problemRemedy = "Write it anew"
    facts.certificates = [shown]
    let found = try finding("certificate of tls", facts)
    #expect(found.verdict == .bad && found.finding == "key.pem: it is encrypted")
    #expect(found.remedy == "Write it anew")
  }

  @Test(arguments: SecretError.Kind.allCases)
  func keyOfTheStore(kind: SecretError.Kind) throws {
    var facts = DoctorFacts(media: [media])
    #expect(!facts.findings.contains { $0.check == "key of the store" })
    facts.storeKey = "/var/lib/demarc/demarc.db.key"
    #expect(try finding("key of the store", facts).verdict == .good)
    let problem = SecretError(kind, "it is so")
    facts.storeKeyProblem = problem
    let found = try finding("key of the store", facts)
    #expect(found.verdict == .bad && found.finding.hasPrefix("it is so"))
    #expect(found.remedy == problem.remedy)
  }

  @Test func disksThatAreFull() throws {
    var facts = DoctorFacts(media: [media])
    let least: UInt64 = 256 << 20
    facts.disks = [
      DiskFacts(.store, path: "/var/lib/demarc", free: least, least: least),
      DiskFacts(.recordings, path: "/var/lib/demarc", free: least - 1, least: least),
    ]
    #expect(try finding("disk of the store", facts).verdict == .good)
    #expect(try finding("disk of the recordings", facts).verdict == .advice)
    facts.disks[0].free = 0
    #expect(try finding("disk of the store", facts).verdict == .bad)
    facts.disks[0].free = nil
    #expect(try finding("disk of the store", facts).finding.contains("no folder"))
    facts.disks[0].isWritable = false
    #expect(try finding("disk of the store", facts).finding.contains("may not write"))
  }

  @Test func theSystem() throws {
    var facts = DoctorFacts(media: [media])
    facts.isClockKept = false
    facts.isRoot = true
    facts.receiveBuffer = 212_992
    #expect(try finding("clock", facts).verdict == .advice)
    #expect(try finding("user", facts).verdict == .advice)
    #expect(try finding("socket buffers", facts).finding.contains("208 KiB"))
    facts.mayExceedBuffers = true
    #expect(try finding("socket buffers", facts).verdict == .good)
  }

  private func resources(_ text: String) throws -> DoctorFacts {
    var facts = DoctorFacts(media: [media])
    var outside = try listener(.tls, "192.0.2.1")
    outside.name = "outside"
    facts.listeners = [outside, try listener(.udp, "10.0.0.1")]
    facts.resources = try JSONDecoder().decode(DoctorResources.self, from: Data(text.utf8))
    return facts
  }

  private static let doors: [(String, String, DoctorFinding.Verdict, String)] = [
    (
      #""networks": [{"name": "net", "listeners": ["outside"], "trusted": true}]"#, "network net",
      .bad, "believed"
    ),
    (trunk(#""sources": ["10.0.0.0/8"]"#), "trunk t", .bad, "and no password is asked for"),
    (
      trunk(#""sources": ["2001:db8::/32"], "authentication": {"username": "x"}"#), "trunk t",
      .advice, "when he has"
    ),
    (trunk(#""wideLatching": true, "maxCalls": 1"#), "trunk t", .advice, "wideLatching"),
    (trunk(#""sources": ["192.0.2.9"]"#), "trunk t", .advice, "any number of calls"),
    (
      #""networks": [{"name": "net", "listeners": ["outside"]}], "tenants": [{"name": "a"}], "#
        + #""users": [{"name": "bob", "network": "net"}]"#, "users", .advice, "steals a password"
    ),
  ]

  private static func trunk(_ more: String) -> String {
    #""networks": [{"name": "net", "listeners": ["outside"]}], "#
      + #""trunks": [{"name": "t", "network": "net", "# + more + "}]"
  }

  @Test(arguments: doors)
  func doorsThatAreOpen(
    document: String, check: String, verdict: DoctorFinding.Verdict, words: String
  ) throws {
    let found = try finding(check, try resources(whole(document)))
    #expect(found.verdict == verdict)
    #expect(found.finding.contains(words))
    #expect(found.remedy != nil)
  }

  private func whole(_ document: String) -> String {
    let missing = ["networks", "trunks", "users", "tenants"].filter {
      !document.contains("\"\($0)\": [")
    }
    return "{" + ([document] + missing.map { "\"\($0)\": []" }).joined(separator: ", ") + "}"
  }

  @Test func doorsThatAreShut() throws {
    let inside =
      #"{"networks": [{"name": "net", "listeners": ["udp"], "trusted": true}], "trunks": ["#
      + #"{"name": "t", "network": "net", "sources": ["10.0.0.0/20"]}], "#
      + #""users": [], "tenants": []}"#
    #expect(try finding("resources", try resources(inside)).verdict == .good)
    var unseen = DoctorFacts(media: [media])
    unseen.resourcesUnseen = "no Demarc answers on run/demarc.sock"
    #expect(try finding("resources", unseen).finding.contains("not looked at"))
  }
}
