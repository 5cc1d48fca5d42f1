package import CallCore

/// How an account stands whose outside calls were noticed.
package struct TollAccountResource: Codable, Hashable, Sendable {
  package var tenant: String
  /// "user:NAME", "trunk:NAME" or "tenant:NAME".
  package var account: String
  package var blocked: Bool
  package var alarms: UInt64
  /// `probing`, `calls`, `rate`, `minutes` or `watched`, and when it was.
  package var lastReason: String
  package var lastAlarm: String

  package init(_ status: TollStatus, lastAlarm: String) {
    tenant = status.tenant
    account = status.account
    blocked = status.isBlocked
    alarms = status.alarms
    lastReason = status.reason.rawValue
    self.lastAlarm = lastAlarm
  }
}

/// What is to be done with an account's outside calls.
package struct TollOrderResource: Codable, Hashable, Sendable {
  package enum Action: String, Codable, Sendable, CaseIterable { case unblock, hangup }

  package var action: Action

  package init(action: Action) { self.action = action }
}

/// What was done.
package struct TollOrderedResource: Codable, Hashable, Sendable {
  package var tenant: String
  package var account: String
  package var action: String
  /// Calls that are ending, or blocks that were lifted: 0 or 1.
  package var count: Int

  package init(tenant: String, account: String, action: String, count: Int) {
    self.tenant = tenant
    self.account = account
    self.action = action
    self.count = count
  }
}
