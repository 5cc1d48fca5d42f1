package import Base
package import CallCore
import MediaControl

/// A recording as exports, the API and the command tell it: times in RFC 3339, durations in seconds.
package struct RecordingResource: Codable, Hashable, Sendable {
  package struct Pause: Codable, Hashable, Sendable {
    package var from: String
    package var to: String?
  }

  package var name: String
  /// announcing, recording, paused or ended.
  package var state: String
  package var format: String
  package var file: String?
  /// Samples of each side in a second.
  package var rate: UInt16?
  /// rule or api, and whose policy allows or wants it.
  package var origin: String
  package var by: String
  /// "none", "not announced" or "announced at TIME", several times where somebody joined later.
  package var consent: String
  package var started: String?
  package var ended: String?
  package var pauses: [Pause]?
  /// Why it ended.
  package var end: String?
  package var bytes: UInt64?
  package var seconds: Double?
  /// Silence in the file because the disk was too slow.
  package var lostSeconds: Double?
  /// Packets in codecs that are not spoken here: silence in the file.
  package var unreadPackets: UInt64?
  package var deleted: String?
  package var deletedBecause: String?

  package init(_ stored: StoredRecording) {
    func time(_ milliseconds: Int64) -> String { Timestamp.text(milliseconds) }
    name = stored.name
    format = stored.format.name
    file = stored.file.isEmpty ? nil : stored.file
    rate = stored.rate == 0 ? nil : stored.rate
    origin = stored.origin.rawValue
    by = stored.by
    let isPaused = stored.pauses.last.map { $0.to == nil } ?? false
    state =
      stored.end != nil
      ? "ended" : stored.started == nil ? "announcing" : isPaused ? "paused" : "recording"
    consent =
      !stored.hasNotice
      ? "none"
      : stored.announced.isEmpty
        ? "not announced" : "announced at " + stored.announced.map(time).joined(separator: ", ")
    started = stored.started.map(time)
    ended = stored.ended.map(time)
    pauses =
      stored.pauses.isEmpty
      ? nil : stored.pauses.map { Pause(from: time($0.from), to: $0.to.map(time)) }
    end = stored.end?.name
    if stored.end != nil, stored.end != .interrupted || stored.bytes > 0 {
      bytes = stored.bytes
      seconds = Double(stored.milliseconds) / 1_000
    }
    lostSeconds = stored.lostMilliseconds > 0 ? Double(stored.lostMilliseconds) / 1_000 : nil
    unreadPackets = stored.unreadPackets > 0 ? stored.unreadPackets : nil
    deleted = stored.deletion.map { time($0.at) }
    deletedBecause = stored.deletion?.reason.rawValue
  }
}

extension StoredRecording {
  /// Of a call that lives or has just ended; `wall`: a moment in milliseconds since 1970.
  package init(_ recording: CallRecording, wall: (Instant) -> Int64) {
    self.init(name: recording.name, format: recording.format)
    origin = recording.origin
    by = recording.by
    file = recording.file
    rate = recording.rate
    hasNotice = recording.hasNotice
    announced = recording.announced.map(wall)
    started = recording.started.map(wall)
    pauses = recording.pauses.map { Pause(from: wall($0.from), to: $0.to.map(wall)) }
    ended = recording.ended.map(wall)
    end = recording.end
    bytes = recording.bytes
    milliseconds = recording.milliseconds
    lostMilliseconds = recording.lostMilliseconds
    unreadPackets = recording.unreadPackets
  }
}
