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
  package func bytes(_ line: LogLine, at millisecondsSince1970: Int64) -> [UInt8] {
    var text =
      format == .text
      ? plain(line, at: millisecondsSince1970) : json(line, at: millisecondsSince1970)
    text.append("\n")
    return Array(text.utf8)
  }

  private func plain(_ line: LogLine, at time: Int64) -> String {
    var text = Timestamp.text(time)
    let padding = String(repeating: " ", count: 8 - line.level.name.utf8.count)
    text += " \(line.level.name)\(padding)\(line.event)"
    if !line.fields.isEmpty { text.append(" ") }
    for field in line.fields {
      text += " \(field.key)="
      switch field.value {
      case .text(let value): LogEscaping.appendValue(value, to: &text)
      case .personal(let value): LogEscaping.appendValue(shown(value), to: &text)
      case .integer(let value): text += String(value)
      case .decimal(let value): text += Decimals.text(value)
      case .flag(let value): text += value ? "true" : "false"
      }
    }
    return text
  }

  private func json(_ line: LogLine, at time: Int64) -> String {
    var text = "{\"time\":\"\(Timestamp.text(time))\",\"level\":\"\(line.level.name)\",\"event\":"
    LogEscaping.appendQuoted(line.event, to: &text, json: true)
    for field in line.fields {
      text.append(",")
      LogEscaping.appendQuoted(field.key, to: &text, json: true)
      text.append(":")
      switch field.value {
      case .text(let value): LogEscaping.appendQuoted(value, to: &text, json: true)
      case .personal(let value): LogEscaping.appendQuoted(shown(value), to: &text, json: true)
      case .integer(let value): text += String(value)
      case .decimal(let value): text += value.isFinite ? Decimals.text(value) : "null"
      case .flag(let value): text += value ? "true" : "false"
      }
    }
    text.append("}")
    return text
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

enum LogEscaping {
  /// As it is when it is one plain word, quoted otherwise.
  static func appendValue(_ value: String, to text: inout String) {
    let plain = value.utf8.allSatisfy { byte in
      byte > 0x20 && byte < 0x7f && byte != 0x22 && byte != 0x5c && byte != 0x3d
    }
    if plain && !value.isEmpty && value.utf8.count <= LogFormatter.valueLimit {
      text += value
    } else {
      appendQuoted(value, to: &text, json: false)
    }
  }

  static func appendQuoted(_ value: String, to text: inout String, json: Bool) {
    text.append("\"")
    for (count, scalar) in value.unicodeScalars.enumerated() {
      if count == LogFormatter.valueLimit {
        text.append("…")
        break
      }
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      default:
        isDrawn(scalar) ? text.unicodeScalars.append(scalar) : escape(scalar, to: &text, json: json)
      }
    }
    text.append("\"")
  }

  /// Whether a terminal draws it and does nothing else.
  static func isDrawn(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value < 0x7f { return scalar.value >= 0x20 }
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse,
      .unassigned:
      return false
    default:
      return true
    }
  }

  private static func escape(_ scalar: Unicode.Scalar, to text: inout String, json: Bool) {
    if json {
      for unit in UTF16.encode(scalar) ?? UTF16.encodedReplacementCharacter {
        text += "\\u" + hexadecimal(UInt32(unit), width: 4)
      }
    } else if scalar.value < 0x100 {
      text += "\\x" + hexadecimal(scalar.value, width: 2)
    } else {
      text += "\\u{" + hexadecimal(scalar.value, width: 1) + "}"
    }
  }

  private static func hexadecimal(_ value: UInt32, width: Int) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }
}
