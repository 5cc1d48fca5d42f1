import CallCore
import Edge

extension ServerParts {
  /// Of listeners whose ports the system chooses it hears when they are bound.
  static func startKernelBans(
    _ settings: ServerSettings, log: LogSink
  ) throws(EdgeError) -> KernelBans? {
    guard let table = settings.kernelTable else { return nil }
    return try KernelBans(
      table: table, limit: settings.limits.admission.bans, listeners: settings.listeners
    ) { state in
      if let line = describe(state, table: table) { log.write(line) }
    }
  }

  private static func describe(_ state: KernelBans.State, table: String) -> LogLine? {
    switch state {
    case .starting: nil
    case .on:
      LogLine(.info, "the kernel drops what comes from the banned", [LogField("table", table)])
    case .unavailable(let obstacle):
      LogLine(
        .warning, "what comes from the banned is dropped in user space alone",
        [
          LogField("reason", obstacle.description), LogField("remedy", obstacle.remedy),
        ])
    }
  }
}
