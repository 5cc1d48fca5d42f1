internal import GRDB
internal import GRDBSQLite

/// A prepared statement that is bound and stepped without intermediate values: a call's record is bound
/// in about a microsecond, where argument arrays cost ten.
///
/// Used on the writer's connection only, inside its queue. Indices are SQLite's, from 1. A failure
/// leaves the statement reset, ready for the next try.
@safe
final class PreparedStatement {
  private var statement: OpaquePointer?
  private let connection: OpaquePointer?
  /// Text that is longer is cut: a peer must not fill the disk with its Call-ID.
  static let textLimit = 1_024

  /// `SQLITE_TRANSIENT`: SQLite copies what it is given before the call returns.
  private static var transient: sqlite3_destructor_type? {
    unsafe unsafeBitCast(-1, to: sqlite3_destructor_type?.self)
  }

  init(_ db: Database, _ sql: String) throws(StoreError) {
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
    var text = value.utf8.contains(0) ? value.replacing("\0", with: "\u{fffd}") : value
    text.withUTF8 { utf8 in
      let count = unsafe cut(utf8)
      unsafe _ = sqlite3_bind_text(
        statement, index, utf8.baseAddress, Int32(count), Self.transient)
    }
  }

  func bind(_ index: Int32, text bytes: [UInt8]) {
    unsafe bytes.withUnsafeBufferPointer { utf8 in
      unsafe _ = sqlite3_bind_text(
        statement, index, utf8.baseAddress, Int32(clamping: utf8.count), Self.transient)
    }
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
      unsafe _ = sqlite3_bind_blob(
        statement, index, raw.baseAddress, Int32(clamping: raw.count), Self.transient)
    }
  }

  /// Runs a statement that returns nothing.
  func run() throws(StoreError) {
    let code = unsafe sqlite3_step(statement)
    let failure: StoreError? =
      code == SQLITE_DONE || code == SQLITE_ROW
      ? nil : unsafe StoreError(code: code, connection: connection)
    unsafe sqlite3_reset(statement)
    if let failure { throw failure }
  }

  /// Runs a statement that returns at most one integer: of the first row, or nil.
  func integer() throws(StoreError) -> Int64? {
    let code = unsafe sqlite3_step(statement)
    var value: Int64?
    if code == SQLITE_ROW, unsafe sqlite3_column_type(statement, 0) != SQLITE_NULL {
      value = unsafe sqlite3_column_int64(statement, 0)
    }
    // To the end: a RETURNING clause is complete only when the statement is.
    let last = code == SQLITE_ROW ? unsafe sqlite3_step(statement) : code
    let failure: StoreError? =
      last == SQLITE_DONE ? nil : unsafe StoreError(code: last, connection: connection)
    unsafe sqlite3_reset(statement)
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
