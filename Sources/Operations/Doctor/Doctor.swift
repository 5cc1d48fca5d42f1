import Base
package import MediaControl
package import MediaEngine

/// What of a machine stands in the way of a configuration, and what to do about it.
package struct DoctorFinding: Hashable, Sendable, Encodable {
  package enum Verdict: String, Sendable, Encodable { case good, advice, bad }

  package var check: String
  package var verdict: Verdict
  package var finding: String
  package var remedy: String?

  init(_ check: String, _ verdict: Verdict, _ finding: String, remedy: String? = nil) {
    self.check = check
    self.verdict = verdict
    self.finding = finding
    self.remedy = remedy
  }
}

/// What is looked at, gathered before it is judged, so that the judgement can be tried with anything.
package struct DoctorFacts: Sendable {
  package var media: [MediaAddress]
  package var fastPath: FastPathMode
  /// Nil: the kernel takes the program.
  package var obstacle: FastPathObstacle?
  package var hasIPsecPolicies = false
  /// /proc/sys/net/core/bpf_jit_enable; nil where it is not there.
  package var justInTime: Int?
  /// Open files that a process may have, at most.
  package var descriptors: Int
  /// /proc/sys/net/ipv4/ip_local_port_range and ip_local_reserved_ports as they stand there.
  package var localPorts: String
  package var reservedPorts: String

  package init(
    media: [MediaAddress], fastPath: FastPathMode = .auto, obstacle: FastPathObstacle? = nil,
    justInTime: Int? = 1, descriptors: Int = 1 << 20, localPorts: String = "32768\t60999",
    reservedPorts: String = ""
  ) {
    self.media = media
    self.fastPath = fastPath
    self.obstacle = obstacle
    self.justInTime = justInTime
    self.descriptors = descriptors
    self.localPorts = localPorts
    self.reservedPorts = reservedPorts
  }
}

extension DoctorFacts {
  package var findings: [DoctorFinding] {
    [kernelRelay, compiler, openFiles].compactMap { $0 } + media.map(reservation)
  }

  private var kernelRelay: DoctorFinding {
    let check = "media in the kernel"
    if fastPath == .off {
      return DoctorFinding(check, .advice, "switched off (`mediaFastPath: off`)")
    }
    if obstacle == nil, hasIPsecPolicies {
      return DoctorFinding(
        check, .advice,
        "media is relayed in user space while there are IPsec policies, which the kernel's relay "
          + "would pass by", remedy: "none, where media needs IPsec; see `ip xfrm policy`")
    }
    guard let obstacle else {
      return DoctorFinding(check, .good, "this process may relay media in the kernel")
    }
    return DoctorFinding(
      check, .advice, "media is relayed in user space, at several times the CPU: \(obstacle)",
      remedy: remedy(obstacle))
  }

  private func remedy(_ obstacle: FastPathObstacle) -> String {
    switch obstacle {
    case .notPermitted:
      "give the service the capabilities; where this command runs as another user than the "
        + "service, ask it as that user, or look at demarc_media_fast_path in /metrics"
    case .kernelTooOld: "run a newer kernel"
    case .byteOrder, .noInterface: "none; `mediaFastPath: off` ends the warning at the start"
    case .refused, .system:
      "a container may forbid bpf(2): permit it, or set `mediaFastPath: off`"
    }
  }

  private var compiler: DoctorFinding? {
    guard fastPath != .off, obstacle == nil, let justInTime, justInTime == 0 else { return nil }
    return DoctorFinding(
      "BPF compiler", .advice, "the kernel interprets its programs, which costs several times more",
      remedy: "sysctl -w net.core.bpf_jit_enable=1")
  }

  private var openFiles: DoctorFinding {
    let ports = media.reduce(0) { $0 + $1.ports.count }
    let needed = ports + MediaSettings().reservedDescriptors
    guard descriptors < needed else {
      return DoctorFinding(
        "open files", .good, "\(descriptors) are enough for \(ports) media ports")
    }
    return DoctorFinding(
      "open files", .bad,
      "the limit of \(descriptors) leaves some of the \(ports) media ports unused",
      remedy: "raise it to \(needed) or more (LimitNOFILE= of the service, or `ulimit -n`)")
  }

  /// A port that the kernel lends to another program for an outgoing connection is not ours at the next start.
  private func reservation(_ address: MediaAddress) -> DoctorFinding {
    let check = "ports of \(address.name)"
    let lent = Self.ranges(localPorts.split { $0 == " " || $0 == "\t" }.joined(separator: "-"))
    let kept = Self.ranges(reservedPorts)
    let open = address.ports.filter { port in
      lent.contains { $0.contains(port) } && !kept.contains { $0.contains(port) }
    }
    guard let first = open.first, let last = open.last else {
      return DoctorFinding(check, .good, "the kernel lends none of them to other programs")
    }
    let all = (Self.texts(kept) + ["\(first)-\(last)"]).joined(separator: ",")
    return DoctorFinding(
      check, .advice,
      "the kernel may lend \(open.count) of them (\(first)-\(last)) to other programs",
      remedy: "sysctl -w net.ipv4.ip_local_reserved_ports=\(all)")
  }

  /// `1,5-7` as the kernel writes it.
  static func ranges(_ text: String) -> [ClosedRange<UInt16>] {
    text.split { $0 == "," || $0.isWhitespace }.compactMap { part in
      let ends = part.split(separator: "-").compactMap { UInt16($0) }
      guard let first = ends.first, let last = ends.last, first <= last else { return nil }
      return first...last
    }
  }

  private static func texts(_ ranges: [ClosedRange<UInt16>]) -> [String] {
    ranges.map {
      $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)"
    }
  }
}
