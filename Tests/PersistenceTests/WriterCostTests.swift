import Base
import CallCore
import Foundation
import Glibc
import Persistence
import Synchronization
import Testing

/// What a call costs on its way to the disk, of all CPU of the process, at a steady rate. A measurement,
/// not a check: `DEMARC_MEASURE=1 swift test -c release --filter WriterCostTests`.
struct WriterCostTests {
  @Test(.enabled(if: ProcessInfo.processInfo.environment["DEMARC_MEASURE"] != nil))
  func fiveHundredCallsASecond() throws {
    let folder = try Folder()
    let store = try SQLiteStore(path: folder.store)
    defer { store.close() }
    let start = ContinuousClock.now
    let clock = StoreClock(
      now: { at(Int((ContinuousClock.now - start) / .milliseconds(1))) },
      wall: { 1_800_000_000_000 + Int64($0.nanoseconds / 1_000_000) })
    let waits = Mutex<(sent: [UInt64: ContinuousClock.Instant], took: [Duration])>(([:], []))
    let writer = RecordWriter(store: store, clock: clock) { sequence in
      let now = ContinuousClock.now
      waits.withLock { waits in
        for (key, sent) in waits.sent where key <= sequence {
          waits.took.append(now - sent)
          waits.sent[key] = nil
        }
      }
    }
    let calls = 5_000
    let session = [UInt8](repeating: 7, count: 600)
    var make = FactMaker()
    func pace(_ step: Int) {
      let due = start + .milliseconds(2 * step)
      let left = due - ContinuousClock.now
      if left > .zero { usleep(UInt32(left / .microseconds(1))) }
    }
    func run(_ count: Int, from first: Int, writing: Bool) -> Double {
      let before = cpu()
      for step in first..<first + count {
        pace(step)
        // Each call is answered 1 s and ended 5 s after its attempt.
        var facts = [make.attempted(UInt64(step + 1), at: step * 2)]
        let attempt = make.sequence
        if step - first >= 500 {
          let serial = step - 500
          facts.append(
            make.answered(
              UInt64(serial + 1), setup: serial * 2, at: serial * 2 + 1_000, session: session))
        }
        if step - first >= 2_500 {
          let serial = step - 2_500
          facts.append(
            make.ended(
              UInt64(serial + 1), setup: serial * 2, answer: serial * 2 + 1_000,
              at: serial * 2 + 5_000))
        }
        guard writing else { continue }
        waits.withLock { $0.sent[attempt] = ContinuousClock.now }
        for fact in facts { writer.submit([fact]) }
      }
      return (cpu() - before) / Double(count) * 1e6
    }
    let baseline = run(calls, from: 0, writing: false)
    let written = run(calls * 2, from: calls, writing: true)
    #expect(writer.stop())
    let took = waits.withLock { $0.took.sorted() }
    let batches = writer.counters.batches
    let latency = "p50 \(took[took.count / 2]), p99 \(took[took.count * 99 / 100])"
    print(
      "records at 500 calls/s: \(written - baseline) µs CPU a call (\(baseline) without writing), "
        + "\(batches) batches, durable after \(latency)")
    print("the store: \(try store.sizes()), \(store.bytes) bytes")
  }

  /// Seconds of CPU of all the process's threads.
  private func cpu() -> Double {
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}
