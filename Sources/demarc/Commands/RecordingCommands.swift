import ArgumentParser
import Foundation
import Operations

struct RecordingsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "recordings", abstract: "List the files of recorded calls.",
    discussion: """
      EXAMPLES
        demarc recordings
        demarc recordings -o json | jq -r '.items[].name'
      """)

  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reply = try await server.client.ask(.get, "/v1/recordings")
    try output.list(reply, none: "No recordings.", view: { CallViews.recordings($0) })
  }
}

struct RecordingCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "recording", abstract: "Fetch the file of a recorded call, or delete it.",
    subcommands: [Fetch.self, Delete.self])

  struct Fetch: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "get", abstract: "Write the file to standard output.",
      discussion: """
        EXAMPLES
          demarc recording get 1p8x2k7ab-4-1 > call.wav
        """)

    @Argument(help: "The recording's name, as `demarc recordings` lists it.")
    var name: String
    @OptionGroup var server: ServerOptions

    func run() async throws {
      let client = server.client
      let request = APIRequest(.get, "/v1/recordings/\(encoded(name))")
      let reply = try await client.stream(request) { Console.write($0) }
      _ = try client.checked(reply)
    }
  }

  struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "delete", abstract: "Remove the file; the call's record says that it was.",
      discussion: """
        EXAMPLES
          demarc recording delete 1p8x2k7ab-4-1
        """)

    @Argument(help: "The recording's name.")
    var name: String
    @OptionGroup var server: ServerOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let reply = try await server.client.ask(.delete, "/v1/recordings/\(encoded(name))")
      try output.show(reply, as: DeletedRecordingResource.self) { deleted, _ in
        "Recording \(deleted.name) is deleted.\n"
      }
    }
  }
}
