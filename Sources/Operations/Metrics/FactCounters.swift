import Base
package import CallCore
import MediaControl
import Policy
import Locking

/// What only the stream of facts can tell: how calls ended and how long they took.
package struct FactTally: Hashable, Sendable {
  package struct Ending: Hashable, Sendable {
    package var cause: String
    package var by: String
  }

  package var attempted: UInt64 = 0
  package var answered: UInt64 = 0
  /// What became of the calls of the process before.
  package var recovery = RecoveryOutcome()
  package var ended: [Ending: UInt64] = [:]
  package var hopsTried: UInt64 = 0
  package var hopsFailed: [String: UInt64] = [:]
  package var authenticationFailures: UInt64 = 0
  package var internalFaults: UInt64 = 0
  package var mediaSilences: UInt64 = 0
  package var audioVerdicts: [SilenceReason: UInt64] = [:]
  package var targetsUnusable: UInt64 = 0
  package var tollAlarms: [TollAlarm.Reason: UInt64] = [:]
  /// From the INVITE to the first ringing or the answer, and from the answer to the release, in seconds.
  package var setupTime = MetricsHistogram(
    bounds: [0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32])
  package var duration = MetricsHistogram(
    bounds: [1, 5, 15, 30, 60, 180, 300, 600, 1_800, 3_600, 14_400])
  /// Estimated mean opinion score of what was received from each side of an ended call.
  package var opinion = MetricsHistogram(bounds: [1.5, 2, 2.5, 3, 3.5, 4, 4.2, 4.4])

  package init() {}

  package mutating func observe(_ fact: Fact) {
    switch fact.event {
    case .callAttempted: attempted &+= 1
    case .hopTried: hopsTried &+= 1
    case .hopEnded(let attempt):
      if let cause = attempt.cause { hopsFailed[cause.name, default: 0] &+= 1 }
    case .callAnswered: answered &+= 1
    case .callsRecovered(let outcome): recovery = outcome
    case .mediaSilent: mediaSilences &+= 1
    case .audioVerdict(let verdict): audioVerdicts[verdict.reason, default: 0] &+= 1
    case .callEnded(let record): end(record)
    case .authenticationFailed: authenticationFailures &+= 1
    case .internalFault: internalFaults &+= 1
    case .tollAlarm(let alarm): tollAlarms[alarm.reason, default: 0] &+= 1
    case .targetState(_, _, let usable, _): if !usable { targetsUnusable &+= 1 }
    case .callRecovered, .nameState, .callRinging, .callNoted, .digitPassed, .recordingChanged,
      .sessionChanged,
      .mediaLatched,
      .bindingAdded, .bindingRemoved,
      .requestRefused, .previousPasswordUsed, .messageDropped, .configurationApplied,
      .registrationState,
      .subscriptionState, .mailboxSet, .banned, .banEnded, .tollKept,
      .overload, .listenerClosed, .drained:
      break
    }
  }

  private mutating func end(_ record: CallRecord) {
    let ending = Ending(
      cause: record.cause?.name ?? "unknown", by: record.releasedBy?.rawValue ?? "unknown")
    ended[ending, default: 0] &+= 1
    if let progress = record.ringing ?? record.answer {
      setupTime.observe((progress - record.setup).seconds)
    }
    if let answer = record.answer, let end = record.end { duration.observe((end - answer).seconds) }
    for quality in [record.fromCaller, record.fromCallee] where quality.mos > 0 {
      opinion.observe(Double(quality.mos) / 100)
    }
  }
}

package final class FactCounters: Sendable {
  private let tally = Mutex(FactTally())

  package init() {}

  package func observe(_ facts: [Fact]) {
    tally.withLock { tally in
      for fact in facts { tally.observe(fact) }
    }
  }

  package var current: FactTally { tally.withLock { $0 } }
}
