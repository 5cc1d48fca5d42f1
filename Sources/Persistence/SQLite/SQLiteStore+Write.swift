package import CallCore
internal import Base
internal import GRDB
internal import MediaControl
internal import Policy
internal import SIPCore
internal import Locking
internal import Synchronization

extension SQLiteStore {
  package func write(_ facts: [Fact], clock: StoreClock) throws(StoreError) {
    let plan = BatchPlan(facts)
    guard !plan.isEmpty else { return }
    try transaction { statements throws(StoreError) in
      for change in plan.calls {
        try statements.write(change, of: facts, clock: clock)
      }
      for position in plan.bindings {
        try statements.write(facts[position], clock: clock, listeners: listeners)
      }
      for position in plan.mailboxes {
        if case .mailboxSet(let status) = facts[position].event { try statements.write(status) }
      }
      try statements.writeBorder(plan, facts, clock)
      try statements.note(alive: statements.alive, clock)
    }
  }

  package func heartbeat(clock: StoreClock) throws(StoreError) {
    try transaction { statements throws(StoreError) in
      try statements.note(alive: statements.aliveIfOpen, clock)
    }
  }

  private func transaction(_ body: (WriterStatements) throws(StoreError) -> Void)
    throws(StoreError)
  {
    try onWriter { statements throws(StoreError) in
      try statements.begin.run()
      do throws(StoreError) {
        try body(statements)
        try statements.commit.run()
      } catch {
        // Some failures end the transaction themselves; then there is nothing to roll back.
        try? statements.rollback.run()
        statements.incarnations = [:]
        throw error
      }
    }
  }

  private func onWriter(_ body: (WriterStatements) throws(StoreError) -> Void)
    throws(StoreError)
  {
    let result: Result<Void, StoreError> = pool.writeWithoutTransaction { db in
      writer.withLock { statements in
        // GRDB does not look whether its connection is open.
        guard let statements else { return .failure(.closed) }
        defer { rowsWritten.store(Int64(db.totalChangesCount), ordering: .relaxed) }
        do throws(StoreError) {
          return .success(try body(statements))
        } catch {
          return .failure(error)
        }
      }
    }
    try result.get()
  }
}

// MARK: Calls

extension WriterStatements {
  /// The table's key of a call: the number of its process's start and its serial there.
  static func row(incarnation number: Int64, serial: UInt64) -> Int64 {
    number << 40 | Int64(serial & (1 << 40 - 1))
  }

  private func row(of id: CallID) throws(StoreError) -> Int64 {
    if let number = incarnations[id.incarnation] {
      return Self.row(incarnation: number, serial: id.serial)
    }
    let started = Int64(truncatingIfNeeded: id.incarnation)
    insertIncarnation.bind(1, started)
    try insertIncarnation.run()
    findIncarnation.bind(1, started)
    guard let number = try findIncarnation.integer() else {
      throw StoreError(.damaged, "the start of the process could not be noted")
    }
    incarnations[id.incarnation] = number
    return Self.row(incarnation: number, serial: id.serial)
  }

  fileprivate func write(_ change: BatchPlan.CallChange, of facts: [Fact], clock: StoreClock)
    throws(StoreError)
  {
    let row = try row(of: change.id)
    if let ended = change.ended {
      guard case .callEnded(let record) = facts[ended].event else { return }
      try end(record, row: row, mayBeOpen: change.attempted == nil, clock)
    } else if let latest = change.recorded ?? change.answered ?? change.attempted {
      switch facts[latest].event {
      case .callAttempted(let record), .callAnswered(let record, _),
        .recordingChanged(_, let record):
        let session = change.session.flatMap { facts[$0].event.session }
        try open(record, row: row, session: session, clock)
      default: return
      }
    } else if let session = change.session.flatMap({ facts[$0].event.session }) {
      updateSession.bind(1, row)
      updateSession.bind(2, blob: session)
      try updateSession.run()
    }
  }

  private func open(
    _ record: CallRecord, row: Int64, session: [UInt8]?, _ clock: StoreClock
  ) throws(StoreError) {
    bindCall(record, row: row, setup: clock.wall(record.setup), to: upsertOpen, clock)
    let next = Int32(Schema.callColumns.count)
    upsertOpen.bind(next + 1, Int64(clamping: record.setup.nanoseconds))
    upsertOpen.bind(next + 2, record.answer.map { Int64(clamping: $0.nanoseconds) })
    upsertOpen.bind(next + 3, blob: session)
    try upsertOpen.run()
  }

  private func end(
    _ record: CallRecord, row: Int64, mayBeOpen: Bool, _ clock: StoreClock
  ) throws(StoreError) {
    var setup: Int64?
    if mayBeOpen {
      findSetup.bind(1, row)
      setup = try findSetup.integer()
    }
    let statement = insertRecord
    // Of a call from before the machine was started no instant is left, but what the wall clock said.
    var answer: Int64?
    if record.answer == .zero {
      findAnswer.bind(1, row)
      answer = try findAnswer.integer()
    }
    if setup != nil {
      deleteOpen.bind(1, row)
      try deleteOpen.run()
    }
    bindCall(record, row: row, setup: setup ?? clock.wall(record.setup), to: statement, clock)
    var next = Int32(Schema.callColumns.count)
    let end = record.end ?? record.setup
    let ended = clock.wall(end)
    statement.bind(next + 1, ended)
    if let setup, let answer {
      statement.bind(13, answer)
      statement.bind(15, max(0, answer - setup))
      statement.bind(next + 2, max(0, ended - answer))
      statement.bind(next + 3, max(0, ended - setup))
    } else {
      statement.bind(next + 2, record.answer.map { milliseconds(from: $0, to: end) })
      statement.bind(next + 3, milliseconds(from: record.setup, to: end))
    }
    bind(next + 4, record.releasedBy?.rawValue, to: statement)
    bind(next + 5, record.cause?.name, to: statement)
    next += 6
    bindQuality(record.fromCaller, from: &next, to: statement)
    bindQuality(record.fromCallee, from: &next, to: statement)
    try statement.run()
  }

  /// `Schema.callColumns`, in order.
  private func bindCall(
    _ record: CallRecord, row: Int64, setup: Int64, to statement: PreparedStatement,
    _ clock: StoreClock
  ) {
    statement.bind(1, row)
    scratch.removeAll(keepingCapacity: true)
    record.id.append(to: &scratch)
    statement.bind(2, text: scratch)
    statement.bind(3, record.tenant)
    statement.bind(4, record.state.rawValue)
    statement.bind(5, record.from)
    statement.bind(6, record.to)
    statement.bind(7, record.calledNumber)
    statement.bind(8, record.callerNumber)
    statement.bind(9, record.source?.description ?? "")
    statement.bind(10, record.sipCallID)
    statement.bind(11, setup)
    statement.bind(12, record.ringing.map(clock.wall))
    statement.bind(13, record.answer.map(clock.wall))
    statement.bind(14, record.ringing.map { milliseconds(from: record.setup, to: $0) })
    statement.bind(15, record.answer.map { milliseconds(from: record.setup, to: $0) })
    statement.bind(16, Int64(record.status))
    statement.bind(17, record.codec)
    if record.attempts.isEmpty {
      statement.bind(18, nil as Int64?)
    } else {
      scratch.removeAll(keepingCapacity: true)
      AttemptText.append(record.attempts, clock: clock, to: &scratch)
      statement.bind(18, text: scratch)
    }
    if record.notes.isEmpty {
      statement.bind(19, nil as Int64?)
    } else {
      scratch.removeAll(keepingCapacity: true)
      NoteText.append(record.notes, to: &scratch)
      statement.bind(19, text: scratch)
    }
    if record.recordings.isEmpty {
      statement.bind(20, nil as Int64?)
    } else {
      scratch.removeAll(keepingCapacity: true)
      RecordingText.append(record.recordings, clock: clock, to: &scratch)
      statement.bind(20, text: scratch)
    }
  }

  /// `Schema.qualityColumns`, in order; nothing where nothing was received or sent.
  private func bindQuality(
    _ quality: StreamQuality, from next: inout Int32, to statement: PreparedStatement
  ) {
    let first = next
    next += Int32(Schema.qualityColumns.count)
    guard quality.packets | quality.sent | quality.refused | quality.malformed != 0 else {
      for index in first..<next { statement.bind(index, nil as Int64?) }
      return
    }
    statement.bind(first, Int64(clamping: quality.packets))
    statement.bind(first + 1, Int64(clamping: quality.octets))
    statement.bind(first + 2, Int64(clamping: quality.lost))
    statement.bind(first + 3, Int64(clamping: quality.duplicates))
    statement.bind(first + 4, Int64(clamping: quality.reordered))
    statement.bind(first + 5, Int64(quality.jitter))
    statement.bind(first + 6, Int64(quality.maxJitter))
    statement.bind(first + 7, Int64(quality.mos))
    statement.bind(first + 8, Int64(quality.payloadType))
    statement.bind(first + 9, Int64(quality.ssrc))
    statement.bind(first + 10, Int64(clamping: quality.refused))
    statement.bind(first + 11, Int64(clamping: quality.malformed))
    statement.bind(first + 12, Int64(clamping: quality.sent))
    statement.bind(first + 13, Int64(clamping: quality.rtcpPackets))
    statement.bind(first + 14, Int64(quality.remoteFractionLost))
    statement.bind(first + 15, Int64(quality.remoteJitter))
    statement.bind(first + 16, Int64(quality.roundTrip))
    statement.bind(first + 17, Int64(clamping: quality.unauthentic))
    statement.bind(first + 18, Int64(clamping: quality.replayed))
    statement.bind(first + 19, Int64(quality.remoteMOS))
  }

  private func bind(_ index: Int32, _ text: String?, to statement: PreparedStatement) {
    if let text { statement.bind(index, text) } else { statement.bind(index, nil as Int64?) }
  }

  private func milliseconds(from start: Instant, to end: Instant) -> Int64 {
    max(0, (end - start).nanoseconds / 1_000_000)
  }
}

extension FactEvent {
  fileprivate var session: [UInt8]? {
    switch self {
    case .callAnswered(_, let session), .callRecovered(_, let session),
      .sessionChanged(let session):
      session
    default: nil
    }
  }
}

// MARK: The rest

extension WriterStatements {
  fileprivate func note(alive statement: PreparedStatement, _ clock: StoreClock)
    throws(StoreError)
  {
    let now = clock.now()
    statement.bind(1, clock.wall(now))
    statement.bind(2, Int64(clamping: now.nanoseconds))
    try statement.run()
  }

  /// Empty ones are not kept, so that the table is as long as there are users with messages.
  fileprivate func write(_ mailbox: MailboxStatus) throws(StoreError) {
    let summary = mailbox.summary
    let statement = summary == MessageSummary() ? deleteMailbox : upsertMailbox
    statement.bind(1, mailbox.tenant)
    statement.bind(2, mailbox.user)
    if summary != MessageSummary() {
      statement.bind(3, Int64(summary.new))
      statement.bind(4, Int64(summary.old))
      statement.bind(5, Int64(summary.newUrgent))
      statement.bind(6, Int64(summary.oldUrgent))
    }
    try statement.run()
  }

  fileprivate func write(_ fact: Fact, clock: StoreClock, listeners: [String])
    throws(StoreError)
  {
    switch fact.event {
    case .bindingAdded(let binding):
      let index = Int(binding.listener)
      bindKey(of: binding, to: upsertBinding)
      upsertBinding.bind(6, binding.source.description)
      upsertBinding.bind(7, index < listeners.count ? listeners[index] : String(index))
      upsertBinding.bind(8, binding.callID)
      upsertBinding.bind(9, Int64(binding.cseq))
      upsertBinding.bind(10, clock.wall(binding.expires))
      upsertBinding.bind(11, binding.userAgent)
      upsertBinding.bind(12, Int64(binding.preference))
      upsertBinding.bind(13, binding.path)
      upsertBinding.bind(14, binding.instance)
      upsertBinding.bind(15, binding.isNumberBlock ? 1 : 0)
      upsertBinding.bind(16, binding.passed?.trunk ?? "")
      upsertBinding.bind(17, binding.passed?.token ?? "")
      upsertBinding.bind(18, binding.passed.map { clock.wall($0.kept) } ?? 0)
      try upsertBinding.run()
    case .bindingRemoved(let binding):
      bindKey(of: binding, to: deleteBinding)
      try deleteBinding.run()
    default: return
    }
  }

  private func bindKey(of binding: Binding, to statement: PreparedStatement) {
    statement.bind(1, binding.tenant)
    statement.bind(2, binding.user)
    statement.bind(3, binding.passed != nil ? "phone" : binding.isTrunk ? "trunk" : "user")
    statement.bind(4, binding.contact)
    statement.bind(5, Int64(binding.flow))
  }
}
