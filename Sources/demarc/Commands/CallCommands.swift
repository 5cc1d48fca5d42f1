import ArgumentParser
import Foundation
import Operations
import Persistence

struct CallsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "calls", abstract: "List the calls that are alive.",
    discussion: """
      EXAMPLES
        demarc calls
        demarc calls -o json | jq '.items[].id'
      """)

  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reply = try await server.client.ask(.get, "/v1/calls")
    try output.list(reply, none: "No calls.", view: CallViews.live)
  }
}

struct CallCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "call", abstract: "Look at one call, draw it, record it, or end it.",
    subcommands: [Show.self, DrawLadder.self, Record.self, HangUp.self])

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "show", abstract: "Everything known of a call, alive or not.",
      discussion: """
        EXAMPLES
          demarc call show 1p8x2k7ab-4
          demarc call show 1p8x2k7ab-4 -o json
        """)

    @Argument(help: "The call's name, as `demarc calls` and `demarc cdrs` list it.")
    var id: String
    @OptionGroup var server: ServerOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let reply = try await server.client.ask(.get, "/v1/calls/\(encoded(id))")
      try output.show(reply, as: CallResource.self) { CallViews.page($0, on: $1) }
    }
  }

  struct DrawLadder: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "ladder", abstract: "Draw a call's messages.",
      discussion: """
        EXAMPLES
          demarc call ladder 1p8x2k7ab-4
          demarc call ladder 1p8x2k7ab-4 --messages    the messages too, as they crossed
          demarc call ladder 1p8x2k7ab-4 --ascii > call.txt
        """)

    @Argument(help: "The call's name.")
    var id: String
    @Flag(help: "Print each message whole, below the picture.")
    var messages = false
    @Flag(help: "Draw with ASCII only.")
    var ascii = false
    @OptionGroup var server: ServerOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let path = target(
        "/v1/calls/\(encoded(id))/ladder", ["messages": messages ? "true" : nil])
      let reply = try await server.client.ask(.get, path)
      try output.show(reply, as: LadderResource.self) { ladder, terminal in
        ladder.text(ascii: ascii || !terminal.unicode)
      }
    }
  }

  struct Record: AsyncParsableCommand {
    enum Action: String, ExpressibleByArgument, CaseIterable { case start, pause, resume, stop }
    enum Format: String, ExpressibleByArgument, CaseIterable { case wav, opus }

    static let configuration = CommandConfiguration(
      commandName: "record", abstract: "Begin, pause, continue or end the recording of a call.",
      discussion: """
        Neither side can be recorded where both have `record: off`, as they have by default.

        EXAMPLES
          demarc call record 1p8x2k7ab-4 start
          demarc call record 1p8x2k7ab-4 pause       before a card number is said
          demarc call record 1p8x2k7ab-4 resume
          demarc call record 1p8x2k7ab-4 stop
        """)

    @Argument(help: "The call's name.")
    var id: String
    @Argument(help: "start, pause, resume or stop.")
    var action: Action
    @Option(help: "Of start: wav or opus. (default: as the settings say)")
    var format: Format?
    @OptionGroup var server: ServerOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let order = RecordingOrderResource(action: action.rawValue, format: format?.rawValue)
      let reply = try await server.client.ask(
        .post, "/v1/calls/\(encoded(id))/recording", body: Array(JSONEncoder().encode(order)))
      try output.show(reply, as: CallResource.self) { call, _ in
        guard let recording = call.recordings?.last else { return "" }
        switch action {
        case .start: return "Recording \(recording.name) begins.\n"
        case .pause: return "Recording \(recording.name) is paused: both sides are silent in it.\n"
        case .resume: return "Recording \(recording.name) goes on.\n"
        case .stop: return "Recording \(recording.name) is ending.\n"
        }
      }
    }
  }

  struct HangUp: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "hangup", abstract: "End a call; both sides get a BYE.",
      discussion: """
        EXAMPLES
          demarc call hangup 1p8x2k7ab-4
        """)

    @Argument(help: "The call's name.")
    var id: String
    @OptionGroup var server: ServerOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let reply = try await server.client.ask(.delete, "/v1/calls/\(encoded(id))")
      try output.show(reply, as: HangUpResource.self) { ending, _ in "\(ending.id) is ending.\n" }
    }
  }
}
