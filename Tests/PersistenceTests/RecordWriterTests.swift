import Base
import CallCore
import Foundation
import Persistence
import Synchronization
import Testing

/// A store that fails when it is told to, and remembers what it was given.
private final class FlakyStore: CallStore {
  struct State {
    var failure: StoreError?
    var isSlow = false
    var batches: [[Fact]] = []
    var heartbeats = 0
    var attempts = 0
  }
  let state = Mutex(State())

  func write(_ facts: [Fact], clock: StoreClock) throws(StoreError) {
    if state.withLock({ $0.isSlow }) { Thread.sleep(forTimeInterval: 0.02) }
    let failure = state.withLock { state in
      state.attempts += 1
      if state.failure == nil { state.batches.append(facts) }
      return state.failure
    }
    if let failure { throw failure }
  }
  func heartbeat(clock: StoreClock) throws(StoreError) { state.withLock { $0.heartbeats += 1 } }
  func recover(clock: StoreClock) throws(StoreError) -> Recovery { Recovery() }
  func record(_ id: CallID) throws(StoreError) -> StoredRecord? { nil }
  func records(_ query: RecordQuery) throws(StoreError) -> RecordPage { RecordPage(records: []) }
  func purge(endedBefore milliseconds: Int64) throws(StoreError) -> Int { 0 }
  func noteDeleted(recording name: String, _ deletion: RecordingDeletion) throws(StoreError) {}
  func save(
    resources document: String, sealedBy key: String?, at milliseconds: Int64
  ) throws(StoreError) -> UInt64 { 1 }
  func latestResources() throws(StoreError) -> ResourceRevision? { nil }
  func resources(revision: UInt64) throws(StoreError) -> ResourceRevision? { nil }
  func resourceKeys() throws(StoreError) -> Set<String?> { [] }
  func rewriteResources(
    _ change: (ResourceRevision) throws(StoreError) -> ResourceRevision
  ) throws(StoreError) {}
  func sizes() throws(StoreError) -> StoreSizes { StoreSizes() }
  var bytes: Int64 { 0 }
  func close() {}

  var sequences: [UInt64] { state.withLock { $0.batches.flatMap { $0.map(\.sequence) } } }
}

private final class Told: Sendable {
  let durable = Mutex<[UInt64]>([])
  let states = Mutex<[RecordWriter.State]>([])
}

struct RecordWriterTests {
  private let store = FlakyStore()
  private let told = Told()

  private func writer(_ change: (inout RecordWriter.Options) -> Void = { _ in }) -> RecordWriter {
    var options = RecordWriter.Options()
    options.firstRetry = .milliseconds(5)
    change(&options)
    return RecordWriter(
      store: store, clock: TestClock().clock, options: options,
      durable: { [told] sequence in told.durable.withLock { $0.append(sequence) } },
      stateChanged: { [told] state in told.states.withLock { $0.append(state) } })
  }

  /// Looks every few milliseconds, for at most ten seconds.
  private func eventually(_ condition: () -> Bool) -> Bool {
    for _ in 0..<2_000 {
      if condition() { return true }
      Thread.sleep(forTimeInterval: 0.005)
    }
    return condition()
  }

  @Test func everythingIsWrittenInOrderAndTold() {
    let writer = writer()
    var make = FactMaker()
    for serial in UInt64(1)...500 {
      writer.submit([
        make.attempted(serial), make.fact(.callRinging),
        make.ended(serial, setup: 0, answer: nil, at: 1),
      ])
    }
    #expect(writer.stop())
    #expect(store.sequences == (1...1_500).filter { $0 % 3 != 2 })
    let durable = told.durable.withLock { $0 }
    #expect(durable == durable.sorted() && durable.last == 1_500)
    #expect(told.states.withLock { $0 }.isEmpty)
    #expect(writer.counters.facts == 1_000 && writer.counters.waiting == 0)
  }

  @Test func anIdleWriterWritesAtOnce() {
    let writer = writer { $0.linger = .milliseconds(500) }
    var make = FactMaker()
    let clock = ContinuousClock()
    let took = clock.measure {
      writer.submit([make.attempted(1)])
      #expect(eventually { told.durable.withLock { $0.last } == 1 })
    }
    #expect(took < .milliseconds(300))
    #expect(writer.stop())
  }

  @Test func aBurstIsFewBatches() {
    store.state.withLock { $0.isSlow = true }
    let writer = writer()
    var make = FactMaker()
    for serial in UInt64(1)...1_000 { writer.submit([make.attempted(serial)]) }
    #expect(writer.stop())
    #expect(writer.counters.batches < 50)
    #expect(store.sequences == Array(1...1_000))
  }

  @Test func nothingIsAcknowledgedThatIsNotWritten() {
    let full = StoreError(.full, "no space")
    store.state.withLock { $0.failure = full }
    let writer = writer()
    var make = FactMaker()
    writer.submit([make.attempted(1)])
    #expect(eventually { store.state.withLock { $0.attempts } >= 3 })
    writer.submit([make.attempted(2), make.ended(1, setup: 0, answer: nil, at: 3)])
    Thread.sleep(forTimeInterval: 0.05)
    #expect(told.durable.withLock { $0 }.isEmpty)
    #expect(told.states.withLock { $0 } == [.failing(full)])
    #expect(writer.counters.state == .failing(full))

    store.state.withLock { $0.failure = nil }
    #expect(eventually { told.durable.withLock { $0.last } == 3 })
    #expect(store.sequences == [1, 2, 3])
    #expect(told.states.withLock { $0 } == [.failing(full), .writing])
    #expect(writer.counters.state == .writing)
    #expect(writer.stop())
  }

  @Test func stoppingGivesUpOnAStoreThatStaysBroken() {
    store.state.withLock { $0.failure = StoreError(.disk, "broken") }
    let writer = writer()
    var make = FactMaker()
    writer.submit([make.attempted(1)])
    #expect(!writer.stop(within: .seconds(5)))
    #expect(told.durable.withLock { $0 }.isEmpty)
  }

  @Test func behindItsBoundItKeepsWhatRecordsNeed() {
    store.state.withLock { $0.failure = StoreError(.full, "no space") }
    let writer = writer { $0.queueLimit = 10 }
    var make = FactMaker()
    writer.submit([make.attempted(1)])
    #expect(eventually { store.state.withLock { $0.attempts } >= 1 })
    for serial in UInt64(2)...20 { writer.submit([make.attempted(serial)]) }
    for _ in 0..<50 {
      writer.submit([make.fact(.bindingAdded(make.binding("alice", expires: 9)))])
    }
    writer.submit([make.ended(1, setup: 0, answer: nil, at: 3)])
    #expect(writer.counters.leftOut == 50)
    store.state.withLock { $0.failure = nil }
    #expect(writer.stop())
    #expect(store.sequences == Array(1...20) + [71])
    #expect(told.durable.withLock { $0.last } == 71)
  }

  @Test func aSignOfLifeWhileNothingHappens() {
    let writer = writer { $0.heartbeat = .milliseconds(10) }
    #expect(eventually { store.state.withLock { $0.heartbeats } >= 3 })
    #expect(writer.stop())
  }

  /// The disk of a real store fills and is emptied; order and records survive.
  @Test func aFullDiskAndBack() throws {
    let folder = try Folder()
    let disk = try SQLiteStore(path: folder.store)
    defer { disk.close() }
    let told = told
    let options = {
      var options = RecordWriter.Options()
      options.firstRetry = .milliseconds(5)
      options.longestRetry = .milliseconds(20)
      return options
    }()
    let writer = RecordWriter(
      store: disk, clock: TestClock().clock, options: options,
      durable: { sequence in told.durable.withLock { $0.append(sequence) } },
      stateChanged: { state in told.states.withLock { $0.append(state) } })
    try disk.limit(pages: 60)
    var make = FactMaker()
    var serial: UInt64 = 0
    // About 400 bytes a record: 60 pages hold some 300.
    while told.states.withLock({ $0.isEmpty }), serial < 20_000 {
      serial += 1
      writer.submit([make.attempted(serial), make.ended(serial, setup: 0, answer: 5, at: 9)])
      if serial % 50 == 0 { Thread.sleep(forTimeInterval: 0.01) }
    }
    guard case .failing(let error)? = told.states.withLock({ $0.first }) else {
      Issue.record("the store never filled")
      return
    }
    #expect(error.kind == .full)
    let before = told.durable.withLock { $0.last } ?? 0
    #expect(before < serial * 2)
    try disk.limit(pages: 1_000_000)
    for _ in 0..<500 where told.states.withLock({ $0.last }) != .writing {
      Thread.sleep(forTimeInterval: 0.01)
    }
    #expect(writer.stop())
    #expect(told.states.withLock { $0.last } == .writing)
    #expect(told.durable.withLock { $0.last } == serial * 2)
    #expect(try disk.sizes().records == Int(serial))
  }
}
