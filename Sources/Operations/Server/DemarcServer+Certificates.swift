import Base
import Edge

extension DemarcServer {
  /// Reads the listeners' certificates again. Connections that are open keep theirs; new ones get what the
  /// files hold now. Nothing changes when one of them cannot be used.
  package func reloadCertificates() async throws -> [CertificateResource] {
    let certificates = settingsKeeper.streams.certificates
    guard !certificates.isEmpty else { return [] }
    let edge = edge
    let states: [CertificateState]
    do {
      states = try await blocking.run { try edge.reloadCertificates(certificates) }
    } catch {
      log.write(LogLine(.error, "certificates not reloaded", [LogField("reason", "\(error)")]))
      throw APIFailure(
        .invalidResources, "the certificates cannot be used",
        remedy: "Those that were in use stay in use. \(error)")
    }
    log.write(LogLine(.info, "certificates reloaded", [LogField("listeners", certificates.count)]))
    return Self.describe(states)
  }

  package func certificates() async throws -> [CertificateResource] {
    Self.describe(edge.streamCounters.certificates)
  }

  private static func describe(_ states: [CertificateState]) -> [CertificateResource] {
    let now = Int64(clamping: WallTime.process.milliseconds(at: MonotonicClock.now)) / 1_000
    return states.map { certificate in
      CertificateResource(
        listener: certificate.listener, serverName: certificate.name,
        expires: Timestamp.text(certificate.expires * 1_000),
        expiresInDays: Int((certificate.expires - now) / 86_400))
    }
  }
}
