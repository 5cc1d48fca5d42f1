import Base
import CallCore
import Edge
import MediaEngine
import Persistence
import Locking
import Synchronization

extension DemarcServer {
  /// How a server ended.
  package struct Ending: Hashable, Sendable {
    /// Calls that were ended because their time was over.
    package var hungUp = 0
    /// Whether every fact came to the disk.
    package var recordsKept = true
  }

  /// How long BYEs may wait for their answers, after calls were ended by force.
  private static let byeTime = Duration.seconds(5)

  /// Refuses new calls (503), lets running ones end until `drainTime` is over or `hurry` says so, hangs up
  /// what is left, and stops.
  package func end(hurry: @escaping @Sendable () -> Bool = { false }) async -> Ending {
    // Whoever orders it again gets nothing to do.
    if isDraining.exchange(true, ordering: .relaxed) { return Ending() }
    log.write(
      LogLine(.info, "draining", [LogField("seconds", settings.drainTime.wholeSeconds)]))
    watchdog.tellStopping()
    post.send(.drain)
    var ending = Ending()
    let limit = Duration.nanoseconds(settings.drainTime.nanoseconds)
    if await !drainWatch.wait(upTo: limit, unless: hurry) {
      ending.hungUp = await hangUpAll()
      _ = await drainWatch.wait(upTo: Self.byeTime)
    }
    ending.recordsKept = await stop()
    return ending
  }

  private func hangUpAll() async -> Int {
    guard case .calls(let records) = try? await queries.ask(.calls) else { return 0 }
    for record in records { post.send(.hangUp(record.id)) }
    if !records.isEmpty {
      log.write(LogLine(.warning, "calls hung up", [LogField("count", records.count)]))
    }
    return records.count
  }

  /// In the order of the arrows: who makes facts first, who keeps them last. True: all are on the disk.
  func stop() async -> Bool {
    let (api, tasks) = listeners.withLock { listeners in
      defer { listeners = Listeners() }
      return (
        listeners.api, [listeners.retention, listeners.recordingRetention, listeners.identities]
      )
    }
    for task in tasks {
      task?.cancel()
      await task?.value
    }
    watchdog.stop()
    let kept = await blocking.run { [edge, names, kernelBans, post, media, writer, stream] in
      edge.stop()
      post.close()
      names.stop()
      kernelBans?.stop()
      media.stop()
      let kept = writer.stop()
      stream.flush()
      return kept
    }
    for server in api { await server.stop() }
    await blocking.run { [store] in store.close() }
    log.write(LogLine(kept ? .info : .error, kept ? "ended" : "ended with facts not on disk"))
    log.flush()
    return kept
  }
}
