import ArgumentParser
import Foundation
import Operations

struct SecretCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "secret",
    abstract: "Make a password that nobody guesses; change the key of those that are stored.",
    subcommands: [Make.self, Rotate.self, RotateKey.self], defaultSubcommand: Make.self)

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

  struct Rotate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "rotate", abstract: "Give a user another password, and show it once.",
      discussion: """
        The present one is good for a while yet, so that phones can be given the new one one by one; the log says who \
        still comes with it (`previous password used`). Put the new one into your file of resources, without \
        previousPassword: the next `demarc apply` of users says what they are.

        EXAMPLES
          demarc secret rotate alice
          demarc secret rotate alice --overlap 7d --tenant acme
          demarc secret rotate alice --overlap 0s     the present one was stolen
        """)

    @Argument(help: "The user's name.")
    var user: String
    @Option(help: "How long the present password is good: 0s, 30m, 24h or 7d.")
    var overlap = "24h"
    @Option(help: "Where several tenants have a user of that name.")
    var tenant: String?
    @OptionGroup var server: ServerOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
      guard let seconds, PasswordOrderResource.seconds.contains(seconds) else {
        throw ValidationError("An overlap from 0s to 182d.")
      }
    }

    private var seconds: Int? { HumanTime.milliseconds(span: overlap).map { Int($0 / 1_000) } }

    func run() async throws {
      let order = PasswordOrderResource(overlapSeconds: seconds)
      let reply = try await server.client.ask(
        .post, target("/v1/users/\(encoded(user))/password", ["tenant": tenant]),
        body: Array(try JSONEncoder().encode(order)))
      try output.show(reply, as: NewPasswordResource.self) { new, _ in
        let until = new.previousPasswordUntil.map { "The one before is good until \($0).\n" }
        return new.password + "\n" + (until ?? "The one before is good no more.\n")
      }
    }
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
