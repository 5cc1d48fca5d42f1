import Foundation

/// What was measured, in the order it was: name → value and unit.
struct BenchResults {
  struct Entry: Codable {
    var value: Double
    var unit: String
  }

  private var names: [String] = []
  private var entries: [String: Entry] = [:]

  /// A second value of a name replaces the first.
  mutating func record(_ name: String, _ value: Double, _ unit: String) {
    if entries[name] == nil { names.append(name) }
    entries[name] = Entry(value: value, unit: unit)
  }

  /// Writes `{"name": {"value": 1.5, "unit": "ns"}, …}`. What an earlier program of the same run put into
  /// the file stays, unless it has the name of something measured here.
  func write(to path: String) throws {
    let url = URL(fileURLWithPath: path)
    var all: [String: Entry] = [:]
    if let earlier = try? Data(contentsOf: url) {
      all = try JSONDecoder().decode([String: Entry].self, from: earlier)
    }
    all.merge(entries) { _, new in new }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    try FileManager.default.createDirectory(
      at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    var data = try encoder.encode(all)
    data.append(UInt8(ascii: "\n"))
    try data.write(to: url, options: .atomic)
  }

  /// One line a value, aligned.
  var table: String {
    let width = names.map(\.count).max() ?? 0
    return names.map { name in
      let entry = entries[name] ?? Entry(value: .nan, unit: "")
      let value = String(format: entry.value < 10 ? "%12.2f" : "%12.1f", entry.value)
      return name.padding(toLength: width, withPad: " ", startingAt: 0) + value + " " + entry.unit
    }.joined(separator: "\n")
  }
}
