import Foundation
package import MediaControl
import MediaEngine

/// Where recordings lie, in which format, and for how long.
package struct RecordingFileSettings: Hashable, Sendable {
  /// Nil: `recordings` beside the store.
  package var path: String?
  package var format = RecordingFormat.wav
  /// Bytes that stay free on the disk.
  package var minimumFree = 1 << 30
  /// Files that began longer ago are removed; 0: never.
  package var retentionDays = 0
  /// Calls that are recorded at once.
  package var maximum = 200

  package init() {}

  /// For the media plane.
  func files(store: String) -> RecordingSettings {
    let beside = URL(fileURLWithPath: store).deletingLastPathComponent()
      .appendingPathComponent("recordings").path
    var settings = RecordingSettings(folder: RecordingFolder(path ?? beside))
    settings.maximum = maximum
    settings.minimumFree = UInt64(minimumFree)
    return settings
  }
}

extension DocumentReader {
  mutating func recordings(_ parent: DocumentFields, _ settings: inout RecordingFileSettings) {
    let keys = ["path", "format", "minimumFree", "retentionDays", "maximum"]
    guard let fields = group(parent, "recordings", keys: keys) else { return }
    settings.path ?= optional(fields, "path", .text("a folder", example: "/var/lib/recordings"))
    settings.format ?= optional(fields, "format", .recordingFormat)
    settings.minimumFree ?= optional(fields, "minimumFree", .bytes)
    settings.retentionDays ?= optional(fields, "retentionDays", .number(0...36_500, example: 90))
    settings.maximum ?= optional(fields, "maximum", .number(0...10_000, example: 200))
  }
}

extension ValueRule where Value == RecordingFormat {
  fileprivate static var recordingFormat: ValueRule {
    let choices = RecordingFormat.allCases.map(\.name)
    return ValueRule(expected: "a format", example: "opus", choices: choices) { text in
      RecordingFormat.allCases.first { $0.name == text }
    }
  }
}
