import ArgumentParser

struct SecretCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "secret", abstract: "Make a password that nobody guesses.",
    discussion: """
      24 letters and digits of the system's random source, none of which looks like another: 139 bits. Nothing keeps it.

      EXAMPLES
        demarc secret
        demarc secret --length 32
      """)

  @Option(help: "How many letters and digits, 16 to 64.")
  var length = 24

  func validate() throws {
    guard (16...64).contains(length) else { throw ValidationError("A length from 16 to 64.") }
  }

  func run() throws {
    let letters = Array("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789")
    var source = SystemRandomNumberGenerator()
    let secret = (0..<length).map { _ in letters[Int.random(in: letters.indices, using: &source)] }
    Console.print(String(secret) + "\n")
  }
}
