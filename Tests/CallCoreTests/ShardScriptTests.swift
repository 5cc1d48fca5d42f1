import Base
import Foundation
import Testing

/// The scripts of the fuzz target `shard`: seeds, what it reached, and what once broke something.
@Suite struct ShardScriptTests {
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  @Test(arguments: ["Fuzz/seeds", "Fuzz/corpus", "Fuzz/crashes"])
  func scripts(folder: String) throws {
    let path = Self.root.appendingPathComponent("\(folder)/shard")
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path.path)) ?? []
    for name in names.sorted() where !name.hasPrefix(".") {
      let script = [UInt8](try Data(contentsOf: path.appendingPathComponent(name)))
      let problem = ShardExercise.run(script.rawSpan)
      #expect(problem == nil, "\(name)")
    }
  }
}
