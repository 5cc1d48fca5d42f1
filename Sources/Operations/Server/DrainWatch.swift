import CallCore
import Synchronization

/// Whether the shard has said that its last call is over.
final class DrainWatch: Sendable {
  private let drained = Atomic(false)

  /// On the shard's thread.
  func observe(_ facts: [Fact]) {
    for fact in facts {
      if case .drained = fact.event { drained.store(true, ordering: .releasing) }
    }
  }

  /// True when it has, false when the time was over or `isCancelled` said so first.
  func wait(
    upTo limit: Duration, unless isCancelled: @Sendable () -> Bool = { false }
  ) async -> Bool {
    let clock = ContinuousClock()
    let end = clock.now + limit
    while !drained.load(ordering: .acquiring) {
      if clock.now >= end || isCancelled() { return false }
      try? await Task.sleep(for: .milliseconds(20))
    }
    return true
  }
}
