import CallCore
import Edge
import Locking

/// The way to a shard for those who were there before its edge: media, whose ports are ready first, and the
/// store. What comes too early waits, what comes too late is dropped.
final class ShardPost: Sendable {
  private enum State {
    case waiting([ShardInput])
    case open(UDPEdge)
    case closed
  }

  private let state = Mutex(State.waiting([]))

  func send(_ input: ShardInput) { edge(orKeep: [input])?.post(input) }

  /// Several at once, of which none is a question.
  func send(_ inputs: [ShardInput]) { edge(orKeep: inputs)?.post(inputs) }

  private func edge(orKeep inputs: @autoclosure () -> [ShardInput]) -> UDPEdge? {
    state.withLock { state in
      switch state {
      case .waiting(let earlier):
        state = .waiting(earlier + inputs())
        return nil
      case .open(let edge): return edge
      case .closed: return nil
      }
    }
  }

  /// What has come so far, for the edge to begin with.
  func takeEarlier() -> [ShardInput] {
    state.withLock { state in
      guard case .waiting(let inputs) = state else { return [] }
      state = .waiting([])
      return inputs
    }
  }

  /// What waited goes first.
  func open(_ edge: UDPEdge) {
    state.withLock { state in
      if case .waiting(let inputs) = state {
        for input in inputs { edge.post(input) }
        state = .open(edge)
      }
    }
  }

  func close() {
    state.withLock { $0 = .closed }
  }
}
