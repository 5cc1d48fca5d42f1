import Base
import CallCore
import Policy

/// The query of a request, with each name known: a misspelt filter is an error, not no filter.
package struct QueryParameters: Sendable {
  private var values: [String: String] = [:]

  package init(_ pairs: [(key: String, value: String)], allowed: [String]) throws(APIFailure) {
    for (key, value) in pairs {
      guard allowed.contains(key) else {
        let nearest = nearestMatch(to: key, in: allowed)
        throw APIFailure(
          .badRequest, "there is no query parameter `\(key)` here",
          remedy: nearest.map { "Did you mean `\($0)`?" }
            ?? "Known: \(allowed.isEmpty ? "none" : allowed.joined(separator: ", ")).")
      }
      guard values.updateValue(value, forKey: key) == nil else {
        throw APIFailure(
          .badRequest, "the query parameter `\(key)` is given twice", remedy: "Give it once.")
      }
    }
  }

  /// An empty value counts as none.
  package func text(_ key: String) -> String? {
    values[key].flatMap { $0.isEmpty ? nil : $0 }
  }

  package func flag(_ key: String) throws(APIFailure) -> Bool {
    switch values[key] {
    case nil, "false": false
    case "true", "": true
    default: throw bad(key, "true or false")
    }
  }

  package func integer(_ key: String, in range: ClosedRange<Int>) throws(APIFailure) -> Int? {
    guard let text = text(key) else { return nil }
    guard let value = Int(text), range.contains(value) else {
      throw bad(key, "a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  /// Milliseconds since 1970.
  package func time(_ key: String) throws(APIFailure) -> Int64? {
    guard let text = text(key) else { return nil }
    guard let time = Timestamp.milliseconds(text) else {
      throw bad(key, "a time such as 2026-11-21 or 2026-11-21T08:00:00Z")
    }
    return time
  }

  package func choice(_ key: String, among choices: [String]) throws(APIFailure) -> String? {
    guard let text = text(key) else { return nil }
    guard choices.contains(text) else {
      let nearest = nearestMatch(to: text, in: choices).map { "; did you mean `\($0)`?" } ?? ""
      throw bad(key, "one of \(choices.joined(separator: ", "))\(nearest)")
    }
    return text
  }

  private func bad(_ key: String, _ expected: String) -> APIFailure {
    APIFailure(
      .badRequest, "the query parameter `\(key)` has a value that cannot be used",
      remedy: "Give \(expected).")
  }
}

extension RecordFilter {
  package static let parameters = [
    "tenant", "since", "until", "party", "number", "state", "cause", "limit", "cursor",
  ]

  package init(_ query: QueryParameters) throws(APIFailure) {
    self.init()
    tenant = query.text("tenant")
    since = try query.time("since")
    until = try query.time("until")
    party = query.text("party")
    number = query.text("number")
    state = try query.choice("state", among: CallState.allCases.map(\.rawValue))
    cause = try query.choice("cause", among: Cause.allCases.map(\.name))
    limit =
      try query.integer("limit", in: 1...RecordFilter.maximumLimit) ?? RecordFilter.defaultLimit
    cursor = query.text("cursor")
  }
}
