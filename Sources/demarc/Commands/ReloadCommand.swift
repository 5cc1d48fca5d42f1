import ArgumentParser
import Operations

struct ReloadCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reload", abstract: "Read demarc.yaml again: listeners change while calls run.",
    discussion: """
      New listeners open, and certificates are read again. A listener that the file names no more takes no new \
      call and no registration; calls on it go on, and it closes half a minute after the last one. Everything else \
      in the file needs a restart, and what differs is named. Nothing changes where the file, a certificate or a \
      port cannot be used, or where a network still names a listener that is to go.

      SIGHUP does the same to a server that has no terminal.

      EXAMPLES
        demarc reload
        demarc reload -o json
      """)

  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reply = try await server.client.ask(.post, "/v1/settings:reload")
    try output.show(reply, as: ReloadResource.self) { reload, terminal in
      let table = StateViews.listeners(reload.listeners).render(on: terminal)
      guard !reload.needsRestart.isEmpty else { return table }
      return table + "\nOnly a restart takes over what differs in: "
        + reload.needsRestart.joined(separator: ", ") + ".\n"
    }
  }
}
