internal import Base
package import CallCore
internal import Dispatch
internal import Foundation
internal import Locking

/// Between a shard, which must never wait, and the store, which waits for the disk.
///
/// One thread takes what was submitted meanwhile, writes it as one transaction, and then tells how far
/// the disk has it. A failure is told once and the same batch tried again, with longer and longer
/// pauses, in order, until it succeeds: nothing is acknowledged that is not on the disk, and nothing
/// that was submitted is forgotten. While it fails, the shard refuses new calls at its own bound.
package final class RecordWriter: Sendable {
  package struct Options: Sendable {
    /// How long a batch waits for company when another was written just before: at load this makes one
    /// flush to disk of many. An idle writer writes at once. A call's setup waits for half of it on average,
    /// which nobody hears, and a flush costs as much as the rows of five calls.
    package var linger = Duration.milliseconds(10)
    /// The same while nobody waits for the disk (no new call among the facts).
    package var lazyLinger = Duration.milliseconds(50)
    package var firstRetry = Duration.milliseconds(50)
    package var longestRetry = Duration.seconds(5)
    /// How often the store is told that the process lives.
    package var heartbeat = Duration.seconds(5)
    /// Facts waiting. Above it, those that no record needs are left out and counted.
    package var queueLimit = 200_000
    package init() {}
  }

  package enum State: Hashable, Sendable {
    case writing
    case failing(StoreError)
  }

  package struct Counters: Hashable, Sendable {
    package var batches: UInt64 = 0
    package var facts: UInt64 = 0
    package var failures: UInt64 = 0
    /// Refreshed contacts and sessions that were left out because too much waited.
    package var leftOut: UInt64 = 0
    package var waiting = 0
    package var durableUpTo: UInt64 = 0
    /// Time spent in writes that came to the disk, and in the last of them.
    package var writeSeconds = 0.0
    package var lastWriteSeconds = 0.0
    package var state = State.writing
    package init() {}
  }

  private struct Queue {
    var facts: [Fact] = []
    /// The last sequence submitted, stored or not.
    var sequence: UInt64 = 0
    var isUrgent = false
    var isSignalled = false
    var isStopping = false
    var gaveUp = false
    var counters = Counters()
  }

  private let store: any CallStore
  private let clock: StoreClock
  private let options: Options
  private let durable: @Sendable (UInt64) -> Void
  private let stateChanged: @Sendable (State) -> Void
  private let queue = Mutex(Queue())
  private let wake = DispatchSemaphore(value: 0)
  private let finished = DispatchSemaphore(value: 0)

  /// - Parameters:
  ///   - durable: every fact up to this sequence is on the disk. On the writer's thread.
  ///   - stateChanged: writing began to fail, or goes on again. On the writer's thread.
  package init(
    store: any CallStore, clock: StoreClock, options: Options = Options(),
    durable: @escaping @Sendable (UInt64) -> Void,
    stateChanged: @escaping @Sendable (State) -> Void = { _ in }
  ) {
    self.store = store
    self.clock = clock
    self.options = options
    self.durable = durable
    self.stateChanged = stateChanged
    let thread = Thread { self.run() }
    thread.name = "demarc-store"
    thread.start()
  }

  /// Facts in the order of their sequence. Takes a lock for the length of an append; never waits.
  package func submit(_ facts: [Fact]) {
    guard let last = facts.last else { return }
    let mustWake = queue.withLock { queue in
      for fact in facts {
        let durability = fact.event.durability
        guard durability != .none else { continue }
        if queue.facts.count >= options.queueLimit, durability != .indispensable {
          queue.counters.leftOut &+= 1
          continue
        }
        if case .callAttempted = fact.event { queue.isUrgent = true }
        queue.facts.append(fact)
      }
      queue.sequence = last.sequence
      if queue.isSignalled { return false }
      queue.isSignalled = true
      return true
    }
    if mustWake { wake.signal() }
  }

  package var counters: Counters {
    queue.withLock { queue in
      var counters = queue.counters
      counters.waiting = queue.facts.count
      return counters
    }
  }

  /// Waits until all that was submitted by now is on the disk. False: it was not in the time.
  package func settle(within limit: Duration) -> Bool {
    let sequence = queue.withLock { $0.sequence }
    let deadline = ContinuousClock.now + limit
    while queue.withLock({ $0.counters.durableUpTo < sequence }) {
      guard ContinuousClock.now < deadline else { return false }
      Thread.sleep(forTimeInterval: 0.002)
    }
    return true
  }

  /// Writes what waits and ends the thread. False: not all of it could be written in the time.
  package func stop(within limit: Duration = .seconds(10)) -> Bool {
    let mustWake = queue.withLock { queue in
      queue.isStopping = true
      if queue.isSignalled { return false }
      queue.isSignalled = true
      return true
    }
    if mustWake { wake.signal() }
    guard finished.wait(timeout: .now() + limit.dispatch) == .success else { return false }
    finished.signal()
    return !queue.withLock { $0.gaveUp }
  }
}

// MARK: The thread

extension RecordWriter {
  private func run() {
    let time = ContinuousClock()
    var lastWrite = time.now - max(options.linger, options.lazyLinger)
    while true {
      guard wake.wait(timeout: .now() + options.heartbeat.dispatch) == .success else {
        // Should it fail, the next write will too, and tells.
        try? store.heartbeat(clock: clock)
        continue
      }
      linger(since: lastWrite, time)
      let (batch, sequence, isStopping) = take()
      guard write(batch) else {
        queue.withLock { $0.gaveUp = true }
        break
      }
      lastWrite = time.now
      queue.withLock { $0.counters.durableUpTo = sequence }
      durable(sequence)
      if isStopping { break }
    }
    finished.signal()
  }

  /// Lets more come when a batch was written a moment ago.
  private func linger(since lastWrite: ContinuousClock.Instant, _ time: ContinuousClock) {
    let (isUrgent, isStopping) = queue.withLock { ($0.isUrgent, $0.isStopping) }
    if isStopping { return }
    let due = lastWrite + (isUrgent ? options.linger : options.lazyLinger)
    var left = due - time.now
    // An urgent fact may come while a lazy batch lingers: look again every few milliseconds.
    while left > .zero {
      Thread.sleep(forTimeInterval: min(left, options.linger).seconds)
      if queue.withLock({ $0.isUrgent || $0.isStopping }) { return }
      left = due - time.now
    }
  }

  private func take() -> (facts: [Fact], sequence: UInt64, isStopping: Bool) {
    queue.withLock { queue in
      var facts: [Fact] = []
      swap(&facts, &queue.facts)
      queue.isSignalled = queue.isStopping
      queue.isUrgent = false
      return (facts, queue.sequence, queue.isStopping)
    }
  }

  /// Until it succeeds; false: given up, because the process stops and an attempt that began after it
  /// was told to failed too.
  private func write(_ batch: [Fact]) -> Bool {
    var pause = options.firstRetry
    var hasFailed = false
    while true {
      let isLast = queue.withLock { $0.isStopping }
      do throws(StoreError) {
        let began = ContinuousClock.now
        try store.write(batch, clock: clock)
        let seconds = (ContinuousClock.now - began).seconds
        queue.withLock { queue in
          queue.counters.writeSeconds += seconds
          queue.counters.lastWriteSeconds = seconds
          queue.counters.batches &+= 1
          queue.counters.facts &+= UInt64(batch.count)
          queue.counters.state = .writing
        }
        if hasFailed { stateChanged(.writing) }
        return true
      } catch {
        let isNews = queue.withLock { queue in
          queue.counters.failures &+= 1
          let isNews = queue.counters.state != .failing(error)
          queue.counters.state = .failing(error)
          return isNews
        }
        if isNews { stateChanged(.failing(error)) }
        hasFailed = true
      }
      if isLast, pause > options.firstRetry { return false }
      Thread.sleep(forTimeInterval: pause.seconds)
      pause = min(pause * 2, options.longestRetry)
    }
  }
}

extension Duration {
  fileprivate var seconds: Double {
    Double(components.seconds) + Double(components.attoseconds) / 1e18
  }
  fileprivate var dispatch: DispatchTimeInterval {
    .nanoseconds(Int(clamping: Int64(seconds * 1e9)))
  }
}
