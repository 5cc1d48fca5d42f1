package import CallCore

/// A recording as a call's record has it; moments are milliseconds since 1970.
package struct StoredRecording: Hashable, Sendable {
  package var line: RecordingLine<Int64>
  /// When its file was deleted, and why; nil: it was not.
  package var deletion: RecordingDeletion?

  package init(_ line: RecordingLine<Int64>) { self.line = line }
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
