package import CallCore

/// The one stream of facts on its way from the shard to whoever tells of it: the store, the log, the
/// counters, the calls that were. Nothing else writes history.
package final class FactStream: Sendable {
  private let readers: [FactReader]

  package init(readers: [FactReader]) {
    self.readers = readers
  }

  /// On the shard's thread, after each drain of its outbox. Never blocks.
  package func publish(_ facts: [Fact]) {
    if facts.isEmpty { return }
    for reader in readers { reader.offer(facts) }
  }

  /// Returns when every reader has handled what was published before.
  package func flush() {
    for reader in readers { reader.flush() }
  }

  /// By reader: what was offered, and what it was too slow for.
  package var counters: [(reader: String, FactReaderCounters)] {
    readers.map { ($0.name, $0.counters) }
  }
}
