internal import Foundation
internal import GRDB

// Every revision of the resources, as it was applied.

extension SQLiteStore {
  package func save(
    resources document: String, sealedBy key: String?, at milliseconds: Int64
  ) throws(StoreError) -> UInt64 {
    try writing { db in
      let last = try Int64.fetchOne(db, sql: "SELECT max(revision) FROM resource_revision") ?? 0
      try db.execute(
        sql: "INSERT INTO resource_revision VALUES (?, ?, ?, ?)",
        arguments: [last + 1, milliseconds, document, key])
      return UInt64(last + 1)
    }
  }

  package func latestResources() throws(StoreError) -> ResourceRevision? {
    try reading { db in
      try Row.fetchOne(
        db, sql: "SELECT * FROM resource_revision ORDER BY revision DESC LIMIT 1"
      ).map { ResourceRevision($0) }
    }
  }

  package func resources(revision: UInt64) throws(StoreError) -> ResourceRevision? {
    try reading { db in
      try Row.fetchOne(
        db, sql: "SELECT * FROM resource_revision WHERE revision = ?",
        arguments: [Int64(clamping: revision)]
      ).map { ResourceRevision($0) }
    }
  }

  package func resourceKeys() throws(StoreError) -> Set<String?> {
    try reading(Self.resourceKeys)
  }

  /// The same of a store that another process may have open; nothing is changed. Empty where there is none, or where it
  /// is of a version that did not seal.
  package static func resourceKeys(path: String) throws(StoreError) -> Set<String?> {
    guard FileManager.default.fileExists(atPath: path) else { return [] }
    do {
      var configuration = GRDB.Configuration()
      configuration.readonly = true
      configuration.busyMode = .timeout(1)
      let queue = try DatabaseQueue(path: path, configuration: configuration)
      return try queue.read { db in
        guard try db.tableExists("resource_revision"),
          try db.columns(in: "resource_revision").contains(where: { $0.name == "key_id" })
        else { return [] }
        return try resourceKeys(db)
      }
    } catch {
      throw StoreError(any: error, path: path)
    }
  }

  private static func resourceKeys(_ db: Database) throws -> Set<String?> {
    let rows = try Row.fetchAll(db, sql: "SELECT DISTINCT key_id FROM resource_revision")
    return Set(rows.map { $0["key_id"] as String? })
  }

  /// SQLite leaves what was overwritten where it lay: in pages that are free, in gaps of pages that are not, and in the
  /// write-ahead log. So the table is given up as a whole while `secure_delete` has its pages overwritten with zeros, and
  /// the log is put in its place and cut off.
  package func rewriteResources(
    _ change: (ResourceRevision) throws(StoreError) -> ResourceRevision
  ) throws(StoreError) {
    try withoutTransaction { db in
      try db.execute(sql: "PRAGMA secure_delete = ON")
      defer { try? db.execute(sql: "PRAGMA secure_delete = OFF") }
      try db.inTransaction(.immediate) {
        try db.execute(sql: "CREATE TABLE rewritten (\(Schema.resourceColumns)) STRICT")
        let rows = try Row.fetchCursor(
          db, sql: "SELECT * FROM resource_revision ORDER BY revision")
        while let row = try rows.next() {
          let changed = try change(ResourceRevision(row))
          try db.execute(
            sql: "INSERT INTO rewritten VALUES (?, ?, ?, ?)",
            arguments: [
              Int64(clamping: changed.revision), changed.appliedAt, changed.document, changed.key,
            ])
        }
        try db.execute(sql: "DROP TABLE resource_revision")
        try db.execute(sql: "ALTER TABLE rewritten RENAME TO resource_revision")
        return .commit
      }
      try db.checkpoint(.truncate)
    }
  }
}

extension ResourceRevision {
  fileprivate init(_ row: Row) {
    self.init(
      revision: UInt64(clamping: row["revision"] as Int64), appliedAt: row["applied_ms"],
      document: row["document"], key: row["key_id"])
  }
}
