import ArgumentParser
import Operations
import Policy

struct ProfilesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "profiles",
    abstract: "The interop profiles that a trunk can name: their settings, and why.",
    discussion: """
      EXAMPLES
        demarc profiles
        demarc profiles telnyx
        demarc profiles -o json | jq -r '.[].name'
      """)

  @Argument(help: "One of them by its name.")
  var name: String?
  @OptionGroup var output: OutputOptions

  func run() throws {
    var profiles = InteropProfile.all
    if let name {
      guard let profile = InteropProfile.named(name) else {
        let meant = nearestMatch(to: name, in: profiles.map(\.name))
        throw CommandFailure(
          "there is no profile `\(name)`" + (meant.map { "; did you mean `\($0)`?" } ?? ""))
      }
      profiles = [profile]
    }
    switch output.output {
    case .json:
      Console.write(try ConsoleJSON.bytes(profiles.map { ProfileResource($0) }))
    case .table: Console.print(profiles.map { ProfileViews.text($0) }.joined(separator: "\n"))
    }
  }
}
