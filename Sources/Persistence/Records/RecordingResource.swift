import Base
import CallCore
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
    let line = stored.line
    name = line.name
    format = line.format.name
    file = line.file.isEmpty ? nil : line.file
    rate = line.rate == 0 ? nil : line.rate
    origin = line.origin.rawValue
    by = line.by
    state =
      line.end != nil
      ? "ended" : line.started == nil ? "announcing" : line.isPaused ? "paused" : "recording"
    consent =
      !line.hasNotice
      ? "none"
      : line.announced.isEmpty
        ? "not announced" : "announced at " + line.announced.map(time).joined(separator: ", ")
    started = line.started.map(time)
    ended = line.ended.map(time)
    pauses =
      line.pauses.isEmpty
      ? nil : line.pauses.map { Pause(from: time($0.from), to: $0.to.map(time)) }
    end = line.end?.name
    if line.end != nil, line.end != .interrupted || line.bytes > 0 {
      bytes = line.bytes
      seconds = Double(line.milliseconds) / 1_000
    }
    lostSeconds = line.lostMilliseconds > 0 ? Double(line.lostMilliseconds) / 1_000 : nil
    unreadPackets = line.unreadPackets > 0 ? line.unreadPackets : nil
    deleted = stored.deletion.map { time($0.at) }
    deletedBecause = stored.deletion?.reason.rawValue
  }
}
