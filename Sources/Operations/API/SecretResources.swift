/// The key that passwords in the store are sealed with. It is never shown itself.
package struct StoreKeyResource: Codable, Hashable, Sendable {
  /// Where it lies.
  package var file: String
  /// Tells it from others.
  package var identifier: String

  package init(file: String, identifier: String) {
    self.file = file
    self.identifier = identifier
  }
}
