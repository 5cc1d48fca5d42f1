import Base
package import CallCore

/// The store of the world: facts wait in memory, are written in groups after a seeded delay, and only
/// what was written survives a crash.
package final class SimulatedStore {
  package private(set) var durable: [Fact] = []
  private var waiting: [Fact] = []
  private var writing = false
  /// False: nothing is confirmed any more, as on a full or broken disk.
  package var isStalled = false
  package var delay: ClosedRange<Int> = 1...12
  unowned let world: World
  private var random: SeededRandom

  init(world: World, random: SeededRandom) {
    self.world = world
    self.random = random
  }

  func append(_ facts: [Fact]) {
    waiting += facts
    beginWrite()
  }

  package func resume() {
    isStalled = false
    beginWrite()
  }

  /// What was not confirmed is gone; a write under way is lost too.
  func crash() {
    waiting = []
    writing = false
  }

  /// The calls that were up, as far as the disk knows; in the order in which they were attempted.
  func established(lastAlive: Instant) -> [EstablishedCall] {
    var order: [CallID] = []
    var open: [CallID: (record: CallRecord, session: [UInt8])] = [:]
    for fact in durable {
      switch fact.event {
      case .callAttempted(let record): order.append(record.id)
      case .callAnswered(let record, let session), .callRecovered(let record, let session):
        open[record.id] = (record, session)
      case .sessionChanged(let session):
        if let call = fact.call { open[call]?.session = session }
      case .callEnded(let record): open[record.id] = nil
      default: break
      }
    }
    return order.compactMap { id in
      guard let call = open[id], let session = SessionRecord(call.session) else { return nil }
      return EstablishedCall(record: call.record, session: session, lastAlive: lastAlive)
    }
  }

  private func beginWrite() {
    guard !writing, !waiting.isEmpty, !isStalled else { return }
    writing = true
    let group = waiting.count
    let epoch = world.epoch
    world.after(random.interval(delay)) { [self] in
      guard epoch == world.epoch else { return }
      writing = false
      // A stall holds back what was being written as well.
      guard !isStalled, waiting.count >= group, let last = waiting.prefix(group).last else {
        return
      }
      durable += waiting.prefix(group)
      waiting.removeFirst(group)
      world.confirm(upTo: last.sequence)
      beginWrite()
    }
  }
}
