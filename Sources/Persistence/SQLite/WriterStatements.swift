internal import GRDB

/// The statements of the writer's connection, prepared once.
final class WriterStatements {
  let begin: PreparedStatement
  let commit: PreparedStatement
  let rollback: PreparedStatement
  let upsertOpen: PreparedStatement
  let updateSession: PreparedStatement
  let findSetup: PreparedStatement
  let findAnswer: PreparedStatement
  let deleteOpen: PreparedStatement
  let insertRecord: PreparedStatement
  let upsertBinding: PreparedStatement
  let deleteBinding: PreparedStatement
  let upsertMailbox: PreparedStatement
  let deleteMailbox: PreparedStatement
  let upsertBan: PreparedStatement
  let deleteBan: PreparedStatement
  let upsertToll: PreparedStatement
  let alive: PreparedStatement
  let aliveIfOpen: PreparedStatement
  let insertIncarnation: PreparedStatement
  let findIncarnation: PreparedStatement
  /// Numbers of incarnations that were seen; in practice one.
  var incarnations: [UInt64: Int64] = [:]
  /// Reused for texts that are built.
  var scratch: [UInt8] = []

  init(_ db: Database) throws(StoreError) {
    let open = Schema.names(Schema.callColumns + Schema.openColumns)
    let record = Schema.names(Schema.callColumns + Schema.endColumns)
    // Where and when a call was set up is said once, by its first fact.
    let kept = ["row", "id", "tenant", "source", "sip_call_id", "setup_ms", "setup_ns"]
    let updates = open.filter { !kept.contains($0) }.map { name in
      // A fact that says nothing of the session leaves what was said before.
      name == "session"
        ? "session = coalesce(excluded.session, session)" : "\(name) = excluded.\(name)"
    }
    let memory = RowMemory()
    func prepare(_ sql: String) throws(StoreError) -> PreparedStatement {
      try PreparedStatement(db, sql, memory: memory)
    }
    begin = try prepare("BEGIN IMMEDIATE")
    commit = try prepare("COMMIT")
    rollback = try prepare("ROLLBACK")
    upsertOpen = try prepare(
      """
      INSERT INTO open_call (\(open.joined(separator: ", ")))
      VALUES (\(Schema.placeholders(open.count)))
      ON CONFLICT (row) DO UPDATE SET \(updates.joined(separator: ", "))
      """)
    updateSession = try prepare("UPDATE open_call SET session = ?2 WHERE row = ?1")
    // Not by a RETURNING clause of the deletion, for which SQLite makes a table of its own.
    findSetup = try prepare("SELECT setup_ms FROM open_call WHERE row = ?1")
    findAnswer = try prepare("SELECT answer_ms FROM open_call WHERE row = ?1")
    deleteOpen = try prepare("DELETE FROM open_call WHERE row = ?1")
    insertRecord = try prepare(
      """
      INSERT OR REPLACE INTO call_record (\(record.joined(separator: ", ")))
      VALUES (\(Schema.placeholders(record.count)))
      """)
    upsertBinding = try prepare(
      """
      INSERT OR REPLACE INTO binding (\(Schema.bindingColumns.joined(separator: ", ")))
        VALUES (\(Schema.placeholders(Schema.bindingColumns.count)))
      """)
    deleteBinding = try prepare(
      """
      DELETE FROM binding
        WHERE tenant = ?1 AND user = ?2 AND kind = ?3 AND contact = ?4 AND flow = ?5
      """)
    upsertMailbox = try prepare("INSERT OR REPLACE INTO mailbox VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
    deleteMailbox = try prepare("DELETE FROM mailbox WHERE tenant = ?1 AND user = ?2")
    upsertBan = try prepare("INSERT OR REPLACE INTO ban VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
    deleteBan = try prepare("DELETE FROM ban WHERE network = ?1")
    upsertToll = try prepare(
      """
      INSERT OR REPLACE INTO toll_account VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
      """)
    alive = try prepare("UPDATE alive SET wall_ms = ?1, monotonic_ns = ?2")
    aliveIfOpen = try prepare(
      """
      UPDATE alive SET wall_ms = ?1, monotonic_ns = ?2
      WHERE EXISTS (SELECT 1 FROM open_call)
      """)
    insertIncarnation = try prepare(
      "INSERT OR IGNORE INTO incarnation (started_ms) VALUES (?1)")
    findIncarnation = try prepare("SELECT number FROM incarnation WHERE started_ms = ?1")
  }
}
