/// How much later than the fastest packets come, as shares of the last ten seconds or so: bins of two milliseconds up to
/// `longest`, in which what is older weighs less.
struct DelayHistogram: Sendable {
  private static let binMilliseconds = 2
  private static let bins = 200
  /// Milliseconds; what comes later than that belongs to the last bin.
  static let longest = binMilliseconds * bins
  /// A packet weighs this much more than the one before it: 1/512.
  private static let forgetting: UInt32 = 9
  private static let lightest: UInt32 = 1 << 12

  private var shares = [UInt32](repeating: 0, count: bins)
  private var total: UInt64 = 0
  private var weight = lightest

  /// As if ten packets had been so late: what is assumed before anything is known.
  init(assumed milliseconds: Int) {
    for _ in 0..<10 { add(milliseconds: milliseconds) }
  }

  mutating func add(milliseconds: Int) {
    let bin = min(max(milliseconds / Self.binMilliseconds, 0), Self.bins - 1)
    weight &+= weight >> Self.forgetting
    if weight >= 1 << 22 { lighten() }
    shares[bin] &+= weight
    total &+= UInt64(weight)
  }

  /// Everything weighs less by the same factor, so that nothing overflows: all bins together never hold more than 512 times
  /// the heaviest weight.
  private mutating func lighten() {
    weight >>= 10
    total = 0
    for bin in shares.indices {
      shares[bin] >>= 10
      total &+= UInt64(shares[bin])
    }
  }

  /// Milliseconds that no more than `late` in 1 000 packets exceed.
  func delay(late: UInt64) -> Int {
    var rest = total &* late / 1_000
    for bin in shares.indices.reversed() {
      let share = UInt64(shares[bin])
      if share > rest { return (bin + 1) * Self.binMilliseconds }
      rest &-= share
    }
    return Self.binMilliseconds
  }
}
