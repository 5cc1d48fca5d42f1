import ArgumentParser
import Foundation
import Operations

struct NumbersCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "numbers", abstract: "The inventory of numbers: who has which, and since when.",
    discussion: """
      A number is assigned, available (in stock) or suspended. A change is applied at once and whole, like a document: \
      the next call goes by it, and calls in progress stay as they are.

      EXAMPLES
        demarc numbers
        demarc numbers history +441632960100
        demarc numbers assign +441632960100 --trunk pbx
        demarc numbers assign +441632960100 --tenant other --user reception
        demarc numbers suspend +441632960100
        demarc numbers release +441632960100
      """,
    subcommands: [
      List.self, History.self, Assign.self, Suspend.self, Resume.self, Release.self,
    ], defaultSubcommand: List.self)

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "All of them.",
      discussion: """
        EXAMPLES
          demarc numbers
          demarc numbers --state available
        """)

    @Option(help: "Only those that are assigned, available or suspended.")
    var state: String?
    @OptionGroup var server: ServerOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let reply = try await server.client.ask(.get, "/v1/numbers")
      try output.show(reply, as: PageResource<NumberResource>.self) { page, terminal in
        let numbers = page.items.filter { state == nil || $0.state == state }
        return numbers.isEmpty
          ? "No such numbers. `demarc apply -f FILE` adds some.\n"
          : StateViews.numbers(numbers).render(on: terminal)
      }
    }
  }

  struct History: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "history", abstract: "What became of a number, the oldest first.",
      discussion: """
        EXAMPLES
          demarc numbers history +441632960100
        """)

    @Argument(help: "The number, as `demarc numbers` lists it.")
    var number: String
    @Option(help: "Only this tenant's.")
    var tenant: String?
    @OptionGroup var server: ServerOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let path = target("/v1/numbers/\(encoded(number))/history", ["tenant": tenant])
      let reply = try await server.client.ask(.get, path)
      try output.show(reply, as: PageResource<NumberEventResource>.self) { page, terminal in
        StateViews.history(page.items).render(on: terminal)
      }
    }
  }

  struct Assign: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "assign", abstract: "Let a number lead somewhere, also in another tenant.",
      discussion: """
        What it led to before is replaced. For a chain of several destinations use `demarc apply`.

        EXAMPLES
          demarc numbers assign +441632960100 --trunk pbx
          demarc numbers assign +441632960100 --tenant other --user reception
        """)

    @Option(help: "To this trunk.")
    var trunk: String?
    @Option(help: "To this user.")
    var user: String?
    @Option(help: "To this application.")
    var application: String?
    @Option(help: "Give it to this tenant.")
    var tenant: String?
    @OptionGroup var which: WhichNumber

    func validate() throws {
      guard [trunk, user, application].compactMap(\.self).count == 1 else {
        throw ValidationError("Name one of --trunk, --user and --application.")
      }
    }

    func run() async throws {
      let wanted = [("trunk", trunk), ("user", user), ("application", application)]
        .compactMap { kind, name in name.map { (kind, $0) } }
      try await which.change(
        NumberChange(
          to: Dictionary(wanted, uniquingKeysWith: { first, _ in first }), tenant: tenant))
    }
  }

  struct Suspend: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "suspend", abstract: "Let a number lead nowhere for a while.",
      discussion: """
        Callers get 480, with the cause number-suspended; it keeps its destinations.

        EXAMPLES
          demarc numbers suspend +441632960100
        """)

    @OptionGroup var which: WhichNumber

    func run() async throws { try await which.change(NumberChange(state: "suspended")) }
  }

  struct Resume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "resume", abstract: "Let a suspended number lead to its destinations again.",
      discussion: """
        EXAMPLES
          demarc numbers resume +441632960100
        """)

    @OptionGroup var which: WhichNumber

    func run() async throws { try await which.change(NumberChange(state: "assigned")) }
  }

  struct Release: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "release", abstract: "Put a number back in stock; its destinations are dropped.",
      discussion: """
        Callers get 404, with the cause number-unassigned.

        EXAMPLES
          demarc numbers release +441632960100
        """)

    @OptionGroup var which: WhichNumber

    func run() async throws { try await which.change(NumberChange(state: "available")) }
  }
}

/// Which number of whom, where several tenants have it, and where the server is.
struct WhichNumber: ParsableArguments {
  @Argument(help: "The number, as `demarc numbers` lists it.")
  var number: String
  @Option(help: "The tenant whose it is now, where several have it.")
  var of: String?
  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func change(_ wanted: NumberChange) async throws {
    var change = wanted
    change.of = of
    let body = try JSONEncoder().encode(change)
    let reply = try await server.client.ask(
      .post, "/v1/numbers/\(encoded(number))", body: Array(body))
    try output.show(reply, as: NumberResource.self) { number, terminal in
      StateViews.numbers([number]).render(on: terminal)
    }
  }
}
