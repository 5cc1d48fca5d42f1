import Testing

struct StoreConformanceTests {
  typealias Check = @Sendable (StoreConformance<SQLiteHarness>) throws -> Void

  static let checks: [(name: String, check: Check)] = [
    ("a call from attempt to end", { try $0.aCallFromAttemptToEnd() }),
    ("the same batch again changes nothing", { try $0.theSameBatchAgainChangesNothing() }),
    ("a batch is all or nothing", { try $0.aBatchIsAllOrNothing() }),
    ("recovery closes each open call once", { try $0.recoveryClosesEachOpenCallOnce() }),
    ("recovery without a heartbeat", { try $0.recoveryWithoutAHeartbeatEndsAtTheLastFact() }),
    ("contacts survive", { try $0.contactsSurviveWithTheTimeTheyHaveLeft() }),
    ("what waits survives", { try $0.whatWaitsSurvives() }),
    ("a step of the wall clock", { try $0.aStepOfTheWallClockDoesNotTouchDurations() }),
    ("queries filter and page", { try $0.queriesFilterAndPage() }),
    ("a later start is newer", { try $0.aLaterStartIsNewer() }),
    ("purge", { try $0.purgeRemovesWhatEndedBefore() }),
    ("resources are numbered and kept", { try $0.resourcesAreNumberedAndKept() }),
    ("hostile texts are inert", { try $0.hostileTextsAreInert() }),
    ("long texts are cut", { try $0.longTextsAreCut() }),
  ]

  @Test("SQLite", arguments: checks.map(\.name))
  func sqlite(name: String) throws {
    let check = try #require(Self.checks.first { $0.name == name })
    try check.check(try StoreConformance<SQLiteHarness>())
  }
}
