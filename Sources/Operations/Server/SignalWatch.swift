import Dispatch
import Glibc
import Locking

/// The orders that a process gets: to end by SIGINT, SIGTERM and, when its terminal goes, SIGHUP. Without a
/// terminal, or when it was started to outlive it (as `nohup` does), SIGHUP is the order to read files again.
///
/// The first asks for a quiet end, the second for a quick one; at the third the process ends where it
/// stands.
package final class SignalWatch {
  package let orders: SignalOrders
  private let sources: [any DispatchSourceSignal]
  private let again: (any DispatchSourceSignal)?

  /// - Parameter reload: called at each SIGHUP that is no order to end.
  package init(reload: @escaping @Sendable () -> Void = {}) {
    signal(SIGPIPE, SIG_IGN)
    let queue = DispatchQueue(label: "demarc.signals")
    let orders = SignalOrders()
    self.orders = orders
    let reloads = Self.isIgnored(SIGHUP) || !Self.hasTerminal
    let numbers = reloads ? [SIGINT, SIGTERM] : [SIGINT, SIGTERM, SIGHUP]
    sources = numbers.map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
      source.setEventHandler { orders.add() }
      source.resume()
      return source
    }
    guard reloads else {
      again = nil
      return
    }
    signal(SIGHUP, SIG_IGN)
    let source = DispatchSource.makeSignalSource(signal: SIGHUP, queue: queue)
    source.setEventHandler(handler: reload)
    source.resume()
    again = source
  }

  private static var hasTerminal: Bool {
    let descriptor = unsafe open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC)
    if descriptor >= 0 { close(descriptor) }
    return descriptor >= 0
  }

  private static func isIgnored(_ number: Int32) -> Bool {
    var current = sigaction()
    guard unsafe sigaction(number, nil, &current) == 0 else { return false }
    let handler = unsafe current.__sigaction_handler.sa_handler
    return unsafe unsafeBitCast(handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
  }
}

package final class SignalOrders: Sendable {
  private struct State {
    var count = 0
    var waiter: CheckedContinuation<Void, Never>?
  }

  private let state = Mutex(State())

  fileprivate init() {}

  package var count: Int { state.withLock { $0.count } }

  /// Returns at the first order.
  package func first() async {
    await withCheckedContinuation { continuation in
      let isOver = state.withLock { state in
        if state.count == 0 { state.waiter = continuation }
        return state.count > 0
      }
      if isOver { continuation.resume() }
    }
  }

  fileprivate func add() {
    let (count, waiter) = state.withLock { state in
      state.count += 1
      defer { state.waiter = nil }
      return (state.count, state.waiter)
    }
    if count >= 3 { _exit(1) }
    waiter?.resume()
  }
}
