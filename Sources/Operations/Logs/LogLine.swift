import Base

package enum LogLevel: Int, Comparable, Sendable, CaseIterable {
  case debug, info, warning, error

  package var name: String {
    switch self {
    case .debug: "debug"
    case .info: "info"
    case .warning: "warning"
    case .error: "error"
    }
  }

  package init?(name: some StringProtocol) {
    guard let level = LogLevel.allCases.first(where: { $0.name == name }) else { return nil }
    self = level
  }

  package static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }
}

package enum LogFormat: String, Sendable, CaseIterable {
  /// `2026-11-21T03:01:31.963Z info    call ended  call=… cause=busy`
  case text
  /// One JSON object a line, every value typed.
  case json
}

package enum LogValue: Hashable, Sendable {
  case text(String)
  /// The number or name of a person: written only as its last three characters, unless the settings
  /// say that the log may hold it.
  case personal(String)
  case integer(Int64)
  case decimal(Double)
  case flag(Bool)
}

package struct LogField: Hashable, Sendable {
  package var key: String
  package var value: LogValue

  package init(_ key: String, _ value: LogValue) {
    self.key = key
    self.value = value
  }
  package init(_ key: String, _ text: String) { self.init(key, .text(text)) }
  package init(_ key: String, _ number: some BinaryInteger) {
    self.init(key, .integer(Int64(clamping: number)))
  }
}

/// One thing worth telling, before it is text. `event` is ours and stable; values may come from peers.
package struct LogLine: Hashable, Sendable {
  package var level: LogLevel
  package var event: String
  package var fields: [LogField]

  package init(_ level: LogLevel, _ event: String, _ fields: [LogField] = []) {
    self.level = level
    self.event = event
    self.fields = fields
  }
}

/// Lines to bytes. Whatever a peer wrote stays inside its value: control characters, line breaks,
/// direction marks, quotes and backslashes are escaped, and long values are cut, so that no
/// line can be forged and no terminal be driven by a log that is looked at.
package struct LogFormatter: Sendable {
  package var format: LogFormat
  package var showsPersonal: Bool
  package static let valueLimit = 512

  package init(format: LogFormat, showsPersonal: Bool = false) {
    self.format = format
    self.showsPersonal = showsPersonal
  }

  /// With a newline at its end.
  package func append(
    _ line: LogLine, at millisecondsSince1970: Int64, to out: inout [UInt8]
  ) {
    switch format {
    case .text: plain(line, at: millisecondsSince1970, to: &out)
    case .json: json(line, at: millisecondsSince1970, to: &out)
    }
    out.append(10)
  }

  package func bytes(_ line: LogLine, at millisecondsSince1970: Int64) -> [UInt8] {
    var out: [UInt8] = []
    append(line, at: millisecondsSince1970, to: &out)
    return out
  }

  private func plain(_ line: LogLine, at time: Int64, to out: inout [UInt8]) {
    Timestamp.append(time, to: &out)
    out.append(32)
    out.append(contentsOf: line.level.name.utf8)
    out.append(contentsOf: repeatElement(32, count: 8 - line.level.name.utf8.count))
    out.append(contentsOf: line.event.utf8)
    if !line.fields.isEmpty { out.append(32) }
    for field in line.fields {
      out.append(32)
      out.append(contentsOf: field.key.utf8)
      out.append(61)
      switch field.value {
      case .text(let value): LogEscaping.appendValue(value, to: &out)
      case .personal(let value): LogEscaping.appendValue(shown(value), to: &out)
      case .integer(let value): out.append(contentsOf: String(value).utf8)
      case .decimal(let value): out.append(contentsOf: Decimals.text(value).utf8)
      case .flag(let value): out.append(contentsOf: (value ? "true" : "false").utf8)
      }
    }
  }

  private func json(_ line: LogLine, at time: Int64, to out: inout [UInt8]) {
    out.append(contentsOf: "{\"time\":\"".utf8)
    Timestamp.append(time, to: &out)
    out.append(contentsOf: "\",\"level\":\"".utf8)
    out.append(contentsOf: line.level.name.utf8)
    out.append(contentsOf: "\",\"event\":".utf8)
    LogEscaping.appendQuoted(line.event, to: &out, json: true)
    for field in line.fields {
      out.append(44)
      LogEscaping.appendQuoted(field.key, to: &out, json: true)
      out.append(58)
      switch field.value {
      case .text(let value): LogEscaping.appendQuoted(value, to: &out, json: true)
      case .personal(let value): LogEscaping.appendQuoted(shown(value), to: &out, json: true)
      case .integer(let value): out.append(contentsOf: String(value).utf8)
      case .decimal(let value):
        out.append(contentsOf: (value.isFinite ? Decimals.text(value) : "null").utf8)
      case .flag(let value): out.append(contentsOf: (value ? "true" : "false").utf8)
      }
    }
    out.append(125)
  }

  private func shown(_ personal: String) -> String {
    if showsPersonal || personal.isEmpty { return personal }
    return personal.count > 5 ? "…\(personal.suffix(3))" : "…"
  }
}

/// At most three digits after the point, without the locale's opinion.
package enum Decimals {
  package static func text(_ value: Double) -> String {
    guard value.isFinite, value.magnitude < 1e15 else { return "\(value)" }
    let thousandths = Int64((value.magnitude * 1_000).rounded())
    let sign = value < 0 && thousandths != 0 ? "-" : ""
    var fraction = String(thousandths % 1_000)
    fraction = String(repeating: "0", count: 3 - fraction.count) + fraction
    while fraction.last == "0" { fraction.removeLast() }
    return "\(sign)\(thousandths / 1_000)\(fraction.isEmpty ? "" : ".")\(fraction)"
  }
}
