import Policy

// Header rules, read and written.

extension ResourceReader {
  /// `rules` of a trunk.
  mutating func rules(_ fields: DocumentFields) -> [HeaderRule] {
    reader.items(fields, "rules").compactMap { rule($0) }
  }

  private mutating func rule(_ item: (node: DocumentNode, path: [PathElement])) -> HeaderRule? {
    let keys = ["name", "direction", "methods", "statuses", "when", "then"]
    guard let fields = reader.fields(item.node, item.path, keys: keys) else { return nil }
    var rule = HeaderRule(
      name: reader.required(fields, "name", .text("a name", example: "strip-nine")) ?? "",
      direction: reader.required(fields, "direction", .choice("a direction")) ?? .inbound)
    if fields.has("methods") {
      rule.methods = reader.list(fields, "methods", .text("a method", example: "INVITE"))
    }
    rule.statuses = reader.list(fields, "statuses", .text("a status", example: "183 or 4xx"))
    rule.when = reader.items(fields, "when").compactMap { condition($0) }
    rule.then = reader.items(fields, "then").compactMap { action($0) }
    return rule
  }

  private mutating func condition(_ item: (DocumentNode, [PathElement])) -> RuleCondition? {
    let keys = ["part", "matches", "not", "absent"]
    guard let fields = reader.fields(item.0, item.1, keys: keys) else { return nil }
    let pattern = ValueRule<String>.text("a pattern", example: #""9(\\d+)""#)
    let part =
      reader.required(fields, "part", .text("a part of the message", example: "From.user")) ?? ""
    let matches = reader.optional(fields, "matches", pattern)
    let not = reader.optional(fields, "not", pattern)
    let absent = reader.optional(fields, "absent", .flag) ?? false
    if [matches != nil, not != nil, absent].count(where: { $0 }) > 1 {
      reader.report(
        fields.position, item.1, "a condition says one of matches, not and absent",
        remedy: "Make two conditions of it; all must hold.")
    }
    return RuleCondition(part: part, matches: matches ?? not, negated: not != nil || absent)
  }

  private mutating func action(_ item: (DocumentNode, [PathElement])) -> RuleAction? {
    let kinds = ["set", "add", "remove", "pass"]
    guard let fields = reader.fields(item.0, item.1, keys: kinds + ["value"]) else { return nil }
    let named = kinds.filter { fields.has($0) }
    guard named.count == 1, let kind = named.first else {
      reader.report(
        fields.position, item.1, "an action is one of \(kinds.joined(separator: ", "))",
        remedy: "Write each action as an item of its own.")
      return nil
    }
    let target =
      reader.required(fields, kind, .text("a header", example: "X-Thing")) ?? ""
    switch kind {
    case "remove": return .remove(header: target)
    case "pass": return .pass(header: target)
    default:
      let value = reader.required(fields, "value", .text("a value", example: #""+44$1""#)) ?? ""
      return kind == "set"
        ? .set(part: target, value: value) : .add(header: target, value: value)
    }
  }
}

extension HeaderRule {
  var document: DocumentNode {
    .group([
      ("name", .text(name)), ("direction", .text(direction.rawValue)),
      ("methods", .texts(methods)), ("statuses", .texts(statuses)),
      ("when", when.isEmpty ? nil : .list(when.map(\.document))),
      ("then", .list(then.map(\.document))),
    ])
  }
}

extension RuleCondition {
  fileprivate var document: DocumentNode {
    .group([
      ("part", .text(part)),
      (negated ? "not" : "matches", matches.map { .text($0) }),
      ("absent", negated && matches == nil ? .bare(true) : nil),
    ])
  }
}

extension RuleAction {
  fileprivate var document: DocumentNode {
    switch self {
    case .set(let part, let value): .group([("set", .text(part)), ("value", .text(value))])
    case .add(let header, let value): .group([("add", .text(header)), ("value", .text(value))])
    case .remove(let header): .group([("remove", .text(header))])
    case .pass(let header): .group([("pass", .text(header))])
    }
  }
}
