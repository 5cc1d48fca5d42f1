import Base
import CallCore
import Foundation
import MediaControl
import Persistence
import Policy
import Testing

/// Calls that were up when the process ended: they stay open, and whoever goes on with them writes their end.
struct EstablishedCallTests {
  private let folder: Folder
  private let time = TestClock()

  init() throws { folder = try Folder() }

  private func withStore<Value>(_ body: (SQLiteStore) throws -> Value) throws -> Value {
    let store = try SQLiteStore(path: folder.store, listeners: ["udp4"])
    defer { store.close() }
    return try body(store)
  }

  private func session(_ call: CallID) -> SessionRecord {
    SessionRecord(call: call, seats: [], legs: [])
  }

  /// Two calls, one of which rings, are left by a process that was last heard of after a minute.
  private func leave(_ make: inout FactMaker) throws {
    let known = session(make.id(2)).encoded
    try withStore { store in
      try store.write([make.attempted(1, at: 100), make.attempted(2, at: 200)], clock: time.clock)
      try store.write(
        [make.answered(2, setup: 200, at: 1_200, session: known)], clock: time.clock)
      time.advance(60_000)
      try store.heartbeat(clock: time.clock)
      time.advance(3_000)
    }
  }

  private func end(
    _ call: EstablishedCall, at end: Instant, _ make: inout FactMaker, _ store: SQLiteStore,
    _ clock: StoreClock
  ) throws {
    var record = call.record
    record.note("went on after a restart")
    let before = record
    record.state = .ended
    record.end = end
    record.releasedBy = .callee
    record.cause = .normalClearing
    make.incarnation += 1
    try store.write(
      [
        make.fact(.callRecovered(before, session: call.session.encoded), call: record.id),
        make.fact(.callsRecovered(RecoveryOutcome())),
      ], clock: clock)
    try store.write([make.fact(.callEnded(record), call: record.id)], clock: clock)
  }

  @Test("An answered call is found as it was, as often as it is looked for, until it ends")
  func found() throws {
    var make = FactMaker()
    try leave(&make)
    try withStore { store in
      let recovery = try store.recover(clock: time.clock)
      #expect(recovery.interrupted.map(\.id) == [make.id(1)])
      let call = try #require(recovery.established.first)
      #expect(recovery.established.count == 1)
      let expected = make.answeredRecord(2, setup: 200, answer: 1_200)
      #expect(call.record == expected)
      #expect(call.session == session(make.id(2)))
      #expect(call.lastAlive == at(60_000))
      #expect(try store.sizes().openCalls == 1 && store.sizes().records == 1)
      #expect(try store.recover(clock: time.clock).established == [call])
      try end(call, at: at(70_200), &make, store, time.clock)
      let stored = try #require(try store.record(call.record.id))
      #expect(stored.state == .ended && stored.cause == .normalClearing)
      #expect(stored.setup == TestClock.epoch + 200 && stored.answer == TestClock.epoch + 1_200)
      #expect(stored.talk == 69_000 && stored.total == 70_000 && stored.answerAfter == 1_000)
      #expect(stored.attempts.count == 1 && stored.notes == ["went on after a restart"])
      #expect(try store.sizes().openCalls == 0 && store.sizes().records == 2)
    }
    try withStore { store in
      let recovery = try store.recover(clock: time.clock)
      #expect(recovery.established.isEmpty && recovery.interrupted.isEmpty)
    }
  }

  @Test("Of a call from before the machine was started the wall clock tells how long it took")
  func afterABoot() throws {
    var make = FactMaker()
    try leave(&make)
    // 110 s after the epoch by the wall, 10 s after the start of the machine.
    let later = TestClock(at: 10_000)
    later.stepWall(100_000)
    try withStore { store in
      let call = try #require(try store.recover(clock: later.clock).established.first)
      #expect(call.record.setup == .zero && call.record.answer == .zero)
      try end(call, at: at(12_000), &make, store, later.clock)
      let stored = try #require(try store.record(call.record.id))
      #expect(stored.setup == TestClock.epoch + 200 && stored.answer == TestClock.epoch + 1_200)
      #expect(stored.end == TestClock.epoch + 112_000)
      #expect(stored.talk == 110_800 && stored.total == 111_800)
    }
  }

  @Test("What says nothing of the session leaves what was said before")
  func keptSession() throws {
    var make = FactMaker()
    try leave(&make)
    try withStore { store in
      let record = make.answeredRecord(2, setup: 200, answer: 1_200)
      let recording = CallRecording(name: "x-1", format: .wav, origin: .rule, by: "trunk:alpha")
      var with = record
      with.recordings = [recording]
      try store.write(
        [make.fact(.recordingChanged(recording, with), call: record.id)], clock: time.clock)
      let call = try #require(try store.recover(clock: time.clock).established.first)
      #expect(call.session == session(make.id(2)))
      #expect(call.record.recordings.map(\.name) == ["x-1"])
    }
  }

  @Test("A session of another version, or of another call, is closed as interrupted")
  func unread() throws {
    for bytes in [session(FactMaker().id(9)).encoded, [1, 2, 3], []] {
      var make = FactMaker()
      try withStore { store in
        try store.write([make.attempted(1)], clock: time.clock)
        try store.write(
          [make.answered(1, setup: 0, at: 500, session: bytes)], clock: time.clock)
        let recovery = try store.recover(clock: time.clock)
        #expect(recovery.established.isEmpty && recovery.interrupted.map(\.id) == [make.id(1)])
        #expect(try store.record(make.id(1))?.state == .interrupted)
      }
    }
  }

  @Test("Ten thousand calls are found in a moment")
  func many() throws {
    var make = FactMaker()
    try withStore { store in
      for batch in 0..<20 {
        var facts: [Fact] = []
        for serial in 1...500 {
          let serial = UInt64(batch * 500 + serial)
          facts.append(make.attempted(serial))
          facts.append(
            make.answered(serial, setup: 0, at: 500, session: session(make.id(serial)).encoded))
        }
        try store.write(facts, clock: time.clock)
      }
      let began = ContinuousClock.now
      #expect(try store.recover(clock: time.clock).established.count == 10_000)
      let took = ContinuousClock.now - began
      // Unoptimized, and on whatever machine this is: a bound against work that grows with the square.
      #expect(took < .seconds(15), "took \(took)")
    }
  }
}
