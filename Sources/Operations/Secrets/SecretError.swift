/// Why passwords in the store can be neither read nor kept, and what to do.
package struct SecretError: Error, Hashable, Sendable, CustomStringConvertible {
  package enum Kind: String, Sendable, CaseIterable {
    /// There is no key, and the store was sealed with one.
    case lost
    /// It is another key than that.
    case wrong
    /// What is in the file is no key.
    case malformed
    /// Others than its owner may read it.
    case tooOpen
    /// The system did not let us.
    case unreadable
    /// A password was not sealed by the key, or not for whom it stands.
    case notAuthentic
  }

  package var kind: Kind
  package var message: String

  package init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  package var remedy: String {
    switch kind {
    case .lost:
      "Put the key back from where you keep it. If there is no copy, move the store away and apply your resources "
        + "again: nothing else opens its passwords."
    case .wrong:
      "Put the key back that belongs to this store, or the store that belongs to this key."
    case .malformed: "Put the right file back; one line of 64 hexadecimal digits is in it."
    case .tooOpen:
      "chmod 600 it; if others may have read it, start and then `demarc secret rotate-key`."
    case .unreadable: "Let the user that Demarc runs as own the key's file and its folder."
    case .notAuthentic:
      "Somebody changed the store, or it is damaged: put back a copy of it, with the key of that time."
    }
  }

  package var description: String { "\(message). \(remedy)" }
}
