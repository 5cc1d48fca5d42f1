/// A value that prints as dots wherever it is printed, interpolated or dumped: passwords, keys, and the
/// numbers of people in logs that leave the machine.
@frozen @usableFromInline
package struct Redacted<Value> {
  /// The value itself. Reading it is a decision that a reviewer can find by name.
  @usableFromInline package var exposed: Value
  @inlinable package init(_ value: Value) { exposed = value }
}

extension Redacted: Sendable where Value: Sendable {}
extension Redacted: Equatable where Value: Equatable {}
extension Redacted: Hashable where Value: Hashable {}
extension Redacted: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  @usableFromInline package var description: String { "•••" }
  @usableFromInline package var debugDescription: String { "•••" }
  @usableFromInline package var customMirror: Mirror { Mirror(self, children: []) }
}
