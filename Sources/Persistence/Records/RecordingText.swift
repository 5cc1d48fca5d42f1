internal import Base
internal import CallCore
internal import Foundation
internal import MediaControl

/// The recordings of a call as JSON; few calls have any.
enum RecordingText {
  private struct Row: Codable {
    var name: String
    var format: String
    var origin: String
    var by: String
    var file: String?
    /// Of those that were written before there was more than one, none.
    var rate: UInt16?
    var notice: Bool
    var announced: [Int64]
    var started: Int64?
    var ended: Int64?
    var pauses: [[Int64]]
    var end: String?
    var bytes: UInt64
    var ms: UInt64
    var lostMs: UInt64
    var unread: UInt64
  }

  static func append(_ recordings: [CallRecording], clock: StoreClock, to out: inout [UInt8]) {
    let rows = recordings.map { recording in
      Row(
        name: recording.name, format: recording.format.name, origin: recording.origin.rawValue,
        by: recording.by, file: recording.file.isEmpty ? nil : recording.file,
        rate: recording.rate == 0 ? nil : recording.rate,
        notice: recording.hasNotice, announced: recording.announced.map(clock.wall),
        started: recording.started.map(clock.wall), ended: recording.ended.map(clock.wall),
        pauses: recording.pauses.map { pause in
          [clock.wall(pause.from)] + (pause.to.map { [clock.wall($0)] } ?? [])
        },
        end: recording.end?.name, bytes: recording.bytes, ms: recording.milliseconds,
        lostMs: recording.lostMilliseconds, unread: recording.unreadPackets)
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    out.append(contentsOf: (try? encoder.encode(rows)) ?? Data("[]".utf8))
  }

  /// Nothing for a text that this program did not write. `isOver`: the call has ended, so what has no end was cut off.
  static func read(_ text: String?, isOver: Bool) -> [StoredRecording] {
    guard let text, let rows = try? JSONDecoder().decode([Row].self, from: Data(text.utf8)) else {
      return []
    }
    return rows.compactMap { row in
      guard let format = RecordingFormat.allCases.first(where: { $0.name == row.format }) else {
        return nil
      }
      var recording = StoredRecording(name: row.name, format: format)
      recording.origin = CallRecording.Origin(rawValue: row.origin) ?? .rule
      recording.by = row.by
      recording.file = row.file ?? ""
      recording.rate = row.rate ?? 0
      recording.hasNotice = row.notice
      recording.announced = row.announced
      recording.started = row.started
      recording.ended = row.ended
      recording.pauses = row.pauses.compactMap { pause in
        pause.first.map { StoredRecording.Pause(from: $0, to: pause.count > 1 ? pause[1] : nil) }
      }
      recording.end = row.end.flatMap(RecordingEnd.init(name:)) ?? (isOver ? .interrupted : nil)
      recording.bytes = row.bytes
      recording.milliseconds = row.ms
      recording.lostMilliseconds = row.lostMs
      recording.unreadPackets = row.unread
      return recording
    }
  }
}
