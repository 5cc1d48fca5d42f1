import Base
import Policy

/// Reads a `DocumentNode` by a schema and collects everything that does not fit it. After an error a
/// stand-in value is returned, so that the rest is read too; nobody uses a result that has errors.
struct DocumentReader {
  let source: String
  var errors: [ConfigError] = []

  init(source: String) { self.source = source }

  /// What was collected, in the order of the document.
  func check() throws(ConfigErrors) {
    guard !errors.isEmpty else { return }
    throw ConfigErrors(errors.sorted { ($0.line, $0.column) < ($1.line, $1.column) })
  }

  mutating func report(
    _ position: DocumentPosition, _ path: [PathElement], _ message: String,
    suggestion: String? = nil, remedy: String
  ) {
    guard errors.count < ConfigurationProblems.limit else { return }
    errors.append(
      ConfigError(
        source: position.origin ?? source, line: position.origin == nil ? position.line : 0,
        column: position.column, path: path.pathText, message: message, suggestion: suggestion,
        remedy: remedy))
  }

  /// A mapping whose keys are all known. Nil after reporting that it is none.
  mutating func fields(_ node: DocumentNode, _ path: [PathElement], keys: [String])
    -> DocumentFields?
  {
    guard case .mapping(let entries, let position) = node else {
      report(
        node.position, path, "a group of keys is expected here, not \(node.kindText(at: path))",
        remedy: "Known keys: \(keys.joined(separator: ", ")).")
      return nil
    }
    for entry in entries where !keys.contains(entry.key) {
      report(
        entry.keyPosition, path + [.key(entry.key.withoutSecret)],
        "unknown key `\(entry.key.withoutSecret)`",
        suggestion: nearestMatch(to: entry.key, in: keys),
        remedy: "Known keys: \(keys.joined(separator: ", ")).")
    }
    return DocumentFields(entries: entries, position: position, path: path)
  }

  /// A group of keys under a key; nil: there is none.
  mutating func group(_ parent: DocumentFields, _ key: String, keys: [String]) -> DocumentFields? {
    guard let node = parent.node(key) else { return nil }
    if case .scalar(let scalar) = node, scalar.isNull { return nil }
    return fields(node, parent.path + [.key(key)], keys: keys)
  }

  /// The items of a list; none where the key is missing or has no value.
  mutating func items(_ fields: DocumentFields, _ key: String) -> [(DocumentNode, [PathElement])] {
    guard let node = fields.node(key) else { return [] }
    let path = fields.path + [.key(key)]
    switch node {
    case .sequence(let nodes, _):
      return nodes.enumerated().map { ($0.element, path + [.index($0.offset)]) }
    case .scalar(let scalar) where scalar.isNull: return []
    default:
      report(
        node.position, path, "a list is expected here, not \(node.kindText(at: path))",
        remedy: "Begin each item with a dash, or write [a, b].")
      return []
    }
  }

  /// One value by its rule: nil where the key is missing or has no value, or after an error.
  mutating func optional<Value>(
    _ fields: DocumentFields, _ key: String, _ rule: ValueRule<Value>
  ) -> Value? {
    guard let node = fields.node(key) else { return nil }
    if case .scalar(let scalar) = node, scalar.isNull { return nil }
    return value(node, fields.path + [.key(key)], rule)
  }

  mutating func required<Value>(
    _ fields: DocumentFields, _ key: String, _ rule: ValueRule<Value>
  ) -> Value? {
    guard let node = fields.node(key) else {
      report(
        fields.position, fields.path + [.key(key)], "the key `\(key)` is missing",
        remedy: "Add \(key): \(rule.example).")
      return nil
    }
    if case .scalar(let scalar) = node, scalar.isNull {
      report(
        node.position, fields.path + [.key(key)], "the key `\(key)` has no value",
        remedy: "Write \(rule.expected); text that begins with # or * must stand in quotes.")
      return nil
    }
    return value(node, fields.path + [.key(key)], rule)
  }

  /// A list of values by their rule.
  mutating func list<Value>(
    _ fields: DocumentFields, _ key: String, _ rule: ValueRule<Value>
  ) -> [Value] {
    items(fields, key).compactMap { value($0.0, $0.1, rule) }
  }

  mutating func value<Value>(
    _ node: DocumentNode, _ path: [PathElement], _ rule: ValueRule<Value>
  ) -> Value? {
    guard case .scalar(let scalar) = node else {
      report(
        node.position, path, "\(rule.expected) is expected here, not \(node.kindText(at: path))",
        remedy: "For example: \(rule.example).")
      return nil
    }
    if let value = rule.parse(scalar.text) { return value }
    report(
      node.position, path, "`\(scalar.text)` is not \(rule.expected)",
      suggestion: nearestMatch(to: scalar.text, in: rule.choices),
      remedy: rule.choices.isEmpty
        ? "For example: \(rule.example)." : "One of: \(rule.choices.joined(separator: ", ")).")
    return nil
  }
}

/// A mapping that is being read.
struct DocumentFields {
  let position: DocumentPosition
  let path: [PathElement]
  private let entries: [DocumentEntry]

  init(entries: [DocumentEntry], position: DocumentPosition, path: [PathElement]) {
    self.entries = entries
    self.position = position
    self.path = path
  }

  func node(_ key: String) -> DocumentNode? { entries.first { $0.key == key }?.value }
  func has(_ key: String) -> Bool { node(key) != nil }
}

extension [PathElement] {
  /// "numbers[3].destinations[0].user"
  var pathText: String {
    ConfigurationProblem(path: self, message: "", remedy: "").pathText
  }
}
