import CLinux
import Foundation
import MediaEngine

extension DoctorFacts {
  /// Of this machine, for this process.
  package static func gather(_ settings: ProcessSettings) -> DoctorFacts {
    var facts = DoctorFacts(
      media: settings.media, fastPath: settings.mediaFastPath,
      obstacle: settings.mediaFastPath == .off ? nil : FastPathProbe.obstacle(),
      justInTime: text("net/core/bpf_jit_enable").flatMap { Int($0) },
      descriptors: Int(clamping: clmedia_raise_descriptor_limit()),
      localPorts: text("net/ipv4/ip_local_port_range") ?? "",
      reservedPorts: text("net/ipv4/ip_local_reserved_ports") ?? "")
    facts.hasIPsecPolicies = facts.fastPath != .off && FastPathProbe.hasIPsecPolicies
    return facts
  }

  private static func text(_ name: String) -> String? {
    try? String(contentsOfFile: "/proc/sys/" + name, encoding: .utf8)
      .trimmingCharacters(in: .whitespacesAndNewlines)
  }
}

package enum DoctorView {
  package static func text(_ findings: [DoctorFinding], on terminal: Terminal) -> String {
    findings.map { finding in
      let (word, tone): (String, Tone) =
        switch finding.verdict {
        case .good: ("good", .good)
        case .advice: ("advice", .warning)
        case .bad: ("bad", .bad)
        }
      let remedy = finding.remedy.map { "\n        \($0)" } ?? ""
      return "\(terminal.toned(word, tone))\t\(finding.check): \(finding.finding)\(remedy)\n"
    }.joined()
  }
}
