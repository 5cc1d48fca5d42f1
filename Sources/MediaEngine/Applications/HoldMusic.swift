import Glibc

/// Music of our own for who is on hold and has been given no file: a slow figure over four chords, about -20 dBm0, with no
/// silence in it, that goes on at its end as it began. Made here, so that nobody has a right to it.
enum HoldMusic {
  private static let rate = 8_000.0
  /// Samples of one of the eight notes of a chord.
  private static let step = 3_000
  /// A note sounds on for so many steps below those that follow.
  private static let tail = 6

  /// Semitones above A3 (220 Hz): Am7, Fmaj7, C, G, each as low, middle, high and back.
  private static let chords: [[Int]] = [
    [0, 7, 12, 15, 19, 15, 12, 10], [-4, 3, 8, 12, 15, 12, 8, 7],
    [3, 7, 12, 15, 19, 15, 12, 7], [-2, 5, 10, 14, 17, 14, 10, 5],
  ]

  /// At 8 kHz; 12 seconds.
  static func samples() -> [Int16] {
    let notes = chords.flatMap { $0 }
    let count = notes.count * step
    var sum = [Double](repeating: 0, count: count)
    for (index, note) in notes.enumerated() {
      let frequency = 220 * pow(2, Double(note) / 12)
      for i in 0..<tail * step {
        sum[(index * step + i) % count] += sample(frequency, i)
      }
    }
    let peak = sum.reduce(1e-9) { max($0, abs($1)) }
    return sum.map { Int16($0 / peak * 8_000) }
  }

  /// A plucked string, nearly: each overtone dies away sooner than the one below it.
  private static func sample(_ frequency: Double, _ index: Int) -> Double {
    let time = Double(index) / rate
    let attack = min(Double(index) / 80, 1)
    var value = 0.0
    for overtone in 1...3 where frequency * Double(overtone) < 3_400 {
      let order = Double(overtone)
      value += sin(2 * Double.pi * frequency * order * time) * exp(-1.6 * order * time) / order
    }
    // It ends at nothing, not at a step.
    let fade = min(Double(tail * step - index) / 800, 1)
    return value * attack * fade
  }
}
