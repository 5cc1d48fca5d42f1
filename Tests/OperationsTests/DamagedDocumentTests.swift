import Base
import Foundation
import Operations
import Policy
import Testing

/// Documents with random damage: whatever an operator's editor, a template or somebody with bad intent makes of one, it
/// is read or refused with a place and a remedy, in bounded time, and what was read can be written and read again.
@Suite struct DamagedDocumentTests {
  private static let pieces = [
    "\n", "\r\n", "\t", "  ", ": ", "- ", "#", "\"", "'", "[", "]", "{", "}", ",", "&a", "*a",
    "!!int ", "|\n", ">-\n",
    "? ", "---\n", "...\n", "%YAML 1.2\n", "~", "null", "true", "0x7fffffffffffffff", "1e999", "-1",
    "9999999999999999999",
    "\u{feff}", "\u{0}", "\u{202e}", "ü", "<<: ", "users:", "trunks:\n  - name: x\n", "0.0.0.0/0",
    "::/0", "sip:", "10s",
    "999999999h", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
  ]

  private static func seeds() throws -> [String] {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("examples")
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
    let texts = try names.filter { $0.hasSuffix(".yaml") }.sorted().map {
      try String(contentsOf: folder.appendingPathComponent($0), encoding: .utf8)
    }
    // Documents of resources; settings of the process are another kind.
    return texts.filter { (try? ResourceDocument.parse($0, source: "seed")) != nil }
  }

  private static func damaged(_ text: String, _ random: inout RandomSource) -> String {
    var bytes = Array(text.utf8)
    for _ in 0...random.next(below: 4) {
      let at = random.next(below: bytes.count + 1)
      let end = min(bytes.count, at + random.next(below: 60))
      switch random.next(below: 6) {
      case 0 where at < bytes.count: bytes[at] = UInt8(truncatingIfNeeded: random.next())
      case 1: bytes.removeSubrange(at..<end)
      case 2, 3:
        bytes.insert(contentsOf: Self.pieces[random.next(below: Self.pieces.count)].utf8, at: at)
      case 4:
        bytes.insert(contentsOf: Array(bytes[at..<end]), at: random.next(below: bytes.count + 1))
      default: bytes.insert(contentsOf: repeatElement(0x20, count: random.next(below: 70)), at: at)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  @Test func randomDamage() throws {
    let seeds = try Self.seeds()
    try #require(seeds.count >= 2)
    var random = RandomSource(seed: 9)
    var (read, refused) = (0, 0)
    #if DEBUG
      let rounds = 300
    #else
      let rounds = 4_000
    #endif
    for round in 0..<rounds {
      let text = Self.damaged(seeds[random.next(below: seeds.count)], &random)
      do {
        let document = try ResourceDocument.parse(text, source: "a.yaml")
        let written = DocumentWriter.yaml(document.resources.document(secrets: .written))
        let again = try? ResourceDocument.parse(written, source: "b.yaml")
        #expect(again?.resources == document.resources, "round \(round)")
        read += 1
      } catch {
        refused += 1
        let lines = text.utf8.count { $0 == 0x0a || $0 == 0x0d } + 2
        #expect(!error.errors.isEmpty && error.errors.count <= 1_000, "round \(round)")
        for found in error.errors {
          #expect(!found.message.isEmpty && found.line <= lines, "round \(round): \(found)")
        }
      }
    }
    // Damage that is always refused, or never, would try nothing.
    #expect(read > rounds / 20 && refused > rounds / 20, "\(read) read, \(refused) refused")
  }
}
