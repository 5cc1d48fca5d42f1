internal import Base
internal import CallCore
internal import Foundation
internal import GRDB

// Bans, and what costly calls have used up: written behind with the other facts, read once at the start.

extension WriterStatements {
  func writeBorder(_ plan: BatchPlan, _ facts: [Fact], _ clock: StoreClock) throws(StoreError) {
    for position in plan.bans {
      switch facts[position].event {
      case .banned(let ban): try write(ban, clock)
      case .banEnded(let ban, _):
        deleteBan.bind(1, "\(ban.network)")
        try deleteBan.run()
      default: continue
      }
    }
    for position in plan.toll {
      if case .tollKept(let memory) = facts[position].event { try write(memory, clock) }
    }
  }

  private func write(_ ban: Ban, _ clock: StoreClock) throws(StoreError) {
    upsertBan.bind(1, "\(ban.network)")
    upsertBan.bind(2, ban.reason.rawValue)
    upsertBan.bind(3, ban.evidence)
    upsertBan.bind(4, clock.wall(ban.since) - Int64(ban.earlier.milliseconds))
    upsertBan.bind(5, clock.wall(ban.until))
    upsertBan.bind(6, ban.isProven ? 1 : 0)
    upsertBan.bind(7, Int64(ban.before))
    try upsertBan.run()
  }

  private func write(_ memory: TollMemory, _ clock: StoreClock) throws(StoreError) {
    upsertToll.bind(1, memory.tenant)
    upsertToll.bind(2, memory.account)
    upsertToll.bind(3, memory.isBlocked ? 1 : 0)
    upsertToll.bind(4, Int64(clamping: memory.alarms))
    upsertToll.bind(
      5,
      memory.alarms == 0
        ? 0 : clock.wall(memory.lastAlarm) - Int64(memory.earlier.milliseconds))
    upsertToll.bind(6, memory.lastReason.rawValue)
    upsertToll.bind(7, Int64(memory.spoken.milliseconds))
    upsertToll.bind(8, Int64(memory.talking))
    upsertToll.bind(9, memory.dayEnds == .zero ? 0 : clock.wall(memory.at))
    upsertToll.bind(10, memory.dayEnds == .zero ? 0 : clock.wall(memory.dayEnds))
    try upsertToll.run()
  }
}

extension SQLiteStore {
  /// An alarm is remembered for so long after the last one, unless it blocked the account.
  private static let alarmMemory: Int64 = 86_400_000
  /// That a process lived is noted at least so often while calls are up: what they talked after the last note is taken for
  /// so much.
  private static let aliveInterval: Int64 = 5_000

  func border(_ db: Database, now: Instant, wall: Int64) throws -> BorderMemory {
    var memory = BorderMemory()
    try db.execute(sql: "DELETE FROM ban WHERE until_ms <= ?", arguments: [wall])
    try db.execute(
      sql: """
        DELETE FROM toll_account WHERE blocked = 0 AND day_ends_ms <= ?1 AND last_alarm_ms <= ?2
        """, arguments: [wall, wall - Self.alarmMemory])
    let alive = try Int64.fetchOne(db, sql: "SELECT wall_ms FROM alive") ?? 0
    let moment = Moment(now: now, wall: wall, alive: min(wall, alive + Self.aliveInterval))
    memory.bans = try Row.fetchAll(db, sql: "SELECT * FROM ban ORDER BY since_ms").compactMap {
      Ban($0, moment)
    }
    memory.toll = try Row.fetchAll(db, sql: "SELECT * FROM toll_account ORDER BY blocked DESC")
      .compactMap { TollMemory($0, moment) }
    // Nobody talks any more: what those who did have used up is not to be added twice.
    for account in memory.toll where account.talking > 0 {
      try db.execute(
        sql: """
          UPDATE toll_account SET spoken_ms = ?3, talking = 0 WHERE tenant = ?1 AND account = ?2
          """,
        arguments: [account.tenant, account.account, account.spoken.milliseconds])
    }
    return memory
  }
}

/// The moment of a recovery, by both clocks, and until when the process before was alive at most.
private struct Moment {
  var now: Instant
  var wall: Int64
  var alive: Int64

  /// A past moment on this process's clock, and how much earlier it was than that can say.
  func past(_ milliseconds: Int64) -> (at: Instant, earlier: Interval) {
    let ago = Interval.milliseconds(Int(clamping: max(0, wall - milliseconds)))
    let at = now + Interval(nanoseconds: 0 - ago.nanoseconds)
    return (at, Interval(nanoseconds: ago.nanoseconds - (now - at).nanoseconds))
  }

  func future(_ milliseconds: Int64) -> Instant {
    now + .milliseconds(Int(clamping: max(0, milliseconds - wall)))
  }
}

extension Ban {
  /// Nil for a row that this program cannot have written.
  fileprivate init?(_ row: Row, _ moment: Moment) {
    guard let network = IPNetwork(row["network"] as String),
      let reason = Reason(rawValue: row["reason"])
    else { return nil }
    let (since, until) = (row["since_ms"] as Int64, row["until_ms"] as Int64)
    let began = moment.past(since)
    // A clock that was put back makes no ban longer than it was.
    let end = min(until, moment.wall + max(0, until - since))
    self.init(network, reason, row["evidence"], since: began.at, until: moment.future(end))
    earlier = began.earlier
    isProven = row["proven"] as Int64 != 0
    before = Int(clamping: row["before"] as Int64)
  }
}

extension TollMemory {
  fileprivate init?(_ row: Row, _ moment: Moment) {
    guard let reason = TollAlarm.Reason(rawValue: row["last_reason"]) else { return nil }
    self.init(tenant: row["tenant"], account: row["account"])
    isBlocked = row["blocked"] as Int64 != 0
    alarms = UInt64(clamping: row["alarms"] as Int64)
    if alarms > 0 { (lastAlarm, earlier) = moment.past(row["last_alarm_ms"]) }
    lastReason = reason
    talking = Int(clamping: row["talking"] as Int64)
    let talked = max(0, moment.alive - (row["at_ms"] as Int64)) * Int64(clamping: talking)
    spoken = .milliseconds(Int(clamping: max(0, row["spoken_ms"] as Int64) + talked))
    dayEnds = moment.future(row["day_ends_ms"])
    at = moment.now
  }
}
