/// What is quiet beside what was loud before.
struct Loudness: Sendable {
  /// Of the mean magnitude of 16-bit samples: some -55 dBm0, below which nobody misses anything.
  private static let floor = 40
  /// Quieter than the loudest by 24 dB.
  private static let below = 16

  /// The mean magnitude of the loudest packets, forgotten within some ten seconds.
  private var loudest = 0

  init() {}

  /// Takes the first `count` samples in; whether they are quiet.
  mutating func isQuiet(_ samples: [Int16], _ count: Int) -> Bool {
    guard count > 0, count <= samples.count else { return true }
    var sum = 0
    for i in 0..<count { sum += Int(samples[i].magnitude) }
    let mean = sum / count
    loudest = max(mean, loudest - (loudest + 511) / 512)
    return mean <= max(Self.floor, loudest / Self.below)
  }
}
