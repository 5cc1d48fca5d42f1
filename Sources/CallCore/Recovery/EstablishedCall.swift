package import Base

/// A call that was up when the process ended, as the store has it.
package struct EstablishedCall: Hashable, Sendable {
  /// Its instants on this process's clock.
  package var record: CallRecord
  package var session: SessionRecord
  /// The last moment at which the earlier process is known to have lived: the end of whatever cannot go on.
  package var lastAlive: Instant

  package init(record: CallRecord, session: SessionRecord, lastAlive: Instant) {
    self.record = record
    self.session = session
    self.lastAlive = lastAlive
  }
}

/// What has become of them.
package struct RecoveryOutcome: Hashable, Sendable {
  /// They go on.
  package var recovered = 0
  /// Their dialogs were known, and both sides were told that it is over.
  package var released = 0
  /// Nothing could be sent to anybody: their records are closed.
  package var lost = 0
  package init() {}
}

/// Why a call does not go on, as its record says it.
enum RecoveryObstacle: String, Error {
  case capacity = "there is no room for it"
  case doubled = "another call has its name"
  case party = "its tenant, trunk, listener or network is in the configuration no more"
  case dialog = "what was kept of its dialogs is not whole"
  case joined = "its other side was another call's"
  case ports = "its media ports are others' now"
  case protected = "the keys of its media are gone"
  case unused = "a peer agreed to new keys of its media and did not use them"
  case media = "its media cannot go on as it was agreed"
}
