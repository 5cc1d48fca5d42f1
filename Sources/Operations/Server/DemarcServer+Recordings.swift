import Base
package import CallCore
import Edge
import Foundation
import Locking
import MediaControl
import MediaEngine
import NIOCore
import Persistence
import Policy

// Recordings: of calls that live by the shard, their files by the folder.

extension DemarcServer {
  package func record(
    _ id: CallID, _ order: RecordingOrderResource
  ) async throws -> CallResource? {
    let action = try RecordingAction(order)
    guard case .recording(let answer) = try await queries.ask(.recording(id, action)) else {
      return nil
    }
    if case .done(let record) = answer {
      return CallResource(record, wall: .process, now: MonotonicClock.now)
    }
    guard answer != .noCall else { return nil }
    throw APIFailure(recording: answer)
  }

  package func recordings() async throws -> [RecordingFileResource] {
    let library = library
    return await blocking.run { library.files().map(RecordingFileResource.init) }
  }

  package func recordingFile(_ name: String) async throws -> RecordingDownload? {
    let library = library
    guard let file = await blocking.run({ library.file(named: name) }) else { return nil }
    guard !file.isUnfinished else {
      throw APIFailure(
        .conflict, "the recording \(name) goes on",
        remedy: "Stop it with `demarc call record CALL stop`, or wait for the call's end.")
    }
    return RecordingDownload(
      path: library.folder.path(of: file.file), mediaType: file.name.format.mediaType,
      blocking: blocking)
  }

  /// Nil: there is none.
  package func deleteRecording(_ name: String) async throws -> DeletedRecordingResource? {
    let (library, store) = (library, store)
    let now = WallTime.process.milliseconds(at: MonotonicClock.now)
    guard let file = await blocking.run({ library.file(named: name) }) else { return nil }
    guard !file.isUnfinished else {
      throw APIFailure(
        .conflict, "the recording \(name) goes on",
        remedy: "Stop it with `demarc call record CALL stop`, then delete it.")
    }
    do {
      // What is noted first and then not done shows; the other way round nobody would know.
      try await blocking.run {
        try store.noteDeleted(recording: name, RecordingDeletion(at: now, reason: .requested))
      }
    } catch let error as StoreError {
      throw APIFailure(.unavailable, error.message, remedy: error.remedy)
    }
    _ = await blocking.run { library.remove(file) }
    log.write(LogLine(.info, "recording deleted", [LogField("recording", name)]))
    return DeletedRecordingResource(name: name, deleted: Timestamp.text(now))
  }

  /// Removes those whose time is over; how many there were.
  func purgeRecordings(_ retention: RecordingRetention) async throws -> Int {
    guard let shortest = retention.shortest else { return 0 }
    let (library, store) = (library, store)
    let now = WallTime.process.milliseconds(at: MonotonicClock.now)
    return try await blocking.run {
      func begin(_ days: Int) -> Int64 { now - Int64(days) * 86_400_000 }
      var count = 0
      for file in library.files(before: begin(shortest)) {
        var tenant: String?
        if retention.differs, let id = CallID(file.call) { tenant = try store.record(id)?.tenant }
        guard let days = retention.days(of: tenant), file.name.milliseconds < begin(days) else {
          continue
        }
        try store.noteDeleted(
          recording: file.name.name, RecordingDeletion(at: now, reason: .retention))
        if library.remove(file) { count += 1 }
      }
      return count
    }
  }

  /// By the settings and by the resources that are in force each time.
  func keepPurgingRecordings() {
    let task = Task { [weak self] in
      while !Task.isCancelled {
        guard let self else { return }
        let retention = RecordingRetention(
          days: settings.recordings.retentionDays, tenants: keeper.current.tenants)
        do {
          let purged = try await purgeRecordings(retention)
          if purged > 0 {
            log.write(LogLine(.info, "recordings purged", [LogField("count", purged)]))
          }
        } catch {
          log.write(LogLine(.warning, "recordings not purged", [LogField("reason", "\(error)")]))
        }
        try? await Task.sleep(for: .seconds(3_600))
      }
    }
    listeners.withLock { $0.recordingRetention = task }
  }

  private var library: RecordingLibrary {
    RecordingLibrary(folder: settings.recordingFiles.folder)
  }
}

extension RecordingAction {
  init(_ order: RecordingOrderResource) throws {
    let format = order.format.flatMap { name in
      RecordingFormat.allCases.first { $0.name == name }
    }
    guard order.format == nil || format != nil && order.action == "start" else {
      throw APIFailure(
        .badRequest, "`\(order.format ?? "")` is no format that a recording can be begun in",
        remedy: "Send {\"action\": \"start\", \"format\": \"wav\"} or \"opus\", or leave it out.")
    }
    switch order.action {
    case "start": self = .start(format)
    case "pause": self = .pause
    case "resume": self = .resume
    case "stop": self = .stop
    default:
      throw APIFailure(
        .badRequest, "`\(order.action)` is nothing that a recording does",
        remedy: "One of \(RecordingOrderResource.actions.joined(separator: ", ")).")
    }
  }
}

extension APIFailure {
  fileprivate init(recording answer: RecordingAnswer) {
    let (message, remedy) =
      switch answer {
      case .done, .noCall: ("there is no such call", "`demarc calls` lists those that live.")
      case .notAnswered: ("nobody has answered the call yet", "Record it once it is answered.")
      case .notAllowed:
        (
          "neither side of the call may be recorded",
          "Set record: on-demand or on for its trunk or user; docs/recording.md says more."
        )
      case .alreadyRecording: ("the call is being recorded", "Stop that recording first.")
      case .notRecording: ("the call is not being recorded", "Begin with the action start.")
      case .alreadyPaused: ("the recording is paused", "Go on with the action resume.")
      case .notPaused: ("the recording is not paused", "Pause it with the action pause.")
      case .tooMany:
        (
          "as many calls as may be are recorded, or this one was as often as may be",
          "Wait for one to end, or raise recordings.maximum in the settings."
        )
      case .oneSided:
        ("the call ends here, so there are no two sides", "Calls between two parties are recorded.")
      }
    self.init(.conflict, message, remedy: remedy)
  }
}

/// A file on its way out.
package struct RecordingDownload: Sendable {
  private static let chunk = 64 << 10

  package var path: String
  package var mediaType: String
  private let blocking: BlockingWork

  init(path: String, mediaType: String, blocking: BlockingWork) {
    self.path = path
    self.mediaType = mediaType
    self.blocking = blocking
  }

  /// Piece by piece, off the threads that serve; nil at its end.
  func piece(at offset: UInt64) async throws -> ByteBuffer? {
    let path = path
    return try await blocking.run {
      let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
      defer { try? file.close() }
      try file.seek(toOffset: offset)
      guard let data = try file.read(upToCount: Self.chunk), !data.isEmpty else { return nil }
      return ByteBuffer(bytes: data)
    }
  }
}

extension RecordingFormat {
  /// RFC 7845 §9; WAV has never been registered.
  fileprivate var mediaType: String {
    switch self {
    case .wav: "audio/wav"
    case .opus: "audio/ogg"
    }
  }
}
