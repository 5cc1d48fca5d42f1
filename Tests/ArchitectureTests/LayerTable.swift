import Foundation

/// A row of ARCHITECTURE.md's layer table.
struct LayerRow {
  var layer: String
  var target: String
  var imports: Set<String>

  /// No I/O, clock, random source, `async` or Foundation: layers 1 to 4 and the simulation kit.
  var isPure: Bool { ["1", "2", "3", "4", "kit"].contains(layer) }
}

/// The rows under the heading `| layer | target | … | imports |`.
func layerTable(_ document: String) -> [LayerRow] {
  var rows: [LayerRow] = []
  var inside = false
  for line in document.split(separator: "\n", omittingEmptySubsequences: false) {
    guard line.hasPrefix("|") else {
      inside = false
      continue
    }
    let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
    if cells.first == "layer" {
      inside = true
    } else if inside, cells.count == 4, !cells[0].hasPrefix("---") {
      rows.append(
        LayerRow(
          layer: cells[0], target: backticked(cells[1]).first ?? cells[1],
          imports: Set(backticked(cells[3]))))
    }
  }
  return rows
}

private func backticked(_ cell: String) -> [String] {
  let parts = cell.split(separator: "`", omittingEmptySubsequences: false)
  return parts.indices.filter { $0 % 2 == 1 }.map { String(parts[$0]) }
}

/// Target → imports as Package.swift declares them; a product counts as the module of its name.
func packageTargets(_ manifest: String) -> [String: Set<String>] {
  var targets: [String: Set<String>] = [:]
  // `Layer(name: "X", imports: [...])`, `.executableTarget(name: "X", dependencies: [...])`,
  // and C targets, which depend on nothing.
  let declaration =
    #/(?:Layer|\.executableTarget|\.target|\.systemLibrary)\(\s*name: "(?<name>[A-Za-z0-9-]+)"(?<rest>[^\[]*?(?:imports|dependencies): \[(?<list>[^\]]*)\])?/#
  for match in manifest.matches(of: declaration) {
    let list = (match.output.list ?? "").replacing(#/package: "[^"]+"/#, with: "")
    let names = list.matches(of: #/"(?<name>[A-Za-z0-9-]+)"/#)
    targets[String(match.output.name)] = Set(names.map { String($0.output.name) })
  }
  return targets
}

/// Modules that the source imports, with the line of each.
func importedModules(_ code: String) -> [(module: String, line: Int)] {
  let statement =
    #/^\s*(?:@[A-Za-z_()]+\s+)*(?:(?:public|package|internal|fileprivate|private)\s+)?import\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias)\s+)?(?<module>[A-Za-z_][A-Za-z0-9_]*)/#
  var found: [(String, Int)] = []
  for (index, line) in code.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
    if let match = line.firstMatch(of: statement) {
      found.append((String(match.output.module), index + 1))
    }
  }
  return found
}
