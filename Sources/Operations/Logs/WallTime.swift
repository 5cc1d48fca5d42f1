package import Base

/// From the monotonic clock of the engine to the wall clock of people.
package struct WallTime: Sendable {
  private let convert: @Sendable (Instant) -> Int64

  package init(_ convert: @escaping @Sendable (Instant) -> Int64) {
    self.convert = convert
  }

  /// Milliseconds since 1970.
  package func milliseconds(at instant: Instant) -> Int64 { convert(instant) }
}
