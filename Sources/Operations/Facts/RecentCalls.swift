package import CallCore
import Locking

/// The calls that ended lately, for those who ask about a call that the shard has already forgotten
/// and the store may not have yet.
package final class RecentCalls: Sendable {
  private struct State {
    var records: [CallID: CallRecord] = [:]
    /// In the order of ending; `next` is the oldest once it is full.
    var order: [CallID] = []
    var next = 0
  }

  private let capacity: Int
  private let state = Mutex(State())

  package init(capacity: Int = 1_000) {
    self.capacity = max(1, capacity)
  }

  package func observe(_ facts: [Fact]) {
    state.withLock { state in
      for fact in facts {
        if case .callEnded(let record) = fact.event { add(record, to: &state) }
      }
    }
  }

  package func record(of call: CallID) -> CallRecord? {
    state.withLock { $0.records[call] }
  }

  /// The newest first.
  package func latest(_ limit: Int) -> [CallRecord] {
    state.withLock { state in
      let newestFirst = (state.order[state.next...] + state.order[..<state.next]).reversed()
      return newestFirst.prefix(max(0, limit)).compactMap { state.records[$0] }
    }
  }

  private func add(_ record: CallRecord, to state: inout State) {
    if state.records.updateValue(record, forKey: record.id) != nil { return }
    if state.order.count < capacity {
      state.order.append(record.id)
    } else {
      state.records[state.order[state.next]] = nil
      state.order[state.next] = record.id
      state.next = (state.next + 1) % capacity
    }
  }
}
