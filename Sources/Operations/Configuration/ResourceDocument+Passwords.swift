import Policy

// Passwords by which others prove to us who they are: those that are tried first are mistakes. Those that a provider has
// given us are not ours to choose.

extension ResourceReader {
  /// What guessers try before anything else, besides names and extensions.
  private static let guessed: Set<String> = [
    "0000", "1111", "1234", "12345", "123456", "1234567", "12345678", "123456789", "1234567890",
    "000000", "111111", "abc123", "admin", "changeme", "letmein", "password", "qwerty", "test",
  ]

  mutating func authentication(_ fields: DocumentFields) -> Credentials? {
    let found = credentials(fields, "authentication", further: Self.previousKeys)
    if let found, let group = authenticationGroup(fields) {
      refuseGuessable(found.password, of: [found.username], group)
    }
    return found
  }

  mutating func previousAuthentication(_ fields: DocumentFields) -> PreviousPassword? {
    authenticationGroup(fields).flatMap { previousPassword($0) }
  }

  private func authenticationGroup(_ fields: DocumentFields) -> DocumentFields? {
    guard case .mapping(let entries, let position)? = fields.node("authentication") else {
      return nil
    }
    return DocumentFields(
      entries: entries, position: position, path: fields.path + [.key("authentication")])
  }

  static let previousKeys = ["previousPassword", "previousPasswordUntil"]

  /// Both keys or none.
  mutating func previousPassword(_ fields: DocumentFields) -> PreviousPassword? {
    guard Self.previousKeys.contains(where: fields.has) else { return nil }
    let password = reader.required(
      fields, "previousPassword", .text("a password", example: "\"…\""))
    let until = reader.required(fields, "previousPasswordUntil", .timestamp)
    guard let password, let until else { return nil }
    return PreviousPassword(password: password, until: until)
  }

  mutating func refuseGuessable(
    _ password: String, of names: [String], _ fields: DocumentFields
  ) {
    let plain = password.lowercased()
    guard asksForPasswords, !plain.isEmpty, let node = fields.node("password"),
      Self.guessed.contains(plain) || names.contains(where: { $0.lowercased() == plain })
    else { return }
    reader.report(
      node.position, fields.path + [.key("password")],
      "this password is among the first that anybody tries",
      remedy: "`demarc secret` makes one that nobody guesses.")
  }
}
