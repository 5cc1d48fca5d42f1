import CallCore
import GRDB
import Persistence
import Testing

struct BindingMigrationTests {
  /// A store as the first version left it is taken over with its contacts.
  @Test func contactsOfTheFirstVersionAreKept() throws {
    let folder = try Folder()
    let clock = TestClock().clock
    try SQLiteStore(path: folder.store, listeners: ["udp"]).close()
    let queue = try DatabaseQueue(path: folder.store)
    try queue.write { db in
      try db.execute(
        sql: "DELETE FROM grdb_migrations WHERE identifier = '3 contacts of PBXs, flows and paths'")
      #expect(db.changesCount == 1)
      try db.execute(sql: "DROP TABLE binding")
      try db.execute(
        sql: """
          CREATE TABLE binding (
            tenant TEXT NOT NULL, user TEXT NOT NULL, contact TEXT NOT NULL, source TEXT NOT NULL,
            listener TEXT NOT NULL, call_id TEXT NOT NULL, cseq INTEGER NOT NULL,
            expires_ms INTEGER NOT NULL, user_agent TEXT NOT NULL,
            PRIMARY KEY (tenant, user, contact)) STRICT, WITHOUT ROWID
          """)
      try db.execute(
        sql: """
          INSERT INTO binding VALUES ('acme', 'alice', 'sip:a@192.0.2.1', '192.0.2.1:5060', 'udp',
            'c', 3, ?, 'Phone')
          """, arguments: [TestClock.epoch + 60_000])
    }
    try queue.close()
    let store = try SQLiteStore(path: folder.store, listeners: ["udp"])
    defer { store.close() }
    let bindings = try store.recover(clock: clock).bindings
    #expect(bindings.map(\.user) == ["alice"])
    #expect(bindings.map(\.contact) == ["sip:a@192.0.2.1"])
    #expect(bindings.first?.isTrunk == false && bindings.first?.preference == 1_000)
  }
}
