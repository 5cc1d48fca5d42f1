import Base
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
        sql: """
          DELETE FROM grdb_migrations
            WHERE identifier IN (
              '3 contacts of PBXs, flows and paths', '4 contacts that PBXs keep', '5 mailboxes')
          """)
      #expect(db.changesCount == 3)
      try db.execute(sql: "DROP TABLE mailbox")
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

  /// A phone whose registration a PBX keeps is still known to it by the same name; how it fared meanwhile is not.
  @Test func contactsThatPBXsKeep() throws {
    let folder = try Folder()
    var make = FactMaker()
    var binding = make.binding("anna@pbx.example", expires: 60_000)
    binding.listener = 0
    binding.passed = PassedContact(
      trunk: "office", token: "0123456789abcdef0123456789abcdef",
      since: binding.expires, kept: binding.expires + .seconds(3_540))
    do {
      let store = try SQLiteStore(path: folder.store, listeners: ["udp"])
      defer { store.close() }
      try store.write([make.fact(.bindingAdded(binding))], clock: TestClock().clock)
    }
    let store = try SQLiteStore(path: folder.store, listeners: ["udp"])
    defer { store.close() }
    let clock = TestClock().clock
    let found = try #require(try store.recover(clock: clock).bindings.first)
    #expect(found.passed?.trunk == "office" && found.passed?.token == binding.passed?.token)
    #expect(found.passed?.since == .zero)
    let left = try #require(found.passed).kept - found.expires
    #expect(left == .seconds(3_540))
    try store.write([make.fact(.bindingRemoved(found))], clock: clock)
    #expect(try store.sizes().bindings == 0)
  }
}
