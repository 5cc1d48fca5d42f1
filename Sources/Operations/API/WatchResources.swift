package import CallCore
package import SIPCore

/// Somebody who is told of a user's state (RFC 6665).
package struct SubscriptionResource: Codable, Hashable, Sendable {
  package var tenant: String
  /// The user who is told, and whose state it is.
  package var watcher: String
  package var user: String
  /// `dialog`, `message-summary` or `reg`.
  package var event: String
  /// Of `dialog`: whether the watcher sees with whom, and may take a call that rings.
  package var seesCalls: Bool
  package var source: String
  package var listener: String
  package var since: String
  package var expires: String
  package var expiresInSeconds: Int
  package var notifies: UInt64

  package init(
    tenant: String, watcher: String, user: String, event: String, seesCalls: Bool, source: String,
    listener: String, since: String, expires: String, expiresInSeconds: Int, notifies: UInt64
  ) {
    self.tenant = tenant
    self.watcher = watcher
    self.user = user
    self.event = event
    self.seesCalls = seesCalls
    self.source = source
    self.listener = listener
    self.since = since
    self.expires = expires
    self.expiresInSeconds = expiresInSeconds
    self.notifies = notifies
  }
}

/// What waits in a user's mailbox, as it was said last.
package struct MailboxResource: Codable, Hashable, Sendable {
  package var tenant: String
  package var user: String
  package var new: Int
  package var old: Int
  package var newUrgent: Int
  package var oldUrgent: Int

  package init(
    tenant: String, user: String, new: Int, old: Int, newUrgent: Int = 0, oldUrgent: Int = 0
  ) {
    self.tenant = tenant
    self.user = user
    self.new = new
    self.old = old
    self.newUrgent = newUrgent
    self.oldUrgent = oldUrgent
  }
}

/// The body that says what waits: what is left out is 0.
package struct MailboxCounts: Codable, Hashable, Sendable {
  /// A count that a phone has room for.
  package static let range = 0...1_000_000

  package var new: Int?
  package var old: Int?
  package var newUrgent: Int?
  package var oldUrgent: Int?

  package init(new: Int?, old: Int?, newUrgent: Int? = nil, oldUrgent: Int? = nil) {
    self.new = new
    self.old = old
    self.newUrgent = newUrgent
    self.oldUrgent = oldUrgent
  }

  package var isUsable: Bool {
    [new, old, newUrgent, oldUrgent].allSatisfy { $0.map(Self.range.contains) ?? true }
  }

  package var summary: MessageSummary {
    MessageSummary(
      new: new ?? 0, old: old ?? 0, newUrgent: newUrgent ?? 0, oldUrgent: oldUrgent ?? 0)
  }
}

extension MailboxResource {
  package init(_ status: MailboxStatus) {
    self.init(
      tenant: status.tenant, user: status.user, new: status.summary.new, old: status.summary.old,
      newUrgent: status.summary.newUrgent, oldUrgent: status.summary.oldUrgent)
  }
}
