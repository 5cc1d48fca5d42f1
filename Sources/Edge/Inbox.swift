internal import CallCore
internal import Synchronization

/// Inputs on their way to a shard from other threads, in order.
final class Inbox: Sendable {
  private struct State {
    var inputs: [ShardInput] = []
    var isStopping = false
  }

  /// How many questions may wait. Everything else answers something the shard asked for, so it is bounded
  /// already, and losing it would leave a call or a port hanging.
  static let questionLimit = 4_096

  private let state = Mutex(State())
  let wakeup: Wakeup

  init() throws(EdgeError) { wakeup = try Wakeup() }

  /// False when the shard is stopping, or when a question came and too many wait.
  func post(_ input: ShardInput) -> Bool {
    let (accepted, wasEmpty) = state.withLock { state in
      if state.isStopping { return (false, false) }
      if case .query = input, state.inputs.count >= Self.questionLimit { return (false, false) }
      state.inputs.append(input)
      return (true, state.inputs.count == 1)
    }
    if accepted, wasEmpty { wakeup.raise() }
    return accepted
  }

  func stop() {
    state.withLock { $0.isStopping = true }
    wakeup.raise()
  }

  /// Exchanges what waits for the caller's empty array, so both keep their capacity. True when the shard is
  /// to stop.
  func take(into inputs: inout [ShardInput]) -> Bool {
    wakeup.clear()
    var taken = inputs
    inputs = []
    taken.removeAll(keepingCapacity: true)
    let stopping = state.withLock { state in
      swap(&state.inputs, &taken)
      return state.isStopping
    }
    inputs = taken
    return stopping
  }
}
