/// Passwords of the system's random source, of letters and digits none of which looks like another.
package enum GeneratedSecret {
  /// 139 bits.
  package static let length = 24
  private static let letters = Array("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789")

  package static func make(length: Int = length) -> String {
    var source = SystemRandomNumberGenerator()
    return String(
      (0..<length).map { _ in letters[Int.random(in: letters.indices, using: &source)] })
  }
}
