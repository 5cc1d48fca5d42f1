import Edge
import Locking

/// What a process was started with, and what of it has been changed since.
final class SettingsKeeper: Sendable {
  private struct State {
    var process: ProcessSettings
    var streams: StreamSettings
  }

  private let source: ServerSettings.Source?
  private let state: Mutex<State>

  init(_ settings: ServerSettings) {
    source = settings.source
    state = Mutex(
      State(process: settings.process ?? ProcessSettings(), streams: settings.streams))
  }

  /// Of the listeners as they are now.
  var streams: StreamSettings { state.withLock { $0.streams } }

  func read() throws -> ProcessSettings {
    guard let source else {
      throw APIFailure(
        .notFound, "the server was started without settings that could be read again",
        remedy: "Start it with `demarc run --config demarc.yaml`.")
    }
    return try source()
  }

  /// The sections in which the settings differ from those in force, listeners aside.
  func differences(_ next: ProcessSettings) -> [String] {
    let now = state.withLock { $0.process }
    let sections = [
      ("media", next.media == now.media),
      ("mediaFastPath", next.mediaFastPath == now.mediaFastPath),
      ("recordings", next.recordings == now.recordings),
      ("dscp", next.dscp == now.dscp),
      ("store", next.store == now.store),
      ("api", next.api == now.api), ("metrics", next.metrics == now.metrics),
      ("log", next.log == now.log), ("limits", next.limits == now.limits),
      ("dns", next.dns == now.dns),
      ("admission", next.admission == now.admission && next.kernelTable == now.kernelTable),
    ]
    return sections.filter { !$0.1 }.map(\.0)
  }

  func adopt(_ streams: StreamSettings) {
    state.withLock { state in
      state.streams.certificates = streams.certificates
      state.streams.origins = streams.origins
    }
  }
}
