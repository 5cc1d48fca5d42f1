import Foundation
import Policy

// Where a document of resources has secrets. One list for whoever seals them, opens them, and keeps them out of what
// people are told.

extension DocumentNode {
  /// The keys whose values are secrets, wherever in a resource they stand.
  static let secretKeys: Set<String> = ["password", "previousPassword"]

  /// The document of resources with each secret replaced.
  ///
  /// - Parameter change: given the place of a secret, which no other has: kind, tenant and name of its resource and the
  ///   keys that lead to it.
  func replacingSecrets(_ change: (_ place: SecretPlace, _ secret: String) -> String)
    -> DocumentNode
  {
    guard case .mapping(let sections, let position) = self else { return self }
    let replaced = sections.map { section in
      guard case .sequence(let items, let position) = section.value else { return section }
      var section = section
      let kind = section.key
      section.value = .sequence(
        items.map { item in
          let place = SecretPlace(
            kind: kind, tenant: item.text("tenant") ?? "", name: item.text("name") ?? "")
          return item.replacingSecrets(at: place, change)
        }, position)
      return section
    }
    return .mapping(replaced, position)
  }

  private func replacingSecrets(
    at place: SecretPlace, _ change: (SecretPlace, String) -> String
  ) -> DocumentNode {
    switch self {
    case .scalar: return self
    case .sequence(let nodes, let position):
      return .sequence(nodes.map { $0.replacingSecrets(at: place, change) }, position)
    case .mapping(let entries, let position):
      let replaced = entries.map { entry in
        var entry = entry
        var inner = place
        inner.keys.append(entry.key)
        if Self.secretKeys.contains(entry.key), case .scalar(var scalar) = entry.value {
          scalar.text = change(inner, scalar.text)
          scalar.isQuoted = true
          entry.value = .scalar(scalar)
        } else {
          entry.value = entry.value.replacingSecrets(at: inner, change)
        }
        return entry
      }
      return .mapping(replaced, position)
    }
  }
}

/// Whose secret, and which of its secrets.
struct SecretPlace: Hashable {
  var kind: String
  var tenant: String
  var name: String
  var keys: [String] = []

  /// What it is sealed for. No part can have the character that stands between them.
  var text: String { ([kind, tenant, name] + keys).joined(separator: "\u{1f}") }

  /// "users.alice.password"
  var path: String { ([kind, name] + keys).joined(separator: ".") }
}

extension [PathElement] {
  /// A password was written where its group was meant, perhaps.
  var leadToSecrets: Bool {
    contains { element in
      guard case .key(let key) = element else { return false }
      return ["credentials", "authentication", "register"].contains(key)
        || DocumentNode.secretKeys.contains(key)
    }
  }
}

extension String {
  /// What was written where a key or a group was expected, as people may be told it: `password hunter2` has lost its
  /// colon.
  var withoutSecret: String {
    let start = range(of: "password", options: .caseInsensitive)
    guard let start, start.upperBound != endIndex,
      self[start.upperBound...].contains(where: { !$0.isLetter })
    else { return self }
    return self[..<start.upperBound] + "…"
  }
}
