import ArgumentParser
import Base
import Foundation
import Glibc
import Operations
import Locking

struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Start the server and stay until it is told to end.",
    discussion: """
      Settings come from the file, from the environment over it (log.level is DEMARC_LOG_LEVEL) and from \
      the options over both. Without a file, here or in /etc/demarc: UDP on 127.0.0.1:5060, everything else in ./run.

      The first SIGINT or SIGTERM refuses new calls with 503 and lets the others end within \
      limits.drainTime (30 s); the second hangs them up; the third ends the process where it stands. SIGHUP \
      makes a server without a terminal read its settings and certificates again (`demarc reload`). The log goes to standard error.

      EXAMPLES
        demarc run
        demarc run --config /etc/demarc/demarc.yaml
        demarc run --config demarc.yaml --resources acme.yaml
        DEMARC_LOG_FORMAT=json demarc run --log-level debug
      """)

  @Option(
    help: "The settings' file. (DEMARC_CONFIG; default: demarc.yaml here or in /etc/demarc)")
  var config: String?
  @Option(help: "Resources to apply before the first call; otherwise those applied last.")
  var resources: String?
  @Option(name: .customLong("log-level"), help: "debug, info, warning or error.")
  var logLevel: String?
  @Option(help: "The socket of the local API.")
  var socket: String?
  @Option(help: "The store's file.")
  var store: String?

  func run() async throws {
    umask(0o077)
    let reloading = ReloadTarget()
    let signals = SignalWatch { reloading.reload() }
    let settings = try SettingsFile(config).read(flags: flags)
    let document = try resources.map { try InputFile($0).bytes() }
    let log = LogSink(
      descriptor: STDERR_FILENO, level: settings.log.level,
      formatter: LogFormatter(
        format: settings.log.format, showsPersonal: settings.log.personal),
      clock: { Int64(Date().timeIntervalSince1970 * 1_000) })
    let server: DemarcServer
    do {
      var start = ServerSettings(settings)
      start.manager = ServiceManager()
      let file = SettingsFile(config)
      start.source = { [flags] in try file.readAgain(flags: flags) }
      server = try await DemarcServer.start(start, document: document, log: log)
    } catch let failure as APIFailure {
      throw CommandFailure(failure, file: resources)
    } catch {
      throw CommandFailure("\(error)")
    }
    reloading.set(server)
    try await Console.print(StartView.text(server, on: .standardOutput()))
    await signals.orders.first()
    let orders = signals.orders
    let ending = await server.end(hurry: { orders.count > 1 })
    guard ending.recordsKept else {
      throw CommandFailure(
        "not every call record could be written. The log says why; the store has all that were.")
    }
  }

  private var flags: [SettingOverride] {
    let given = [
      ("log.level", logLevel, "--log-level"), ("api.socket", socket, "--socket"),
      ("store.path", store, "--store"),
    ]
    return given.compactMap { path, value, origin in
      value.map { SettingOverride(path: path, value: $0, origin: origin) }
    }
  }
}

/// What SIGHUP is for, once there is a server.
private final class ReloadTarget: Sendable {
  private let server = Mutex<DemarcServer?>(nil)

  func set(_ started: DemarcServer) { server.withLock { $0 = started } }

  func reload() {
    guard let server = server.withLock({ $0 }) else { return }
    // What goes wrong is in the log.
    Task { _ = try? await server.reloadSettings() }
  }
}

/// `demarc.yaml`, where it was named, or where it lies: here, or in /etc/demarc.
struct SettingsFile: Sendable {
  private let path: String?

  /// Here, and where the package puts it.
  private static let places = ["demarc.yaml", "/etc/demarc/demarc.yaml"]

  /// What errors call it.
  private var name: String { path ?? "defaults" }

  init(_ path: String?) {
    let environment = ProcessInfo.processInfo.environment
    if let named = path ?? environment["DEMARC_CONFIG"] {
      self.path = named
    } else {
      self.path = Self.places.first { FileManager.default.isReadableFile(atPath: $0) }
    }
  }

  func read(flags: [SettingOverride] = []) throws -> ProcessSettings {
    let text = try path.map { try InputFile($0).text() }
    do {
      return try ProcessSettings.read(
        text, source: name, environment: ProcessInfo.processInfo.environment,
        flags: flags)
    } catch {
      throw CommandFailure(error)
    }
  }
}

extension SettingsFile {
  /// For a server that runs already.
  func readAgain(flags: [SettingOverride]) throws -> ProcessSettings {
    do {
      return try ProcessSettings.read(
        path.map { try InputFile($0).text() }, source: name,
        environment: ProcessInfo.processInfo.environment, flags: flags)
    } catch let errors as ConfigErrors {
      throw APIFailure(errors)
    } catch {
      throw APIFailure(
        .invalidResources, "\(error)", remedy: "Nothing was changed.")
    }
  }
}

/// A file that a command reads, or standard input as `-`.
struct InputFile {
  private static let sizeLimit = 64 << 20
  let path: String

  init(_ path: String) { self.path = path }

  /// What errors call it.
  var name: String { path == "-" ? "standard input" : path }

  func bytes() throws -> [UInt8] {
    do {
      let handle =
        path == "-"
        ? FileHandle.standardInput : try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
      let data = try handle.read(upToCount: Self.sizeLimit + 1) ?? Data()
      guard data.count <= Self.sizeLimit else {
        throw CommandFailure("\(name) is larger than \(Self.sizeLimit >> 20) MB")
      }
      return Array(data)
    } catch let failure as CommandFailure {
      throw failure
    } catch {
      throw CommandFailure(
        "\(name) cannot be read: \(error.localizedDescription). Check its name and its mode.")
    }
  }

  func text() throws -> String {
    guard let text = String(validating: try bytes(), as: UTF8.self) else {
      throw CommandFailure("\(name) is not text in UTF-8. Save it as UTF-8.")
    }
    return text
  }
}
