internal import Base
internal import CallCore
internal import Foundation
internal import Policy

/// The attempts of a call as JSON, written by hand since every call has some:
/// `[{"target":"trunk:x","address":"192.0.2.1:5060","started":…,"ms":…,"status":503,"cause":"…"}]`.
enum AttemptText {
  /// More than these are counted by nobody; a plan has at most as many hops.
  static let limit = 64

  static func append(_ attempts: [CallAttempt], clock: StoreClock, to out: inout [UInt8]) {
    out.append(UInt8(ascii: "["))
    for (position, attempt) in attempts.prefix(limit).enumerated() {
      if position > 0 { out.append(UInt8(ascii: ",")) }
      out.append(utf8: "{\"target\":")
      out.append(json: attempt.target)
      if let address = attempt.address {
        out.append(utf8: ",\"address\":\"")
        out.append(utf8: address.description)
        out.append(UInt8(ascii: "\""))
      }
      out.append(utf8: ",\"started\":")
      out.append(decimal: clock.wall(attempt.started))
      if let ended = attempt.ended {
        out.append(utf8: ",\"ms\":")
        out.append(decimal: max(0, (ended - attempt.started).nanoseconds / 1_000_000))
      }
      if attempt.status != 0 {
        out.append(utf8: ",\"status\":")
        out.append(decimal: Int64(attempt.status))
      }
      if let cause = attempt.cause {
        out.append(utf8: ",\"cause\":\"")
        out.append(utf8: cause.name)
        out.append(UInt8(ascii: "\""))
      }
      if !attempt.forwardedBy.isEmpty {
        out.append(utf8: ",\"forwardedBy\":")
        out.append(json: attempt.forwardedBy)
      }
      out.append(UInt8(ascii: "}"))
    }
    out.append(UInt8(ascii: "]"))
  }

  private struct Row: Decodable {
    var target: String
    var address: String?
    var started: Int64
    var ms: Int64?
    var status: Int?
    var cause: String?
    var forwardedBy: String?
  }

  /// Nothing for a text that this program did not write.
  static func read(_ text: String?) -> [StoredAttempt] {
    guard let text, let rows = try? JSONDecoder().decode([Row].self, from: Data(text.utf8)) else {
      return []
    }
    return rows.map { row in
      StoredAttempt(
        target: row.target, address: row.address ?? "", started: row.started, duration: row.ms,
        status: row.status ?? 0, cause: row.cause.flatMap(Cause.init(name:)),
        forwardedBy: row.forwardedBy ?? "")
    }
  }
}

extension [UInt8] {
  mutating func append(utf8 text: String) { append(contentsOf: text.utf8) }

  mutating func append(decimal value: Int64) {
    append(contentsOf: String(value).utf8)
  }

  /// A JSON string with its quotes (RFC 8259 §7).
  mutating func append(json text: String) {
    append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        append(UInt8(ascii: "\\"))
        append(byte)
      case 0x0a: append(utf8: "\\n")
      case 0x0d: append(utf8: "\\r")
      case 0x09: append(utf8: "\\t")
      case 0..<0x20, 0x7f:
        append(utf8: "\\u00")
        append(UInt8.hexDigit(byte >> 4))
        append(UInt8.hexDigit(byte))
      default: append(byte)
      }
    }
    append(UInt8(ascii: "\""))
  }
}
