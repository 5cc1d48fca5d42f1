import ArgumentParser
import Foundation
import Operations

struct BansCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bans", abstract: "From whom nothing is taken, and why.",
    subcommands: [List.self, Add.self, Lift.self], defaultSubcommand: List.self)

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "Addresses and blocks that are banned.",
      discussion: """
        EXAMPLES
          demarc bans
          demarc bans list -o json | jq -r '.items[].network'
        """)

    @OptionGroup var server: ServerOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let reply = try await server.client.ask(.get, "/v1/bans")
      try output.list(reply, none: "Nobody is banned.", view: StateViews.bans)
    }
  }

  struct Add: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "add", abstract: "Take nothing more from an address or a block.",
      discussion: """
        EXAMPLES
          demarc bans add 203.0.113.9 --reason "calls at night" --for 12h
          demarc bans add 203.0.113.0/24

        For ever: `access.deny` of the network, in the resources.
        """)

    @Argument(help: "An address, or a block as 203.0.113.0/24.")
    var network: String
    @Option(help: "Why; it is shown with the ban.")
    var reason: String?
    @Option(name: .customLong("for"), help: "How long, as 30m, 12h or 7d. (default: 1h)")
    var time: String?
    @OptionGroup var server: ServerOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
      if let time, HumanTime.milliseconds(span: time) == nil {
        throw ValidationError("`\(time)` is no span of time; write 30m, 12h or 7d.")
      }
    }

    func run() async throws {
      let seconds = time.flatMap { HumanTime.milliseconds(span: $0) }.map { Int($0 / 1_000) }
      let order = BanOrderResource(network: network, reason: reason, seconds: seconds)
      let body = Array(try JSONEncoder().encode(order))
      let reply = try await server.client.ask(.post, "/v1/bans", body: body)
      try output.show(reply, as: BanResource.self) { ban, _ in
        "\(ban.network) is banned for \(HumanTime.span(Double(ban.endsInSeconds))).\n"
      }
    }
  }

  struct Lift: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "lift", abstract: "End a ban before its time.",
      discussion: """
        EXAMPLES
          demarc bans lift 203.0.113.9
        """)

    @Argument(help: "The address or block, as `demarc bans` shows it.")
    var network: String
    @OptionGroup var server: ServerOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let reply = try await server.client.ask(.delete, "/v1/bans/\(encoded(network))")
      try output.show(reply, as: BanResource.self) { ban, _ in
        "\(ban.network) is banned no more; it was turned away \(ban.hits) times.\n"
      }
    }
  }
}
