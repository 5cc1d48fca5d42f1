import CLinux
import CallCore
import CryptoCore
import Edge
import Foundation
import MediaEngine
import Persistence

extension DoctorFacts {
  /// Of this machine, for this process.
  package static func gather(_ settings: ProcessSettings) -> DoctorFacts {
    let recordings = settings.recordings.files(store: settings.store.path)
    var facts = DoctorFacts(
      media: settings.media, fastPath: settings.mediaFastPath,
      obstacle: settings.mediaFastPath == .off ? nil : FastPathProbe.obstacle(),
      justInTime: text("net/core/bpf_jit_enable").flatMap { Int($0) },
      descriptors: Int(clamping: clmedia_raise_descriptor_limit()),
      localPorts: text("net/ipv4/ip_local_port_range") ?? "",
      reservedPorts: text("net/ipv4/ip_local_reserved_ports") ?? "")
    facts.hasIPsecPolicies = facts.fastPath != .off && FastPathProbe.hasIPsecPolicies
    facts.callLimit = settings.limits.calls
    facts.listeners = settings.listeners
    facts.metrics = settings.metrics
    facts.kernelTable = settings.kernelTable
    facts.kernelTableObstacle = settings.kernelTable.flatMap { BanTableObstacle.find(table: $0) }
    facts.certificates =
      settings.listeners.flatMap(certificates) + settings.stir.certificates.map(certificate)
    facts.revocationsDue = revocationsDue(settings.stir)
    facts.disks = [
      disk(.store, folder: folder(of: settings.store.path), least: storeLeast),
      disk(
        .recordings, folder: recordings.folder.path, least: recordings.minimumFree,
        orElse: folder(of: recordings.folder.path)),
    ]
    facts.lookAtStoreKey(settings.store.path)
    facts.wallClock = Int64(clamping: clinux_wall_clock() / 1_000_000_000)
    let kept = clinux_clock_is_kept()
    facts.isClockKept = kept < 0 ? nil : kept == 1
    facts.isRoot = geteuid() == 0
    facts.receiveBuffer = text("net/core/rmem_max").flatMap { Int($0) } ?? EdgeSockets().receive
    facts.mayExceedBuffers = mayAdministerNetwork
    return facts
  }

  /// A store that cannot be read says so at its disk, or at the start.
  private mutating func lookAtStoreKey(_ store: String) {
    guard let keys = try? SQLiteStore.resourceKeys(path: store), !keys.isEmpty else { return }
    storeKey = store + ".key"
    storeKeyProblem = StoreKey.problem(besides: store, keys: keys)
  }

  /// Records of a day of many calls.
  private static let storeLeast: UInt64 = 256 << 20

  private static func certificates(_ listener: ListenerSettings) -> [CertificateFacts] {
    guard let tls = listener.tls else { return [] }
    let identities = [("", tls.identity)] + tls.named.map { ($0.name, $0.identity) }
    let states: [CertificateState]
    var problem: TLSProblem?
    do throws(TLSProblem) {
      states = try CertificateState.read(tls, listener: listener.name)
    } catch {
      states = []
      problem = error
    }
    return identities.map { name, identity in
      var facts = CertificateFacts(
        listener: name.isEmpty ? listener.name : "\(listener.name) for \(name)",
        file: identity.certificate, keyFile: identity.key)
      facts.expires = states.first { $0.name == name.lowercased() }?.expires
      facts.problem = problem.map { "\($0.file): \($0.reason)" }
      facts.problemRemedy = problem?.remedy
      facts.isKeyOpen = isReadableByAll(identity.key)
      return facts
    }
  }

  /// What calls are signed with.
  private static func certificate(_ own: STIRSettings.Certificate) -> CertificateFacts {
    var facts = CertificateFacts(
      listener: "stir.certificates `\(own.name)`", file: own.certificate, keyFile: own.key)
    let pem = (try? Data(contentsOf: URL(fileURLWithPath: own.certificate))).map { [UInt8]($0) }
    switch PassportCertificate.read(pem ?? []) {
    case .success(let certificate):
      let key = (try? Data(contentsOf: URL(fileURLWithPath: own.key))).map { [UInt8]($0) }
      if ES256PrivateKey(pem: key ?? []) == nil {
        facts.problem = "\(own.key) has no private key on P-256 without a passphrase"
      } else if certificate.mostAttestation == nil {
        facts.problem =
          "\(own.certificate) lets nothing be signed that a call of ours says (JWTClaimConstraints)"
        facts.problemRemedy =
          "get one from the authority that allows the claims attest, dest, iat, orig and origid"
      } else {
        facts.expires = certificate.ends
        facts.limits = certificate.limits
      }
    case .failure:
      facts.problem = "\(own.certificate) has no certificate on P-256 with a TNAuthList"
    }
    facts.isKeyOpen = isReadableByAll(own.key)
    facts.reload = "demarc reload"
    return facts
  }

  private static func revocationsDue(_ stir: STIRSettings) -> Int64? {
    let lists = stir.crls.filter { HTTPSAddress($0) == nil }.compactMap {
      (try? Data(contentsOf: URL(fileURLWithPath: $0))).map { [UInt8]($0) }
    }
    return TrustAnchors(authorities: [], lists: lists)?.listsDue
  }

  private static func isReadableByAll(_ file: String) -> Bool {
    var status = stat()
    return unsafe stat(file, &status) == 0 && status.st_mode & S_IROTH != 0
  }

  private static func folder(of file: String) -> String {
    let folder = URL(fileURLWithPath: file).deletingLastPathComponent().path
    return folder.isEmpty ? "." : folder
  }

  /// A folder that is made when it is needed is judged by the one that it is made in.
  private static func disk(
    _ kind: DiskFacts.Kind, folder: String, least: UInt64, orElse parent: String? = nil
  ) -> DiskFacts {
    var status = statvfs()
    let present = [folder, parent].compactMap { $0 }.first { unsafe statvfs($0, &status) == 0 }
    guard let present else { return DiskFacts(kind, path: folder, free: nil, least: least) }
    let free = UInt64(status.f_bavail) &* UInt64(status.f_frsize)
    var facts = DiskFacts(kind, path: present, free: free, least: least)
    facts.isWritable = unsafe access(present, W_OK) == 0
    return facts
  }

  /// CAP_NET_ADMIN, with which a socket's buffer may be larger than the system's bound (capabilities(7)).
  private static var mayAdministerNetwork: Bool {
    let own = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    guard
      let line = own.split(separator: "\n").first(where: { $0.hasPrefix("CapEff:") }),
      let bits = UInt64(line.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16)
    else { return false }
    return bits >> 12 & 1 == 1
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
