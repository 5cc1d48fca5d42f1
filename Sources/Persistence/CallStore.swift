package import Base
package import CallCore

/// What the process remembers over a restart: records, what was established, who is registered, and the
/// resources. Every engine must pass `Tests/PersistenceTests`' conformance suite.
///
/// All of it may be called from any thread. Writes wait for each other and for the disk; reads do not
/// wait for writes. Nothing here is called on a shard's thread: that is `RecordWriter`'s work.
package protocol CallStore: Sendable {
  /// Stores what the facts say, all or nothing; when it returns, it is on the disk. The same batch again
  /// changes nothing.
  func write(_ facts: [Fact], clock: StoreClock) throws(StoreError)

  /// Notes that the process lived at this moment, if calls are open.
  func heartbeat(clock: StoreClock) throws(StoreError)

  /// Once at the start, before the first call: closes what an earlier process left open and cannot go on. What can
  /// stays open until a fact ends it.
  func recover(clock: StoreClock) throws(StoreError) -> Recovery

  func record(_ id: CallID) throws(StoreError) -> StoredRecord?
  func records(_ query: RecordQuery) throws(StoreError) -> RecordPage
  /// Removes the records of calls that ended before the moment (ms since 1970); how many there were.
  func purge(endedBefore milliseconds: Int64) throws(StoreError) -> Int
  /// The recording's file is gone: its call's record says so from now on. Said twice, the first counts.
  func noteDeleted(recording name: String, _ deletion: RecordingDeletion) throws(StoreError)

  /// Keeps the document as the next revision and answers its number, counted from 1. `key` names the key that its
  /// passwords are sealed with; nil: they are in the clear.
  func save(
    resources document: String, sealedBy key: String?, at milliseconds: Int64
  ) throws(StoreError) -> UInt64
  func latestResources() throws(StoreError) -> ResourceRevision?
  func resources(revision: UInt64) throws(StoreError) -> ResourceRevision?
  /// By which keys the revisions are sealed, each named once; nil: one is in the clear.
  func resourceKeys() throws(StoreError) -> Set<String?>
  /// Puts what `change` makes of each revision in its place: all of them or none. What was there before is in no file
  /// of the store any more when it returns.
  func rewriteResources(
    _ change: (ResourceRevision) throws(StoreError) -> ResourceRevision
  ) throws(StoreError)

  /// Counts row by row: the more is stored, the longer it takes and the more comes into memory.
  func sizes() throws(StoreError) -> StoreSizes

  /// On the disk, the log of what is still to be put in its place included; 0 for a file that is gone.
  /// Costs the same whatever is stored, so it may be asked every few seconds.
  var bytes: Int64 { get }

  /// After this nothing else may be called.
  func close()
}

/// The process's two clocks, passed in so that tests and simulations can have their own.
package struct StoreClock: Sendable {
  /// The monotonic clock of the facts.
  package var now: @Sendable () -> Instant
  /// The same moment in milliseconds since 1970, by the wall clock as it stands now.
  package var wall: @Sendable (Instant) -> Int64

  package init(
    now: @escaping @Sendable () -> Instant, wall: @escaping @Sendable (Instant) -> Int64
  ) {
    self.now = now
    self.wall = wall
  }
}

/// What an earlier process left behind.
package struct Recovery: Hashable, Sendable {
  /// A call that was cut off. It had its record closed as interrupted, once.
  package struct Call: Hashable, Sendable {
    package var id: CallID
    /// What was kept of an answered call and could not be read; nil: it was never answered.
    package var session: [UInt8]?

    package init(id: CallID, session: [UInt8]?) {
      self.id = id
      self.session = session
    }
  }

  package var interrupted: [Call] = []
  /// Calls that were up and may go on, in the order in which they began.
  package var established: [EstablishedCall] = []
  /// Contacts that are still valid, their expiries on this process's clock.
  package var bindings: [Binding] = []
  package var mailboxes: [MailboxStatus] = []
  /// Bans that hold still, blocks, and the minutes of days that are not over.
  package var border = BorderMemory()
  package init() {}
}

package struct ResourceRevision: Hashable, Sendable {
  package var revision: UInt64
  /// Milliseconds since 1970.
  package var appliedAt: Int64
  package var document: String
  /// By which key its passwords are sealed; nil: they are in the clear.
  package var key: String?

  package init(revision: UInt64, appliedAt: Int64, document: String, key: String? = nil) {
    self.revision = revision
    self.appliedAt = appliedAt
    self.document = document
    self.key = key
  }
}

package struct StoreSizes: Hashable, Sendable {
  package var openCalls = 0
  package var records = 0
  package var bindings = 0
  /// Rows inserted, changed and removed by facts since the store was opened.
  package var rowsWritten: Int64 = 0
  package init() {}
}

/// Why the store could not do it, and what to do.
package struct StoreError: Error, Hashable, Sendable, CustomStringConvertible {
  package enum Kind: String, Sendable, CaseIterable {
    /// No space, or over a quota.
    case full
    /// The disk reported an error.
    case disk
    case notPermitted
    /// Another process has the store.
    case inUse
    /// A later version of the program made it.
    case newer
    /// What is there is no store, or damaged.
    case damaged
    case other
  }

  package var kind: Kind
  package var message: String

  package init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  package var remedy: String {
    switch kind {
    case .full: "Free space on the disk of the store; writing goes on by itself."
    case .disk: "Check the disk and the kernel's log; writing is tried again by itself."
    case .notPermitted: "Let the user that Demarc runs as own the store's folder and files."
    case .inUse: "Stop the other Demarc, or give this one a store of its own."
    case .newer: "Run the version of Demarc that made it, or one after it."
    case .damaged: "Restore a copy, or move the file away and start with an empty store."
    case .other: "Look at the log; report it if it stays."
    }
  }

  package var description: String { "\(message). \(remedy)" }
}
