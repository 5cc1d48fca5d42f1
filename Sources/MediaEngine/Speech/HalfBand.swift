/// Halves or doubles the rate of samples by a low-pass filter of 47 taps: flat within 0.02 dB to 0.2125 of the higher
/// rate (3.4 of 16 kHz), 54 dB down from 0.2875 on, and 24 samples of the higher rate late. It knows the samples before,
/// so that packets join without a seam.
package struct HalfBand: Sendable {
  package enum Direction: Sendable { case halving, doubling }

  /// A sinc under a Kaiser window (beta 5.2), times 2^15: the odd taps of one side. The middle one is a half, and
  /// every other even one is 0.
  private static let taps: InlineArray<12, Int32> = [
    10_387, -3_342, 1_867, -1_195, 801, -540, 358, -229, 139, -78, 38, -14,
  ]

  private let direction: Direction
  /// The samples that the next ones need before them, and then those.
  private var line: [Int16]
  private let past: Int

  /// Nil where there is nothing to convert. `milliseconds`: what is given at once, at most.
  init?(from: SpeechBand, to: SpeechBand, milliseconds: Int) {
    guard from != to else { return nil }
    self.init(
      from == .wide ? .halving : .doubling, longest: milliseconds * from.perMillisecond)
  }

  package init(_ direction: Direction, longest: Int) {
    self.direction = direction
    past = direction == .halving ? 47 : 23
    line = Array(repeating: 0, count: past + longest)
  }

  /// Replaces the first `count` samples, an even number where they are halved, by what comes of them; how many that
  /// are. `samples` has the room.
  package mutating func convert(_ samples: inout [Int16], _ count: Int) -> Int {
    let count = min(count, line.count - past)
    for i in 0..<count { line[past + i] = samples[i] }
    let made =
      switch direction {
      case .halving: halve(&samples, count)
      case .doubling: double(&samples, count)
      }
    for i in 0..<past { line[i] = line[count + i] }
    return made
  }

  private func halve(_ samples: inout [Int16], _ count: Int) -> Int {
    for m in 0..<count / 2 {
      let middle = 2 * m + 23
      var sum = Int32(line[middle]) << 14
      for k in 0..<12 {
        sum &+= Self.taps[k] &* (Int32(line[middle - 1 - 2 * k]) + Int32(line[middle + 1 + 2 * k]))
      }
      samples[m] = Int16(clamping: sum >> 15)
    }
    return count / 2
  }

  private func double(_ samples: inout [Int16], _ count: Int) -> Int {
    for m in 0..<count {
      var sum: Int32 = 0
      for k in 0..<12 {
        sum &+= Self.taps[k] &* (Int32(line[m + 11 - k]) + Int32(line[m + 12 + k]))
      }
      samples[2 * m] = line[m + 11]
      samples[2 * m + 1] = Int16(clamping: sum >> 14)
    }
    return 2 * count
  }
}
