internal import Base
internal import CallCore
internal import Foundation
internal import GRDB
internal import MediaControl

// The calls that were up when the process ended. They stay open: whoever goes on with them writes their end, and where
// that process ends too they are found here again.

extension SQLiteStore {
  func establishedCalls(_ db: Database, clock: StoreClock) throws -> [EstablishedCall] {
    let rows = try Row.fetchAll(
      db,
      sql: """
        SELECT open_call.*, alive.wall_ms AS alive_ms, alive.monotonic_ns AS alive_ns
        FROM open_call, alive
        WHERE session IS NOT NULL AND answer_ns IS NOT NULL ORDER BY row
        """)
    let times = StoredTimes(clock)
    return rows.compactMap { EstablishedCall($0, times) }
  }
}

/// Moments of an earlier process on this one's clock.
private struct StoredTimes {
  /// The wall clock of a machine is corrected by less while a call is up.
  private static let tolerance: Int64 = 5_000

  private let now: Instant
  private let wall: Int64
  private let wallOf: @Sendable (Instant) -> Int64

  init(_ clock: StoreClock) {
    now = clock.now()
    wall = clock.wall(now)
    wallOf = clock.wall
  }

  /// Exactly, where the machine has not been started since. `.zero`: before it was.
  func instant(nanoseconds: Int64, milliseconds: Int64) -> Instant {
    let exact = Instant(nanoseconds: UInt64(clamping: nanoseconds))
    let difference = wallOf(exact).subtractingReportingOverflow(milliseconds)
    if exact <= now, !difference.overflow, difference.partialValue.magnitude <= Self.tolerance {
      return exact
    }
    return instant(milliseconds: milliseconds)
  }

  func instant(milliseconds: Int64) -> Instant {
    now + .milliseconds(-max(0, Int(clamping: wall.subtractingReportingOverflow(milliseconds).0)))
  }
}

extension EstablishedCall {
  /// Nil where what was kept of the session cannot be read: of another version, or damaged.
  fileprivate init?(_ row: Row, _ times: StoredTimes) {
    guard let stored = StoredRecord(row), let answer = stored.answer,
      let bytes = row["session"] as Data?, let session = SessionRecord([UInt8](bytes)),
      session.call == stored.id
    else { return nil }
    var record = CallRecord(
      id: stored.id, tenant: stored.tenant, state: .answered, from: stored.from, to: stored.to,
      calledNumber: stored.calledNumber, callerNumber: stored.callerNumber,
      source: SocketAddress(stored.source), sipCallID: stored.sipCallID,
      setup: times.instant(nanoseconds: row["setup_ns"], milliseconds: stored.setup))
    record.answer = times.instant(nanoseconds: row["answer_ns"], milliseconds: answer)
    record.ringing = stored.ringing.map { moment in
      let instant = times.instant(milliseconds: moment)
      return min(max(instant, record.setup), record.answer ?? instant)
    }
    record.status = stored.status
    record.codec = stored.codec
    for note in stored.notes { record.note(note) }
    record.attempts = stored.attempts.map { CallAttempt($0, times) }
    record.recordings = stored.recordings.map { $0.line.map(times.instant(milliseconds:)) }
    self.init(
      record: record, session: session,
      lastAlive: times.instant(nanoseconds: row["alive_ns"], milliseconds: row["alive_ms"]))
  }
}

extension CallAttempt {
  fileprivate init(_ stored: StoredAttempt, _ times: StoredTimes) {
    let started = times.instant(milliseconds: stored.started)
    self.init(
      target: stored.target, address: SocketAddress(stored.address), started: started,
      ended: stored.duration.map { started + .milliseconds(Int(clamping: $0)) },
      status: stored.status, cause: stored.cause, forwardedBy: stored.forwardedBy)
  }
}
