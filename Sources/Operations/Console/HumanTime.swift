import Base
package import Foundation

/// Times and spans as people read and write them.
package enum HumanTime {
  /// `2026-11-21 04:01:31` where the reader's clock stands; the text itself when it is no time.
  package static func local(_ timestamp: String, zone: TimeZone = .current) -> String {
    guard let milliseconds = Timestamp.milliseconds(timestamp) else { return timestamp }
    let moment = Date(timeIntervalSince1970: Double(milliseconds) / 1_000)
    let offset = Int64(zone.secondsFromGMT(for: moment)) * 1_000
    let text = Timestamp.text(milliseconds + offset)
    return text.prefix(10) + " " + text.dropFirst(11).prefix(8)
  }

  /// `7 s`, `3 m 20 s`, `2 h 5 m`, `4 d 3 h`.
  package static func span(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds >= 0, seconds < 1e12 else { return "?" }
    let whole = Int(seconds)
    return switch whole {
    case ..<60: "\(whole) s"
    case ..<3_600: "\(whole / 60) m \(whole % 60) s"
    case ..<86_400: "\(whole / 3_600) h \(whole / 60 % 60) m"
    default: "\(whole / 86_400) d \(whole / 3_600 % 24) h"
    }
  }

  /// `90d`, `12h`, `30m`, `45s`, `2w` in milliseconds; nil for anything else or more than 200 years.
  package static func milliseconds(span text: some StringProtocol) -> Int64? {
    guard let unit = text.last, let count = Int64(text.dropLast()), count >= 0,
      let scale = ["s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800][unit]
    else { return nil }
    let (value, overflow) = count.multipliedReportingOverflow(by: Int64(scale) * 1_000)
    return overflow || value > 200 * 366 * 86_400_000 ? nil : value
  }

  /// A moment, or how long ago, as a moment in milliseconds since 1970.
  package static func moment(_ text: String, now: Int64) -> Int64? {
    if let span = milliseconds(span: text) { return now - span }
    return Timestamp.milliseconds(text)
  }
}
