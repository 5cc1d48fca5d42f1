/// One step from the document's root to a value.
package enum PathElement: Hashable, Sendable {
  case key(String)
  case index(Int)
}

extension PathElement: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
  package init(stringLiteral value: String) { self = .key(value) }
  package init(integerLiteral value: Int) { self = .index(value) }
}

extension PathElement: CustomStringConvertible {
  package var description: String {
    switch self {
    case .key(let key): key
    case .index(let index): String(index)
    }
  }
}

/// What stands in the way of a set of resources: where, what, and what to do.
package struct ConfigurationProblem: Hashable, Sendable {
  package var path: [PathElement]
  package var message: String
  /// The name that was probably meant.
  package var suggestion: String?
  package var remedy: String

  package init(
    path: [PathElement], message: String, suggestion: String? = nil, remedy: String
  ) {
    self.path = path
    self.message = message
    self.suggestion = suggestion
    self.remedy = remedy
  }

  /// "numbers[3].destinations[0].user"
  package var pathText: String {
    var text = ""
    for element in path {
      switch element {
      case .key(let key): text += text.isEmpty ? key : ".\(key)"
      case .index(let index): text += "[\(index)]"
      }
    }
    return text
  }
}

extension ConfigurationProblem: CustomStringConvertible {
  package var description: String {
    var text = "\(pathText): \(message)"
    if let suggestion { text += "; did you mean `\(suggestion)`?" }
    return "\(text) \(remedy)"
  }
}

/// Everything that was found wrong with a set of resources; never empty.
package struct ConfigurationProblems: Error, Sendable {
  /// Reports stop here: whoever has a thousand problems has one that they share.
  package static let limit = 1_000

  package var problems: [ConfigurationProblem]
  package init(_ problems: [ConfigurationProblem]) { self.problems = problems }
}
