internal import Base
internal import CallCore
internal import Locking

/// Inputs on their way to a shard from other threads, in order.
final class Inbox: Sendable {
  private struct State {
    var inputs: [ShardInput] = []
    var sockets: [(ListenerIndex, UDPSocket)] = []
    var isStopping = false
    /// The shard waits, or is about to: the next input is to wake it. A shard that is at work, or that
    /// looks at every tick, comes by itself, and a wake-up costs more than most inputs.
    var isAwaited = false

    mutating func takesWakeup() -> Bool {
      defer { isAwaited = false }
      return isAwaited
    }
  }

  /// How many questions may wait. Everything else answers something the shard asked for, so it is bounded
  /// already, and losing it would leave a call or a port hanging.
  static let questionLimit = 4_096

  private let state = Mutex(State())
  let wakeup: Wakeup

  init() throws(EdgeError) { wakeup = try Wakeup() }

  /// False when the shard is stopping, or when a question came and too many wait.
  func post(_ input: ShardInput) -> Bool {
    let (accepted, mustWake) = state.withLock { state in
      if state.isStopping { return (false, false) }
      if case .query = input, state.inputs.count >= Self.questionLimit { return (false, false) }
      state.inputs.append(input)
      return (true, state.takesWakeup())
    }
    if mustWake { wakeup.raise() }
    return accepted
  }

  /// The same for several that are no questions.
  func post(_ inputs: [ShardInput]) -> Bool {
    let (accepted, mustWake) = state.withLock { state in
      if state.isStopping || inputs.isEmpty { return (!state.isStopping, false) }
      state.inputs += inputs
      return (true, state.takesWakeup())
    }
    if mustWake { wakeup.raise() }
    return accepted
  }

  /// Sockets for the loop to read, before the input that tells the shard of their listeners.
  func add(_ sockets: [(ListenerIndex, UDPSocket)]) {
    state.withLock { $0.sockets += sockets }
  }

  /// To be asked after `take`, and before its inputs are handled.
  func takeSockets() -> [(ListenerIndex, UDPSocket)] {
    state.withLock { state in
      defer { state.sockets = [] }
      return state.sockets
    }
  }

  func stop() {
    state.withLock { $0.isStopping = true }
    wakeup.raise()
  }

  /// Before the shard waits for the wake-up: false when there is something to do already. Until the next
  /// `take`, the first input raises it.
  func prepareToWait() -> Bool {
    state.withLock { state in
      state.isAwaited = state.inputs.isEmpty && !state.isStopping
      return state.isAwaited
    }
  }

  /// Exchanges what waits for the caller's empty array, so both keep their capacity. True when the shard is
  /// to stop.
  func take(into inputs: inout [ShardInput]) -> Bool {
    var taken = inputs
    inputs = []
    taken.removeAll(keepingCapacity: true)
    let stopping = state.withLock { state in
      swap(&state.inputs, &taken)
      state.isAwaited = false
      return state.isStopping
    }
    inputs = taken
    return stopping
  }
}
