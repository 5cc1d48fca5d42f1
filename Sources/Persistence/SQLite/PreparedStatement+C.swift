internal import GRDB
internal import GRDBSQLite
internal import Glibc

/// Memory for the texts and blobs of one row: SQLite reads them where they lie while a statement runs, instead
/// of taking memory for a copy of each.
@safe
final class RowMemory {
  /// A record has about 2 kB; what finds no room is copied by SQLite.
  private static let capacity = 64 * 1_024
  private let start: UnsafeMutableRawPointer
  private var used = 0

  init() { unsafe start = .allocate(byteCount: Self.capacity, alignment: 16) }
  deinit { unsafe start.deallocate() }

  /// Nil when there is no room. Valid until `removeAll`.
  func keep(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawPointer? {
    guard let source = bytes.baseAddress, bytes.count <= Self.capacity - used else {
      return nil
    }
    let place = unsafe start + used
    unsafe place.copyMemory(from: source, byteCount: bytes.count)
    used += bytes.count
    return UnsafeRawPointer(place)
  }

  /// The place of an empty text.
  var nothing: UnsafeRawPointer { unsafe UnsafeRawPointer(start) }

  func removeAll() { used = 0 }
}

/// A prepared statement that is bound and stepped without intermediate values: a call's record is bound
/// in about a microsecond, where argument arrays cost ten.
///
/// Used on the writer's connection only, inside its queue. Indices are SQLite's, from 1. A failure
/// leaves the statement reset, ready for the next try.
@safe
final class PreparedStatement {
  private var statement: OpaquePointer?
  private let connection: OpaquePointer?
  private let memory: RowMemory
  /// Text that is longer is cut: a peer must not fill the disk with its Call-ID.
  static let textLimit = 1_024

  /// `SQLITE_TRANSIENT`: SQLite copies what it is given before the call returns.
  private static var transient: sqlite3_destructor_type? {
    unsafe unsafeBitCast(-1, to: sqlite3_destructor_type?.self)
  }

  /// Statements that are run one after the other may share `memory`; every parameter is bound before each run.
  init(_ db: Database, _ sql: String, memory: RowMemory) throws(StoreError) {
    self.memory = memory
    let connection = unsafe db.sqliteConnection
    unsafe self.connection = connection
    var prepared: OpaquePointer?
    let code = unsafe sqlite3_prepare_v3(
      connection, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, nil)
    unsafe statement = prepared
    guard code == SQLITE_OK else {
      throw unsafe StoreError(code: code, connection: connection)
    }
  }

  deinit { finalize() }

  func finalize() {
    unsafe sqlite3_finalize(statement)
    unsafe statement = nil
  }

  func bind(_ index: Int32, _ value: Int64) {
    unsafe _ = sqlite3_bind_int64(statement, index, value)
  }

  func bind(_ index: Int32, _ value: Int64?) {
    if let value { bind(index, value) } else { unsafe _ = sqlite3_bind_null(statement, index) }
  }

  /// A zero byte, which ends the text for half of those who read it, becomes U+FFFD.
  func bind(_ index: Int32, _ value: String) {
    var text = value
    let isPlain = text.withUTF8 { utf8 in
      if let start = utf8.baseAddress, unsafe memchr(start, 0, utf8.count) != nil {
        return false
      }
      unsafe bind(index, text: UnsafeRawBufferPointer(start: utf8.baseAddress, count: cut(utf8)))
      return true
    }
    if !isPlain { bind(index, value.replacing("\0", with: "\u{fffd}")) }
  }

  func bind(_ index: Int32, text bytes: [UInt8]) {
    unsafe bytes.withUnsafeBytes { unsafe bind(index, text: $0) }
  }

  private func bind(_ index: Int32, text bytes: UnsafeRawBufferPointer) {
    // No address would mean NULL.
    let kept = unsafe bytes.isEmpty ? memory.nothing : memory.keep(bytes)
    let start = unsafe (kept ?? bytes.baseAddress)?.assumingMemoryBound(to: CChar.self)
    unsafe _ = sqlite3_bind_text(
      statement, index, start, Int32(clamping: bytes.count), kept == nil ? Self.transient : nil)
  }

  func bind(_ index: Int32, blob bytes: [UInt8]?) {
    guard let bytes else {
      unsafe _ = sqlite3_bind_null(statement, index)
      return
    }
    unsafe bytes.withUnsafeBytes { raw in
      // An empty blob must not have a null address: that would be NULL.
      guard raw.count > 0 else {
        unsafe _ = sqlite3_bind_zeroblob(statement, index, 0)
        return
      }
      let kept = unsafe memory.keep(raw)
      unsafe _ = sqlite3_bind_blob(
        statement, index, kept ?? raw.baseAddress, Int32(clamping: raw.count),
        kept == nil ? Self.transient : nil)
    }
  }

  /// Runs a statement that returns nothing.
  func run() throws(StoreError) {
    let code = unsafe sqlite3_step(statement)
    let failure: StoreError? =
      code == SQLITE_DONE || code == SQLITE_ROW
      ? nil : unsafe StoreError(code: code, connection: connection)
    unsafe sqlite3_reset(statement)
    memory.removeAll()
    if let failure { throw failure }
  }

  /// Runs a statement that returns at most one integer: of the first row, or nil.
  func integer() throws(StoreError) -> Int64? {
    let code = unsafe sqlite3_step(statement)
    var value: Int64?
    if code == SQLITE_ROW, unsafe sqlite3_column_type(statement, 0) != SQLITE_NULL {
      value = unsafe sqlite3_column_int64(statement, 0)
    }
    let failure: StoreError? =
      code == SQLITE_ROW || code == SQLITE_DONE
      ? nil : unsafe StoreError(code: code, connection: connection)
    unsafe sqlite3_reset(statement)
    memory.removeAll()
    if let failure { throw failure }
    return value
  }

  /// At most `textLimit` bytes, not in the middle of a character.
  private func cut(_ utf8: UnsafeBufferPointer<UInt8>) -> Int {
    guard utf8.count > Self.textLimit else { return utf8.count }
    var end = Self.textLimit
    while end > 0, unsafe utf8[end] & 0xc0 == 0x80 { end -= 1 }
    return end
  }
}

extension StoreError {
  /// What a failed call left on the connection.
  fileprivate init(code: Int32, connection: OpaquePointer?) {
    let text = unsafe sqlite3_errmsg(connection).map { unsafe String(cString: $0) } ?? "unknown"
    self.init(sqlite: code, text)
  }

  init(sqlite code: Int32, _ text: String) {
    let kind: Kind =
      switch code & 0xff {
      case SQLITE_FULL: .full
      case SQLITE_IOERR, SQLITE_NOLFS: .disk
      case SQLITE_PERM, SQLITE_AUTH, SQLITE_READONLY, SQLITE_CANTOPEN: .notPermitted
      case SQLITE_BUSY, SQLITE_LOCKED: .inUse
      case SQLITE_CORRUPT, SQLITE_NOTADB, SQLITE_FORMAT: .damaged
      default: .other
      }
    self.init(kind, "the store answered: \(text) (SQLite \(code))")
  }
}
