package import Base

/// The world's only source of chance: SplitMix64 from a seed, so that a run can be repeated.
package struct SeededRandom: Sendable {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// An independent generator: what is drawn from it does not move this one again.
  package mutating func fork() -> SeededRandom { SeededRandom(seed: next() ^ 0x5deece66d) }

  /// 0 ..< bound; 0 for a bound of 0 or less.
  package mutating func below(_ bound: Int) -> Int {
    bound <= 0 ? 0 : Int(next() % UInt64(bound))
  }

  package mutating func within(_ range: ClosedRange<Int>) -> Int {
    range.lowerBound + below(range.upperBound - range.lowerBound + 1)
  }

  /// True once in `1 / probability` draws.
  package mutating func chance(_ probability: Double) -> Bool {
    probability > 0 && Double(next() >> 11) < probability * 0x1p53
  }

  package mutating func pick<T>(_ choices: [T]) -> T? {
    choices.isEmpty ? nil : choices[below(choices.count)]
  }

  package mutating func interval(_ milliseconds: ClosedRange<Int>) -> Interval {
    .milliseconds(within(milliseconds)) + .microseconds(below(1_000))
  }

  package mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8(truncatingIfNeeded: next() >> 32) }
  }
}
