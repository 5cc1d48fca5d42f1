import ArgumentParser
import Foundation
import Operations

struct TrunksCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "trunks", abstract: "How each trunk does: calls, limits, whether it answers.",
    discussion: """
      EXAMPLES
        demarc trunks
        demarc trunks -o json | jq '.items[] | select(.usable | not) | .name'
        demarc trunks -o json | jq '.items[].addresses[] | select(.state == "down") | .address'
      """)

  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reply = try await server.client.ask(.get, "/v1/trunks")
    try output.show(reply, as: PageResource<TrunkStateResource>.self) { page, terminal in
      page.items.isEmpty
        ? "No trunks. `demarc apply -f FILE` adds them.\n"
        : StateViews.trunks(page.items).render(on: terminal) + targets(page.items, on: terminal)
    }
  }

  private func targets(_ trunks: [TrunkStateResource], on terminal: Terminal) -> String {
    trunks.allSatisfy(\.addresses.isEmpty)
      ? "" : "\n" + StateViews.targets(trunks).render(on: terminal)
  }
}

struct RegistrationsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "registrations", abstract: "Which phones are registered, and from where.",
    discussion: """
      EXAMPLES
        demarc registrations
        demarc registrations --upstream
        demarc registrations --upstream -o json | jq '.items[] | select(.registered | not) | .reason'
      """)

  @Flag(help: "Our own registrations with providers instead.")
  var upstream = false

  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    if upstream { return try await showUpstream() }
    let reply = try await server.client.ask(.get, "/v1/registrations")
    try output.list(reply, none: "Nobody is registered.", view: StateViews.registrations)
  }
}

extension RegistrationsCommand {
  private func showUpstream() async throws {
    let reply = try await server.client.ask(.get, "/v1/registrations/upstream")
    try output.list(reply, none: "No trunk registers with its provider.", view: StateViews.upstream)
  }
}

struct StatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "What is running, on which addresses, since when.",
    discussion: """
      EXAMPLES
        demarc status
        demarc status -o json | jq .state
      """)

  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reply = try await server.client.ask(.get, "/v1/status")
    try output.show(reply, as: StatusResource.self) { StateViews.status($0).render(on: $1) }
  }
}

struct VersionCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "version", abstract: "The version of this command, and of the server if one runs.",
    discussion: """
      EXAMPLES
        demarc version
        demarc version -o json
      """)

  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  private struct Versions: Codable {
    var command: String
    var server: String?
  }

  func run() async throws {
    var versions = Versions(command: Version.text, server: nil)
    if let reply = try? await server.client.ask(.get, "/v1/status") {
      versions.server = try decode(StatusResource.self, from: reply).version
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    let reply = APIReply(status: 200, body: Array(try encoder.encode(versions)) + [10])
    try output.show(reply, as: Versions.self) { versions, _ in
      "demarc \(versions.command)\n" + (versions.server.map { "server \($0)\n" } ?? "")
    }
  }
}
