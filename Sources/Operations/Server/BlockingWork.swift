import Dispatch

/// Work that waits for a disk, away from the threads that `async` code shares.
struct BlockingWork: Sendable {
  private let queue: DispatchQueue

  init(label: String) {
    queue = DispatchQueue(label: "demarc.\(label)", attributes: .concurrent)
  }

  func run<Value: Sendable>(
    _ work: @escaping @Sendable () throws -> Value
  ) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
      queue.async { continuation.resume(with: Result { try work() }) }
    }
  }

  func run<Value: Sendable>(_ work: @escaping @Sendable () -> Value) async -> Value {
    await withCheckedContinuation { continuation in
      queue.async { continuation.resume(returning: work()) }
    }
  }
}
