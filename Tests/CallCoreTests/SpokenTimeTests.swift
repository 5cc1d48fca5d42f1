import Base
import CallCore
import Testing

/// What several calls have talked together, against the sum of their times.
@Suite struct SpokenTimeTests {
  @Test(arguments: 1...20) func itIsTheSumOfTheirTimes(seed: UInt64) {
    var random = RandomSource(seed: seed)
    var spoken = SpokenTime()
    var now = Instant.zero + .seconds(5)
    var open: [Instant] = []
    var past = Interval.zero
    for _ in 0..<500 {
      now = now + .milliseconds(Int(random.next() % 60_000))
      if open.isEmpty || random.next() % 2 == 0 {
        spoken.begin(at: now)
        open.append(now)
      } else {
        let ended = open.remove(at: Int(random.next() % UInt64(open.count)))
        spoken.end(at: now)
        past = past + (now - ended)
      }
      let total = open.reduce(past) { $0 + (now - $1) }
      #expect(spoken.total(at: now) == total)
      // When it says that so much is reached, it is, and a moment before it is not.
      guard !open.isEmpty else { continue }
      let most = total + .seconds(100)
      let at = spoken.reaches(most, at: now)
      var later = spoken
      #expect(later.total(at: at) >= most)
      var before = spoken
      #expect(before.total(at: at + .milliseconds(-1)) < most)
    }
  }

  @Test func aDayEnds() {
    var spoken = SpokenTime()
    let start = Instant.zero + .seconds(100)
    spoken.begin(at: start)
    #expect(spoken.total(at: start + .seconds(86_399)) == .seconds(86_399))
    // What is talked on after midnight counts for the new day.
    #expect(spoken.total(at: start + .seconds(86_410)) == .seconds(10))
    spoken.end(at: start + .seconds(86_420))
    #expect(spoken.total(at: start + .seconds(90_000)) == .seconds(20))
    spoken.end(at: start + .seconds(90_000))
    #expect(spoken.talking == 0)
  }
}
