import Base
import MediaControl
import MediaEngine

// Whether the machine can carry the media that the settings promise.

extension DoctorFacts {
  var mediaFindings: [DoctorFinding] {
    [kernelRelay, compiler, openFiles, anchoredCalls].compactMap { $0 } + media.map(reservation)
  }

  private var kernelRelay: DoctorFinding {
    let check = "media in the kernel"
    if fastPath == .off {
      return DoctorFinding(.media, check, .advice, "switched off (`mediaFastPath: off`)")
    }
    if obstacle == nil, hasIPsecPolicies {
      return DoctorFinding(
        .media, check, .advice,
        "media is relayed in user space while there are IPsec policies, which the kernel's relay "
          + "would pass by", remedy: "none, where media needs IPsec; see `ip xfrm policy`")
    }
    guard let obstacle else {
      return DoctorFinding(.media, check, .good, "this process may relay media in the kernel")
    }
    return DoctorFinding(
      .media, check, .advice,
      "media is relayed in user space, at several times the CPU: \(obstacle)",
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
      .media, "BPF compiler", .advice,
      "the kernel interprets its programs, which costs several times more",
      remedy: "sysctl -w net.core.bpf_jit_enable=1")
  }

  private var openFiles: DoctorFinding {
    let ports = media.reduce(0) { $0 + $1.ports.count }
    let needed = ports + MediaSettings().reservedDescriptors
    guard descriptors < needed else {
      return DoctorFinding(
        .media, "open files", .good, "\(descriptors) are enough for \(ports) media ports")
    }
    return DoctorFinding(
      .media, "open files", .bad,
      "the limit of \(descriptors) leaves some of the \(ports) media ports unused",
      remedy: "raise it to \(needed) or more (LimitNOFILE= of the service, or `ulimit -n`)")
  }

  /// A call between two sides whose media we relay has two pairs of ports, RTP's and RTCP's, on each.
  private var anchoredCalls: DoctorFinding {
    let check = "calls with media"
    let room = media.reduce(0) { $0 + $1.ports.count } / 4
    guard room < callLimit else {
      return DoctorFinding(
        .media, check, .good, "there are media ports for all of the \(callLimit) calls allowed")
    }
    return DoctorFinding(
      .media, check, .advice,
      "the media ports are enough for \(room) calls at once, and limits.calls allows \(callLimit)",
      remedy:
        "widen `ports`, name further media addresses, or lower limits.calls: four ports a call")
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
      return DoctorFinding(.media, check, .good, "the kernel lends none of them to other programs")
    }
    let all = (Self.texts(kept) + ["\(first)-\(last)"]).joined(separator: ",")
    return DoctorFinding(
      .media, check, .advice,
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
