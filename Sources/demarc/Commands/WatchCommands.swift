import ArgumentParser
import Foundation
import Operations

struct SubscriptionsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "subscriptions", abstract: "Which phones are told of whose calls and messages.",
    discussion: """
      EXAMPLES
        demarc subscriptions
        demarc subscriptions -o json | jq '.items[] | select(.event == "dialog") | .watcher'
      """)

  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reply = try await server.client.ask(.get, "/v1/subscriptions")
    try output.list(
      reply, none: "Nobody has subscribed to anything.", view: StateViews.subscriptions)
  }
}

struct MailboxCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mailbox", abstract: "What waits in mailboxes, for the lamps of phones.",
    subcommands: [List.self, Set.self], defaultSubcommand: List.self)

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "What was said last of each mailbox.",
      discussion: """
        EXAMPLES
          demarc mailbox
          demarc mailbox list -o json
        """)

    @OptionGroup var server: ServerOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let reply = try await server.client.ask(.get, "/v1/mailboxes")
      try output.list(reply, none: "Nothing was said of any mailbox.", view: StateViews.mailboxes)
    }
  }

  struct Set: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "set", abstract: "Say what waits for a user; their phones are told.",
      discussion: """
        EXAMPLES
          demarc mailbox set alice --new 2 --old 1
          demarc mailbox set alice                   nothing waits any more
        """)

    @Argument(help: "The user's name.")
    var user: String
    @Option(help: "Messages that nobody has heard yet.")
    var new = 0
    @Option(help: "Messages that are kept.")
    var old = 0
    @Option(name: .customLong("new-urgent"), help: "How many of the new ones are urgent.")
    var newUrgent = 0
    @Option(name: .customLong("old-urgent"), help: "How many of the old ones are urgent.")
    var oldUrgent = 0
    @Option(help: "Where several tenants have a user of that name.")
    var tenant: String?
    @OptionGroup var server: ServerOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let counts = MailboxCounts(new: new, old: old, newUrgent: newUrgent, oldUrgent: oldUrgent)
      let body = Array(try JSONEncoder().encode(counts))
      let query = tenant.map { "?tenant=\(encoded($0))" } ?? ""
      let reply = try await server.client.ask(
        .put, "/v1/mailboxes/\(encoded(user))\(query)", body: body)
      try output.show(reply, as: MailboxResource.self) { mailbox, _ in
        "\(mailbox.user) has \(mailbox.new) new and \(mailbox.old) old messages.\n"
      }
    }
  }
}
