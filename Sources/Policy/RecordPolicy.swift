/// Whether the calls of a trunk or user are recorded.
package enum RecordPolicy: String, Sendable, CaseIterable {
  /// Never, whoever asks.
  case off
  /// When somebody asks, in the midst of the call.
  case onDemand = "on-demand"
  /// From the answer on.
  case on

  private var rank: Int {
    switch self {
    case .off: 0
    case .onDemand: 1
    case .on: 2
    }
  }

  /// Of two sides of a call the one that wants more.
  fileprivate static func stronger(_ a: RecordPolicy, _ b: RecordPolicy) -> RecordPolicy {
    a.rank >= b.rank ? a : b
  }
}

/// What holds for the recording of a call, by both of its sides.
package struct RecordRule: Hashable, Sendable {
  package var policy = RecordPolicy.off
  /// "trunk:NAME" or "user:NAME" whose policy it is.
  package var by = ""
  /// The announcement that both sides hear first, by name; nil: none.
  package var notice: String?

  package init() {}
}

extension Configuration {
  /// - Parameter parties: "trunk:NAME" and "user:NAME", as records name them; others have no say.
  package func recordRule(of parties: [String], tenant: Int) -> RecordRule {
    var rule = RecordRule()
    guard tables.recordsCalls else { return rule }
    for party in parties {
      guard let (policy, notice) = recordPolicy(of: party, tenant: tenant) else { continue }
      let stronger = RecordPolicy.stronger(rule.policy, policy)
      if stronger != rule.policy || rule.by.isEmpty && policy != .off {
        rule.policy = stronger
        rule.by = party
      }
      rule.notice = rule.notice ?? notice
    }
    return rule
  }

  private func recordPolicy(of party: String, tenant: Int) -> (RecordPolicy, String?)? {
    let parts = party.split(separator: ":", maxSplits: 1)
    guard parts.count == 2 else { return nil }
    let name = String(parts[1])
    switch parts[0] {
    case "trunk":
      guard let index = trunk(named: name, tenant: tenant) else { return nil }
      return (trunks[index].record, trunks[index].recordingNotice)
    case "user":
      guard let index = user(named: name, tenant: tenant) else { return nil }
      return (users[index].record, users[index].recordingNotice)
    default: return nil
    }
  }

  /// Some calls can be recorded by a code.
  package var heedsRecordingCodes: Bool { tables.heedsCodes && tables.recordsCalls }

  /// The code by which a side of a call may begin and end its recording, as events of RFC 4733; nil: it may not. A
  /// carrier's callers may not: they are anybody.
  ///
  /// - Parameter party: "trunk:NAME" or "user:NAME", as records name them.
  package func recordingCode(of party: String, tenant: Int) -> [UInt8]? {
    guard heedsRecordingCodes, tenants.indices.contains(tenant),
      let code = tenants[tenant].recordingCode
    else { return nil }
    let parts = party.split(separator: ":", maxSplits: 1)
    guard parts.count == 2 else { return nil }
    let name = String(parts[1])
    let isOurs =
      switch parts[0] {
      case "user": user(named: name, tenant: tenant) != nil
      case "trunk": trunk(named: name, tenant: tenant).map { trunks[$0].kind == .pbx } ?? false
      default: false
      }
    return isOurs ? RecordingCode.events(code) : nil
  }

  /// The announcement's index at the media plane; nil: there is none of that name.
  package func notice(named name: String, tenant: Int) -> UInt32? {
    application(named: name, tenant: tenant).flatMap { announcement(ofApplication: $0) }
  }
}

/// A few keys of a phone.
enum RecordingCode {
  static let lengths = 2...8

  /// As events of RFC 4733 §3.2; nil: it is no code.
  static func events(_ code: String) -> [UInt8]? {
    let keys = Array("0123456789*#".utf8)
    let events = code.utf8.compactMap { keys.firstIndex(of: $0).map { UInt8($0) } }
    guard events.count == code.utf8.count, lengths.contains(events.count) else { return nil }
    return events
  }
}

extension ConfigurationCompiler {
  mutating func checkRecordingCodes() {
    for (index, tenant) in resources.tenants.enumerated() {
      guard let code = tenant.recordingCode else { continue }
      tables.heedsCodes = true
      guard RecordingCode.events(code) == nil else { continue }
      report(
        ["tenants", .index(index), "recordingCode"], "`\(code)` is no code",
        remedy: "Use 2 to 8 digits, * or #, such as *1.")
    }
  }

  /// Once all applications are known.
  mutating func checkNotices() {
    tables.recordsCalls =
      resources.trunks.contains { $0.expanded.record != .off }
      || resources.users.contains { $0.record != .off }
    for (index, trunk) in resources.trunks.enumerated() {
      checkNotice(
        trunk.recordingNotice, trunk.record, tenant: tables.tenantOfTrunk[index],
        at: ["trunks", .index(index)])
    }
    for (index, user) in resources.users.enumerated() {
      checkNotice(
        user.recordingNotice, user.record, tenant: tables.tenantOfUser[index],
        at: ["users", .index(index)])
    }
  }

  private mutating func checkNotice(
    _ notice: String?, _ policy: RecordPolicy, tenant: Int, at path: [PathElement]
  ) {
    guard let notice else { return }
    let path = path + ["recordingNotice"]
    guard let application = tables.applications[TenantKey(tenant, notice)] else {
      return report(
        path, "there is no application `\(notice)` in the tenant",
        remedy: "Name an application of kind announcement of the same tenant.")
    }
    if resources.applications[application].kind != .announcement {
      report(
        path, "the application `\(notice)` is no announcement",
        remedy: "Name an application of kind announcement: both sides hear it to its end.")
    }
    if policy == .off {
      report(
        path, "nothing is recorded here that could be announced",
        remedy: "Set record to on or on-demand, or leave recordingNotice out.")
    }
  }
}
