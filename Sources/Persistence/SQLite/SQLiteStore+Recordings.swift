internal import CallCore
internal import GRDB

// What is kept of recordings whose files are gone: that they were, when, and why.

extension SQLiteStore {
  package func noteDeleted(recording name: String, _ deletion: RecordingDeletion)
    throws(StoreError)
  {
    try writing { db in
      try db.execute(
        sql: "INSERT OR IGNORE INTO recording_deleted (name, deleted_ms, reason) VALUES (?, ?, ?)",
        arguments: [name, deletion.at, deletion.reason.rawValue])
    }
  }

  func addDeletions(_ db: Database, to record: StoredRecord) throws -> StoredRecord {
    guard !record.recordings.isEmpty else { return record }
    var record = record
    for index in record.recordings.indices {
      let row = try Row.fetchOne(
        db, sql: "SELECT * FROM recording_deleted WHERE name = ?",
        arguments: [record.recordings[index].line.name])
      guard let row, let reason = RecordingDeletion.Reason(rawValue: row["reason"]) else {
        continue
      }
      record.recordings[index].deletion = RecordingDeletion(at: row["deleted_ms"], reason: reason)
    }
    return record
  }
}
