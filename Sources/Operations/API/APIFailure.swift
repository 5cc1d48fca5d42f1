/// Why the API refuses: a stable code, what happened, and what to do.
package struct APIFailure: Error, Codable, Hashable, Sendable {
  package struct Problem: Codable, Hashable, Sendable {
    package var path: String
    package var line: Int?
    package var column: Int?
    package var message: String
    package var suggestion: String?
    package var remedy: String

    package init(
      path: String, line: Int? = nil, column: Int? = nil, message: String,
      suggestion: String? = nil, remedy: String
    ) {
      self.path = path
      self.line = line
      self.column = column
      self.message = message
      self.suggestion = suggestion
      self.remedy = remedy
    }
  }

  package enum Code: String, Codable, Hashable, Sendable, CaseIterable {
    case notFound = "not-found"
    case badRequest = "bad-request"
    case tooLarge = "too-large"
    case invalidResources = "invalid-resources"
    case conflict
    case unavailable
    case timedOut = "timed-out"
    case internalFault = "internal-fault"

    package var status: Int {
      switch self {
      case .notFound: 404
      case .badRequest: 400
      case .tooLarge: 413
      case .invalidResources: 422
      case .conflict: 409
      case .unavailable: 503
      case .timedOut: 504
      case .internalFault: 500
      }
    }
  }

  package var code: Code
  package var message: String
  package var remedy: String
  package var problems: [Problem]

  package init(_ code: Code, _ message: String, remedy: String, problems: [Problem] = []) {
    self.code = code
    self.message = message
    self.remedy = remedy
    self.problems = problems
  }

  /// For the log.
  package var inOneLine: String {
    ([message]
      + problems.map { [$0.path, $0.message].filter { !$0.isEmpty }.joined(separator: ": ") }
      + [remedy]).joined(separator: "; ")
  }

  /// As it crosses: `{"error": {…}}`.
  package struct Body: Codable, Hashable, Sendable {
    package var error: APIFailure
    package init(error: APIFailure) { self.error = error }
  }
}
