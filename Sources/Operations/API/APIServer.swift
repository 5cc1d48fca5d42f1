import Foundation
package import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import Locking

/// An HTTP listener that is up when `start` returns, and gone when `stop` does.
package final class APIServer: Sendable {
  package enum Address: Hashable, Sendable {
    /// Mode 0600: whoever may open the file may do everything.
    case unix(path: String)
    case tcp(host: String, port: Int)
  }

  private static let headerLimit = 32 << 10
  private static let idleSeconds: Int64 = 60
  /// More connections wait in the kernel's queue until others end.
  private static let connectionLimit = 64

  private let address: Address
  private let application: Application<RouterResponder<BasicRequestContext>>
  private let started: StartSignal
  private let running = Mutex(Running())

  private struct Running {
    var task: Task<Void, Never>?
    var channel: (any Channel)?
  }

  package init(_ address: Address, router: Router<BasicRequestContext>, log: LogSink) {
    let started = StartSignal()
    self.address = address
    self.started = started
    let bind: BindAddress
    switch address {
    case .unix(let path): bind = .unixDomainSocket(path: path)
    case .tcp(let host, let port): bind = .hostname(host, port: port)
    }
    application = Application(
      router: router,
      server: .http1(
        configuration: .init(
          idleTimeout: .seconds(Self.idleSeconds),
          httpDecoderConfiguration: .init(
            maxHeaderFieldSize: Self.headerLimit / 4, maxHeaderListSize: Self.headerLimit,
            maxHeaderFieldCount: 100))),
      configuration: ApplicationConfiguration(
        address: bind, serverName: "Demarc",
        availableConnectionsDelegate: MaximumAvailableConnections(Self.connectionLimit)),
      onServerRunning: { channel in
        try? await channel.pipeline.addHandler(AcceptPause(), position: .first).get()
        started.settle(Self.protect(address), channel)
      },
      logger: Logger(label: "api") { LogSinkHandler(label: $0, sink: log) })
  }

  /// The port that a listener on port 0 was given; nil for a Unix socket.
  @discardableResult
  package func start() async throws(APIFailure) -> Int? {
    if case .unix(let path) = address { try await Self.prepare(path) }
    let application = application
    let started = started
    let task = Task {
      do {
        try await application.run()
        started.fail("it ended")
      } catch {
        started.fail("\(error)")
      }
    }
    running.withLock { $0.task = task }
    switch await started.outcome() {
    case .running(let channel):
      running.withLock { $0.channel = channel }
      return channel.localAddress?.port
    case .failed(let reason):
      task.cancel()
      throw APIFailure(
        .conflict, "\(addressText) cannot be listened on: \(reason)",
        remedy: "Choose another address in the settings, or end what holds this one.")
    }
  }

  /// Takes no more connections, then ends those that are there.
  package func stop() async {
    let running = running.withLock { running in
      let last = running
      running = Running()
      return last
    }
    try? await running.channel?.close()
    running.task?.cancel()
    await running.task?.value
    if case .unix(let path) = address { try? FileManager.default.removeItem(atPath: path) }
  }

  private var addressText: String {
    switch address {
    case .unix(let path): path
    case .tcp(let host, let port): "\(host):\(port)"
    }
  }

  /// A socket file that nobody listens on is what an earlier life left behind; one that somebody answers
  /// on is another Demarc; anything else is not ours to remove.
  private static func prepare(_ path: String) async throws(APIFailure) {
    guard path.utf8.count < 108 else {
      throw APIFailure(
        .badRequest, "the socket's path has more than 107 bytes: \(path)",
        remedy: "Choose a shorter one; the system allows no more.")
    }
    let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
    do {
      try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: true,
        attributes: [.posixPermissions: 0o700])
    } catch {
      throw APIFailure(
        .conflict, "the folder \(folder) of the socket cannot be made: \(error)",
        remedy: "Make it, or choose another path for the socket.")
    }
    guard let attributes = try? FileManager.default.attributesOfItem(atPath: path) else { return }
    guard attributes[.type] as? FileAttributeType == .typeSocket else {
      throw APIFailure(
        .conflict, "\(path) is there and is no socket", remedy: "Choose another path.")
    }
    if await APIClient(socket: path, timeoutSeconds: 2).isAnswered() {
      throw APIFailure(
        .conflict, "another Demarc answers on \(path)",
        remedy: "End it (`demarc status` says its process), or give this one its own settings.")
    }
    try? FileManager.default.removeItem(atPath: path)
  }

  /// What stands in the way of the file's mode; nil when it is as it must be.
  private static func protect(_ address: Address) -> String? {
    guard case .unix(let path) = address else { return nil }
    do {
      try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
      return nil
    } catch {
      return "its mode cannot be set to 0600: \(error)"
    }
  }
}

/// One outcome, told to one waiter, in either order.
private final class StartSignal: Sendable {
  enum Outcome: Sendable {
    case running(any Channel)
    case failed(String)
  }

  private struct State {
    var outcome: Outcome?
    var waiter: CheckedContinuation<Outcome, Never>?
  }

  private let state = Mutex(State())

  func settle(_ failure: String?, _ channel: any Channel) {
    settle(failure.map(Outcome.failed) ?? .running(channel))
  }
  func fail(_ reason: String) { settle(.failed(reason)) }

  func outcome() async -> Outcome {
    await withCheckedContinuation { continuation in
      let known = state.withLock { state in
        if state.outcome == nil { state.waiter = continuation }
        return state.outcome
      }
      if let known { continuation.resume(returning: known) }
    }
  }

  private func settle(_ outcome: Outcome) {
    let waiter = state.withLock { state -> CheckedContinuation<Outcome, Never>? in
      guard state.outcome == nil else { return nil }
      state.outcome = outcome
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume(returning: outcome)
  }
}
