internal import Foundation
internal import GRDB
internal import Synchronization
internal import struct Locking.Mutex

/// The embedded store: one SQLite file with a write-ahead log, and nobody else's while we run.
package final class SQLiteStore: CallStore {
  package let path: String
  let pool: DatabasePool
  /// Listener names by index: a restart may number them differently.
  private let listenerNames: Mutex<[String]>
  let writer: Mutex<WriterStatements?>
  let rowsWritten = Atomic<Int64>(0)
  private let isClosed = Atomic<Bool>(false)
  private let lock: FileLock

  /// Opens the store at `path`, making it (mode 0600, since it holds passwords) or bringing it up to this
  /// version where needed. The folder must exist.
  package init(path: String, listeners: [String] = []) throws(StoreError) {
    self.path = path
    listenerNames = Mutex(listeners)
    lock = try FileLock(path: path + ".lock")
    try FileLock.createPrivately(path)
    do {
      var configuration = GRDB.Configuration()
      configuration.label = "demarc.store"
      configuration.maximumReaderCount = 3
      configuration.busyMode = .timeout(5)
      configuration.prepareDatabase { db in
        // A record that was acknowledged survives a power cut: GRDB's WAL default is NORMAL.
        try db.execute(sql: "PRAGMA synchronous = FULL")
        try db.execute(sql: "PRAGMA wal_autocheckpoint = 4000")
      }
      pool = try DatabasePool(path: path, configuration: configuration)
      try pool.writeWithoutTransaction { db in
        try db.execute(sql: "PRAGMA synchronous = FULL")
      }
      let migrator = Schema.migrator
      if try pool.read({ try migrator.hasBeenSuperseded($0) }) {
        throw StoreError(.newer, "\(path) was made by a later version of Demarc")
      }
      try migrator.migrate(pool)
      // A rewrite that a crash cut short may have left in the log what it was to take away.
      _ = try? pool.writeWithoutTransaction { try $0.checkpoint(.truncate) }
      let statements = try pool.writeWithoutTransaction { try WriterStatements($0) }
      writer = Mutex(statements)
    } catch let error as StoreError {
      throw error
    } catch let error as DatabaseError {
      throw StoreError(error, path: path)
    } catch {
      throw StoreError(.other, "\(path) could not be opened: \(error)")
    }
  }

  var listeners: [String] { listenerNames.withLock { $0 } }

  /// They are others from now on; each that there was keeps its place.
  package func follow(listeners: [String]) { listenerNames.withLock { $0 = listeners } }

  /// A quota: beyond so many pages of 4 KiB, writing fails with `.full` until it is raised or records are
  /// purged. What is there already stays.
  package func limit(pages: Int) throws(StoreError) {
    if isClosed.load(ordering: .relaxed) { throw .closed }
    do {
      try pool.writeWithoutTransaction { db in
        try db.execute(sql: "PRAGMA max_page_count = \(max(1, pages))")
      }
    } catch {
      throw StoreError(any: error, path: path)
    }
  }

  /// A setting of the writer's connection ("synchronous"); nil: SQLite has none of that name.
  package func setting(_ name: String) throws(StoreError) -> String? {
    if isClosed.load(ordering: .relaxed) { throw .closed }
    do {
      return try pool.writeWithoutTransaction { db in
        try String.fetchOne(
          db, sql: "SELECT * FROM pragma_\(name.filter { $0.isLetter || $0 == "_" })")
      }
    } catch {
      throw StoreError(any: error, path: path)
    }
  }

  package func close() {
    guard !isClosed.exchange(true, ordering: .relaxed) else { return }
    // The statements first: a connection with live statements cannot be closed.
    pool.writeWithoutTransaction { _ in writer.withLock { $0 = nil } }
    try? pool.close()
    lock.release()
  }

  /// Runs `body` on a connection and turns what it throws into a `StoreError`.
  func reading<Value>(_ body: (Database) throws -> Value) throws(StoreError) -> Value {
    if isClosed.load(ordering: .relaxed) { throw .closed }
    do {
      return try pool.read(body)
    } catch {
      throw StoreError(any: error, path: path)
    }
  }

  func withoutTransaction<Value>(_ body: (Database) throws -> Value) throws(StoreError) -> Value {
    if isClosed.load(ordering: .relaxed) { throw .closed }
    do {
      return try pool.writeWithoutTransaction(body)
    } catch {
      throw StoreError(any: error, path: path)
    }
  }

  func writing<Value>(_ body: (Database) throws -> Value) throws(StoreError) -> Value {
    if isClosed.load(ordering: .relaxed) { throw .closed }
    do {
      return try pool.write(body)
    } catch {
      throw StoreError(any: error, path: path)
    }
  }
}

extension StoreError {
  static let closed = StoreError(.other, "the store is closed")

  init(any error: any Error, path: String) {
    switch error {
    case let error as StoreError: self = error
    case let error as DatabaseError: self.init(error, path: path)
    default: self.init(.other, "\(path): \(error)")
    }
  }

  init(_ error: DatabaseError, path: String) {
    let code = error.extendedResultCode.rawValue
    self.init(sqlite: code, error.message ?? "no message")
    message = "\(path): \(message)"
  }
}
