internal import Base
internal import Foundation
internal import CallCore
internal import MediaControl
internal import Policy

/// Records as lines for other programs: CSV (RFC 4180, UTF-8, with a first line of names) or JSON lines.
/// Points in time are RFC 3339 in UTC, durations seconds, MOS and jitter in the units of their names.
package enum RecordExport {
  package enum Format: String, Sendable, CaseIterable { case csv, jsonl }

  private enum Value {
    case text(String)
    case number(Int64)
    /// Thousandths and hundredths, written as decimal fractions.
    case milli(Int64)
    case centi(Int64)
    /// JSON that is complete as it is.
    case json([UInt8])
    case nothing
  }

  /// The names of the columns; empty for JSON lines.
  package static func header(_ format: Format) -> [UInt8] {
    guard format == .csv else { return [] }
    return Array((columns.joined(separator: ",") + "\r\n").utf8)
  }

  package static func line(_ record: StoredRecord, _ format: Format) -> [UInt8] {
    var out: [UInt8] = []
    append(record, format, to: &out)
    return out
  }

  /// Everything that the query matches, the oldest first, a bounded batch of whole lines at a time; the
  /// header first. The query's limit, cursor and order are not looked at.
  package static func export(
    _ query: RecordQuery, from store: any CallStore, as format: Format,
    to sink: ([UInt8]) throws -> Void
  ) throws {
    var query = query
    query.order = .oldestFirst
    query.limit = 500
    query.cursor = nil
    var lines = header(format)
    repeat {
      let page = try store.records(query)
      for record in page.records { append(record, format, to: &lines) }
      if !lines.isEmpty { try sink(lines) }
      lines.removeAll(keepingCapacity: true)
      query.cursor = page.next
    } while query.cursor != nil
  }

  private static let qualityNames = [
    "packets", "lost", "duplicates", "reordered", "jitter_ms", "max_jitter_ms", "mos", "sent",
    "refused", "round_trip_ms", "unauthentic", "replayed", "remote_mos",
  ]

  package static let columns: [String] =
    [
      "id", "tenant", "state", "from", "to", "caller_number", "called_number", "source",
      "sip_call_id", "setup", "ringing", "answer", "end", "ringing_after_s", "answer_after_s",
      "talk_s", "total_s", "released_by", "status", "cause", "codec",
    ]
    + ["caller", "callee"].flatMap { side in qualityNames.map { "\(side)_\($0)" } }
    + ["attempts", "notes", "recordings"]

  private static func append(_ record: StoredRecord, _ format: Format, to out: inout [UInt8]) {
    let values = values(record)
    switch format {
    case .csv:
      for (position, value) in values.enumerated() {
        if position > 0 { out.append(UInt8(ascii: ",")) }
        append(csv: value, to: &out)
      }
      out.append(contentsOf: [0x0d, 0x0a])
    case .jsonl:
      out.append(UInt8(ascii: "{"))
      var isFirst = true
      for (name, value) in zip(columns, values) {
        if case .nothing = value { continue }
        if !isFirst { out.append(UInt8(ascii: ",")) }
        isFirst = false
        out.append(json: name)
        out.append(UInt8(ascii: ":"))
        append(json: value, to: &out)
      }
      out.append(contentsOf: [UInt8(ascii: "}"), 0x0a])
    }
  }

  /// In the order of `columns`.
  private static func values(_ record: StoredRecord) -> [Value] {
    func text(_ text: String) -> Value { text.isEmpty ? .nothing : .text(text) }
    func time(_ time: Int64?) -> Value { time.map { .text(Timestamp.text($0)) } ?? .nothing }
    func span(_ span: Int64?) -> Value { span.map { .milli($0) } ?? .nothing }
    var values: [Value] = [
      .text(record.id.description), text(record.tenant), .text(record.state.rawValue),
      text(record.from), text(record.to), text(record.callerNumber), text(record.calledNumber),
      text(record.source), text(record.sipCallID), time(record.setup), time(record.ringing),
      time(record.answer), time(record.end), span(record.ringingAfter), span(record.answerAfter),
      span(record.talk), span(record.total),
      record.releasedBy.map { .text($0.rawValue) } ?? .nothing,
      record.status == 0 ? .nothing : .number(Int64(record.status)),
      record.cause.map { .text($0.name) } ?? .nothing, text(record.codec),
    ]
    values += qualityValues(record.fromCaller) + qualityValues(record.fromCallee)
    values.append(record.attempts.isEmpty ? .nothing : .json(attempts(record.attempts)))
    values.append(record.notes.isEmpty ? .nothing : .json(notes(record.notes)))
    values.append(record.recordings.isEmpty ? .nothing : .json(recordings(record.recordings)))
    return values
  }

  /// The names are those of the API.
  private static func recordings(_ recordings: [StoredRecording]) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return Array((try? encoder.encode(recordings.map(RecordingResource.init))) ?? Data("[]".utf8))
  }

  private static func notes(_ notes: [String]) -> [UInt8] {
    var out: [UInt8] = []
    NoteText.append(notes, to: &out)
    return out
  }

  private static func qualityValues(_ quality: StreamQuality) -> [Value] {
    guard quality.packets | quality.sent | quality.refused | quality.malformed != 0 else {
      return Array(repeating: .nothing, count: qualityNames.count)
    }
    func number(_ value: UInt64) -> Value { .number(Int64(clamping: value)) }
    return [
      number(quality.packets), number(quality.lost), number(quality.duplicates),
      number(quality.reordered), .milli(Int64(quality.jitter)), .milli(Int64(quality.maxJitter)),
      quality.mos == 0 ? .nothing : .centi(Int64(quality.mos)), number(quality.sent),
      number(quality.refused),
      quality.roundTrip == 0 ? .nothing : .milli(Int64(quality.roundTrip)),
      number(quality.unauthentic), number(quality.replayed),
      quality.remoteMOS == 0 ? .nothing : .centi(Int64(quality.remoteMOS)),
    ]
  }

  private static func attempts(_ attempts: [StoredAttempt]) -> [UInt8] {
    var out: [UInt8] = [UInt8(ascii: "[")]
    for (position, attempt) in attempts.enumerated() {
      if position > 0 { out.append(UInt8(ascii: ",")) }
      out.append(utf8: "{\"target\":")
      out.append(json: attempt.target)
      if !attempt.address.isEmpty {
        out.append(utf8: ",\"address\":")
        out.append(json: attempt.address)
      }
      out.append(utf8: ",\"started\":")
      out.append(json: Timestamp.text(attempt.started))
      if let duration = attempt.duration {
        out.append(utf8: ",\"seconds\":")
        append(json: .milli(duration), to: &out)
      }
      if attempt.status != 0 {
        out.append(utf8: ",\"status\":")
        out.append(decimal: Int64(attempt.status))
      }
      if let cause = attempt.cause {
        out.append(utf8: ",\"cause\":")
        out.append(json: cause.name)
      }
      if !attempt.forwardedBy.isEmpty {
        out.append(utf8: ",\"forwardedBy\":")
        out.append(json: attempt.forwardedBy)
      }
      out.append(UInt8(ascii: "}"))
    }
    out.append(UInt8(ascii: "]"))
    return out
  }

  private static func append(json value: Value, to out: inout [UInt8]) {
    switch value {
    case .text(let text): out.append(json: text)
    case .number(let number): out.append(decimal: number)
    case .milli(let number): out.append(fraction: number, digits: 3)
    case .centi(let number): out.append(fraction: number, digits: 2)
    case .json(let bytes): out.append(contentsOf: bytes)
    case .nothing: out.append(utf8: "null")
    }
  }

  private static func append(csv value: Value, to out: inout [UInt8]) {
    switch value {
    case .text(let text): out.append(csvField: Array(text.utf8))
    case .json(let bytes): out.append(csvField: bytes)
    case .number, .milli, .centi: append(json: value, to: &out)
    case .nothing: break
    }
  }
}

extension [UInt8] {
  /// -1500 with 3 digits: "-1.500".
  fileprivate mutating func append(fraction value: Int64, digits: Int) {
    let text = String(value.magnitude)
    let padded = String(repeating: "0", count: Swift.max(0, digits + 1 - text.count)) + text
    if value < 0 { append(UInt8(ascii: "-")) }
    append(utf8: String(padded.dropLast(digits)))
    append(UInt8(ascii: "."))
    append(utf8: String(padded.suffix(digits)))
  }

  /// RFC 4180 §2. What a spreadsheet would run as a formula gets an apostrophe in front; a number as
  /// `+44…` is none.
  fileprivate mutating func append(csvField field: [UInt8]) {
    var bytes = field
    if let first = bytes.first, Self.formulaStarts.contains(first), !Self.isE164(bytes) {
      bytes.insert(UInt8(ascii: "'"), at: 0)
    }
    guard
      bytes.contains(where: { Self.quoted.contains($0) }) || bytes.first == 0x20
        || bytes.last == 0x20
    else {
      append(contentsOf: bytes)
      return
    }
    append(UInt8(ascii: "\""))
    for byte in bytes {
      if byte == UInt8(ascii: "\"") { append(byte) }
      append(byte)
    }
    append(UInt8(ascii: "\""))
  }

  private static var formulaStarts: [UInt8] { Array("=+-@\t\r\n".utf8) }
  private static var quoted: [UInt8] { Array("\",\r\n".utf8) }

  private static func isE164(_ bytes: [UInt8]) -> Bool {
    bytes.first == UInt8(ascii: "+") && bytes.dropFirst().allSatisfy { (0x30...0x39).contains($0) }
  }
}
