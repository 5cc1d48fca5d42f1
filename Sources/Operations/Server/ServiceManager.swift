import CLinux
import Foundation

/// Tells the service manager that started us how we are: sd_notify(3), without its library.
package struct ServiceManager: Sendable {
  private let socket: String
  /// How often it wants to hear that we are alive; nil: it does not ask.
  package let watchdog: Duration?

  /// Nil: nobody listens. `NOTIFY_SOCKET` and `WATCHDOG_USEC` say who does and what for.
  package init?(environment: [String: String] = ProcessInfo.processInfo.environment) {
    guard let socket = environment["NOTIFY_SOCKET"], !socket.isEmpty else { return nil }
    self.socket = socket
    // A forked child inherits what was meant for its parent.
    let isForUs = environment["WATCHDOG_PID"].map { $0 == "\(getpid())" } ?? true
    watchdog = environment["WATCHDOG_USEC"].flatMap { Int64($0) }
      .flatMap { isForUs && $0 > 0 ? .microseconds($0) : nil }
  }

  package enum State: String, Sendable {
    case ready = "READY=1"
    case alive = "WATCHDOG=1"
    case stopping = "STOPPING=1"
  }

  /// A manager that does not listen is none of our business.
  package func tell(_ state: State, status: String? = nil) {
    let text = state.rawValue + (status.map { "\nSTATUS=\($0)" } ?? "")
    _ = unsafe clinux_notify(socket, text)
  }
}
