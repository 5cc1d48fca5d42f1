import Base
import CallCore
import Edge
import Foundation
import MediaControl
import MediaEngine
import Persistence
import Policy
import SIPWire

/// A server before its edge: everything that the shard's thread will talk to.
struct ServerParts {
  let settings: ServerSettings
  let log: LogSink
  let startedAt: Instant
  let store: SQLiteStore
  let recovery: Recovery
  let keeper: ResourceKeeper
  let media: MediaPlane
  /// The certificate of DTLS-SRTP, which lives as long as the process; nil: OpenSSL has made none.
  let identity = DTLSIdentity()
  let post = ShardPost()
  let writer: RecordWriter
  let stream: FactStream
  let tally = FactCounters()
  let recent = RecentCalls()
  let drainWatch = DrainWatch()
  let queries: ShardQueries
  let names: NameEdge
  let identities: IdentityKeeper
  /// Nil: the settings want none.
  let kernelBans: KernelBans?
  let requests = APICounters()

  init(_ settings: ServerSettings, document: [UInt8]?, log: LogSink) throws {
    startedAt = MonotonicClock.now
    self.settings = settings
    self.log = log
    store = try Self.openStore(settings)
    do {
      recovery = try store.recover(clock: .process)
      keeper = try ResourceKeeper(
        store: store, settings: settings, document: document, log: log)
      media = try Self.startMedia(
        settings, keeper.current, identity, calls: recovery.established.count, post: post, log: log)
    } catch {
      store.close()
      throw error
    }
    do {
      names = try NameEdge(
        settings: { [names = settings.names] in names.current },
        tell: { [post] request, location in post.send(.located(request, location)) })
    } catch {
      media.stop()
      store.close()
      throw error
    }
    do {
      identities = try IdentityKeeper(
        settings.stir, post: post, log: log, originSecret: { [keeper] in keeper.originSecret })
      kernelBans = try Self.startKernelBans(settings, log: log)
    } catch {
      names.stop()
      media.stop()
      store.close()
      throw error
    }
    keeper.attach(media: media, post: post)
    queries = ShardQueries { [post] in post.send($0) }
    writer = RecordWriter(
      store: store, clock: .process,
      durable: { [post] sequence in post.send(.durable(upTo: sequence)) },
      stateChanged: { [log] state in log.write(Self.describe(state)) })
    stream = Self.makeStream(tally: tally, recent: recent, log: log)
  }

  private static func openStore(_ settings: ServerSettings) throws -> SQLiteStore {
    let folder = URL(fileURLWithPath: settings.store).deletingLastPathComponent().path
    do {
      try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch {
      throw ServerError(
        "the store's folder \(folder) cannot be made: \(error.localizedDescription). "
          + "Make it, or choose another in the settings.")
    }
    return try SQLiteStore(path: settings.store, listeners: settings.listeners.map(\.name))
  }

  private static func startMedia(
    _ settings: ServerSettings, _ configuration: Configuration, _ identity: DTLSIdentity?,
    calls: Int, post: ShardPost, log: LogSink
  ) throws -> MediaPlane {
    var mediaSettings = MediaSettings()
    // What calls of an earlier process have to be told, they are told at once.
    mediaSettings.maxQueuedCommands = max(mediaSettings.maxQueuedCommands, calls * 16)
    mediaSettings.fastPath = settings.mediaFastPath
    mediaSettings.trafficClass = UInt8(clamping: settings.dscp.media << 2)
    mediaSettings.recording = settings.recordingFiles
    mediaSettings.identity = identity
    if identity == nil {
      log.write(
        LogLine(
          .warning, "DTLS-SRTP is not to be had",
          [
            LogField("reason", "OpenSSL makes no certificate on P-256"),
            LogField("remedy", "Check the system's OpenSSL and its configuration."),
          ]))
    }
    let media = try MediaPlane(
      addresses: settings.media, announcements: configuration.announcementSources,
      settings: mediaSettings
    ) { facts in
      post.send(facts.map(ShardInput.media))
    }
    let readiness = try media.start()
    if readiness.takenByOthers + readiness.beyondLimit > 0 {
      log.write(
        LogLine(
          .warning, "media ports missing",
          [
            LogField("bound", readiness.bound), LogField("takenByOthers", readiness.takenByOthers),
            LogField("beyondLimit", readiness.beyondLimit),
          ]))
    }
    if let line = describe(media.fastPath) { log.write(line) }
    for name in media.repairedRecordings {
      log.write(
        LogLine(.warning, "recording was interrupted by the last end", [LogField("file", name)]))
    }
    return media
  }

  /// What the local API, the store and the resolver may need when connections have taken all else.
  private static let ownDescriptors = 64

  /// The settings, with no more connections than there are descriptors for.
  private func affordableStreams() -> StreamSettings {
    var streams = settings.streams
    let affordable = max(media.readiness.descriptorsLeft - Self.ownDescriptors, 16)
    guard affordable < streams.limits.connections else { return streams }
    if settings.listeners.contains(where: \.transport.isReliable) {
      log.write(
        LogLine(
          .warning, "fewer connections than the settings allow",
          [
            LogField("connections", affordable), LogField("allowed", streams.limits.connections),
            LogField("remedy", "raise the limit of open files (`ulimit -n`, LimitNOFILE)"),
          ]))
    }
    streams.limits.connections = affordable
    return streams
  }

  private static func describe(_ state: FastPathState) -> LogLine? {
    switch state {
    case .off: nil
    case .on(let interfaces, _):
      LogLine(.info, "the kernel relays media", [LogField("interfaces", interfaces)])
    case .unavailable(let obstacle):
      LogLine(
        .warning, "media is relayed in user space alone",
        [
          LogField("reason", obstacle.description),
          LogField(
            "remedy", "`demarc doctor` explains; `mediaFastPath: off` ends this warning"),
        ])
    }
  }

  private static func makeStream(
    tally: FactCounters, recent: RecentCalls, log: LogSink
  ) -> FactStream {
    // One thread for what never waits; the log's own sink and the store's writer have theirs.
    let logging = FactLogReader(sink: log)
    let observers = FactReader(name: "observers", limit: 100_000) { facts in
      tally.observe(facts)
      recent.observe(facts)
      logging.tell(facts)
    }
    return FactStream(readers: [observers])
  }

  private static func describe(_ state: RecordWriter.State) -> LogLine {
    switch state {
    case .writing: LogLine(.info, "store writes again")
    case .failing(let error):
      LogLine(
        .error, "store does not write",
        [LogField("reason", error.message), LogField("remedy", error.remedy)])
    }
  }

  /// Binds the listeners and starts the shard's thread: from here on there are calls.
  func makeEdge() throws -> UDPEdge {
    let wall = WallClock.now
    var shard = ShardSettings(
      incarnation: wall.milliseconds(at: startedAt), secret: SystemRandom.bytes(32),
      listeners: settings.listeners, mediaAddresses: settings.media)
    shard.node = settings.node
    shard.limits = settings.limits
    shard.remembered = recovery.border
    shard.recordingFormat = settings.recordings.format
    shard.speaksG729 = SpeechLibraries.hasG729
    shard.certificateFingerprint = identity?.fingerprint.bytes ?? []
    let (media, writer, stream, drainWatch, queries) = (media, writer, stream, drainWatch, queries)
    let (names, identities, kernelBans) = (names, identities, kernelBans)
    var sockets = EdgeSockets()
    sockets.trafficClass = UInt8(clamping: settings.dscp.signalling << 2)
    sockets.kept = settings.manager?.keptSockets()
    var first = post.takeEarlier()
    if !recovery.bindings.isEmpty { first.append(.restoreBindings(recovery.bindings)) }
    if !recovery.mailboxes.isEmpty { first.append(.restoreMailboxes(recovery.mailboxes)) }
    let edge = try UDPEdge(
      settings: shard, configuration: keeper.current, sockets: sockets,
      streams: affordableStreams(), recovering: recovery.established, first: first,
      sinks: EdgeSinks(
        media: { media.submit($0) },
        facts: { facts in
          writer.submit(facts)
          stream.publish(facts)
          drainWatch.observe(facts)
        },
        answer: { queries.answer([(token: $0, answer: $1)]) }, names: { names.post($0) },
        certificates: { identities.fetch($0) }, border: { kernelBans?.post($0) }))
    kernelBans?.follow(edge.listeners)
    post.open(edge)
    return edge
  }

  /// After a start that failed half-way.
  func abandon() {
    post.close()
    names.stop()
    kernelBans?.stop()
    media.stop()
    _ = writer.stop(within: .seconds(2))
    store.close()
  }
}

extension StoreClock {
  /// The process's own clocks.
  static let process = StoreClock(
    now: { MonotonicClock.now },
    wall: { Int64(clamping: WallClock.now.milliseconds(at: $0)) })
}

extension WallTime {
  /// One anchor for a whole answer, so that its times belong together.
  static var process: WallTime {
    let clock = WallClock.now
    return WallTime { Int64(clamping: clock.milliseconds(at: $0)) }
  }
}

extension Configuration {
  /// What the media plane reads for it, in its own order.
  var announcementSources: [AnnouncementSource] {
    announcements.map { AnnouncementSource(name: $0.name, path: $0.file ?? "") }
  }
}
