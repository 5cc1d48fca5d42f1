internal import GRDB

/// The tables. A record is written twice at most: into `open_call` while the call lives, and once, whole,
/// into `call_record` when it has ended; the small table stays in memory and the large one is only ever
/// appended to. The view `call` is both, for whoever looks with sqlite3.
///
/// Times end in `_ms` and are milliseconds since 1970, or durations in milliseconds where their name
/// says so (`…_after_ms`, `talk_ms`, `total_ms`). `row` is the number of the process's start and the
/// call's serial within it, so it grows with time.
enum Schema {
  static let qualityColumns =
    firstQualityColumns + ["unauthentic", "replayed", "remote_mos_x100"]

  /// Those of the first version.
  private static let firstQualityColumns = [
    "packets", "octets", "lost", "duplicates", "reordered", "jitter_us", "max_jitter_us",
    "mos_x100", "payload_type", "ssrc", "refused", "malformed", "sent", "rtcp_packets",
    "remote_lost_256", "remote_jitter_us", "round_trip_us",
  ]

  /// Of a call whatever its state; bound in this order.
  static let callColumns = secondCallColumns + [("recordings", "TEXT")]

  private static let secondCallColumns = firstCallColumns + [("notes", "TEXT")]

  /// Those of the first version.
  private static let firstCallColumns: [(name: String, type: String)] = [
    ("row", "INTEGER PRIMARY KEY"), ("id", "TEXT NOT NULL"), ("tenant", "TEXT NOT NULL"),
    ("state", "TEXT NOT NULL"), ("from_party", "TEXT NOT NULL"), ("to_party", "TEXT NOT NULL"),
    ("called_number", "TEXT NOT NULL"), ("caller_number", "TEXT NOT NULL"),
    ("source", "TEXT NOT NULL"), ("sip_call_id", "TEXT NOT NULL"),
    ("setup_ms", "INTEGER NOT NULL"), ("ringing_ms", "INTEGER"), ("answer_ms", "INTEGER"),
    ("ringing_after_ms", "INTEGER"), ("answer_after_ms", "INTEGER"),
    ("status", "INTEGER NOT NULL"), ("codec", "TEXT NOT NULL"), ("attempts", "TEXT"),
  ]

  /// Of an open call besides: the monotonic clock of the process, and the session's record.
  static let openColumns: [(name: String, type: String)] = [
    ("setup_ns", "INTEGER NOT NULL"), ("answer_ns", "INTEGER"), ("session", "BLOB"),
  ]

  /// Of an ended call besides.
  static let endColumns = endColumns(qualityColumns)

  private static func endColumns(_ quality: [String]) -> [(name: String, type: String)] {
    [
      ("end_ms", "INTEGER NOT NULL"), ("talk_ms", "INTEGER"), ("total_ms", "INTEGER NOT NULL"),
      ("released_by", "TEXT"), ("cause", "TEXT"),
    ] + sides.flatMap { side in quality.map { ("\(side)_\($0)", "INTEGER") } }
  }

  private static let sides = ["caller", "callee"]

  static func names(_ columns: [(name: String, type: String)]) -> [String] {
    columns.map(\.name)
  }

  static func placeholders(_ count: Int) -> String {
    (1...max(count, 1)).map { "?\($0)" }.joined(separator: ", ")
  }

  private static func table(_ name: String, _ columns: [(name: String, type: String)]) -> String {
    let list = columns.map { "\($0.name) \($0.type)" }.joined(separator: ", ")
    return "CREATE TABLE \(name) (\(list)) STRICT"
  }

  static var migrator: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("1 records, bindings, resources") { db in
      for sql in version1 { try db.execute(sql: sql) }
    }
    migrator.registerMigration("2 notes of calls") { db in
      for sql in version2 { try db.execute(sql: sql) }
    }
    migrator.registerMigration("3 contacts of PBXs, flows and paths") { db in
      for sql in version3 { try db.execute(sql: sql) }
    }
    migrator.registerMigration("4 contacts that PBXs keep") { db in
      for sql in version4 { try db.execute(sql: sql) }
    }
    migrator.registerMigration("5 mailboxes") { db in
      for sql in version5 { try db.execute(sql: sql) }
    }
    migrator.registerMigration("6 what SRTP refused, and what far ends say") { db in
      for sql in version6 { try db.execute(sql: sql) }
    }
    migrator.registerMigration("7 recordings") { db in
      for sql in version7 { try db.execute(sql: sql) }
    }
    migrator.registerMigration("8 by which key passwords are sealed") { db in
      try db.execute(sql: "ALTER TABLE resource_revision ADD COLUMN key_id TEXT")
    }
    migrator.registerMigration("9 bans, and what costly calls have used up") { db in
      for sql in version9 { try db.execute(sql: sql) }
    }
    return migrator
  }

  static let bindingColumns = [
    "tenant", "user", "kind", "contact", "flow", "source", "listener", "call_id", "cseq",
    "expires_ms", "user_agent", "preference", "path", "instance", "number_block", "passed_to",
    "token", "kept_ms",
  ]

  private static var version9: [String] {
    [
      """
      CREATE TABLE ban (
        network TEXT PRIMARY KEY, reason TEXT NOT NULL, evidence TEXT NOT NULL,
        since_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, proven INTEGER NOT NULL,
        before INTEGER NOT NULL) STRICT, WITHOUT ROWID
      """,
      // `talking` calls went on at `at_ms`: what they have talked since is for whoever recovers to add.
      """
      CREATE TABLE toll_account (
        tenant TEXT NOT NULL, account TEXT NOT NULL, blocked INTEGER NOT NULL,
        alarms INTEGER NOT NULL, last_alarm_ms INTEGER NOT NULL, last_reason TEXT NOT NULL,
        spoken_ms INTEGER NOT NULL, talking INTEGER NOT NULL, at_ms INTEGER NOT NULL,
        day_ends_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, account)) STRICT, WITHOUT ROWID
      """,
    ]
  }

  /// As they have become in the eighth version.
  static let resourceColumns = """
    revision INTEGER PRIMARY KEY, applied_ms INTEGER NOT NULL, document TEXT NOT NULL, key_id TEXT
    """

  private static var version7: [String] {
    [
      "ALTER TABLE open_call ADD COLUMN recordings TEXT",
      "ALTER TABLE call_record ADD COLUMN recordings TEXT",
      "DROP VIEW call", view(callColumns, endColumns),
      """
      CREATE TABLE recording_deleted (
        name TEXT PRIMARY KEY, deleted_ms INTEGER NOT NULL, reason TEXT NOT NULL)
        STRICT, WITHOUT ROWID
      """,
    ]
  }

  private static var version6: [String] {
    let new = qualityColumns.dropFirst(firstQualityColumns.count)
    return sides.flatMap { side in
      new.map { "ALTER TABLE call_record ADD COLUMN \(side)_\($0) INTEGER" }
    } + ["DROP VIEW call", view(secondCallColumns, endColumns)]
  }

  /// What waits for whom, as it was said last.
  private static var version5: [String] {
    [
      """
      CREATE TABLE mailbox (
        tenant TEXT NOT NULL, user TEXT NOT NULL, new INTEGER NOT NULL, old INTEGER NOT NULL,
        new_urgent INTEGER NOT NULL, old_urgent INTEGER NOT NULL,
        PRIMARY KEY (tenant, user)) STRICT, WITHOUT ROWID
      """
    ]
  }

  /// Of a phone whose registration a PBX keeps: the trunk, under which name it has it, and until when.
  private static var version4: [String] {
    [
      "ALTER TABLE binding ADD COLUMN passed_to TEXT NOT NULL DEFAULT ''",
      "ALTER TABLE binding ADD COLUMN token TEXT NOT NULL DEFAULT ''",
      "ALTER TABLE binding ADD COLUMN kept_ms INTEGER NOT NULL DEFAULT 0",
    ]
  }

  /// A contact is of a user or of a trunk, and two flows of one phone may have the same URI.
  private static var version3: [String] {
    [
      """
      CREATE TABLE binding_2 (
        tenant TEXT NOT NULL, user TEXT NOT NULL, kind TEXT NOT NULL, contact TEXT NOT NULL,
        flow INTEGER NOT NULL, source TEXT NOT NULL, listener TEXT NOT NULL, call_id TEXT NOT NULL,
        cseq INTEGER NOT NULL, expires_ms INTEGER NOT NULL, user_agent TEXT NOT NULL,
        preference INTEGER NOT NULL, path TEXT NOT NULL, instance TEXT NOT NULL,
        number_block INTEGER NOT NULL,
        PRIMARY KEY (tenant, user, kind, contact, flow)) STRICT, WITHOUT ROWID
      """,
      """
      INSERT INTO binding_2 SELECT tenant, user, 'user', contact, 0, source, listener, call_id, cseq,
        expires_ms, user_agent, 1000, '', '', 0 FROM binding
      """,
      "DROP TABLE binding",
      "ALTER TABLE binding_2 RENAME TO binding",
    ]
  }

  private static var version1: [String] {
    [
      """
      CREATE TABLE incarnation (
        number INTEGER PRIMARY KEY, started_ms INTEGER NOT NULL UNIQUE) STRICT
      """,
      // One row: the last moment at which a process is known to have lived.
      """
      CREATE TABLE alive (
        one INTEGER PRIMARY KEY CHECK (one = 1), wall_ms INTEGER NOT NULL,
        monotonic_ns INTEGER NOT NULL) STRICT
      """,
      "INSERT INTO alive VALUES (1, 0, 0)",
      table("open_call", firstCallColumns + openColumns),
      table("call_record", firstCallColumns + endColumns(firstQualityColumns)),
      "CREATE INDEX call_record_setup ON call_record (setup_ms)",
      view(firstCallColumns, endColumns(firstQualityColumns)),
      """
      CREATE TABLE binding (
        tenant TEXT NOT NULL, user TEXT NOT NULL, contact TEXT NOT NULL, source TEXT NOT NULL,
        listener TEXT NOT NULL, call_id TEXT NOT NULL, cseq INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL, user_agent TEXT NOT NULL,
        PRIMARY KEY (tenant, user, contact)) STRICT, WITHOUT ROWID
      """,
      """
      CREATE TABLE resource_revision (
        revision INTEGER PRIMARY KEY, applied_ms INTEGER NOT NULL, document TEXT NOT NULL) STRICT
      """,
    ]
  }

  private static var version2: [String] {
    [
      "ALTER TABLE open_call ADD COLUMN notes TEXT",
      "ALTER TABLE call_record ADD COLUMN notes TEXT",
      "DROP VIEW call", view(secondCallColumns, endColumns(firstQualityColumns)),
    ]
  }

  private static func view(
    _ columns: [(name: String, type: String)], _ end: [(name: String, type: String)]
  ) -> String {
    let shared = names(columns).joined(separator: ", ")
    let ended = names(end).joined(separator: ", ")
    let missing = names(end).map { "NULL AS \($0)" }.joined(separator: ", ")
    return """
      CREATE VIEW call AS SELECT \(shared), \(ended) FROM call_record
        UNION ALL SELECT \(shared), \(missing) FROM open_call
      """
  }
}
