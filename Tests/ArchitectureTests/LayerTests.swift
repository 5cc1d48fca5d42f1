import Foundation
import Testing

/// The table in ARCHITECTURE.md, Package.swift and the sources say the same of who imports whom.
@Suite struct LayerTests {
  let repository = Repository.here
  let table: [LayerRow]
  let package: [String: Set<String>]

  init() throws {
    table = layerTable(try repository.text("ARCHITECTURE.md"))
    package = packageTargets(try repository.text("Package.swift"))
  }

  /// What the system brings. Pure targets get none of it.
  static let systemModules: Set<String> = [
    "Foundation", "FoundationEssentials", "Glibc", "Synchronization", "Dispatch",
  ]

  @Test func everyFolderOfSourcesIsARow() {
    #expect(Set(repository.folders(in: "Sources")) == Set(table.map(\.target)))
  }

  @Test func packageAndTableAgree() {
    for row in table {
      #expect(package[row.target] == row.imports, "\(row.target)")
    }
    let unknown = Set(package.keys).subtracting(table.map(\.target))
      .subtracting(repository.folders(in: "Tests"))
    #expect(unknown.isEmpty, "in Package.swift, not in ARCHITECTURE.md")
  }

  @Test func aRowImportsOnlyFromLayersBelowOrItsOwn() {
    let order = ["0": 0, "1": 1, "2": 2, "3": 3, "4": 4, "kit": 5, "5": 5, "6": 6, "exe": 7]
    let layerOf = Dictionary(uniqueKeysWithValues: table.map { ($0.target, order[$0.layer] ?? -1) })
    for row in table {
      for name in row.imports {
        guard let below = layerOf[name], let own = layerOf[row.target] else { continue }
        #expect(below <= own, "\(row.target) imports \(name) from a layer above it")
      }
    }
  }

  @Test func everyImportIsInTheTable() throws {
    for row in table {
      let allowed = row.imports.union(row.isPure ? [] : Self.systemModules)
      for path in repository.files(under: "Sources/\(row.target)", ending: ".swift") {
        for (module, line) in importedModules(codeOnly(try repository.text(path))) {
          #expect(allowed.contains(module), "\(path):\(line) imports \(module)")
        }
      }
    }
  }

  @Test func pureTargetsKnowNoClockRandomnessOrIO() throws {
    let pure = table.filter(\.isPure)
    #expect(pure.count > 5)
    for row in pure {
      for path in repository.files(under: "Sources/\(row.target)", ending: ".swift") {
        for (word, line) in impurities(codeOnly(try repository.text(path))) {
          Issue.record("\(path):\(line) uses \(word)")
        }
      }
    }
  }

  @Test func theCheckersFindWhatTheyAreFor() {
    let source = """
      // import Foundation and await nothing
      let text = "socket( \\" .random( "
      /* async /* nested */ Date() */
      package import Base
      let now = Date()
      func f() async {}
      let x = [1].randomElement()
      """
    let code = codeOnly(source)
    #expect(importedModules(code).map(\.module) == ["Base"])
    #expect(importedModules(code).first?.line == 4)
    #expect(impurities(code).map(\.line) == [5, 6, 7])
    #expect(importedModules("@preconcurrency internal import struct Foundation.Date").count == 1)
    let rows = layerTable(
      "| layer | target | x | imports |\n|---|---|---|---|\n| 1 | `A` | b | `B`, `C` |")
    #expect(rows.first?.imports == ["B", "C"])
    let manifest = #"Layer(name: "A", imports: ["B", .product(name: "C", package: "C")])"#
    #expect(packageTargets(manifest)["A"] == ["B", "C"])
  }
}

/// Words that a pure target may not use: clocks, random sources, I/O, threads and `async`.
private func impurities(_ code: String) -> [(word: String, line: Int)] {
  let forbidden =
    #/
    \b(?:async|await|actor|Task|Thread|DispatchQueue|Mutex)\b |
    \b(?:Date|Clock|ContinuousClock|SuspendingClock|WallClock|UUID|FileHandle|FileManager|ProcessInfo)\s*[.(] |
    \b(?:clock_gettime|gettimeofday|time|usleep|sleep|rand|arc4random|getrandom|getenv|socket|sendto|recvfrom|
    open|fopen|printf|print|readLine)\s*\( |
    \bSystemRandomNumberGenerator\b | \.random\s*\( | \.randomElement\s*\( | \.shuffled\s*\(\s*\)
    /#
  var found: [(String, Int)] = []
  for (index, line) in code.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
    // `.open(…)` of a media command and a declaration `func open(` are names of ours.
    for match in line.matches(of: forbidden) {
      let before = line[..<match.range.lowerBound]
      let word = String(match.output)
      if word.hasSuffix("(") && (before.hasSuffix(".") || before.hasSuffix("func "))
        && !word.hasPrefix(".")
      {
        continue
      }
      if before.hasSuffix("case ") { continue }
      found.append((word, index + 1))
    }
  }
  return found
}
