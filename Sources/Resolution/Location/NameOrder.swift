/// What an engine asks of whoever resolves names for it.
package enum NameOrder: Equatable, Sendable {
  /// Tell what it comes to, and whenever that changes.
  case watch(LocationRequest)
  case forget(LocationRequest)
}
