package import CallCore
import Dispatch
import Synchronization

/// What became of the facts that were offered to a reader.
package struct FactReaderCounters: Hashable, Sendable {
  package var offered: UInt64 = 0
  package var dropped: UInt64 = 0
  package var waiting = 0

  package init() {}
}

/// One reader of the stream: a bounded queue, and a thread that hands batches to `handle`.
///
/// `offer` takes the queue's lock for the length of an append and never waits for the handler, so a
/// reader that is slow loses facts (and counts them) instead of holding up calls.
package final class FactReader: Sendable {
  package let name: String
  private let limit: Int
  private let handle: @Sendable ([Fact]) -> Void
  private let queue: DispatchQueue
  private let state = Mutex(State())

  private struct State {
    /// Batches as they were offered: readers share them.
    var pending: [[Fact]] = []
    var waiting = 0
    /// A drain is under way or due; nobody else need start one.
    var scheduled = false
    var counters = FactReaderCounters()
  }

  /// How long a drain waits for company before it starts: at load this makes one wake-up of many.
  private static let linger = DispatchTimeInterval.milliseconds(20)

  /// `handle` is called with one batch at a time, in order, never concurrently.
  package init(name: String, limit: Int, handle: @escaping @Sendable ([Fact]) -> Void) {
    self.name = name
    self.limit = max(1, limit)
    self.handle = handle
    queue = DispatchQueue(label: "demarc.facts.\(name)")
  }

  /// Takes as many of the facts as there is room for, the oldest first.
  package func offer(_ facts: [Fact]) {
    if facts.isEmpty { return }
    let start = state.withLock { state in
      let room = limit - state.waiting
      state.counters.offered &+= UInt64(facts.count)
      if facts.count <= room {
        state.pending.append(facts)
        state.waiting += facts.count
      } else {
        state.counters.dropped &+= UInt64(facts.count - room)
        if room > 0 { state.pending.append(Array(facts.prefix(room))) }
        state.waiting = limit
      }
      if state.scheduled { return false }
      state.scheduled = true
      return true
    }
    if start { queue.asyncAfter(deadline: .now() + Self.linger) { self.drain() } }
  }

  /// Returns when everything offered before has been handled. Not to be called from `handle`.
  package func flush() {
    queue.sync { drain() }
  }

  package var counters: FactReaderCounters {
    state.withLock { state in
      var counters = state.counters
      counters.waiting = state.waiting
      return counters
    }
  }

  private func drain() {
    while true {
      let batches = state.withLock { state in
        let taken = state.pending
        state.pending = []
        state.waiting = 0
        if taken.isEmpty { state.scheduled = false }
        return taken
      }
      if batches.isEmpty { return }
      for batch in batches { handle(batch) }
    }
  }
}
