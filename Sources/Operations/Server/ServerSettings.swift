package import Base
package import CallCore
package import Edge
package import MediaControl
package import MediaEngine

/// What a server is started with, wherever it was written down.
package struct ServerSettings: Sendable {
  package var node: UInt16 = 1
  package var listeners: [Listener]
  package var media: [MediaAddress]
  package var mediaFastPath = FastPathMode.off
  /// The file of the embedded store, and the local API's socket.
  package var store: String
  package var socket: String
  /// Where scrapers find `/metrics`; nil: on the local API alone.
  package var metrics: SocketAddress?
  package var limits = ShardLimits()
  /// The table of nftables for bans; nil: none.
  package var kernelTable: String?
  /// Bounds and certificates of the listeners of streams.
  package var streams = StreamSettings()
  /// How long calls may go on after the order to end.
  package var drainTime = Interval.seconds(30)
  /// Records of calls that ended longer ago are removed every hour; nil: kept for ever.
  package var retention: Interval?
  package var recordings = RecordingFileSettings()
  package var dscp = DSCPSettings()
  package var names = NameSettings()
  package var stir = STIRSettings()
  /// What they were made of, and how that is read again while the server runs; the source throws `APIFailure`.
  package var process: ProcessSettings?
  package var source: Source?
  /// Who started us and wants to know how we are; nil: nobody.
  package var manager: ServiceManager?

  package typealias Source = @Sendable () throws -> ProcessSettings

  package init(
    listeners: [Listener], media: [MediaAddress], store: String, socket: String,
    metrics: SocketAddress? = nil
  ) {
    self.listeners = listeners
    self.media = media
    self.store = store
    self.socket = socket
    self.metrics = metrics
  }
}

/// Why a server did not start or a command could not be done: what, and what to do.
package struct ServerError: Error, Hashable, Sendable, CustomStringConvertible {
  package var message: String
  package var problems: [APIFailure.Problem]

  package init(_ message: String, problems: [APIFailure.Problem] = []) {
    self.message = message
    self.problems = problems
  }

  package var description: String { message }
}

extension ServerSettings {
  package init(_ process: ProcessSettings) {
    self.init(
      listeners: process.listeners.map {
        Listener(
          name: $0.name, bound: SocketAddress($0.address, $0.port), transport: $0.transport.wire)
      },
      media: process.media, store: process.store.path, socket: process.api.socket,
      metrics: process.metrics.map { SocketAddress($0.address, $0.port) })
    self.process = process
    mediaFastPath = process.mediaFastPath
    limits = process.limits.shard
    limits.admission = process.admission
    kernelTable = process.kernelTable
    streams.limits = process.limits.streams
    for listener in process.listeners {
      streams.certificates[listener.name] = listener.tls
      if !listener.origins.isEmpty { streams.origins[listener.name] = listener.origins }
    }
    recordings = process.recordings
    dscp = process.dscp
    limits.recordings = process.recordings.maximum
    drainTime = process.limits.drainTime
    names = process.dns
    stir = process.stir
    if process.store.retentionDays > 0 {
      retention = .seconds(process.store.retentionDays * 86_400)
    }
  }
}

extension ServerSettings {
  /// For the media plane.
  var recordingFiles: RecordingSettings { recordings.files(store: store) }
}

extension ProcessSettings {
  /// What resources can name as media addresses.
  package var mediaNames: [(name: String, address: IPAddress)] {
    media.map { ($0.name, $0.bound) }
  }
}
