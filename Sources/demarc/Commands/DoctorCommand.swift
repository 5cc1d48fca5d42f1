import ArgumentParser
import Foundation
import Operations

struct DoctorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "What stands in the way, or open to strangers, and what to do about it.",
    discussion: """
      Looks at the machine and the settings, whether a server runs or not, and at the resources of the server
      that answers on the socket:

        media      the kernel's relay, descriptors and ports for the calls that are allowed
        ports      every port that is open, to whom, and what can be read there
        files      certificates and keys, room on the disks
        system     the clock, the user, socket buffers
        resources  trunks, users and networks that let in more than they need to

      `security` is ports, files and resources. What it says of capabilities and files holds for whoever runs
      it: run it as the service's user.

      EXAMPLES
        demarc doctor --config /etc/demarc/demarc.yaml
        demarc doctor security
        demarc doctor -o json | jq '.[] | select(.verdict != "good")'

      Exit 1 where something is bad; advice alone is exit 0.
      """)

  @Argument(help: "One area, or security; all of them otherwise.")
  var area: DoctorArea?
  @Option(help: "The process settings; default: demarc.yaml here, if it is there.")
  var config: String?
  @OptionGroup var output: OutputOptions

  @OptionGroup var server: ServerOptions

  func run() async throws {
    let settings = try SettingsFile(config).read()
    var facts = DoctorFacts.gather(settings)
    let wanted = area?.areas ?? DoctorFinding.Area.allCases
    if wanted.contains(.resources) { try await ask(settings, &facts) }
    let findings = facts.findings.filter { wanted.contains($0.area) }
    switch output.output {
    case .json: Console.write(try ConsoleJSON.bytes(findings))
    case .table: Console.print(DoctorView.text(findings, on: .standardOutput()))
    }
    if findings.contains(where: { $0.verdict == .bad }) { throw ExitCode(CommandExit.failure) }
  }

  private func ask(_ settings: ProcessSettings, _ facts: inout DoctorFacts) async throws {
    let client = APIClient(
      socket: server.socket ?? settings.api.socket, timeoutSeconds: server.timeout)
    do {
      facts.resources = try decode(
        DoctorResources.self, from: try await client.ask(.get, "/v1/resources"))
    } catch let error as APIClientError {
      facts.resourcesUnseen = error.description
    }
  }
}

enum DoctorArea: String, ExpressibleByArgument, CaseIterable {
  case media, ports, files, system, resources, security

  var areas: [DoctorFinding.Area] {
    switch self {
    case .media: [.media]
    case .ports: [.ports]
    case .files: [.files]
    case .system: [.system]
    case .resources: [.resources]
    case .security: [.ports, .files, .resources]
    }
  }
}
