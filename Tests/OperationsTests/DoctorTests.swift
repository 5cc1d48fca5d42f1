import Base
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
    #expect(findings.count == 3)
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
}
