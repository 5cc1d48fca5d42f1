internal import CallCore
package import GRDB
internal import Policy

/// The statement of a `RecordQuery`.
///
/// Both tables are in the order of their keys, so SQLite merges them and stops at the limit. The view
/// `call` would not do: a statement on it sorts every record there is first (2 s for a million).
package struct RecordSelect {
  package private(set) var sql = ""
  /// In the order of the numbered placeholders.
  package private(set) var arguments = StatementArguments()
  /// The statement asks for one more, to see whether there is more.
  package let limit: Int

  package init(_ query: RecordQuery) throws(StoreError) {
    limit = min(max(query.limit, 1), RecordQuery.maximumLimit)
    var values: [any DatabaseValueConvertible] = []
    let conditions = try Self.conditions(query, &values)
    arguments = StatementArguments(values)
    let filter = conditions.isEmpty ? "" : " WHERE " + conditions.joined(separator: " AND ")
    let columns = Schema.names(Schema.callColumns).joined(separator: ", ")
    let ending = Schema.names(Schema.endColumns)
    let ended = "SELECT \(columns), \(ending.joined(separator: ", ")) FROM call_record\(filter)"
    let missing = ending.map { "NULL AS \($0)" }.joined(separator: ", ")
    let open = "SELECT \(columns), \(missing) FROM open_call\(filter)"
    let direction = query.order == .newestFirst ? "DESC" : "ASC"
    let parts = Self.tables(query).map { $0 == .open ? open : ended }
    sql = "\(parts.joined(separator: " UNION ALL ")) ORDER BY row \(direction) LIMIT \(limit + 1)"
  }

  private enum Table { case ended, open }

  /// An open call has no cause, and its state says which table it is in.
  private static func tables(_ query: RecordQuery) -> [Table] {
    switch query.state {
    case .attempted, .ringing, .answered: query.cause == nil ? [.open] : [.ended]
    case .ended, .interrupted: [.ended]
    case nil: query.cause == nil ? [.ended, .open] : [.ended]
    }
  }

  private static func conditions(
    _ query: RecordQuery, _ values: inout [any DatabaseValueConvertible]
  ) throws(StoreError) -> [String] {
    var conditions: [String] = []
    func add(_ value: any DatabaseValueConvertible, _ condition: (String) -> String) {
      values.append(value)
      conditions.append(condition("?\(values.count)"))
    }
    if let cursor = query.cursor {
      guard let row = Int64(cursor) else {
        throw StoreError(.other, "`\(cursor)` is no cursor of this store")
      }
      let comparison = query.order == .newestFirst ? "<" : ">"
      add(row) { "row \(comparison) \($0)" }
    }
    if let tenant = query.tenant { add(tenant) { "tenant = \($0)" } }
    if let since = query.since { add(since) { "setup_ms >= \($0)" } }
    if let until = query.until { add(until) { "setup_ms < \($0)" } }
    if let party = query.party {
      add(party) { "(from_party = \($0) OR to_party = \($0))" }
    }
    if let number = query.number {
      add(number) { "(called_number = \($0) OR caller_number = \($0))" }
    }
    if let state = query.state { add(state.rawValue) { "state = \($0)" } }
    if let cause = query.cause { add(cause.name) { "cause = \($0)" } }
    return conditions
  }
}
