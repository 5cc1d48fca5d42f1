package import Base
import CallCore
import Edge
import Foundation
import MediaControl
import MediaEngine
import Persistence
import Policy
import Synchronization
import struct Locking.Mutex

/// A whole server: settings in, calls through. Made by `start`, ended by `drain` and `stop`.
///
/// The parts and who calls whom: the shard's thread hands facts to the store's writer and to the readers of
/// the stream, commands to media; media and the writer answer by posting to the shard; the API asks by
/// queries. Nobody but the store's own threads waits for a disk.
package final class DemarcServer: Sendable {
  let settings: ServerSettings
  let settingsKeeper: SettingsKeeper
  let log: LogSink
  let store: SQLiteStore
  let keeper: ResourceKeeper
  let media: MediaPlane
  let edge: UDPEdge
  let post: ShardPost
  let writer: RecordWriter
  let stream: FactStream
  let tally: FactCounters
  let recent: RecentCalls
  let drainWatch: DrainWatch
  let queries: ShardQueries
  let names: NameEdge
  let identities: IdentityKeeper
  let kernelBans: KernelBans?
  let requests: APICounters
  let blocking = BlockingWork(label: "server")
  let watchdog: Watchdog
  let startedAt: Instant
  let isDraining = Atomic(false)
  let listeners = Mutex(Listeners())

  /// What listens for the API, and the hourly work.
  struct Listeners {
    var api: [APIServer] = []
    var metricsAddress: SocketAddress?
    var retention: Task<Void, Never>?
    var recordingRetention: Task<Void, Never>?
    var identities: Task<Void, Never>?
  }

  private init(_ parts: ServerParts, edge: UDPEdge) {
    settings = parts.settings
    settingsKeeper = SettingsKeeper(parts.settings)
    log = parts.log
    store = parts.store
    keeper = parts.keeper
    media = parts.media
    self.edge = edge
    post = parts.post
    writer = parts.writer
    stream = parts.stream
    tally = parts.tally
    recent = parts.recent
    drainWatch = parts.drainWatch
    queries = parts.queries
    names = parts.names
    identities = parts.identities
    kernelBans = parts.kernelBans
    requests = parts.requests
    startedAt = parts.startedAt
    watchdog = Watchdog(
      edge.threads + parts.media.threads, log: parts.log, manager: parts.settings.manager)
  }

  /// Opens the store, closes what an earlier life left open, binds ports and sockets, and answers calls
  /// when it returns.
  ///
  /// - Parameter document: resources to be applied first; nil: those that were applied last.
  package static func start(
    _ settings: ServerSettings, document: [UInt8]? = nil, log: LogSink
  ) async throws -> DemarcServer {
    let parts = try ServerParts(settings, document: document, log: log)
    let server: DemarcServer
    do {
      server = DemarcServer(parts, edge: try parts.makeEdge())
    } catch {
      parts.abandon()
      throw error
    }
    do {
      try await server.listen()
    } catch {
      _ = await server.stop()
      throw error
    }
    server.tellStarted(recovery: parts.recovery)
    server.watchdog.start()
    return server
  }

  package var metricsAddress: SocketAddress? { listeners.withLock { $0.metricsAddress } }

  package var revision: UInt64 { keeper.current.revision }

  private func listen() async throws {
    let router = APIRouter(operations: self, counters: requests)
    let local = APIServer(.unix(path: settings.socket), router: router.local(), log: log)
    try await local.start()
    listeners.withLock { $0.api.append(local) }
    if let address = settings.metrics {
      let metrics = APIServer(
        .tcp(host: "\(address.ip)", port: Int(address.port)), router: router.metricsOnly(), log: log
      )
      let port = try await metrics.start()
      listeners.withLock { listeners in
        listeners.api.append(metrics)
        listeners.metricsAddress = SocketAddress(
          address.ip, port.flatMap { UInt16(exactly: $0) } ?? address.port)
      }
    }
    if let retention = settings.retention { keepPurging(olderThan: retention) }
    keepPurgingRecordings()
    let current = Task { [identities] in await identities.keepCurrent() }
    listeners.withLock { $0.identities = current }
  }

  private func tellStarted(recovery: Recovery) {
    for call in recovery.interrupted {
      log.write(
        LogLine(.warning, "call was interrupted by the last end", [LogField("call", "\(call.id)")]))
    }
    let milliseconds = (MonotonicClock.now - startedAt).nanoseconds / 1_000_000
    log.write(
      LogLine(
        .info, "started",
        [
          LogField("version", Version.text), LogField("revision", revision),
          LogField("interrupted", recovery.interrupted.count),
          LogField("established", recovery.established.count),
          LogField("registrations", recovery.bindings.count),
          LogField("bans", recovery.border.bans.count),
          LogField("blocked", recovery.border.toll.count(where: \.isBlocked)),
          LogField("milliseconds", milliseconds),
        ]))
  }

  private func keepPurging(olderThan retention: Interval) {
    let task = Task { [weak self] in
      while !Task.isCancelled {
        guard let self else { return }
        let before =
          Int64(clamping: WallClock.now.milliseconds(at: MonotonicClock.now))
          - Int64(retention.milliseconds)
        do {
          let purged = try await purgeRecords(before: before)
          if purged > 0 { log.write(LogLine(.info, "records purged", [LogField("count", purged)])) }
        } catch {
          log.write(LogLine(.warning, "records not purged", [LogField("reason", "\(error)")]))
        }
        try? await Task.sleep(for: .seconds(3_600))
      }
    }
    listeners.withLock { $0.retention = task }
  }
}
