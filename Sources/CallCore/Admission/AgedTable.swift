import Base

/// What a table of fixed size keeps of somebody.
protocol Aged: BitwiseCopyable {
  init()
  /// From this time on, in nanoseconds of the shard's clock, it says no more than a new one.
  var meaningful: UInt64 { get }
}

/// Keys to small values in memory of a fixed size: sets of eight, chosen by a keyed hash, so that nobody can aim at a
/// set. Where a set is full, whoever would soonest be as good as new is forgotten; a table that is much too small for
/// what comes forgets much, and never grows. The memory is taken with the first key.
struct AgedTable<Value: Aged>: ~Copyable {
  private static var ways: Int { 8 }

  /// A key's upper half; 0: the place is free.
  private var tags: [UInt64] = []
  private var values: [Value] = []
  private let sets: Int

  /// Room for `capacity` keys, rounded up to a power of two of at least eight.
  init(capacity: Int) {
    var sets = 1
    while sets * Self.ways < capacity, sets < 1 << 24 { sets <<= 1 }
    self.sets = sets
  }

  var capacity: Int { sets * Self.ways }
  /// Bytes that it holds.
  var memory: Int { tags.count * (8 + MemoryLayout<Value>.stride) }

  private static func tag(_ key: HashKey) -> UInt64 { key.high | 1 }

  private func first(_ key: HashKey) -> Int {
    Int(truncatingIfNeeded: key.low & UInt64(sets &- 1)) &* Self.ways
  }

  /// Where the key's value is; nil: nothing is known of it.
  func find(_ key: HashKey) -> Int? {
    guard !tags.isEmpty else { return nil }
    let (first, tag) = (first(key), Self.tag(key))
    for place in first..<first &+ Self.ways where tags[place] == tag { return place }
    return nil
  }

  /// Where the key's value is; a new one where nothing is known of it.
  mutating func place(_ key: HashKey) -> Int {
    if tags.isEmpty {
      tags = Array(repeating: 0, count: capacity)
      values = Array(repeating: Value(), count: capacity)
    }
    let (first, tag) = (first(key), Self.tag(key))
    var chosen = first
    var least = UInt64.max
    for place in first..<first &+ Self.ways {
      if tags[place] == tag { return place }
      let worth = tags[place] == 0 ? 0 : values[place].meaningful
      if worth < least {
        least = worth
        chosen = place
      }
    }
    tags[chosen] = tag
    values[chosen] = Value()
    return chosen
  }

  subscript(place: Int) -> Value {
    get { values[place] }
    set { values[place] = newValue }
  }
}
