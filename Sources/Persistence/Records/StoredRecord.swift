package import CallCore
package import MediaControl
package import Policy

/// A call's record as it was stored. Points in time are milliseconds since 1970 by the wall clock;
/// durations are milliseconds by the monotonic clock, so a step of the wall clock does not touch them.
package struct StoredRecord: Hashable, Sendable {
  package var id: CallID
  package var tenant: String
  package var state: CallState
  package var from = ""
  package var to = ""
  package var calledNumber = ""
  package var callerNumber = ""
  /// "192.0.2.1:5060"; empty when unknown.
  package var source = ""
  package var sipCallID = ""
  package var setup: Int64
  package var ringing: Int64?
  package var answer: Int64?
  package var end: Int64?
  /// From setup to the first ringing, from setup to the answer, from the answer to the end, from setup
  /// to the end.
  package var ringingAfter: Int64?
  package var answerAfter: Int64?
  package var talk: Int64?
  package var total: Int64?
  package var releasedBy: ReleasedBy?
  /// 0: no final status was sent.
  package var status = 0
  package var cause: Cause?
  package var codec = ""
  /// `first` and `last` are not stored.
  package var fromCaller = StreamQuality()
  package var fromCallee = StreamQuality()
  package var attempts: [StoredAttempt] = []
  /// What was decided on the call's way, a line each.
  package var notes: [String] = []
  package var recordings: [StoredRecording] = []

  package init(id: CallID, tenant: String, state: CallState, setup: Int64) {
    self.id = id
    self.tenant = tenant
    self.state = state
    self.setup = setup
  }
}

/// One try at one target.
package struct StoredAttempt: Hashable, Sendable {
  package var target: String
  /// Empty for an application.
  package var address: String
  /// Milliseconds since 1970.
  package var started: Int64
  /// Milliseconds; nil: it had not ended when the record was written.
  package var duration: Int64?
  package var status: Int
  package var cause: Cause?
  /// Who sent the call here; empty: nobody.
  package var forwardedBy: String

  package init(
    target: String, address: String, started: Int64, duration: Int64?, status: Int, cause: Cause?,
    forwardedBy: String = ""
  ) {
    self.target = target
    self.address = address
    self.started = started
    self.duration = duration
    self.status = status
    self.cause = cause
    self.forwardedBy = forwardedBy
  }
}

/// Which records. What is nil does not restrict.
package struct RecordQuery: Hashable, Sendable {
  package enum Order: Hashable, Sendable { case newestFirst, oldestFirst }

  package static let maximumLimit = 10_000

  package var tenant: String?
  /// Set up at or after, and before; milliseconds since 1970.
  package var since: Int64?
  package var until: Int64?
  /// "trunk:NAME", "user:NAME" or "application:NAME", on either side.
  package var party: String?
  /// Caller or called number, as a whole.
  package var number: String?
  package var state: CallState?
  package var cause: Cause?
  package var order = Order.newestFirst
  /// 1 to `maximumLimit`; others are clamped.
  package var limit = 50
  /// `RecordPage.next` of the page before.
  package var cursor: String?
  package init() {}
}

package struct RecordPage: Hashable, Sendable {
  package var records: [StoredRecord]
  /// Asks for what follows; nil: there was no more.
  package var next: String?

  package init(records: [StoredRecord], next: String? = nil) {
    self.records = records
    self.next = next
  }
}
