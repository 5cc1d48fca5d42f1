import Base
import CallCore
import Foundation
import GRDB
import Persistence
import Policy
import Testing

/// What is SQLite's own: the file, the lock, the schema, the cost of a call in rows.
struct SQLiteStoreTests {
  @Test func theFileIsItsOwnersAlone() throws {
    let folder = try Folder()
    try Data().write(to: URL(filePath: folder.store))
    try FileManager.default.setAttributes([.posixPermissions: 0o666], ofItemAtPath: folder.store)
    let store = try SQLiteStore(path: folder.store)
    defer { store.close() }
    var make = FactMaker()
    try store.write([make.attempted(1)], clock: TestClock().clock)
    for file in try FileManager.default.contentsOfDirectory(atPath: folder.url.path) {
      let path = folder.url.appending(path: file).path
      let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions]
      #expect((mode as? NSNumber)?.intValue == 0o600, "\(file)")
    }
  }

  @Test func aStoreHasOneProcess() throws {
    let folder = try Folder()
    let first = try SQLiteStore(path: folder.store)
    let error = #expect(throws: StoreError.self) { try SQLiteStore(path: folder.store) }
    #expect(error?.kind == .inUse)
    first.close()
    let second = try SQLiteStore(path: folder.store)
    second.close()
  }

  @Test func afterItsEndItOnlyRefuses() throws {
    let folder = try Folder()
    let store = try SQLiteStore(path: folder.store)
    store.close()
    store.close()
    var make = FactMaker()
    let (fact, clock) = (make.attempted(1), TestClock().clock)
    let calls: [() throws -> Void] = [
      { try store.write([fact], clock: clock) }, { try store.heartbeat(clock: clock) },
      { _ = try store.recover(clock: clock) }, { _ = try store.record(fact.call ?? make.id(1)) },
      { _ = try store.records(RecordQuery()) }, { _ = try store.purge(endedBefore: 1) },
      { _ = try store.save(resources: "", sealedBy: nil, at: 1) },
      { _ = try store.latestResources() },
      { _ = try store.sizes() }, { try store.limit(pages: 1) }, { _ = try store.setting("x") },
    ]
    for call in calls { #expect(throws: StoreError.self) { try call() } }
  }

  @Test func whatCannotBeOpenedSaysWhy() throws {
    let folder = try Folder()
    let missing = #expect(throws: StoreError.self) {
      try SQLiteStore(path: folder.url.appending(path: "no/such/store.db").path)
    }
    #expect(missing?.message.contains("its folder does not exist") == true)
    try Data("this is no database, whatever its name says".utf8).write(
      to: URL(filePath: folder.store))
    let damaged = #expect(throws: StoreError.self) { try SQLiteStore(path: folder.store) }
    #expect(damaged?.kind == .damaged)
    let directory = #expect(throws: StoreError.self) { try SQLiteStore(path: folder.url.path) }
    #expect(directory != nil)
  }

  @Test func aLaterVersionsStoreIsLeftAlone() throws {
    let folder = try Folder()
    try SQLiteStore(path: folder.store).close()
    let queue = try DatabaseQueue(path: folder.store)
    try queue.write { db in
      try db.execute(sql: "INSERT INTO grdb_migrations VALUES ('99 something later')")
    }
    try queue.close()
    let error = #expect(throws: StoreError.self) { try SQLiteStore(path: folder.store) }
    #expect(error?.kind == .newer)
  }

  @Test func aCommitWaitsForTheDisk() throws {
    let folder = try Folder()
    let store = try SQLiteStore(path: folder.store)
    defer { store.close() }
    #expect(try store.setting("synchronous") == "2")
    #expect(try store.setting("journal_mode") == "wal")
  }

  @Test func itsBytesAreToldWithoutARead() throws {
    let folder = try Folder()
    let store = try SQLiteStore(path: folder.store)
    defer { store.close() }
    var make = FactMaker()
    try store.write([make.attempted(1)], clock: TestClock().clock)
    let queue = try DatabaseQueue(path: folder.store)
    try queue.write { db in
      try db.execute(sql: "ALTER TABLE call_record RENAME TO somewhere_else")
    }
    try queue.close()
    #expect(throws: StoreError.self) { try store.sizes() }
    let files = try [folder.store, folder.store + "-wal"].map { path in
      try Data(contentsOf: URL(filePath: path)).count
    }
    #expect(files.allSatisfy { $0 > 0 })
    #expect(store.bytes == Int64(files.reduce(0, +)))
  }

  @Test func aCallWithinABatchIsOneRow() throws {
    let folder = try Folder()
    let store = try SQLiteStore(path: folder.store)
    defer { store.close() }
    let clock = TestClock().clock
    var make = FactMaker()
    try store.write([make.attempted(1)], clock: clock)  // the start of the process, once
    func rows(_ facts: [Fact]) throws -> Int64 {
      let before = try store.sizes().rowsWritten
      try store.write(facts, clock: clock)
      return try store.sizes().rowsWritten - before - 1  // the sign of life
    }
    #expect(
      try rows([
        make.attempted(2), make.answered(2, setup: 0, at: 10, session: [1]),
        make.fact(.sessionChanged(session: [2]), call: make.id(2)),
        make.ended(2, setup: 0, answer: 10, at: 20),
      ]) == 1)
    #expect(
      try rows([make.attempted(3), make.answered(3, setup: 0, at: 10, session: [1])]) == 1)
    #expect(
      try rows([
        make.fact(.sessionChanged(session: [2]), call: make.id(3)),
        make.fact(.sessionChanged(session: [3]), call: make.id(3)),
      ]) == 1)
    #expect(try rows([make.ended(3, setup: 0, answer: 10, at: 20)]) == 2)
    let binding = make.binding("alice", expires: 1_000)
    #expect(
      try rows((0..<10).map { _ in make.fact(.bindingAdded(binding)) }) == 1)
    #expect(try rows([make.fact(.drained)]) == -1)
  }

  @Test func readableWithPlainSQLite() throws {
    let folder = try Folder()
    let store = try SQLiteStore(path: folder.store)
    var make = FactMaker()
    let clock = TestClock().clock
    try store.write([make.attempted(1)], clock: clock)
    try store.write(
      [make.ended(1, setup: 0, answer: 100, at: 900), make.attempted(2)], clock: clock)
    store.close()
    let queue = try DatabaseQueue(path: folder.store)
    try queue.read { db in
      let rows = try Row.fetchAll(db, sql: "SELECT * FROM call ORDER BY row")
      #expect(rows.map { $0["id"] as String } == [make.id(1).description, make.id(2).description])
      #expect(rows.map { $0["state"] as String } == ["ended", "attempted"])
      #expect(rows[0]["cause"] as String == "normal-clearing")
      #expect(rows[0]["caller_mos_x100"] as Int == 438)
      #expect(rows[0]["talk_ms"] as Int == 800)
      let status = try Int.fetchOne(
        db, sql: "SELECT json_extract(attempts, '$[0].status') FROM call WHERE talk_ms > 0")
      #expect(status == 200)
    }
  }

  /// A page of records costs the page, however many records there are.
  @Test func aPageIsNotSortedOutOfAllRecords() throws {
    let folder = try Folder()
    try SQLiteStore(path: folder.store).close()
    let queue = try DatabaseQueue(path: folder.store)
    var queries: [RecordQuery] = []
    for order in [RecordQuery.Order.newestFirst, .oldestFirst] {
      for cursor in [nil, "5"] {
        var query = RecordQuery()
        query.order = order
        query.cursor = cursor
        queries.append(query)
        query.tenant = "acme"
        query.number = "1"
        queries.append(query)
      }
    }
    for query in queries {
      let select = try RecordSelect(query)
      let plan = try queue.read { db in
        try Row.fetchAll(
          db, sql: "EXPLAIN QUERY PLAN \(select.sql)",
          arguments: select.arguments)
      }.map { $0["detail"] as String }
      #expect(plan.contains { $0.hasPrefix("MERGE") }, "\(plan)")
      #expect(!plan.contains { $0.contains("TEMP B-TREE") }, "\(plan)")
    }
  }

  /// Listeners may be numbered anew by a restart; a contact follows its listener's name.
  @Test func contactsFollowTheirListener() throws {
    let folder = try Folder()
    var make = FactMaker()
    let clock = TestClock().clock
    do {
      let store = try SQLiteStore(path: folder.store, listeners: ["udp4", "udp6"])
      defer { store.close() }
      try store.write(
        [make.fact(.bindingAdded(make.binding("alice", expires: 60_000)))], clock: clock)
    }
    do {
      let store = try SQLiteStore(path: folder.store, listeners: ["new", "udp4", "udp6"])
      defer { store.close() }
      #expect(try store.recover(clock: clock).bindings.map(\.listener) == [2])
    }
    let store = try SQLiteStore(path: folder.store, listeners: ["udp4"])
    defer { store.close() }
    #expect(try store.recover(clock: clock).bindings.isEmpty)
  }

  @Test func aFullStoreKeepsWhatItHas() throws {
    let folder = try Folder()
    let store = try SQLiteStore(path: folder.store)
    defer { store.close() }
    let clock = TestClock().clock
    var make = FactMaker()
    try store.limit(pages: 40)
    var stored: UInt64 = 0
    var failure: StoreError?
    while failure == nil, stored < 10_000 {
      let facts = (1...20).flatMap { i in
        [make.attempted(stored + i), make.ended(stored + i, setup: 0, answer: 10, at: 20)]
      }
      do throws(StoreError) {
        try store.write(facts, clock: clock)
        stored += 20
      } catch {
        failure = error
      }
    }
    #expect(failure?.kind == .full)
    #expect(try store.sizes().records == Int(stored))
    // Nothing of a failed batch stays, and the next try is as good as the first.
    let batch = [make.attempted(20_000), make.ended(20_000, setup: 0, answer: nil, at: 1)]
    for _ in 0..<3 { try? store.write(batch, clock: clock) }
    try store.limit(pages: 1_000_000)
    try store.write(batch, clock: clock)
    #expect(try store.record(make.id(20_000)) != nil)
  }
}
