import Policy
import Yams

/// YAML text (JSON is YAML) to a `DocumentNode`, with the place of each value.
enum YAMLDocument {
  /// What people and the API may hand in at once.
  static let byteLimit = 16 << 20

  static func parse(_ text: String, source: String, byteLimit: Int = byteLimit)
    throws(ConfigErrors) -> DocumentNode
  {
    let refused = YAMLGuard.check(text, source: source, byteLimit: byteLimit)
    guard refused.isEmpty else { throw ConfigErrors(refused) }
    let root: Node?
    do {
      root = try Yams.compose(yaml: text)
    } catch {
      throw ConfigErrors([ConfigError(yaml: error, source: source)])
    }
    let nothing = DocumentNode.mapping([], DocumentPosition(line: 1, column: 1))
    guard let root else { return nothing }
    var converter = Converter(source: source)
    var node = converter.convert(root)
    if case .scalar(let scalar) = node, scalar.isNull { node = nothing }
    guard converter.errors.isEmpty else { throw ConfigErrors(converter.errors) }
    return node
  }

  private struct Converter {
    let source: String
    var errors: [ConfigError] = []

    mutating func convert(_ node: Node) -> DocumentNode {
      let place = position(node)
      switch node {
      case .scalar(let scalar):
        return .scalar(
          DocumentScalar(scalar.string, isQuoted: isQuoted(scalar.style), at: place))
      case .sequence(let sequence):
        return .sequence(sequence.map { convert($0) }, place)
      case .mapping(let mapping):
        return .mapping(mapping.compactMap { entry($0.key, $0.value) }, place)
      case .alias:
        return refuse(place, "aliases are not taken")
      }
    }

    private mutating func entry(_ key: Node, _ value: Node) -> DocumentEntry? {
      guard case .scalar(let scalar) = key else {
        _ = refuse(position(key), "a key must be text")
        return nil
      }
      return DocumentEntry(
        key: scalar.string, keyPosition: position(key), value: convert(value))
    }

    private mutating func refuse(_ place: DocumentPosition, _ message: String) -> DocumentNode {
      errors.append(
        ConfigError(
          source: source, line: place.line, column: place.column, message: message,
          remedy: "Write it out."))
      return .scalar(DocumentScalar("", at: place))
    }

    private func position(_ node: Node) -> DocumentPosition {
      DocumentPosition(line: node.mark?.line ?? 0, column: node.mark?.column ?? 0)
    }

    private func isQuoted(_ style: Node.Scalar.Style) -> Bool {
      switch style {
      case .singleQuoted, .doubleQuoted, .literal, .folded: true
      case .any, .plain: false
      }
    }
  }
}

extension ConfigError {
  /// What the YAML library could not read.
  fileprivate init(yaml error: any Error, source: String) {
    self.init(
      source: source, message: "the document cannot be read as YAML",
      remedy: "Check the indentation, colons and quotes there.")
    guard let error = error as? YamlError else { return }
    func place(_ mark: Mark) {
      line = mark.line
      column = mark.column
    }
    switch error {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _):
      place(mark)
      message += ": \(problem)"
    case .composer(_, let problem, let mark, _):
      place(mark)
      message += ": \(problem)"
      if problem.contains("another document") { remedy = "Put everything into one document." }
    case .duplicatedKeysInMapping(let duplicates, let context):
      place(context.mark)
      let names = duplicates.map { "`\($0)`" }.joined(separator: ", ")
      message = "the key \(names) is written more than once in one group"
      remedy = "Keep one of them."
    case .reader(let problem, _, _, _):
      message += ": \(problem)"
      remedy = "Save it as UTF-8 text without control characters."
    default: break
    }
  }
}
