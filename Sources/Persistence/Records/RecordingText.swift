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
      let line = recording.map(clock.wall)
      return Row(
        name: line.name, format: line.format.name, origin: line.origin.rawValue, by: line.by,
        file: line.file.isEmpty ? nil : line.file, rate: line.rate == 0 ? nil : line.rate,
        notice: line.hasNotice, announced: line.announced, started: line.started,
        ended: line.ended, pauses: line.pauses.map { [$0.from] + ($0.to.map { [$0] } ?? []) },
        end: line.end?.name, bytes: line.bytes, ms: line.milliseconds,
        lostMs: line.lostMilliseconds, unread: line.unreadPackets)
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
      var line = RecordingLine<Int64>(
        name: row.name, format: format, origin: RecordingOrigin(rawValue: row.origin) ?? .rule,
        by: row.by, hasNotice: row.notice)
      line.file = row.file ?? ""
      line.rate = row.rate ?? 0
      line.announced = row.announced
      line.started = row.started
      line.ended = row.ended
      line.pauses = row.pauses.compactMap { pause in
        pause.first.map { .init(from: $0, to: pause.count > 1 ? pause[1] : nil) }
      }
      line.end = row.end.flatMap(RecordingEnd.init(name:)) ?? (isOver ? .interrupted : nil)
      line.bytes = row.bytes
      line.milliseconds = row.ms
      line.lostMilliseconds = row.lostMs
      line.unreadPackets = row.unread
      return StoredRecording(line)
    }
  }
}
