import Foundation
import Testing

/// What the documents point at is there, and what they tell a reader to type exists.
@Suite struct DocumentTests {
  let repository = Repository.here
  var documents: [String] { repository.files(under: "", ending: ".md") }

  @Test func linksLeadSomewhere() throws {
    #expect(documents.contains("README.md"))
    for document in documents {
      let folder = URL(filePath: "/" + document).deletingLastPathComponent()
      for target in relativeLinks(try repository.text(document)) {
        let path = String(folder.appending(path: target).standardized.path.dropFirst())
        #expect(path.isEmpty || repository.exists(path), "\(document) links to \(target)")
      }
    }
  }

  @Test func makeTargetsInDocumentsExist() throws {
    let targets = makeTargets(try repository.text("Makefile"))
    #expect(
      targets.isSuperset(of: ["run", "demo", "test", "bench", "lint", "format", "sim", "fuzz"]))
    for (document, words) in try consoleCommands() where words.first == "make" {
      let used = words.dropFirst().filter { !$0.contains("=") && !$0.hasPrefix("-") }
      for target in used {
        #expect(targets.contains(target), "\(document): \(words.joined(separator: " "))")
      }
    }
  }

  /// Pages that name the tests which prove them: suites, their tests, and interoperability tests.
  @Test(arguments: ["docs/sipconnect.md", "docs/standards.md"])
  func testsInDocumentsExist(document: String) throws {
    var texts: [String: String] = [:]
    for path in repository.files(under: "Tests", ending: ".swift") {
      let name = URL(filePath: "/" + path).deletingPathExtension().lastPathComponent
      texts[name] = try repository.text(path)
    }
    func has(_ text: String, _ part: String) -> Bool {
      text.range(of: part, options: .literal) != nil
    }
    for match in try repository.text(document).matches(of: /`([A-Za-z-]+)(?:\.([A-Za-z0-9-]+))?`/) {
      let (suite, test) = (String(match.1), match.2.map(String.init))
      if suite.hasSuffix("Tests") {
        // Several suites may share a file that has another name.
        let text = texts[suite] ?? texts.values.first { has($0, "struct \(suite) ") }
        #expect(text != nil, "\(document): no suite \(suite)")
        guard let test else { continue }
        #expect(has(text ?? "", "func \(test)("), "\(document): \(suite).\(test)")
      } else if let test, repository.exists("Tests/Interop/suites/\(suite).py") {
        let text = try repository.text("Tests/Interop/suites/\(suite).py")
        #expect(has(text, "@test(\"\(test)\""), "\(document): no test \(suite).\(test)")
      }
    }
  }

  @Test func subcommandsInDocumentsExist() throws {
    let known = try subcommands()
    for (document, words) in try consoleCommands() where words.first == "demarc" {
      guard let name = words.dropFirst().first, !name.hasPrefix("-") else { continue }
      #expect(known.contains(name), "\(document): \(words.joined(separator: " "))")
      if let nested = words.dropFirst(2).first, ["call", "cdrs"].contains(name),
        !nested.hasPrefix("-")
      {
        #expect(known.contains(nested), "\(document): \(words.joined(separator: " "))")
      }
    }
  }

  /// The published catalogue says what the program says.
  @Test func causesInTheDocumentAreThoseOfTheProgram() throws {
    let row =
      #/CauseRow\(\s*"(?<name>[a-z-]+)",\s*(?<sip>\d+),\s*(?<isdn>\d+),\s*"(?<what>[^"]*)",\s*"(?<remedy>[^"]*)"\s*\)/#
    let program = try repository.text("Sources/Policy/CauseCatalogue.swift").matches(of: row).map {
      let row = $0.output
      return "| `\(row.name)` | \(row.sip) | \(row.isdn) | \(row.what) | \(row.remedy) |"
    }
    let document = try repository.text("docs/causes.md").split(separator: "\n")
      .filter { $0.hasPrefix("| `") }.map(String.init)
    #expect(program.count > 30)
    #expect(document == program)
  }

  @Test func metricsInDocumentsExist() throws {
    var program = ""
    for path in repository.files(under: "Sources/Operations/Metrics", ending: ".swift") {
      program += try repository.text(path)
    }
    for document in documents {
      for match in try repository.text(document).matches(of: #/\bdemarc_(?<name>[a-z_]+)\b/#) {
        #expect(program.contains("\"\(match.output.name)\""), "\(document): \(match.output.0)")
      }
    }
  }

  /// Every line of a ```console block as words, without the `$ ` of the prompt.
  private func consoleCommands() throws -> [(document: String, words: [String])] {
    var commands: [(String, [String])] = []
    for document in documents {
      var inside = false
      for line in try repository.text(document).split(separator: "\n") {
        if line.hasPrefix("```") {
          inside = line == "```console"
        } else if inside, line.hasPrefix("$ ") {
          let command = line.dropFirst(2).prefix {
            $0 != "#" && $0 != "|" && $0 != ">" && $0 != "&"
          }
          commands.append((document, command.split(separator: " ").map(String.init)))
        }
      }
    }
    return commands
  }

  private func makeTargets(_ makefile: String) -> Set<String> {
    Set(makefile.matches(of: #/(?m)^(?<name>[a-z-]+):[^=\n]*##/#).map { String($0.output.name) })
  }

  /// `commandName: "x"` in the command's sources.
  private func subcommands() throws -> Set<String> {
    var names: Set<String> = []
    for path in repository.files(under: "Sources/demarc", ending: ".swift") {
      for match in try repository.text(path).matches(of: #/commandName: "(?<name>[a-z-]+)"/#) {
        names.insert(String(match.output.name))
      }
    }
    return names
  }
}

/// Targets of `[text](target)` that name a file of the project, without their `#fragment`.
private func relativeLinks(_ markdown: String) -> [String] {
  var links: [String] = []
  var fenced = false
  for line in markdown.split(separator: "\n") {
    if line.hasPrefix("```") { fenced.toggle() }
    if fenced { continue }
    for match in line.matches(of: #/\]\((?<target>[^)\s]+)\)/#) {
      let target = match.output.target.prefix { $0 != "#" }
      if !target.isEmpty && !target.contains("://") && !target.hasPrefix("mailto:") {
        links.append(String(target))
      }
    }
  }
  return links
}
