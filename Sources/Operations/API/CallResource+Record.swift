package import Base
package import CallCore
package import MediaControl
import Persistence
import Policy

extension CallResource {
  /// - Parameter now: ends the duration of a call that goes on.
  package init(_ record: CallRecord, wall: WallTime, now: Instant) {
    func text(_ instant: Instant) -> String { Timestamp.text(wall.milliseconds(at: instant)) }
    self.init(
      id: "\(record.id)", tenant: record.tenant, state: record.state.rawValue,
      setup: text(record.setup))
    from = record.from
    to = record.to
    callerNumber = record.callerNumber
    calledNumber = record.calledNumber
    source = record.source.map { "\($0)" }
    sipCallId = record.sipCallID
    ringing = record.ringing.map(text)
    answer = record.answer.map(text)
    end = record.end.map(text)
    if let answer = record.answer {
      let interval = (record.end ?? max(now, answer)) - answer
      seconds = (interval.seconds * 1_000).rounded() / 1_000
    }
    releasedBy = record.releasedBy?.rawValue
    status = record.status == 0 ? nil : record.status
    cause = record.cause?.name
    codec = record.codec.isEmpty ? nil : record.codec
    quality = CallQualityResource(caller: record.fromCaller, callee: record.fromCallee)
    attempts = record.attempts.map { CallAttemptResource($0, wall: wall) }
    notes = record.notes.isEmpty ? nil : record.notes
    recordings =
      record.recordings.isEmpty
      ? nil
      : record.recordings.map { recording in
        RecordingResource(StoredRecording(recording.map { wall.milliseconds(at: $0) }))
      }
  }
}

extension CallAttemptResource {
  package init(_ attempt: CallAttempt, wall: WallTime) {
    self.init(
      target: attempt.target, started: Timestamp.text(wall.milliseconds(at: attempt.started)))
    address = attempt.address.map { "\($0)" }
    ended = attempt.ended.map { Timestamp.text(wall.milliseconds(at: $0)) }
    status = attempt.status == 0 ? nil : attempt.status
    cause = attempt.cause?.name
    forwardedBy = attempt.forwardedBy.isEmpty ? nil : attempt.forwardedBy
  }
}

extension CallQualityResource {
  /// Nil where neither side was heard or spoken to.
  package init?(caller: StreamQuality, callee: StreamQuality) {
    let fromCaller = StreamQualityResource(caller)
    let fromCallee = StreamQualityResource(callee)
    if fromCaller == nil && fromCallee == nil { return nil }
    self.init(fromCaller: fromCaller, fromCallee: fromCallee)
  }
}

extension StreamQualityResource {
  package init?(_ quality: StreamQuality) {
    guard quality.packets > 0 || quality.sent > 0 || quality.refused > 0 else { return nil }
    packets = quality.packets
    octets = quality.octets
    lost = quality.lost
    let (sum, overflow) = quality.packets.addingReportingOverflow(quality.lost)
    let expected = overflow ? UInt64.max : sum
    lossPercent =
      expected == 0
      ? 0 : StreamQualityResource.rounded(Double(quality.lost) * 100 / Double(expected))
    duplicates = quality.duplicates
    reordered = quality.reordered
    jitterMilliseconds = StreamQualityResource.rounded(Double(quality.jitter) / 1_000)
    maxJitterMilliseconds = StreamQualityResource.rounded(Double(quality.maxJitter) / 1_000)
    mos = quality.mos == 0 ? nil : Double(quality.mos) / 100
    refused = quality.refused
    unauthentic = quality.unauthentic
    replayed = quality.replayed
    remoteMOS = quality.remoteMOS == 0 ? nil : Double(quality.remoteMOS) / 100
    sent = quality.sent
    roundTripMilliseconds =
      quality.roundTrip == 0
      ? nil : StreamQualityResource.rounded(Double(quality.roundTrip) / 1_000)
  }

  private static func rounded(_ value: Double) -> Double { (value * 1_000).rounded() / 1_000 }
}
