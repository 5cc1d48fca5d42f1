package import CallCore
import Dispatch
import Locking

/// Questions to a shard from outside its thread: a query goes in as an input and comes back as an answer.
package final class ShardQueries: Sendable {
  private struct State {
    var nextToken: UInt64 = 1
    var waiting: [UInt64: CheckedContinuation<ShardAnswer?, Never>] = [:]
  }

  /// More questions than this at once, and whoever asks is told to come later.
  private static let limit = 256

  private let state = Mutex(State())
  private let post: @Sendable (ShardInput) -> Void
  private let timeout: DispatchTimeInterval

  /// `post` hands an input to the shard's thread.
  package init(
    timeoutMilliseconds: Int = 3_000, post: @escaping @Sendable (ShardInput) -> Void
  ) {
    self.post = post
    timeout = .milliseconds(timeoutMilliseconds)
  }

  package func ask(_ query: ShardQuery) async throws(APIFailure) -> ShardAnswer {
    let answer = await withCheckedContinuation { continuation in
      let token = state.withLock { state -> UInt64? in
        guard state.waiting.count < Self.limit else { return nil }
        defer { state.nextToken &+= 1 }
        state.waiting[state.nextToken] = continuation
        return state.nextToken
      }
      guard let token else {
        continuation.resume(returning: nil)
        return
      }
      DispatchQueue.global().asyncAfter(deadline: .now() + timeout) { [weak self] in
        self?.settle(token, nil)
      }
      post(.query(query, token: token))
    }
    guard let answer else {
      throw APIFailure(
        .timedOut, "the calls' thread did not answer in time",
        remedy: "It is very busy or stuck: look at the log and at /metrics, then ask again.")
    }
    return answer
  }

  /// On the shard's thread, with what its outbox holds.
  package func answer(_ answers: [(token: UInt64, answer: ShardAnswer)]) {
    for (token, answer) in answers { settle(token, answer) }
  }

  private func settle(_ token: UInt64, _ answer: ShardAnswer?) {
    let continuation = state.withLock { $0.waiting.removeValue(forKey: token) }
    continuation?.resume(returning: answer)
  }
}
