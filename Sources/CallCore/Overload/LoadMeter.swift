package import Base

/// How far behind a shard is, and which part of the new calls is refused for it. RFC 7339 §5.3 leaves both to
/// the server.
///
/// Measured is how long messages waited before the shard took them, whatever the reason: its own work, a
/// neighbour on the machine, a stall. A burst waits too; a queue that is never empty is what tells overload from
/// a burst. So the least wait at a listener in a tenth of a second counts, as in CoDel (RFC 8289 §3), and of the
/// listeners the worst: an idle one says nothing of its neighbour.
///
/// From that follows the part that is let in, as in PIE (RFC 8033 §4.2): by how far the wait is from the target,
/// and by where it is going. Both work on the part itself, so that four times the load is steered as finely as
/// twice the load. The way back is quicker when nothing waits any more, and over within five seconds.
///
/// There are two doors. That of the strangers closes first, and that of those who are known opens first.
package struct LoadMeter: Sendable {
  /// A wait that nobody notices. Overload begins above it, and is not over before it was below half of it.
  package static let target = Interval.milliseconds(20)
  package static let window = Interval.milliseconds(100)
  static let open = 1_000
  /// Below this nobody is let in, or, of those who are known, just so many: what becomes of them is how one
  /// learns that it is over.
  static let least = 50
  /// So many refusals take as long as a call, or less.
  static let refusalsPerCall = 10
  /// Windows that refusing all strangers is given to show what it does before anybody else is refused.
  static let patience = 5

  private var windowEnd: Instant
  /// The least wait of the window by listener, in nanoseconds; `.max`: nothing came.
  private var waits: [Int64]
  private var hasDropped = false
  /// What became of new calls in the window.
  private var strangersLetIn = 0
  private var strangersRefused = 0
  private var knownLetIn = 0

  /// Of a thousand new calls, how many are let in.
  private var strangersPart = LoadMeter.open
  private var knownPart = LoadMeter.open
  /// Milliseconds that the last window's wait was.
  private var before: Int64 = 0
  /// Windows in a row in which nothing waited.
  private var calm = 0
  private var patience = 0
  /// The standing wait of the last window.
  package private(set) var standing = Interval.zero

  package init(listeners: Int, at now: Instant) {
    waits = Array(repeating: .max, count: listeners)
    windowEnd = now + Self.window
  }

  /// Listeners only ever come to be more.
  package mutating func follow(listeners: Int) {
    while waits.count < listeners { waits.append(.max) }
  }

  package var isBehind: Bool { strangersPart < Self.open || knownPart < Self.open }

  /// Of a thousand new calls, how many are refused. Ask after `roll`.
  package func refused(_ rank: CallerRank) -> Int {
    switch rank {
    case .stranger: Self.open - strangersPart
    case .known: Self.open - knownPart
    }
  }

  // MARK: What is noted

  /// The oldest of what was taken together had waited so long.
  package mutating func waited(_ wait: Interval, on listener: ListenerIndex, at now: Instant) {
    roll(to: now)
    guard waits.indices.contains(Int(listener)) else { return }
    waits[Int(listener)] = min(waits[Int(listener)], max(wait.nanoseconds, 0))
  }

  /// The kernel had no room for datagrams: a queue that is full, however short its wait is.
  package mutating func dropped(at now: Instant) {
    roll(to: now)
    hasDropped = true
  }

  /// What became of a new call; those whom nothing keeps out are not counted.
  package mutating func decided(_ rank: CallerRank, isRefused: Bool) {
    switch rank {
    case .stranger where isRefused: strangersRefused &+= 1
    case .stranger: strangersLetIn &+= 1
    case .known where !isRefused: knownLetIn &+= 1
    case .known: break
    }
  }

  /// Closes the windows that have ended: a time in which nothing came is one without a queue.
  package mutating func roll(to now: Instant) {
    guard now >= windowEnd else { return }
    close()
    let missed = min((now - windowEnd).nanoseconds / Self.window.nanoseconds, 100)
    for _ in 0..<missed { close() }
    windowEnd = now + Self.window
  }

  // MARK: What follows from it

  private mutating func close() {
    var worst: Int64 = 0
    for i in waits.indices where waits[i] != .max {
      worst = max(worst, waits[i])
      waits[i] = .max
    }
    standing = Interval(nanoseconds: worst)
    let target = Int64(Self.target.milliseconds)
    var wait = min(worst / 1_000_000, 10 * target)
    if hasDropped { wait = max(wait, 2 * target) }
    let change = wait - target + 4 * (wait - before)
    before = wait
    calm = wait < target / 2 ? min(calm + 1, 100) : 0
    if isBehind || wait > target {
      if change > 0 { refuseMore(Int(min(change, 250))) } else { refuseLess(Int(min(-change, 60))) }
    }
    strangersLetIn = 0
    strangersRefused = 0
    knownLetIn = 0
    hasDropped = false
  }

  /// By so many thousandths of the part that is let in.
  private mutating func refuseMore(_ change: Int) {
    if strangersPart > 0 {
      // Where none was let in, refusing more of them would change nothing.
      strangersPart = strangersLetIn == 0 ? 0 : strangersPart * (1_000 - change) / 1_000
      if strangersPart < Self.least { strangersPart = 0 }
      patience = Self.patience
      if strangersLetIn + strangersRefused > 0 { return }
      patience = 0
    }
    if patience > 0 {
      patience -= 1
      return
    }
    // Not while refusing strangers is what takes the time: known callers would lose, and nobody gain.
    guard knownLetIn * Self.refusalsPerCall >= strangersRefused else { return }
    knownPart = max(knownPart * (1_000 - change) / 1_000, Self.least)
  }

  private mutating func refuseLess(_ change: Int) {
    let step = 3 + 10 * max(calm - 4, 0)
    if knownPart < Self.open {
      knownPart = min(knownPart + knownPart * change / 1_000 + step, Self.open)
    } else {
      strangersPart = min(
        strangersPart + strangersPart * change / 1_000 + step,
        calm > 0 ? Self.open : Self.open - 10)
    }
  }
}

/// Who asks for a new call. A call for help is of no rank: it is never refused for load.
package enum CallerRank: Sendable {
  /// Whoever has not proved anything.
  case stranger
  /// A trunk of ours, or a user with the right password.
  case known
}
