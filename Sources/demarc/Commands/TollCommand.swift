import ArgumentParser
import Foundation
import Operations

struct TollCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "toll",
    abstract: "Outside calls that cost too much: who was noticed, and what to do.",
    subcommands: [List.self, Unblock.self, HangUp.self], defaultSubcommand: List.self)

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list",
      abstract: "Accounts with alarms since the start, and those that are blocked.",
      discussion: """
        EXAMPLES
          demarc toll
          demarc toll -o json | jq '.items[] | select(.blocked) | .account'
        """)

    @OptionGroup var server: ServerOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let reply = try await server.client.ask(.get, "/v1/toll")
      try output.list(reply, none: "Nothing was noticed.", view: StateViews.toll)
    }
  }

  struct Unblock: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "unblock", abstract: "Take the outside calls of a blocked account again.",
      discussion: """
        EXAMPLES
          demarc toll unblock user:alice
          demarc toll unblock trunk:pbx --tenant acme
        """)

    @Argument(help: "user:NAME or trunk:NAME.")
    var account: String
    @OptionGroup var order: TollOrderOptions

    func run() async throws {
      try await order.carryOut(.unblock, account) { done in
        done.count == 0
          ? "\(done.account) was not blocked.\n" : "\(done.account) may call again.\n"
      }
    }
  }

  struct HangUp: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "hangup", abstract: "End all outside calls of an account; calls for help go on.",
      discussion: """
        EXAMPLES
          demarc toll hangup user:alice
        """)

    @Argument(help: "user:NAME, trunk:NAME or tenant:NAME.")
    var account: String
    @OptionGroup var order: TollOrderOptions

    func run() async throws {
      try await order.carryOut(.hangup, account) { done in
        "\(done.count) calls of \(done.account) are ending.\n"
      }
    }
  }
}

/// What is ordered for an account has besides the account.
struct TollOrderOptions: ParsableArguments {
  @Option(help: "Where several tenants have an account of that name.")
  var tenant: String?
  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func carryOut(
    _ action: TollOrderResource.Action, _ account: String,
    told: (TollOrderedResource) -> String
  ) async throws {
    let reply = try await server.client.ask(
      .post, target("/v1/toll/\(encoded(account))", ["tenant": tenant]),
      body: Array(try JSONEncoder().encode(TollOrderResource(action: action))))
    try output.show(reply, as: TollOrderedResource.self) { done, _ in told(done) }
  }
}
