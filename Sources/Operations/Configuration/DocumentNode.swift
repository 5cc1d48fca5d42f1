package import Policy

/// A place in a document: line and column from 1, or no line where the value came from elsewhere.
package struct DocumentPosition: Hashable, Sendable {
  package var line: Int
  package var column: Int
  /// "environment DEMARC_LOG_LEVEL", "--log-level"; nil: the document itself.
  package var origin: String?

  package init(line: Int, column: Int, origin: String? = nil) {
    self.line = line
    self.column = column
    self.origin = origin
  }
}

/// A YAML or JSON document as far as we use it: mappings with text keys, sequences, and scalars, which are
/// all text until the schema says what they mean (so an extension `0123` stays what was written).
package indirect enum DocumentNode: Hashable, Sendable {
  case scalar(DocumentScalar)
  case sequence([DocumentNode], DocumentPosition)
  case mapping([DocumentEntry], DocumentPosition)

  package var position: DocumentPosition {
    switch self {
    case .scalar(let scalar): scalar.position
    case .sequence(_, let position), .mapping(_, let position): position
    }
  }

  /// The node at the path, or the last one on the way that exists.
  package func nearest(to path: [PathElement]) -> DocumentNode {
    var node = self
    for element in path {
      guard let next = node.child(element) else { break }
      node = next
    }
    return node
  }

  private func child(_ element: PathElement) -> DocumentNode? {
    switch (self, element) {
    case (.mapping(let entries, _), .key(let key)): entries.first { $0.key == key }?.value
    case (.sequence(let nodes, _), .index(let index)):
      nodes.indices.contains(index) ? nodes[index] : nil
    default: nil
    }
  }

  /// "a list", for a message that says what was found; of what may be a password, not what it is.
  func kindText(at path: [PathElement]) -> String {
    switch self {
    case .scalar(let scalar):
      scalar.isNull ? "nothing" : path.leadToSecrets ? "a value" : "`\(scalar.text.withoutSecret)`"
    case .sequence: "a list"
    case .mapping: "a group of keys"
    }
  }
}

package struct DocumentScalar: Hashable, Sendable {
  package var text: String
  package var isQuoted: Bool
  package var position: DocumentPosition

  package init(_ text: String, isQuoted: Bool = true, at position: DocumentPosition) {
    self.text = text
    self.isQuoted = isQuoted
    self.position = position
  }

  /// YAML's several ways to write nothing.
  package var isNull: Bool {
    !isQuoted && (text.isEmpty || text == "~" || text == "null" || text == "Null" || text == "NULL")
  }
}

package struct DocumentEntry: Hashable, Sendable {
  package var key: String
  package var keyPosition: DocumentPosition
  package var value: DocumentNode

  package init(key: String, keyPosition: DocumentPosition, value: DocumentNode) {
    self.key = key
    self.keyPosition = keyPosition
    self.value = value
  }
}
