import Base
package import CallCore
import Edge
import Persistence
import Policy

// The part of the settings that changes while calls run: listeners and their certificates.

extension DemarcServer {
  /// Those that are open, and those that are leaving.
  package var addresses: [Listener] { edge.listeners.filter { $0.state != .closed } }

  /// Reads `demarc.yaml` again and opens, lets go of and renames listeners as it says, with the certificates that
  /// their files hold now. Everything else in it needs a restart, which is told. Nothing changes when it throws.
  package func reloadSettings() async throws -> ReloadResource {
    do {
      let result = try await blocking.run { try self.changeListeners() }
      log.write(
        LogLine(
          .info, "settings read again",
          [
            LogField("opened", result.names(.opened)), LogField("leaving", result.names(.leaving)),
            LogField("needsRestart", result.needsRestart.joined(separator: " ")),
          ]))
      return result
    } catch {
      let failure =
        error as? APIFailure
        ?? APIFailure(
          .invalidResources, "the listeners cannot be changed",
          remedy: "Nothing was changed. \(error)")
      log.write(
        LogLine(.error, "settings not read again", [LogField("reason", failure.inOneLine)]))
      throw failure
    }
  }

  private func changeListeners() throws -> ReloadResource {
    let next = try settingsKeeper.read()
    let wanted = ServerSettings(next)
    try reloadIdentities(wanted.stir)
    let before = edge.listeners
    do {
      try keeper.move { compile in
        try edge.change(listeners: wanted.listeners, streams: wanted.streams) { listeners in
          let configuration = try compile(listeners)
          store.follow(listeners: listeners.map(\.name))
          return configuration
        }
      }
    } catch {
      store.follow(listeners: before.map(\.name))
      throw error
    }
    settingsKeeper.adopt(wanted.streams)
    kernelBans?.follow(edge.listeners)
    return ReloadResource(
      before: before, after: edge.listeners, needsRestart: settingsKeeper.differences(next))
  }

  /// Before anything else is changed, since its files may not be usable.
  private func reloadIdentities(_ stir: STIRSettings) throws {
    guard stir != identities.settings || identities.isInUse else { return }
    do throws(ServerError) {
      try identities.load(stir)
    } catch {
      throw APIFailure(
        .invalidResources, "the files of `stir` cannot be used",
        remedy: "Nothing was changed. \(error.message)")
    }
  }
}
