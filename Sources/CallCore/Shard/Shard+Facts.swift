import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

extension Shard {
  /// Writes one fact into the stream; its sequence is what `.durable` confirms.
  @discardableResult
  func tell(_ event: consuming FactEvent, call: CallID? = nil) -> UInt64 {
    lastFactSequence &+= 1
    if !subscriptions.isEmpty { noteForWatchers(event, call) }
    outbox.facts.append(Fact(sequence: lastFactSequence, at: now, call: call, event: event))
    return lastFactSequence
  }

  /// A decision on a call's way, for its record and whoever follows the stream.
  func note(_ text: String, _ session: Session) {
    if session.record.note(text) { tell(.callNoted(text), call: session.id) }
  }

  func drop(_ reason: DropReason, _ arrival: Arrival) {
    for (i, known) in DropReason.allCases.enumerated() where known == reason {
      dropCounts[i] &+= 1
    }
    if noise.take(at: now) { tell(.messageDropped(reason: reason, source: arrival.source)) }
  }

  func countRefusal(_ method: Method, _ status: Int, _ cause: Cause, _ arrival: Arrival) {
    refusalCounts[Int(cause.rawValue)] &+= 1
    guard noise.take(at: now) else { return }
    tell(
      .requestRefused(
        method: "\(method.token)", status: status, cause: cause, source: arrival.source))
  }

  /// Facts that the store has not confirmed yet.
  var unconfirmedFacts: Int { Int(clamping: lastFactSequence &- durableSequence) }

  /// Cheaper than all of the counters, for whoever asks after each message.
  package var callsAttempted: UInt64 { counters.callsAttempted }

  var currentCounters: ShardCounters {
    var counters = counters
    for (i, reason) in DropReason.allCases.enumerated() {
      counters.dropped[reason.rawValue] = dropCounts[i]
    }
    for cause in Cause.allCases where refusalCounts[Int(cause.rawValue)] > 0 {
      counters.refused[cause.name] = refusalCounts[Int(cause.rawValue)]
    }
    counters.dropped[DropReason.outputFull.rawValue] = outbox.datagrams.overflowed
    counters.sessions = sessions.count
    counters.probes = targets.probes.count
    counters.transactions = servers.count + clients.count - targets.probes.count
    counters.timers = wheel.count - targets.timers - (bansTimer.isNone ? 0 : 1)
    counters.messageBlocks = blocks.blocks
    counters.portsLeased = ports.leased
    counters.portsFree = ports.free
    counters.bindings = registrar.count
    counters.subscriptions = subscriptions.count
    counters.passing.pending = passedRegisters.count
    counters.passing.contacts = registrar.tokenCount
    counters.unconfirmedFacts = unconfirmedFacts
    counters.refusedStrangers = load.refused(.stranger)
    counters.refusedKnown = load.refused(.known)
    counters.standingWait = load.standing
    counters.traceBytes = trace.usedBytes
    if let identities { counters.identity = identities.currentCounters }
    counters.admission = admission.counters
    counters.admission.bans = admission.bans.count
    return counters
  }
}
