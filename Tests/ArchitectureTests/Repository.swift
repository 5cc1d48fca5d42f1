import Foundation

/// The files of the project as they lie on disk, found from where this one was compiled.
struct Repository {
  let root: URL

  static let here = Repository(
    root: URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent())

  func text(_ path: String) throws -> String {
    try String(contentsOf: root.appending(path: path), encoding: .utf8)
  }

  func exists(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: root.appending(path: path).path)
  }

  /// Paths relative to the root, sorted; hidden folders (`.build`, `.git`) are not entered.
  func files(under folder: String, ending suffix: String) -> [String] {
    let start = folder.isEmpty ? root : root.appending(path: folder)
    guard
      let walk = FileManager.default.enumerator(
        at: start, includingPropertiesForKeys: nil, options: [.skipsHiddenFiles])
    else { return [] }
    let prefix = root.standardizedFileURL.path + "/"
    var found: [String] = []
    for case let url as URL in walk where url.path.hasSuffix(suffix) {
      found.append(String(url.standardizedFileURL.path.dropFirst(prefix.count)))
    }
    return found.sorted()
  }

  func folders(in folder: String) -> [String] {
    let names = try? FileManager.default.contentsOfDirectory(
      atPath: root.appending(path: folder).path)
    return (names ?? []).filter { !$0.hasPrefix(".") }.sorted()
  }
}

/// Swift source without its comments and string literals, so that a word in prose is not taken for code.
/// Line breaks stay, so a line number still means the same line.
func codeOnly(_ source: String) -> String {
  var out: [Character] = []
  out.reserveCapacity(source.count)
  var rest = Array(source)[...]
  func starts(_ text: String) -> Bool { rest.starts(with: Array(text)) }
  while let next = rest.first {
    if starts("//") {
      rest = rest.drop { $0 != "\n" }
    } else if starts("/*") {
      var depth = 0
      repeat {
        if starts("/*") {
          depth += 1
          rest = rest.dropFirst(2)
        } else if starts("*/") {
          depth -= 1
          rest = rest.dropFirst(2)
        } else {
          if rest.first == "\n" { out.append("\n") }
          rest = rest.dropFirst()
        }
      } while depth > 0 && !rest.isEmpty
    } else if next == "\"" || (next == "#" && starts("#\"")) {
      let (length, lines) = stringLiteralLength(rest)
      out.append(contentsOf: "\"\"")
      out.append(contentsOf: repeatElement("\n", count: lines))
      rest = rest.dropFirst(length)
    } else {
      out.append(next)
      rest = rest.dropFirst()
    }
  }
  return String(out)
}

/// Characters and line breaks of the string literal at the start; interpolations count as text.
private func stringLiteralLength(_ text: ArraySlice<Character>) -> (length: Int, lines: Int) {
  let hash = text.first == "#" ? "#" : ""
  let opening = text.dropFirst(hash.count)
  let quote = opening.starts(with: Array("\"\"\"")) ? "\"\"\"" : "\""
  let end = Array(quote + hash)
  var rest = opening.dropFirst(quote.count)
  var lines = 0
  while !rest.isEmpty && !rest.starts(with: end) {
    let escaped = rest.first == "\\" && hash.isEmpty
    for character in rest.prefix(escaped ? 2 : 1) where character == "\n" { lines += 1 }
    rest = rest.dropFirst(escaped ? 2 : 1)
  }
  return (rest.startIndex - text.startIndex + min(end.count, rest.count), lines)
}
