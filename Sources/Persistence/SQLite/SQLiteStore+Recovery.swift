internal import Base
internal import CallCore
internal import Foundation
internal import GRDB
internal import Policy
internal import SIPCore

extension SQLiteStore {
  package func recover(clock: StoreClock) throws(StoreError) -> Recovery {
    let now = clock.now()
    let wall = clock.wall(now)
    return try writing { db in
      var recovery = Recovery()
      // Before the calls of before are closed: by them it is known what they have talked.
      recovery.border = try border(db, now: now, wall: wall)
      recovery.established = try establishedCalls(db, clock: clock)
      recovery.interrupted = try interruptOpenCalls(db, except: recovery.established)
      recovery.bindings = try liveBindings(db, now: now, wall: wall)
      recovery.mailboxes = try mailboxes(db)
      return recovery
    }
  }

  private func mailboxes(_ db: Database) throws -> [MailboxStatus] {
    try Row.fetchAll(db, sql: "SELECT * FROM mailbox ORDER BY tenant, user").map { row in
      func count(_ column: String) -> Int { Int(clamping: row[column] as Int64) }
      let summary = MessageSummary(
        new: count("new"), old: count("old"), newUrgent: count("new_urgent"),
        oldUrgent: count("old_urgent"))
      return MailboxStatus(tenant: row["tenant"], user: row["user"], summary: summary)
    }
  }

  /// One transaction moves every open call that cannot go on into the records: a second recovery finds none. The end
  /// is the last moment at which the process is known to have lived.
  private func interruptOpenCalls(
    _ db: Database, except established: [EstablishedCall]
  ) throws -> [Recovery.Call] {
    let known = Set(established.map(\.record.id))
    let calls = try Row.fetchAll(db, sql: "SELECT row, id, session FROM open_call ORDER BY row")
      .filter { row in !(CallID(row["id"] as String).map(known.contains) ?? false) }
    guard !calls.isEmpty else { return [] }
    let shared = Schema.names(Schema.callColumns)
    let copied = shared.map { $0 == "state" ? "'\(CallState.interrupted.rawValue)'" : $0 }
    let ending = ["end_ms", "talk_ms", "total_ms", "released_by", "cause"]
    let insert = try db.makeStatement(
      sql: """
        INSERT OR REPLACE INTO call_record (\((shared + ending).joined(separator: ", ")))
        SELECT \(copied.joined(separator: ", ")),
          max(wall_ms, setup_ms, coalesce(answer_ms, 0)),
          CASE WHEN answer_ns IS NOT NULL THEN max(monotonic_ns - answer_ns, 0) / 1000000 END,
          max(monotonic_ns - setup_ns, 0) / 1000000, ?, ?
        FROM open_call, alive WHERE row = ?
        """)
    let delete = try db.makeStatement(sql: "DELETE FROM open_call WHERE row = ?")
    for call in calls {
      let row = call["row"] as Int64
      try insert.execute(arguments: [ReleasedBy.system.rawValue, Cause.interrupted.name, row])
      try delete.execute(arguments: [row])
    }
    return calls.compactMap { row in
      guard let id = CallID(row["id"] as String) else { return nil }
      return Recovery.Call(id: id, session: (row["session"] as Data?).map { [UInt8]($0) })
    }
  }

  private func liveBindings(_ db: Database, now: Instant, wall: Int64) throws -> [Binding] {
    try db.execute(sql: "DELETE FROM binding WHERE expires_ms <= ?", arguments: [wall])
    let rows = try Row.fetchAll(
      db, sql: "SELECT * FROM binding ORDER BY tenant, user, kind, contact, flow")
    return rows.compactMap { row in
      guard let source = SocketAddress(row["source"] as String),
        let listener = listenerIndex(row["listener"])
      else { return nil }
      let left = Interval.milliseconds(Int(clamping: (row["expires_ms"] as Int64) - wall))
      var binding = Binding(
        tenant: row["tenant"], user: row["user"], contact: row["contact"], source: source,
        listener: listener, callID: row["call_id"], cseq: UInt32(clamping: row["cseq"] as Int64),
        expires: now + left, userAgent: row["user_agent"])
      binding.isTrunk = row["kind"] as String == "trunk"
      binding.flow = UInt32(clamping: row["flow"] as Int64)
      binding.preference = UInt16(clamping: row["preference"] as Int64)
      binding.path = row["path"]
      binding.instance = row["instance"]
      binding.isNumberBlock = row["number_block"] as Int64 != 0
      if row["kind"] as String == "phone" {
        let kept = Interval.milliseconds(Int(clamping: (row["kept_ms"] as Int64) - wall))
        // How the PBX fared meanwhile nobody knows: the next REGISTER is carried to it.
        binding.passed = PassedContact(
          trunk: row["passed_to"], token: row["token"], since: .zero, kept: now + kept)
      }
      return binding
    }
  }

  /// Nil where the listener does not exist any more: its phones have to register anew.
  private func listenerIndex(_ name: String) -> UInt16? {
    if listeners.isEmpty { return UInt16(name) }
    return listeners.firstIndex(of: name).flatMap(UInt16.init(exactly:))
  }
}
