import ArgumentParser
import Foundation
import Operations

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "What of this machine stands in the way of the settings, and what to do about it.",
    discussion: """
      Asks the machine, not a running server: whether media can be relayed in the kernel, whether there are
      descriptors for all media ports, and whether the kernel may lend those ports to others. What it says
      of capabilities holds for whoever runs it: run it as the service's user.

      EXAMPLES
        demarc doctor --config /etc/demarc/demarc.yaml
        demarc doctor -o json | jq '.[] | select(.verdict != "good")'

      Exit 1 where something is bad; advice alone is exit 0.
      """)

  @Option(help: "The process settings; default: demarc.yaml here, if it is there.")
  var config: String?
  @OptionGroup var output: OutputOptions

  func run() throws {
    let findings = DoctorFacts.gather(try SettingsFile(config).read()).findings
    switch output.output {
    case .json: Console.write(try ConsoleJSON.bytes(findings))
    case .table: Console.print(DoctorView.text(findings, on: .standardOutput()))
    }
    if findings.contains(where: { $0.verdict == .bad }) { throw ExitCode(CommandExit.failure) }
  }
}
