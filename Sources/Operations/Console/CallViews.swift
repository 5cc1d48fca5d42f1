import Base
package import Foundation
import Persistence

/// Calls and records as tables, and one call as a page.
package enum CallViews {
  package static func live(_ calls: [CallResource]) -> Table {
    Table(
      [
        TableColumn("CALL"), TableColumn("STATE"), TableColumn("FROM", shrinksTo: 10),
        TableColumn("TO", shrinksTo: 10), TableColumn("CALLER", shrinksTo: 8),
        TableColumn("CALLED", shrinksTo: 8), TableColumn("TALKING", .right), TableColumn("CODEC"),
      ],
      rows: calls.map { call in
        [
          TableCell(call.id), state(call), TableCell(call.from), TableCell(call.to),
          TableCell(call.callerNumber), TableCell(call.calledNumber),
          TableCell(call.seconds.map { HumanTime.span($0) } ?? "–"), TableCell(call.codec ?? ""),
        ]
      })
  }

  package static func records(_ calls: [CallResource], zone: TimeZone = .current) -> Table {
    Table(
      [
        TableColumn("SETUP"), TableColumn("CALL"), TableColumn("FROM", shrinksTo: 10),
        TableColumn("TO", shrinksTo: 10), TableColumn("CALLER", shrinksTo: 8),
        TableColumn("CALLED", shrinksTo: 8), TableColumn("TALKED", .right),
        TableColumn("STATUS", .right), TableColumn("CAUSE"), TableColumn("BY"),
        TableColumn("MOS", .right),
      ],
      rows: calls.map { call in
        [
          TableCell(HumanTime.local(call.setup, zone: zone)), TableCell(call.id),
          TableCell(call.from), TableCell(call.to), TableCell(call.callerNumber),
          TableCell(call.calledNumber),
          TableCell(call.seconds.map { HumanTime.span($0) } ?? "–"),
          TableCell(call.status.map { String($0) } ?? ""), cause(call),
          TableCell(call.releasedBy ?? ""), mos(call),
        ]
      })
  }

  /// Everything that is known of one call.
  package static func page(
    _ call: CallResource, on terminal: Terminal, zone: TimeZone = .current
  ) -> String {
    var text = sheet(call, zone: zone).render(on: terminal)
    if let quality = call.quality {
      text += "\n" + streams(quality).render(on: terminal)
    }
    if !call.attempts.isEmpty {
      text += "\n" + attempts(call).render(on: terminal)
    }
    return text
  }

  private static func sheet(_ call: CallResource, zone: TimeZone) -> Sheet {
    func time(_ timestamp: String?) -> String? { timestamp.map { HumanTime.local($0, zone: zone) } }
    var sheet = Sheet()
    sheet.add("call", call.id)
    sheet.add("state", state(call))
    sheet.add("tenant", call.tenant)
    sheet.add("from", call.from)
    sheet.add("to", call.to)
    sheet.add("caller", call.callerNumber)
    sheet.add("called", call.calledNumber)
    sheet.add("source", call.source)
    sheet.add("SIP Call-ID", call.sipCallId)
    sheet.add("setup", time(call.setup))
    sheet.add("ringing", time(call.ringing))
    sheet.add("answer", time(call.answer))
    sheet.add("end", time(call.end))
    sheet.add("talked", call.seconds.map { "\(Decimals.text($0)) s" })
    sheet.add("released by", call.releasedBy)
    sheet.add("status", call.status.map { String($0) })
    sheet.add("cause", cause(call))
    sheet.add("codec", call.codec)
    for recording in call.recordings ?? [] { sheet.add("recording", line(recording)) }
    for note in call.notes ?? [] { sheet.add("note", note) }
    return sheet
  }

  private static func line(_ recording: RecordingResource) -> String {
    var parts = [recording.name, recording.format, recording.end ?? recording.state]
    if let rate = recording.rate { parts.append("\(rate / 1_000) kHz") }
    if let seconds = recording.seconds { parts.append("\(Decimals.text(seconds)) s") }
    parts.append("consent: \(recording.consent)")
    if let deleted = recording.deleted { parts.append("deleted \(deleted)") }
    return parts.joined(separator: ", ")
  }

  /// Files, not calls: a call may have several, and most have none.
  package static func recordings(
    _ files: [RecordingFileResource], zone: TimeZone = .current
  ) -> Table {
    Table(
      [
        TableColumn("STARTED"), TableColumn("RECORDING"), TableColumn("CALL"),
        TableColumn("FORMAT"), TableColumn("BYTES", .right), TableColumn("STATE"),
      ],
      rows: files.map { file in
        [
          TableCell(HumanTime.local(file.started, zone: zone)), TableCell(file.name),
          TableCell(file.call), TableCell(file.format), TableCell(String(file.bytes)),
          TableCell(file.state, file.state == "recording" ? .good : .plain),
        ]
      })
  }

  private static func streams(_ quality: CallQualityResource) -> Table {
    let sides = [("caller", quality.fromCaller), ("callee", quality.fromCallee)]
    return Table(
      [
        TableColumn("HEARD FROM"), TableColumn("PACKETS", .right), TableColumn("LOST", .right),
        TableColumn("LOSS", .right), TableColumn("JITTER", .right), TableColumn("WORST", .right),
        TableColumn("MOS", .right), TableColumn("REFUSED", .right), TableColumn("SENT", .right),
      ],
      rows: sides.compactMap { name, stream in
        guard let stream else { return nil }
        return [
          TableCell(name), TableCell(String(stream.packets)), TableCell(String(stream.lost)),
          TableCell(String(format: "%.2f %%", stream.lossPercent)),
          TableCell(String(format: "%.2f ms", stream.jitterMilliseconds)),
          TableCell(String(format: "%.2f ms", stream.maxJitterMilliseconds)),
          opinion(stream.mos), TableCell(String(stream.refused)), TableCell(String(stream.sent)),
        ]
      })
  }

  private static func attempts(_ call: CallResource) -> Table {
    let start = Timestamp.milliseconds(call.setup) ?? 0
    func offset(_ timestamp: String?) -> String {
      guard let timestamp, let moment = Timestamp.milliseconds(timestamp) else { return "" }
      return "+\(String(format: "%.3f", Double(moment - start) / 1_000))"
    }
    // Seldom: the column is there only where it says something.
    let isForwarded = call.attempts.contains { $0.forwardedBy != nil }
    return Table(
      [
        TableColumn("TRIED", shrinksTo: 12), TableColumn("ADDRESS", shrinksTo: 12),
        TableColumn("FROM", .right), TableColumn("UNTIL", .right), TableColumn("STATUS", .right),
        TableColumn("CAUSE"),
      ] + (isForwarded ? [TableColumn("FORWARDED BY")] : []),
      rows: call.attempts.map { attempt in
        [
          TableCell(attempt.target), TableCell(attempt.address ?? ""),
          TableCell(offset(attempt.started)), TableCell(offset(attempt.ended)),
          TableCell(attempt.status.map { String($0) } ?? ""), TableCell(attempt.cause ?? ""),
        ] + (isForwarded ? [TableCell(attempt.forwardedBy ?? "")] : [])
      })
  }

  private static func state(_ call: CallResource) -> TableCell {
    let tones: [String: Tone] = ["answered": .good, "ringing": .warning, "interrupted": .bad]
    return TableCell(call.state, tones[call.state] ?? .plain)
  }

  /// What is nobody's fault is plain.
  private static func cause(_ call: CallResource) -> TableCell {
    let usual: Set<String> = ["normal-clearing", "cancelled", "busy", "no-answer"]
    let cause = call.cause ?? ""
    return TableCell(cause, usual.contains(cause) ? .plain : .bad)
  }

  /// The worse of the two sides.
  private static func mos(_ call: CallResource) -> TableCell {
    opinion([call.quality?.fromCaller?.mos, call.quality?.fromCallee?.mos].compactMap { $0 }.min())
  }

  private static func opinion(_ mos: Double?) -> TableCell {
    guard let mos else { return TableCell("–") }
    return TableCell(String(format: "%.2f", mos), mos >= 4 ? .good : mos >= 3 ? .warning : .bad)
  }
}
