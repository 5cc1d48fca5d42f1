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

/// How long the present password of a user is good beside the new one.
package struct PasswordOrderResource: Codable, Hashable, Sendable {
  /// Nil: a day. 0: not at all.
  package var overlapSeconds: Int?

  package static let standardSeconds = 86_400
  /// Half a year at most.
  package static let seconds = 0...15_768_000

  package init(overlapSeconds: Int? = nil) { self.overlapSeconds = overlapSeconds }

  package var isUsable: Bool { overlapSeconds.map { Self.seconds.contains($0) } ?? true }
}

/// A user's new password. This is the only time that it is shown.
package struct NewPasswordResource: Codable, Hashable, Sendable {
  package var tenant: String
  package var user: String
  package var password: String
  /// Nil: the one before is good no more.
  package var previousPasswordUntil: String?

  package init(tenant: String, user: String, password: String, previousPasswordUntil: String?) {
    self.tenant = tenant
    self.user = user
    self.password = password
    self.previousPasswordUntil = previousPasswordUntil
  }
}
