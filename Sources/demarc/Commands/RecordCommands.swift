import Base
import ArgumentParser
import Base
import Foundation
import Operations

/// Which records; the names are those of the API.
struct RecordOptions: ParsableArguments {
  @Option(help: "Set up at or after: a time, or how long ago (90d, 12h, 30m).")
  var since: String?
  @Option(help: "Set up before: a time, or how long ago.")
  var until: String?
  @Option(help: "Of this tenant.")
  var tenant: String?
  @Option(help: "With this party on either side: trunk:NAME, user:NAME or application:NAME.")
  var party: String?
  @Option(help: "With this caller or called number.")
  var number: String?
  @Option(help: "In this state: attempted, ringing, answered, ended or interrupted.")
  var state: String?
  @Option(help: "Ended by this cause, as the catalogue names it.")
  var cause: String?

  func target(
    _ path: String, limit: Int? = nil, cursor: String? = nil, format: String? = nil
  ) throws -> String {
    demarc.target(
      path,
      [
        "since": try moment(since, "--since"), "until": try moment(until, "--until"),
        "tenant": tenant, "party": party, "number": number, "state": state, "cause": cause,
        "limit": limit.map { String($0) }, "cursor": cursor, "format": format,
      ])
  }

  private func moment(_ text: String?, _ option: String) throws -> String? {
    guard let text else { return nil }
    let now = Int64(Date().timeIntervalSince1970 * 1_000)
    guard let milliseconds = HumanTime.moment(text, now: now) else {
      throw ValidationError(
        "\(option) takes a time (2026-11-21, 2026-11-21T08:00) or how long ago (90d, 12h, 30m), "
          + "not `\(text)`.")
    }
    return Timestamp.text(milliseconds)
  }
}

struct RecordsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cdrs", abstract: "List, export or purge call records.",
    subcommands: [List.self, Export.self, Purge.self], defaultSubcommand: List.self)

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "List call records, the newest first.",
      discussion: """
        EXAMPLES
          demarc cdrs
          demarc cdrs --since 1h --cause busy
          demarc cdrs --party trunk:carrier-a --limit 200
        """)

    @OptionGroup var filter: RecordOptions
    @Option(help: "How many at most, 1 to 1000.")
    var limit = RecordFilter.defaultLimit
    @Option(help: "Go on where an earlier list ended.")
    var cursor: String?
    @OptionGroup var server: ServerOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let path = try filter.target("/v1/records", limit: limit, cursor: cursor)
      let reply = try await server.client.ask(.get, path)
      try output.show(reply, as: PageResource<CallResource>.self) { page, terminal in
        if page.items.isEmpty { return "No records.\n" }
        let more = page.nextCursor.map { "More with --cursor \($0)\n" } ?? ""
        return CallViews.records(page.items).render(on: terminal) + terminal.toned(more, .faint)
      }
    }
  }

  struct Export: AsyncParsableCommand {
    enum Format: String, ExpressibleByArgument, CaseIterable { case csv, jsonl }

    static let configuration = CommandConfiguration(
      commandName: "export", abstract: "Write records to standard output, as they come.",
      discussion: """
        EXAMPLES
          demarc cdrs export --format csv --since 30d > calls.csv
          demarc cdrs export --format jsonl | jq -s 'group_by(.cause) | map({(.[0].cause): length})'
        """)

    @Option(help: "csv (with a line of names) or jsonl (one object a line).")
    var format = Format.csv
    @OptionGroup var filter: RecordOptions
    @OptionGroup var server: ServerOptions

    func run() async throws {
      let client = server.client
      let path = try filter.target("/v1/records/export", format: format.rawValue)
      let reply = try await client.stream(APIRequest(.get, path)) { Console.write($0) }
      _ = try client.checked(reply)
    }
  }

  struct Purge: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "purge", abstract: "Remove the records of calls that ended long ago.",
      discussion: """
        EXAMPLES
          demarc cdrs purge --older-than 90d
          demarc cdrs purge --older-than 2026-08-01 -o json
        """)

    @Option(name: .customLong("older-than"), help: "A span (90d, 26w) or a time.")
    var olderThan: String
    @OptionGroup var server: ServerOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let now = Int64(Date().timeIntervalSince1970 * 1_000)
      guard let before = HumanTime.moment(olderThan, now: now) else {
        throw ValidationError(
          "--older-than takes a span such as 90d or a time, not `\(olderThan)`.")
      }
      let body = Array(#"{"before":"\#(Timestamp.text(before))"}"#.utf8)
      let reply = try await server.client.ask(.post, "/v1/records/purge", body: body)
      try output.show(reply, as: PurgeResource.self) { purge, _ in
        "\(purge.purged) record\(purge.purged == 1 ? "" : "s") that ended before "
          + "\(HumanTime.local(purge.before)) removed.\n"
      }
    }
  }
}
