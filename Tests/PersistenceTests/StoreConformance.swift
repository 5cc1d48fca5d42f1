import Base
import CallCore
import Foundation
import MediaControl
import Persistence
import Policy
import SIPCore
import Testing

/// Opens one and the same store again and again, as restarts of a process do.
protocol StoreHarness: Sendable {
  init() throws
  func open() throws -> any CallStore
}

struct SQLiteHarness: StoreHarness {
  private let folder: Folder
  init() throws { folder = try Folder() }
  func open() throws -> any CallStore {
    try SQLiteStore(path: folder.store, listeners: ["udp4", "udp6"])
  }
}

/// What every store must do, whatever keeps it. A new engine adds its harness to `StoreConformanceTests`.
struct StoreConformance<Harness: StoreHarness> {
  let harness: Harness
  let time = TestClock()
  var clock: StoreClock { time.clock }

  init() throws { harness = try Harness() }

  private func withStore<Value>(_ body: (any CallStore) throws -> Value) throws -> Value {
    let store = try harness.open()
    defer { store.close() }
    return try body(store)
  }

  func aCallFromAttemptToEnd() throws {
    try withStore { store throws in
      var make = FactMaker()
      try store.write([make.attempted(1, at: 10)], clock: clock)
      let attempted = try #require(try store.record(make.id(1)))
      #expect(attempted.state == .attempted && attempted.end == nil)
      #expect(attempted.setup == TestClock.epoch + 10)
      #expect(attempted.from == "trunk:office" && attempted.source == "192.0.2.1:5060")

      try store.write([make.answered(1, setup: 10, at: 2_010, session: [1, 2])], clock: clock)
      let answered = try #require(try store.record(make.id(1)))
      #expect(answered.state == .answered && answered.answer == TestClock.epoch + 2_010)
      #expect(answered.answerAfter == 2_000 && answered.ringingAfter == 1_000)
      #expect(answered.to == "trunk:alpha" && answered.codec == "PCMA/8000")

      try store.write([make.ended(1, setup: 10, answer: 2_010, at: 65_010)], clock: clock)
      let ended = try #require(try store.record(make.id(1)))
      #expect(ended.state == .ended && ended.end == TestClock.epoch + 65_010)
      #expect(ended.talk == 63_000 && ended.total == 65_000)
      #expect(ended.releasedBy == .caller && ended.cause == .normalClearing)
      #expect(ended.status == 200)
      #expect(ended.fromCaller == FactMaker.quality(packets: 500, lost: 3))
      #expect(ended.fromCallee == FactMaker.quality(packets: 498, lost: 0))
      #expect(
        ended.attempts == [
          StoredAttempt(
            target: "trunk:alpha", address: "198.51.100.1:5060", started: TestClock.epoch + 15,
            duration: 1_995, status: 200, cause: nil)
        ])
      #expect(try store.sizes().openCalls == 0)
      #expect(try store.sizes().records == 1)
    }
  }

  func theSameBatchAgainChangesNothing() throws {
    try withStore { store throws in
      var make = FactMaker()
      let batches = [
        [make.attempted(1)], [make.answered(1, setup: 0, at: 100, session: [9])],
        [make.attempted(2), make.ended(2, setup: 0, answer: nil, at: 5)],
        [make.ended(1, setup: 0, answer: 100, at: 900)],
      ]
      for batch in batches {
        try store.write(batch, clock: clock)
        let once = try store.records(RecordQuery())
        try store.write(batch, clock: clock)
        #expect(try store.records(RecordQuery()) == once)
      }
      #expect(try store.sizes().records == 2)
    }
  }

  func aBatchIsAllOrNothing() throws {
    try withStore { store throws in
      var make = FactMaker()
      try store.write(
        (1...20).map { make.attempted($0) }
          + (1...20).map { make.ended($0, setup: 0, answer: nil, at: 9) },
        clock: clock)
      #expect(try store.sizes().records == 20)
      try store.write([], clock: clock)
      try store.write([make.fact(.drained), make.fact(.callRinging)], clock: clock)
      #expect(try store.sizes().records == 20)
    }
  }

  func recoveryClosesEachOpenCallOnce() throws {
    var make = FactMaker()
    try withStore { store throws in
      try store.write([make.attempted(1, at: 100), make.attempted(2, at: 200)], clock: clock)
      try store.write([make.answered(2, setup: 200, at: 1_200, session: [1])], clock: clock)
      try store.write(
        [make.fact(.sessionChanged(session: [2, 3]), at: 1_300, call: make.id(2))], clock: clock)
      try store.write(
        [make.attempted(3), make.ended(3, setup: 0, answer: nil, at: 50)], clock: clock)
      time.advance(61_200)
      try store.heartbeat(clock: clock)
      // The last that was heard of the process is the heartbeat.
      time.advance(5_000)
    }
    let later = TestClock(at: 0)
    try withStore { store throws in
      let recovery = try store.recover(clock: later.clock)
      #expect(
        recovery.interrupted == [
          Recovery.Call(id: make.id(1), session: nil),
          Recovery.Call(id: make.id(2), session: [2, 3]),
        ])
      let unanswered = try #require(try store.record(make.id(1)))
      #expect(unanswered.state == .interrupted && unanswered.cause == .interrupted)
      #expect(unanswered.releasedBy == .system)
      #expect(unanswered.end == TestClock.epoch + 61_200)
      #expect(unanswered.talk == nil && unanswered.total == 61_100)
      let answered = try #require(try store.record(make.id(2)))
      #expect(answered.state == .interrupted && answered.talk == 60_000)
      #expect(answered.codec == "PCMA/8000" && answered.attempts.count == 1)
      #expect(try store.record(make.id(3))?.state == .ended)
      #expect(try store.sizes().openCalls == 0)
      #expect(try store.recover(clock: later.clock).interrupted.isEmpty)
      #expect(try store.sizes().records == 3)
    }
    try withStore { store throws in
      #expect(try store.recover(clock: later.clock).interrupted.isEmpty)
      #expect(try store.sizes().records == 3)
    }
  }

  func recoveryWithoutAHeartbeatEndsAtTheLastFact() throws {
    var make = FactMaker()
    try withStore { store throws in
      try store.write([make.attempted(1, at: 100)], clock: TestClock(at: 150).clock)
      try store.write(
        [make.answered(1, setup: 100, at: 900, session: [])], clock: TestClock(at: 950).clock)
    }
    try withStore { store throws in
      let recovery = try store.recover(clock: clock)
      #expect(recovery.interrupted == [Recovery.Call(id: make.id(1), session: [])])
      let record = try #require(try store.record(make.id(1)))
      #expect(record.end == TestClock.epoch + 950 && record.talk == 50 && record.total == 850)
    }
  }

  func contactsSurviveWithTheTimeTheyHaveLeft() throws {
    var make = FactMaker()
    var kept = make.binding("alice", expires: 60_000)
    kept.isTrunk = true
    kept.preference = 250
    kept.path = "<sip:edge.example;lr>"
    kept.instance = "urn:uuid:1"
    kept.flow = 2
    kept.isNumberBlock = true
    try withStore { [kept] store throws in
      try store.write(
        [
          make.fact(.bindingAdded(kept)),
          make.fact(.bindingAdded(make.binding("bob", expires: 10_000))),
          make.fact(.bindingAdded(make.binding("carol", expires: 90_000))),
          make.fact(.bindingAdded(kept)),
          make.fact(.bindingRemoved(make.binding("carol", expires: 90_000))),
        ], clock: clock)
      #expect(try store.sizes().bindings == 2)
    }
    // The process was away from 5 s to 20 s on the wall; its new clock begins at 0 again.
    let later = TestClock()
    later.stepWall(20_000)
    try withStore { store throws in
      let recovery = try store.recover(clock: later.clock)
      var expected = kept
      expected.expires = at(40_000)
      #expect(recovery.bindings == [expected])
      #expect(try store.sizes().bindings == 1)
    }
  }

  func whatWaitsSurvives() throws {
    var make = FactMaker()
    func status(_ user: String, _ summary: MessageSummary) -> MailboxStatus {
      MailboxStatus(tenant: "acme", user: user, summary: summary)
    }
    let alice = status("alice", MessageSummary(new: 3, old: 5, newUrgent: 1, oldUrgent: 2))
    try withStore { store throws in
      try store.write(
        [
          make.fact(.mailboxSet(status("alice", MessageSummary(new: 1)))),
          make.fact(.mailboxSet(status("bob", MessageSummary(new: 1)))),
          make.fact(.mailboxSet(alice)),
        ], clock: clock)
      try store.write([make.fact(.mailboxSet(status("bob", MessageSummary())))], clock: clock)
    }
    try withStore { store throws in
      #expect(try store.recover(clock: clock).mailboxes == [alice])
    }
  }

  func aStepOfTheWallClockDoesNotTouchDurations() throws {
    try withStore { store throws in
      var make = FactMaker()
      try store.write([make.attempted(1, at: 0)], clock: clock)
      time.stepWall(3_600_000)
      try store.write([make.answered(1, setup: 0, at: 1_000, session: [])], clock: clock)
      time.stepWall(-7_200_000)
      try store.write([make.ended(1, setup: 0, answer: 1_000, at: 61_000)], clock: clock)
      let record = try #require(try store.record(make.id(1)))
      #expect(record.setup == TestClock.epoch)
      #expect(record.talk == 60_000 && record.total == 61_000 && record.answerAfter == 1_000)
    }
  }

  func queriesFilterAndPage() throws {
    try withStore { store throws in
      var make = FactMaker()
      var facts: [Fact] = []
      for serial in UInt64(1)...25 {
        facts.append(make.attempted(serial, at: Int(serial) * 1_000))
        if serial % 5 != 0 {
          facts.append(
            make.ended(
              serial, setup: Int(serial) * 1_000,
              answer: serial % 2 == 0 ? Int(serial) * 1_000 + 10 : nil, at: 100_000))
        }
      }
      try store.write(facts, clock: clock)
      func serials(_ change: (inout RecordQuery) -> Void) throws -> [UInt64] {
        var query = RecordQuery()
        change(&query)
        return try store.records(query).records.map(\.id.serial)
      }
      #expect(try serials { $0.limit = 3 } == [25, 24, 23])
      #expect(
        try serials {
          $0.limit = 2
          $0.order = .oldestFirst
        } == [1, 2])
      #expect(try serials { $0.state = .attempted } == [25, 20, 15, 10, 5])
      #expect(try serials { $0.cause = .noRoute }.allSatisfy { $0 % 2 == 1 })
      #expect(try serials { $0.number = "+441632960107" } == [7])
      #expect(try serials { $0.number = "1001" }.count == 25)
      #expect(try serials { $0.party = "trunk:alpha" }.allSatisfy { $0 % 2 == 0 })
      #expect(try serials { $0.party = "trunk:" } == [])
      #expect(try serials { $0.tenant = "other" } == [])
      #expect(
        try serials {
          $0.since = TestClock.epoch + 3_000
          $0.until = TestClock.epoch + 5_000
        } == [4, 3])
      #expect(try serials { $0.limit = -1 }.count == 1)

      for order in [RecordQuery.Order.newestFirst, .oldestFirst] {
        var query = RecordQuery()
        query.limit = 4
        query.order = order
        var seen: [UInt64] = []
        repeat {
          let page = try store.records(query)
          seen += page.records.map(\.id.serial)
          query.cursor = page.next
        } while query.cursor != nil
        #expect(seen == (order == .oldestFirst ? Array(1...25) : Array((1...25).reversed())))
      }
      var wrong = RecordQuery()
      wrong.cursor = "x'; DROP TABLE call_record"
      #expect(throws: StoreError.self) { try store.records(wrong) }
      #expect(try store.record(make.id(99)) == nil)
      #expect(try store.record(CallID(incarnation: .max, serial: .max)) == nil)
    }
  }

  func aLaterStartIsNewer() throws {
    try withStore { store throws in
      var first = FactMaker(incarnation: 1_800_000_000_000)
      var second = FactMaker(incarnation: 1_800_000_999_999)
      try store.write(
        [first.attempted(7), first.ended(7, setup: 0, answer: nil, at: 1)], clock: clock)
      try store.write([second.attempted(1)], clock: clock)
      #expect(try store.records(RecordQuery()).records.map(\.id) == [second.id(1), first.id(7)])
      #expect(try store.record(first.id(1)) == nil)
    }
  }

  func purgeRemovesWhatEndedBefore() throws {
    try withStore { store throws in
      var make = FactMaker()
      var facts: [Fact] = []
      for serial in UInt64(1)...2_500 {
        facts.append(make.ended(serial, setup: Int(serial), answer: nil, at: Int(serial) + 10))
      }
      facts.append(make.attempted(9_000, at: 1))
      try store.write(facts, clock: clock)
      #expect(try store.purge(endedBefore: TestClock.epoch + 2_011) == 2_000)
      #expect(try store.sizes().records == 500)
      #expect(try store.purge(endedBefore: TestClock.epoch + 2_011) == 0)
      #expect(try store.record(make.id(9_000)) != nil)
      #expect(try store.record(make.id(2_000)) == nil)
      #expect(try store.record(make.id(2_001)) != nil)
    }
  }

  func resourcesAreNumberedAndKept() throws {
    try withStore { store throws in
      #expect(try store.latestResources() == nil)
      #expect(try store.save(resources: "{\"a\":\"é😀\\u0000\"}", sealedBy: nil, at: 5) == 1)
      #expect(try store.save(resources: "two", sealedBy: "k", at: 6) == 2)
    }
    try withStore { store throws in
      let latest = ResourceRevision(revision: 2, appliedAt: 6, document: "two", key: "k")
      #expect(try store.latestResources() == latest)
      #expect(try store.resources(revision: 1)?.document == "{\"a\":\"é😀\\u0000\"}")
      #expect(try store.resources(revision: 3) == nil)
      #expect(try store.resourceKeys() == [nil, "k"])
    }
  }

  /// Whatever a peer writes into its headers comes back as it was, and does nothing else.
  func hostileTextsAreInert() throws {
    let texts = [
      "'; DROP TABLE call_record; --", "\" OR 1=1", "%s%n", "${jndi:ldap://x}",
      "=HYPERLINK(\"http://x\")", "<script>", "a\r\nb", "\u{202e}abc", "😀", "",
      "{\"target\":1}", "]]>", "\\", "\u{1b}[2J",
    ]
    try withStore { store throws in
      let make = FactMaker()
      for (position, text) in texts.enumerated() {
        var record = make.record(UInt64(position + 1))
        record.callerNumber = text
        record.calledNumber = text
        record.sipCallID = text
        record.tenant = text
        record.from = text
        record.codec = text
        record.state = .ended
        record.end = at(10)
        record.attempts = [CallAttempt(target: text, started: at(1))]
        try store.write(
          [Fact(sequence: UInt64(position), at: at(10), event: .callEnded(record))], clock: clock)
        let stored = try #require(try store.record(record.id))
        #expect(stored.callerNumber == text && stored.calledNumber == text)
        #expect(stored.sipCallID == text && stored.tenant == text && stored.codec == text)
        #expect(stored.attempts.map(\.target) == [text])
        var query = RecordQuery()
        query.number = text
        query.tenant = text
        query.party = text
        #expect(try store.records(query).records.map(\.id) == [record.id])
      }
      #expect(try store.sizes().records == texts.count)
      var record = make.record(1_000)
      record.callerNumber = "x\0y"
      try store.write([Fact(sequence: 1, at: at(1), event: .callAttempted(record))], clock: clock)
      #expect(try store.record(record.id)?.callerNumber == "x\u{fffd}y")
    }
  }

  /// A peer's long texts are cut, in the middle of no character.
  func longTextsAreCut() throws {
    try withStore { store throws in
      let make = FactMaker()
      var record = make.record(1)
      record.sipCallID = String(repeating: "é", count: 40_000)
      record.callerNumber = "x" + String(repeating: "😀", count: 20_000)
      record.attempts = (0..<5_000).map {
        CallAttempt(target: "trunk:t\($0)", started: at($0), ended: at($0 + 1), status: 503)
      }
      try store.write([Fact(sequence: 1, at: at(1), event: .callAttempted(record))], clock: clock)
      let stored = try #require(try store.record(record.id))
      #expect(stored.sipCallID == String(repeating: "é", count: 512))
      #expect(stored.callerNumber == "x" + String(repeating: "😀", count: 255))
      #expect(stored.attempts.count == 64)
    }
  }
}
