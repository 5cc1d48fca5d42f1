import Base
import CallCore
import Policy

/// What the facts said of one call.
struct CallTrack {
  var record: CallRecord
  var attemptedSequence: UInt64
  var answered: CallRecord?
  var ended = 0
  var final: CallRecord?
  var hopsTried = 0
  var hopsEnded = 0
}

extension Auditor {
  func confirmed(upTo sequence: UInt64) { confirmedSequence = max(confirmedSequence, sequence) }

  func fact(_ fact: Fact) {
    if fact.sequence <= lastSequence {
      fail(.record, "fact \(fact.sequence) after \(lastSequence)", "")
    }
    lastSequence = max(lastSequence, fact.sequence)
    if case .callAttempted(let record) = fact.event { return attempted(record, fact) }
    if case .internalFault(let text) = fact.event { fail(.record, "internal fault: \(text)", "") }
    if case .callRecovered(let record, _) = fact.event { return recovered(record, fact) }
    if case .targetState(_, let address, usable: false, _) = fact.event {
      exchanges.shaky.insert(address)
    }
    guard let id = fact.call else { return }
    guard var track = calls[id] else {
      // What is refused at the door has no attempt; anything else needs one.
      if case .requestRefused = fact.event { return }
      fail(.record, "a fact of a call never attempted: \(fact.event)", "")
      return
    }
    if track.ended > 0 { fail(.record, "\(fact.event) after callEnded", track.record.sipCallID) }
    switch fact.event {
    case .hopTried: track.hopsTried += 1
    case .hopEnded: track.hopsEnded += 1
    case .callAnswered(let record, let session):
      if session.isEmpty { fail(.record, "answered without session record", record.sipCallID) }
      track.answered = record
    case .callEnded(let record):
      track.ended += 1
      track.final = record
      check(record, track)
    default: break
    }
    calls[id] = track
  }

  private func attempted(_ record: CallRecord, _ fact: Fact) {
    guard fact.call == nil || fact.call == record.id else {
      return fail(.record, "attempt under another call's name", record.sipCallID)
    }
    if calls[record.id] != nil { fail(.record, "attempted twice", record.sipCallID) }
    if record.isTransfer {
      // Its INVITE is the REFER in the transferor's dialog.
      if !referred.contains(record.sipCallID) {
        fail(.record, "a transfer that nobody asked for", record.sipCallID)
      }
      calls[record.id] = CallTrack(record: record, attemptedSequence: fact.sequence)
      if let plan = planOfTransfer(record.calledNumber) { callOfPlan[plan] = record.id }
      return
    }
    if let earlier = attemptOfCaller[record.sipCallID], earlier != record.id {
      fail(.record, "a second record of one INVITE", record.sipCallID)
    }
    calls[record.id] = CallTrack(record: record, attemptedSequence: fact.sequence)
    attemptOfCaller[record.sipCallID] = record.id
    if let plan = planOfCaller(record.sipCallID) { callOfPlan[plan] = record.id }
    if legs[record.sipCallID]?.isOurs ?? true {
      fail(.record, "attempt without an INVITE: \(record.sipCallID)", record.sipCallID)
    }
  }

  /// Of what came before the crash nothing is known but the record.
  private func recovered(_ record: CallRecord, _ fact: Fact) {
    if calls[record.id] != nil { fail(.record, "recovered twice", record.sipCallID) }
    if record.answer == nil { fail(.record, "recovered, and never answered", record.sipCallID) }
    var track = CallTrack(record: record, attemptedSequence: fact.sequence)
    track.answered = record
    calls[record.id] = track
    attemptOfCaller[record.sipCallID] = record.id
  }

  private func check(_ record: CallRecord, _ track: CallTrack) {
    let id = record.sipCallID
    guard let end = record.end else { return fail(.record, "ended without an end", id) }
    let times = [record.setup, record.ringing, record.answer, end].compactMap { $0 }
    if times != times.sorted() { fail(.record, "times out of order: \(times)", id) }
    if record.end != world.now, end > world.now { fail(.record, "ends in the future", id) }
    if record.cause == nil { fail(.record, "ended without a cause", id) }
    if record.cause == .internalFault { fail(.record, "ended by a fault of ours", id) }
    if legs[id]?.isCancelledByPeer == true, !record.isTransfer, record.cause != .cancelled {
      fail(.record, "cancelled, and recorded as \(record.cause?.name ?? "nothing")", id)
    }
    if (record.answer == nil) != (track.answered == nil) {
      fail(.record, "answer in the record and answered fact differ", id)
    }
    if track.hopsTried != track.hopsEnded {
      fail(.record, "\(track.hopsTried) hops tried, \(track.hopsEnded) ended", id)
    }
    for attempt in record.attempts where attempt.ended.map({ $0 < attempt.started }) ?? true {
      fail(.record, "attempt at \(attempt.target) has no end, or one before its start", id)
    }
  }
}
