package import Logging

/// What libraries say by swift-log, into our one log.
package struct LogSinkHandler: LogHandler {
  package var metadata: Logger.Metadata = [:]
  package var logLevel: Logger.Level
  private let label: String
  private let sink: LogSink

  package init(label: String, sink: LogSink) {
    self.label = label
    self.sink = sink
    logLevel = .debug
  }

  package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  package func log(event: LogEvent) {
    let level: LogLevel
    switch event.level {
    case .trace: return
    // What a library thinks is worth an information is detail to whoever runs calls.
    case .debug, .info, .notice: level = .debug
    case .warning: level = .warning
    case .error, .critical: level = .error
    }
    guard sink.takes(level) else { return }
    let all = metadata.merging(event.metadata ?? [:]) { _, new in new }
    let fields = all.sorted { $0.key < $1.key }.map { LogField($0.key, "\($0.value)") }
    sink.write(LogLine(level, label, [LogField("message", "\(event.message)")] + fields))
  }
}
