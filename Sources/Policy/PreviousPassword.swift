/// A password that is good beside the present one for a while, so that phones can be given the new one after the other.
package struct PreviousPassword: Hashable, Sendable {
  package var password: String
  /// Milliseconds since 1970.
  package var until: Int64

  package init(password: String, until: Int64) {
    self.password = password
    self.until = until
  }
}

extension PreviousPassword: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable
{
  package var description: String { "PreviousPassword(password: •••, until: \(until))" }
  package var debugDescription: String { description }
  package var customMirror: Mirror {
    Mirror(self, children: ["password": "•••", "until": until], displayStyle: .struct)
  }
}

extension Configuration {
  /// Asked first: nearly never anybody has one.
  package var acceptsPreviousPasswords: Bool { tables.acceptsPreviousPasswords }
}

extension ConfigurationCompiler {
  mutating func checkPrevious(_ previous: PreviousPassword?, at path: [PathElement]) {
    guard let previous else { return }
    tables.acceptsPreviousPasswords = true
    checkPassword(previous.password, at: path + ["previousPassword"])
  }
}
