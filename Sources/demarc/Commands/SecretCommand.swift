import ArgumentParser
import Operations

struct SecretCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "secret",
    abstract: "Make a password that nobody guesses; change the key of those that are stored.",
    subcommands: [Make.self, RotateKey.self], defaultSubcommand: Make.self)

  struct Make: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "make", abstract: "Make a password that nobody guesses.",
      discussion: """
        24 letters and digits of the system's random source, none of which looks like another: 139 bits. Nothing keeps it.

        EXAMPLES
          demarc secret
          demarc secret --length 32
        """)

    @Option(help: "How many letters and digits, 16 to 64.")
    var length = GeneratedSecret.length

    func validate() throws {
      guard (16...64).contains(length) else { throw ValidationError("A length from 16 to 64.") }
    }

    func run() throws { Console.print(GeneratedSecret.make(length: length) + "\n") }
  }

  struct RotateKey: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "rotate-key", abstract: "Seal every stored password with another key.",
      discussion: """
        The key lies beside the store, as its name with `.key` behind it. Copies of the store from before need the key \
        of that time. Calls and registrations notice nothing.

        EXAMPLES
          demarc secret rotate-key
        """)

    @OptionGroup var server: ServerOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let reply = try await server.client.ask(.post, "/v1/secrets:rotate-key")
      try output.show(reply, as: StoreKeyResource.self) { key, _ in
        "Every password in the store is sealed with another key, \(key.file).\n"
      }
    }
  }
}
