internal import GRDB

/// The statements of the writer's connection, prepared once.
final class WriterStatements {
  let begin: PreparedStatement
  let commit: PreparedStatement
  let rollback: PreparedStatement
  let upsertOpen: PreparedStatement
  let updateSession: PreparedStatement
  let deleteOpen: PreparedStatement
  let insertRecord: PreparedStatement
  let upsertBinding: PreparedStatement
  let deleteBinding: PreparedStatement
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
    let updates = open.filter { !kept.contains($0) }.map { "\($0) = excluded.\($0)" }
    begin = try PreparedStatement(db, "BEGIN IMMEDIATE")
    commit = try PreparedStatement(db, "COMMIT")
    rollback = try PreparedStatement(db, "ROLLBACK")
    upsertOpen = try PreparedStatement(
      db,
      """
      INSERT INTO open_call (\(open.joined(separator: ", ")))
      VALUES (\(Schema.placeholders(open.count)))
      ON CONFLICT (row) DO UPDATE SET \(updates.joined(separator: ", "))
      """)
    updateSession = try PreparedStatement(
      db, "UPDATE open_call SET session = ?2 WHERE row = ?1")
    deleteOpen = try PreparedStatement(
      db, "DELETE FROM open_call WHERE row = ?1 RETURNING setup_ms")
    insertRecord = try PreparedStatement(
      db,
      """
      INSERT OR REPLACE INTO call_record (\(record.joined(separator: ", ")))
      VALUES (\(Schema.placeholders(record.count)))
      """)
    upsertBinding = try PreparedStatement(
      db,
      """
      INSERT OR REPLACE INTO binding (\(Schema.bindingColumns.joined(separator: ", ")))
        VALUES (\(Schema.placeholders(Schema.bindingColumns.count)))
      """)
    deleteBinding = try PreparedStatement(
      db,
      """
      DELETE FROM binding
        WHERE tenant = ?1 AND user = ?2 AND kind = ?3 AND contact = ?4 AND flow = ?5
      """)
    alive = try PreparedStatement(db, "UPDATE alive SET wall_ms = ?1, monotonic_ns = ?2")
    aliveIfOpen = try PreparedStatement(
      db,
      """
      UPDATE alive SET wall_ms = ?1, monotonic_ns = ?2
      WHERE EXISTS (SELECT 1 FROM open_call)
      """)
    insertIncarnation = try PreparedStatement(
      db, "INSERT OR IGNORE INTO incarnation (started_ms) VALUES (?1)")
    findIncarnation = try PreparedStatement(
      db, "SELECT number FROM incarnation WHERE started_ms = ?1")
  }
}
