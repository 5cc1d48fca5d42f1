import Base
package import CallCore
import MediaControl
import Policy

/// Facts as lines of the log: one line for each that is worth telling, at its level.
package struct FactLog: Sendable {
  private var throttle = LogThrottle()

  package init() {}

  /// Nil where the fact is no news for a log, or a peer causes too many of its kind.
  package mutating func line(for fact: Fact) -> LogLine? {
    var line = FactLog.describe(fact)
    if let call = fact.call { line.fields.insert(LogField("call", "\(call)"), at: 0) }
    if FactLog.isUnderPeersControl(fact.event) {
      guard let suppressed = throttle.pass(line.event, at: fact.at) else { return nil }
      if suppressed > 0 { line.fields.append(LogField("suppressed", suppressed)) }
    }
    return line
  }

  /// Whether a stranger can cause the fact without being let in.
  private static func isUnderPeersControl(_ event: FactEvent) -> Bool {
    switch event {
    case .authenticationFailed, .requestRefused, .messageDropped: true
    case .callAttempted, .hopTried, .hopEnded, .callRinging, .callAnswered, .sessionChanged,
      .mediaLatched, .mediaSilent, .callEnded, .bindingAdded, .bindingRemoved, .targetState,
      .internalFault, .configurationApplied, .drained:
      false
    }
  }

  private static func describe(_ fact: Fact) -> LogLine {
    switch fact.event {
    case .callAttempted(let record): attempted(record)
    case .hopTried(let attempt):
      LogLine(.debug, "hop tried", target(attempt))
    case .hopEnded(let attempt):
      LogLine(
        attempt.cause == nil ? .debug : .info, "hop ended", target(attempt) + outcome(attempt))
    case .callRinging:
      LogLine(.debug, "call ringing")
    case .callAnswered(let record, _):
      LogLine(
        .info, "call answered", [LogField("to", record.to), LogField("codec", record.codec)])
    case .sessionChanged:
      LogLine(.debug, "session changed")
    case .mediaLatched(let side, let address):
      LogLine(
        .debug, "media latched", [LogField("side", "\(side)"), LogField("address", "\(address)")])
    case .mediaSilent(let side):
      LogLine(.warning, "media silent", [LogField("side", "\(side)")])
    case .callEnded(let record): ended(record)
    case .bindingAdded(let binding):
      LogLine(.info, "binding added", fields(binding))
    case .bindingRemoved(let binding):
      LogLine(.info, "binding removed", fields(binding))
    case .authenticationFailed(let username, let source, let reason):
      LogLine(
        .warning, "authentication failed",
        [
          LogField("username", .personal(username)), LogField("source", "\(source)"),
          LogField("reason", reason),
        ])
    case .requestRefused(let method, let status, let cause, let source):
      LogLine(
        .info, "request refused",
        [
          LogField("method", method), LogField("status", status), LogField("cause", cause.name),
          LogField("source", "\(source)"),
        ])
    case .messageDropped(let reason, let source):
      LogLine(
        .debug, "message dropped",
        [LogField("reason", reason.rawValue), LogField("source", "\(source)")])
    case .targetState(let trunk, let address, let usable):
      LogLine(
        usable ? .info : .warning, usable ? "target usable" : "target unusable",
        [LogField("trunk", trunk), LogField("address", "\(address)")])
    case .internalFault(let place):
      LogLine(.error, "internal fault", [LogField("where", place)])
    case .configurationApplied(let revision):
      LogLine(.info, "configuration applied", [LogField("revision", revision)])
    case .drained:
      LogLine(.info, "drained")
    }
  }

  private static func attempted(_ record: CallRecord) -> LogLine {
    LogLine(
      .info, "call attempted",
      [
        LogField("tenant", record.tenant), LogField("from", record.from), LogField("to", record.to),
        LogField("caller", .personal(record.callerNumber)),
        LogField("called", .personal(record.calledNumber)),
        LogField("source", record.source.map { "\($0)" } ?? ""),
      ])
  }

  private static func ended(_ record: CallRecord) -> LogLine {
    var fields = [
      LogField("status", record.status), LogField("cause", record.cause?.name ?? ""),
      LogField("by", record.releasedBy?.rawValue ?? ""),
    ]
    if let answer = record.answer, let end = record.end {
      fields.append(LogField("seconds", .decimal((end - answer).seconds)))
    }
    for (key, quality) in [
      ("mosFromCaller", record.fromCaller), ("mosFromCallee", record.fromCallee),
    ]
    where quality.mos > 0 {
      fields.append(LogField(key, .decimal(Double(quality.mos) / 100)))
    }
    return LogLine(.info, "call ended", fields)
  }

  private static func target(_ attempt: CallAttempt) -> [LogField] {
    var fields = [LogField("target", attempt.target)]
    if let address = attempt.address { fields.append(LogField("address", "\(address)")) }
    return fields
  }

  private static func outcome(_ attempt: CallAttempt) -> [LogField] {
    var fields = [LogField("status", attempt.status)]
    if let cause = attempt.cause { fields.append(LogField("cause", cause.name)) }
    return fields
  }

  private static func fields(_ binding: Binding) -> [LogField] {
    [
      LogField("tenant", binding.tenant), LogField("user", binding.user),
      LogField("source", "\(binding.source)"), LogField("contact", .personal(binding.contact)),
      LogField("userAgent", binding.userAgent),
    ]
  }
}
