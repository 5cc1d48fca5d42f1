package import CallCore
package import MediaControl

/// A recording as a call's record has it; moments are milliseconds since 1970.
package struct StoredRecording: Hashable, Sendable {
  package struct Pause: Hashable, Sendable {
    package var from: Int64
    package var to: Int64?

    package init(from: Int64, to: Int64? = nil) {
      self.from = from
      self.to = to
    }
  }

  package var name: String
  package var format: RecordingFormat
  package var origin = CallRecording.Origin.rule
  package var by = ""
  /// Empty: there was none.
  package var file = ""
  /// Samples of each side in a second; 0: not known.
  package var rate: UInt16 = 0
  package var hasNotice = false
  package var announced: [Int64] = []
  package var started: Int64?
  package var pauses: [Pause] = []
  package var ended: Int64?
  /// Nil: it goes on.
  package var end: RecordingEnd?
  package var bytes: UInt64 = 0
  package var milliseconds: UInt64 = 0
  package var lostMilliseconds: UInt64 = 0
  package var unreadPackets: UInt64 = 0
  /// When its file was deleted, and why; nil: it was not.
  package var deletion: RecordingDeletion?

  package init(name: String, format: RecordingFormat) {
    self.name = name
    self.format = format
  }
}

/// A recording whose file is gone.
package struct RecordingDeletion: Hashable, Sendable {
  package enum Reason: String, Sendable, CaseIterable {
    /// Somebody asked for it.
    case requested
    /// It was older than recordings are kept.
    case retention
  }

  /// Milliseconds since 1970.
  package var at: Int64
  package var reason: Reason

  package init(at: Int64, reason: Reason) {
    self.at = at
    self.reason = reason
  }
}
