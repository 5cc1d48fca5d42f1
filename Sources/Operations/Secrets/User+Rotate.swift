import Base
import Policy

extension User {
  /// A password at random; the present one is good until the overlap is over, and the one before that no more.
  mutating func rotatePassword(
    overlap milliseconds: Int64, at now: Int64
  ) -> NewPasswordResource {
    let until = now + milliseconds
    previous = milliseconds > 0 ? PreviousPassword(password: password, until: until) : nil
    password = GeneratedSecret.make()
    return NewPasswordResource(
      tenant: tenant, user: name, password: password,
      previousPasswordUntil: previous.map { Timestamp.text($0.until) })
  }
}
