import Base
package import CallCore
import MediaControl
import Policy
import Resolution
import SIPCore

/// Facts as lines of the log: one line for each that is worth telling, at its level.
package struct FactLog: Sendable {
  private var throttle = LogThrottle()
  private let minimum: LogLevel

  package init(minimum: LogLevel = .debug) {
    self.minimum = minimum
  }

  /// Nil where the fact is no news for a log of this level, or a peer causes too many of its kind.
  package mutating func line(for fact: Fact) -> LogLine? {
    guard FactLog.level(of: fact.event) >= minimum else { return nil }
    var line = FactLog.describe(fact)
    if FactLog.isUnderPeersControl(fact.event) {
      guard let suppressed = throttle.pass(line.event, at: fact.at) else { return nil }
      if suppressed > 0 { line.fields.append(LogField("suppressed", suppressed)) }
    }
    return line
  }

  /// Asked first: most facts are detail, and describing one costs more than asking.
  private static func level(of event: FactEvent) -> LogLevel {
    switch event {
    case .callsRecovered(let outcome): outcome.released + outcome.lost > 0 ? .warning : .info
    case .callAttempted, .callAnswered, .callRecovered, .callEnded, .bindingAdded, .bindingRemoved,
      .requestRefused, .previousPasswordUsed, .configurationApplied, .listenerClosed, .drained:
      .info
    case .recordingChanged(let recording, _): recording.end?.isFailure ?? false ? .warning : .info
    case .hopEnded(let attempt): attempt.cause == nil ? .debug : .info
    case .hopTried, .callRinging, .callNoted, .digitPassed, .sessionChanged, .mediaLatched,
      .messageDropped, .subscriptionState, .mailboxSet, .tollKept:
      .debug
    case .mediaSilent, .audioVerdict, .authenticationFailed: .warning
    case .targetState(_, _, let usable, _): usable ? .info : .warning
    case .nameState(_, let state, _): state == .found ? .info : .warning
    case .registrationState(let status): status.state == .failed ? .warning : .info
    case .internalFault: .error
    case .tollAlarm: .warning
    case .banned: .warning
    case .banEnded: .info
    case .overload(let isBehind, _): isBehind ? .warning : .info
    }
  }

  /// Whether a stranger can cause the fact without being let in.
  private static func isUnderPeersControl(_ event: FactEvent) -> Bool {
    switch event {
    case .authenticationFailed, .requestRefused, .messageDropped, .banned, .banEnded: true
    case .callAttempted, .hopTried, .hopEnded, .callRinging, .callNoted, .callAnswered,
      .callRecovered, .callsRecovered, .sessionChanged, .digitPassed, .recordingChanged,
      .mediaLatched, .mediaSilent, .audioVerdict, .callEnded, .bindingAdded, .bindingRemoved,
      .previousPasswordUsed,
      .targetState,
      .nameState, .registrationState, .subscriptionState, .mailboxSet, .internalFault, .tollAlarm,
      .tollKept,
      .overload,
      .configurationApplied, .listenerClosed, .drained:
      false
    }
  }

  private static func describe(_ fact: Fact) -> LogLine {
    let call = fact.call.map { [LogField("call", "\($0)")] } ?? []
    let (event, fields) = describe(fact.event)
    return LogLine(level(of: fact.event), event, call + fields)
  }

  private static func describe(_ event: FactEvent) -> (String, [LogField]) {
    switch event {
    case .callAttempted(let record): ("call attempted", attempted(record))
    case .hopTried(let attempt): ("hop tried", target(attempt))
    case .hopEnded(let attempt): ("hop ended", target(attempt) + outcome(attempt))
    case .callRinging: ("call ringing", [])
    case .callNoted(let text): ("call noted", [LogField("note", .personal(text))])
    case .digitPassed(let side, let from, let to):
      (
        "digit passed",
        [
          LogField("side", "\(side)"), LogField("from", from.name),
          LogField("to", to?.name ?? "application"),
        ]
      )
    case .callAnswered(let record, _):
      ("call answered", [LogField("to", record.to), LogField("codec", record.codec)])
    case .callRecovered(let record, _):
      ("call recovered", [LogField("from", record.from), LogField("to", record.to)])
    case .callsRecovered(let outcome):
      (
        "calls recovered",
        [
          LogField("recovered", outcome.recovered), LogField("released", outcome.released),
          LogField("lost", outcome.lost),
        ]
      )
    case .sessionChanged: ("session changed", [])
    case .recordingChanged(let recording, _): ("recording changed", fields(recording))
    case .mediaLatched(let side, let address):
      ("media latched", [LogField("side", "\(side)"), LogField("address", "\(address)")])
    case .mediaSilent(let side): ("media silent", [LogField("side", "\(side)")])
    case .audioVerdict(let verdict):
      (
        "audio verdict",
        [
          LogField("side", "\(verdict.side)"), LogField("reason", verdict.reason.rawValue),
          LogField("text", verdict.text),
        ]
      )
    case .callEnded(let record): ("call ended", ended(record))
    case .bindingAdded(let binding): ("binding added", fields(binding))
    case .bindingRemoved(let binding): ("binding removed", fields(binding))
    case .authenticationFailed(let username, let source, let reason):
      (
        "authentication failed",
        [
          LogField("username", .personal(username)), LogField("source", "\(source)"),
          LogField("reason", reason),
        ]
      )
    case .requestRefused(let method, let status, let cause, let source):
      (
        "request refused",
        [
          LogField("method", method), LogField("status", status), LogField("cause", cause.name),
          LogField("source", "\(source)"),
        ]
      )
    case .messageDropped(let reason, let source):
      (
        "message dropped",
        [LogField("reason", reason.rawValue), LogField("source", "\(source)")]
      )
    case .targetState(let trunk, let address, let usable, let reason):
      (
        usable ? "target usable" : "target unusable",
        [
          LogField("trunk", trunk), LogField("address", "\(address)"),
          LogField("reason", reason.rawValue),
        ]
      )
    case .nameState(let name, let state, let addresses):
      (
        "name \(state.rawValue)", [LogField("name", name), LogField("addresses", addresses)]
      )
    case .registrationState(let status): ("registration \(status.state.rawValue)", fields(status))
    case .subscriptionState(let status):
      (status.end.isEmpty ? "subscription began" : "subscription ended", fields(status))
    case .mailboxSet(let status):
      (
        "mailbox set",
        [
          LogField("tenant", status.tenant), LogField("user", status.user),
          LogField("new", status.summary.new), LogField("old", status.summary.old),
        ]
      )
    case .tollAlarm(let alarm):
      (
        "toll alarm",
        [
          LogField("tenant", alarm.tenant), LogField("account", alarm.account),
          LogField("reason", alarm.reason.rawValue), LogField("number", .personal(alarm.number)),
          LogField("class", "\(alarm.classes)"),
          LogField("blocked", alarm.isBlocked ? "true" : "false"),
        ]
      )
    case .previousPasswordUsed(let tenant, let account, let source):
      (
        "previous password used",
        [
          LogField("tenant", tenant), LogField("account", account),
          LogField("source", .personal("\(source)")),
        ]
      )
    case .tollKept(let memory):
      (
        "toll kept",
        [
          LogField("tenant", memory.tenant), LogField("account", memory.account),
          LogField("blocked", memory.isBlocked ? "true" : "false"),
          LogField("spokenSeconds", memory.spoken.wholeSeconds),
        ]
      )
    case .banned(let ban): ("banned", fields(ban))
    case .banEnded(let ban, let end):
      (
        "ban ended",
        [
          LogField("network", "\(ban.network)"), LogField("reason", ban.reason.rawValue),
          LogField("end", end.rawValue), LogField("hits", "\(ban.hits)"),
        ]
      )
    case .internalFault(let place): ("internal fault", [LogField("where", place)])
    case .overload(let isBehind, let wait):
      (
        isBehind ? "overload" : "overload over",
        [LogField("waitMilliseconds", wait.milliseconds)]
      )
    case .configurationApplied(let revision):
      ("configuration applied", [LogField("revision", revision)])
    case .listenerClosed(let name): ("listener closed", [LogField("listener", name)])
    case .drained: ("drained", [])
    }
  }

  private static func attempted(_ record: CallRecord) -> [LogField] {
    [
      LogField("tenant", record.tenant), LogField("from", record.from), LogField("to", record.to),
      LogField("caller", .personal(record.callerNumber)),
      LogField("called", .personal(record.calledNumber)),
      LogField("source", record.source.map { "\($0)" } ?? ""),
    ]
  }

  private static func ended(_ record: CallRecord) -> [LogField] {
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
    return fields
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

  private static func fields(_ recording: CallRecording) -> [LogField] {
    var fields = [
      LogField("recording", recording.name), LogField("origin", recording.origin.rawValue),
      LogField("by", recording.by),
    ]
    if !recording.file.isEmpty { fields.append(LogField("file", recording.file)) }
    if recording.hasNotice { fields.append(LogField("announced", recording.announced.count)) }
    if recording.isPaused { fields.append(LogField("paused", "true")) }
    if let end = recording.end {
      fields.append(LogField("end", end.name))
      fields.append(LogField("bytes", "\(recording.bytes)"))
    }
    return fields
  }

  private static func fields(_ status: UpstreamStatus) -> [LogField] {
    var fields = [
      LogField("tenant", status.tenant), LogField("trunk", status.trunk),
      LogField("registrar", status.registrar),
    ]
    if let address = status.address { fields.append(LogField("address", "\(address)")) }
    if !status.reason.isEmpty { fields.append(LogField("reason", status.reason)) }
    return fields
  }

  private static func fields(_ ban: Ban) -> [LogField] {
    [
      LogField("network", "\(ban.network)"), LogField("reason", ban.reason.rawValue),
      LogField("evidence", ban.evidence),
      LogField("seconds", (ban.until - ban.since).wholeSeconds),
    ]
  }

  private static func fields(_ status: SubscriptionStatus) -> [LogField] {
    var fields = [
      LogField("tenant", status.tenant), LogField("watcher", status.watcher),
      LogField("event", status.event.name), LogField("user", status.user),
      LogField("source", "\(status.source)"),
    ]
    if !status.end.isEmpty { fields.append(LogField("reason", status.end)) }
    return fields
  }

  private static func fields(_ binding: Binding) -> [LogField] {
    [
      LogField("tenant", binding.tenant),
      LogField(binding.isTrunk ? "trunk" : "user", binding.user),
      LogField("source", "\(binding.source)"), LogField("contact", .personal(binding.contact)),
      LogField("userAgent", binding.userAgent),
    ]
  }
}
