/// How long the files of recordings are kept: as long as the process says, and where a tenant says less, no longer.
///
/// The process's days are what the disk and the law of its place allow, so a tenant cannot have more of them.
package struct RecordingRetention: Hashable, Sendable {
  package static let limit = 36_500

  /// Nil: for ever.
  private let days: Int?
  private let tenants: [String: Int]

  /// - Parameter days: of the process; 0: for ever.
  package init(days: Int, tenants: [Tenant]) {
    self.days = days > 0 ? days : nil
    self.tenants = tenants.reduce(into: [:]) { $0[$1.name] = $1.recordingRetentionDays }
  }

  /// Younger ones need not be looked at; nil: nothing is ever removed.
  package var shortest: Int? { (tenants.values + [days].compactMap { $0 }).min() }

  /// Whether it makes a difference whose call it was.
  package var differs: Bool { !tenants.isEmpty }

  /// For a call of the tenant; nil: its record is gone, and what holds is the process's.
  package func days(of tenant: String?) -> Int? {
    let own = tenant.flatMap { tenants[$0] }
    guard let own, let days else { return own ?? days }
    return min(own, days)
  }
}

extension ConfigurationCompiler {
  mutating func checkRetentions() {
    for (index, tenant) in resources.tenants.enumerated() {
      guard let days = tenant.recordingRetentionDays else { continue }
      checkRange(
        days, 1...RecordingRetention.limit,
        at: ["tenants", .index(index), "recordingRetentionDays"])
    }
  }
}
