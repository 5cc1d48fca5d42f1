import CLinux
import Edge
import Foundation

/// Tells the service manager that started us how we are: sd_notify(3), without its library.
package struct ServiceManager: Sendable {
  private let socket: String
  /// How often it wants to hear that we are alive; nil: it does not ask.
  package let watchdog: Duration?
  /// What it has kept of an earlier process; descriptors, in no order.
  private let descriptors: [Int32]

  /// Nil: nobody listens. `NOTIFY_SOCKET` and `WATCHDOG_USEC` say who does and what for.
  package init?(environment: [String: String] = ProcessInfo.processInfo.environment) {
    guard let socket = environment["NOTIFY_SOCKET"], !socket.isEmpty else { return nil }
    self.socket = socket
    // A forked child inherits what was meant for its parent.
    let isForUs = environment["WATCHDOG_PID"].map { $0 == "\(getpid())" } ?? true
    watchdog = environment["WATCHDOG_USEC"].flatMap { Int64($0) }
      .flatMap { isForUs && $0 > 0 ? .microseconds($0) : nil }
    descriptors = Self.given(environment)
  }

  /// sd_listen_fds(3): so many, from 3 on, if they are ours.
  private static func given(_ environment: [String: String]) -> [Int32] {
    guard environment["LISTEN_PID"] == "\(getpid())",
      let count = environment["LISTEN_FDS"].flatMap({ Int32($0) }), (1...1_024).contains(count)
    else { return [] }
    return Array(3..<(3 + count))
  }

  /// The sockets of listeners in its store (FileDescriptorStoreMax=). To be asked for once.
  func keptSockets() -> KeptSockets {
    KeptSockets(descriptors) { [socket] order in
      switch order {
      case .keep(let descriptor, let name):
        // It would drop a socket whose peer is not to be reached.
        _ = unsafe clinux_notify_with(socket, "FDSTORE=1\nFDNAME=\(name)\nFDPOLL=0", descriptor)
      case .forget(let name):
        _ = unsafe clinux_notify(socket, "FDSTOREREMOVE=1\nFDNAME=\(name)")
      }
    }
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
