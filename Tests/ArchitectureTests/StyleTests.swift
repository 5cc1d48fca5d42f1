import Foundation
import Testing

@Suite struct StyleTests {
  let repository = Repository.here

  /// What ends the process when it goes wrong has no place in what a packet, a file or a request reaches.
  @Test func sourcesCannotTrapByIntent() throws {
    let traps = #/\btry!|\bas!|\bfatalError\s*\(|\bpreconditionFailure\s*\(|\bprecondition\s*\(/#
    for path in repository.files(under: "Sources", ending: ".swift") {
      let code = codeOnly(try repository.text(path))
      for (index, line) in code.split(separator: "\n", omittingEmptySubsequences: false)
        .enumerated()
      {
        if let match = line.firstMatch(of: traps) {
          Issue.record("\(path):\(index + 1) has \(match.output)")
        }
      }
    }
  }

  /// A module with a type of its own name cannot be used to qualify anything.
  @Test func noTypeBearsItsModulesName() throws {
    for module in repository.folders(in: "Sources") where !module.contains("-") {
      let declaration = try Regex("\\b(struct|class|enum|actor|protocol|typealias) \(module)\\b")
      for path in repository.files(under: "Sources/\(module)", ending: ".swift") {
        let code = codeOnly(try repository.text(path))
        #expect(code.firstMatch(of: declaration) == nil, "\(path)")
      }
    }
  }

  @Test func nothingIsLeftForLater() throws {
    let markers = try Regex("\\b(TO" + "DO|FIX" + "ME|XX" + "X|HA" + "CK)\\b")
    for folder in ["Sources", "Tests", "scripts"] {
      for suffix in [".swift", ".c", ".h", ".sh", ".py"] {
        for path in repository.files(under: folder, ending: suffix) {
          #expect(try repository.text(path).firstMatch(of: markers) == nil, "\(path)")
        }
      }
    }
  }

  /// A file is read in one sitting: 500 lines is worth a look, 800 is two files.
  @Test func filesAreShort() throws {
    var long: [String] = []
    for path in repository.files(under: "Sources", ending: ".swift") {
      let lines = try repository.text(path).count { $0 == "\n" }
      if lines > 500 { long.append("\(path): \(lines) lines") }
      #expect(lines <= 800, "\(path)")
    }
    if !long.isEmpty { print("longer than 500 lines:\n  " + long.joined(separator: "\n  ")) }
  }
}
