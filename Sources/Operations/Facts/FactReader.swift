package import CallCore
import Dispatch
import Foundation
import Locking

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
  private let queue: FactQueue

  /// `handle` is called with one batch at a time, in order, never concurrently.
  package init(name: String, limit: Int, handle: @escaping @Sendable ([Fact]) -> Void) {
    self.name = name
    let queue = FactQueue(limit: limit, handle: handle)
    self.queue = queue
    let thread = Thread { queue.run() }
    thread.name = "demarc-\(name)"
    thread.start()
  }

  deinit { queue.stop() }

  /// Takes as many of the facts as there is room for, the oldest first.
  package func offer(_ facts: [Fact]) { queue.offer(facts) }

  /// Returns when everything offered before has been handled. Not to be called from `handle`.
  package func flush() { queue.drain() }

  package var counters: FactReaderCounters { queue.counters }
}

/// What the thread of a reader has in common with those who offer: it outlives the reader until it sees that.
private final class FactQueue: Sendable {
  private struct State {
    /// Batches as they were offered: readers share them.
    var pending: [[Fact]] = []
    var waiting = 0
    /// The thread is awake or called; nobody else need call it.
    var isCalled = false
    var isStopping = false
    var counters = FactReaderCounters()
  }

  /// How long the thread waits for company once it was called: at load this makes one wake-up of many.
  private static let linger = 0.02

  private let limit: Int
  private let handle: @Sendable ([Fact]) -> Void
  private let state = Mutex(State())
  /// Held while batches are handled.
  private let handling = Mutex(())
  private let call = DispatchSemaphore(value: 0)

  init(limit: Int, handle: @escaping @Sendable ([Fact]) -> Void) {
    self.limit = max(1, limit)
    self.handle = handle
  }

  func offer(_ facts: [Fact]) {
    if facts.isEmpty { return }
    let mustCall = state.withLock { state in
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
      defer { state.isCalled = true }
      return !state.isCalled
    }
    if mustCall { call.signal() }
  }

  func stop() {
    state.withLock { $0.isStopping = true }
    call.signal()
  }

  func run() {
    while true {
      call.wait()
      if state.withLock({ $0.isStopping }) { return drain() }
      Thread.sleep(forTimeInterval: Self.linger)
      drain()
    }
  }

  func drain() {
    handling.withLock { _ in
      while true {
        let batches = state.withLock { state in
          let taken = state.pending
          state.pending = []
          state.waiting = 0
          if taken.isEmpty { state.isCalled = false }
          return taken
        }
        if batches.isEmpty { return }
        for batch in batches { handle(batch) }
      }
    }
  }

  var counters: FactReaderCounters {
    state.withLock { state in
      var counters = state.counters
      counters.waiting = state.waiting
      return counters
    }
  }
}
