import ArgumentParser
import Base
import Foundation
import Operations
import Policy

struct ApplyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apply", abstract: "Make a file's resources the ones that calls are routed by.",
    discussion: """
      Whole or not at all: with any mistake nothing changes, and each is told with its line. A section \
      (trunks, users, …) that the file has replaces that section; one that it leaves out stays.

      EXAMPLES
        demarc apply -f acme.yaml
        generate | demarc apply -f -
      """)

  @Option(name: .shortAndLong, help: "YAML or JSON; - for standard input.")
  var file: String
  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let input = InputFile(file)
    let client = server.client
    let reply = try await client.send(
      APIRequest(
        .post, "/v1/resources:apply", body: try input.bytes(), contentType: "application/yaml"))
    do {
      try output.show(try client.checked(reply), as: ApplyResource.self) { outcome, _ in
        outcome.changed
          ? "Revision \(outcome.revision): \(ResourceViews.summary(outcome.counts))\n"
          : "Nothing changed: revision \(outcome.revision) says the same.\n"
      }
    } catch let failure as APIFailure {
      throw CommandFailure(failure, file: input.name)
    }
  }
}

struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Look for mistakes, without a server and without changing anything.",
    discussion: """
      Reads the settings (demarc.yaml) and, with -f, a file of resources against them: unknown keys, bad \
      values, references to what is not there.

      EXAMPLES
        demarc check
        demarc check -f acme.yaml
        demarc check -f acme.yaml --config /etc/demarc/demarc.yaml -o json
      """)

  @Option(name: .shortAndLong, help: "Resources, YAML or JSON; - for standard input.")
  var file: String?
  @Option(
    help: "The settings' file. (environment: DEMARC_CONFIG; default: demarc.yaml if it is here)")
  var config: String?
  @OptionGroup var output: OutputOptions

  func run() throws {
    let settings = try SettingsFile(config).read()
    guard let file else {
      return try tell(Resources(), "The settings are right.")
    }
    let input = InputFile(file)
    let resources = try compile(try input.text(), input.name, settings)
    try tell(resources, "\(input.name) is right: \(ResourceViews.summary(resources.counts))")
  }

  /// A file that stands alone has all it refers to; sections that were applied earlier are the server's.
  private func compile(
    _ text: String, _ source: String, _ settings: ProcessSettings
  ) throws -> Resources {
    do {
      let document = try ResourceDocument.parse(text, source: source)
      do {
        _ = try Configuration(
          resources: document.resources, revision: 0,
          listeners: settings.listeners.map {
            (name: $0.name, address: SocketAddress($0.address, $0.port))
          },
          media: settings.mediaNames, transports: settings.listeners.map(\.transport.wire))
      } catch {
        throw ConfigErrors(error.problems.map { document.map.locate($0) })
      }
      return document.resources
    } catch let errors as ConfigErrors {
      if output.output == .json {
        let body = APIFailure.Body(error: APIFailure(errors))
        Console.write(try ConsoleJSON.bytes(body))
        throw ExitCode.failure
      }
      throw CommandFailure(errors)
    }
  }

  private func tell(_ resources: Resources, _ text: String) throws {
    let outcome = ApplyResource(revision: 0, changed: false, counts: resources.counts)
    let reply = APIReply(status: 200, body: try ConsoleJSON.bytes(outcome))
    try output.show(reply, as: ApplyResource.self) { _, _ in "\(text)\n" }
  }
}

struct GetCommand: AsyncParsableCommand {
  enum Format: String, ExpressibleByArgument, CaseIterable { case table, json, yaml }

  static let configuration = CommandConfiguration(
    commandName: "get", abstract: "Show resources as they are in force; passwords are left out.",
    discussion: """
      Kinds: tenants, networks, trunks, users, applications, numbers, routes, pools, classes, \
      emergencies; `all` for everything.

      EXAMPLES
        demarc get trunks
        demarc get users alice
        demarc get all -o yaml
        demarc get numbers -o json | jq -r '.numbers[].number'
      """)

  @Argument(help: "A kind of resource, or all.")
  var kind: String
  @Argument(help: "One of them by its name; a number by its number.")
  var name: String?
  @Option(help: "Of this tenant, where several have one of that name.")
  var tenant: String?
  @Option(
    name: .shortAndLong, help: "table, json or yaml; one resource, and all, are yaml at first.")
  var output: Format?
  @OptionGroup var server: ServerOptions

  func run() async throws {
    let whole = kind == "all"
    guard !whole || name == nil else {
      throw ValidationError("`all` takes no name; `demarc get KIND NAME` shows one resource.")
    }
    let format = output ?? (whole || name != nil ? .yaml : .table)
    var path = "/v1/resources"
    if !whole { path += "/\(encoded(kind))" }
    if let name { path += "/\(encoded(name))" }
    let reply = try await server.client.ask(
      .get, target(path, ["tenant": tenant, "format": format == .yaml ? "yaml" : "json"]))
    switch format {
    case .json, .yaml: Console.write(reply.body)
    case .table:
      Console.print(
        try ResourceViews.tables(reply.body, on: .standardOutput()))
    }
  }
}
