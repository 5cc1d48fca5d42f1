import Base
import Foundation

/// What a server says when it is up: where everything is.
package enum StartView {
  package static func text(_ server: DemarcServer, on terminal: Terminal) async throws -> String {
    let status = try await server.status()
    var sheet = Sheet()
    for listener in status.listeners {
      sheet.add("SIP (\(listener.name))", "\(listener.transport ?? "udp") \(listener.address)")
    }
    for media in status.media { sheet.add("media (\(media.name))", media.address) }
    sheet.add("socket", status.socket)
    sheet.add("store", status.store)
    sheet.add("metrics", status.metrics ?? "on the socket, at /metrics")
    sheet.add(
      "resources",
      status.revision == 0
        ? "none yet: demarc apply -f FILE" : "revision \(status.revision)")
    let title =
      "Demarc \(status.version) is up (process \(status.processId)); Ctrl-C ends it quietly."
    return terminal.toned(title, .heading) + "\n" + sheet.render(on: terminal)
  }
}
