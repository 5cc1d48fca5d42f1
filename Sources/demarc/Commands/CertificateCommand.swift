import ArgumentParser
import Operations

struct CertificatesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "certificates",
    abstract: "The certificates of the TLS and WSS listeners, and when they expire.",
    discussion: """
      With --reload their files are read again: new connections get what they hold now, and no connection is \
      dropped. SIGHUP does the same to a server that has no terminal.

      EXAMPLES
        demarc certificates
        demarc certificates --reload
      """)

  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions
  @Flag(help: "Read the files again first.")
  var reload = false

  func run() async throws {
    let reply =
      reload
      ? try await server.client.ask(.post, "/v1/certificates:reload")
      : try await server.client.ask(.get, "/v1/certificates")
    try output.list(
      reply, none: "No listener has a certificate.", view: StateViews.certificates)
  }
}
