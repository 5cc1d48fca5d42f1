/// Names one running timer. Generation-checked: cancelling one that fired long ago does nothing.
@frozen @usableFromInline
package struct TimerID: Hashable, Sendable, BitwiseCopyable {
  @usableFromInline var slot: UInt32
  @usableFromInline var generation: UInt32
  @inlinable init(slot: UInt32, generation: UInt32) {
    self.slot = slot
    self.generation = generation
  }
  @inlinable package static var none: TimerID { TimerID(slot: 0, generation: 0) }
  @inlinable package var isNone: Bool { generation == 0 }
}

/// Hierarchical timing wheel with a tick of 10 ms: starting and cancelling a timer take constant time,
/// whatever the number running.
///
/// A timer fires never early and at most one tick late (later only when `popExpired` isn't called).
///
/// Seven levels of 64 slots cover every `Instant`. A timer lives on the level of the highest 6-bit digit
/// in which its tick differs from `cursor`, in the slot of that digit. So everything on a level comes
/// before everything on the next one, the next event is the lowest occupied slot of the lowest occupied
/// level, and empty time is skipped in one step. When the cursor reaches a slot above level 0, its
/// timers move down: at most six moves in a timer's life, none for most that are cancelled.
@safe @frozen @usableFromInline
package struct TimingWheel: ~Copyable {
  @inlinable package static var tick: Interval { Interval(nanoseconds: 10_000_000) }
  @inlinable static var levels: Int { 7 }
  @inlinable static var noNode: UInt32 { .max }

  @frozen @usableFromInline
  struct Node {
    @usableFromInline var expiry: UInt64 = 0
    @usableFromInline var owner: UInt64 = 0
    @usableFromInline var next: UInt32 = .max
    /// The list is circular backwards: the first node's `previous` is the last one.
    @usableFromInline var previous: UInt32 = .max
    /// Odd while the timer runs.
    @usableFromInline var generation: UInt32 = 0
    @usableFromInline var place: UInt16 = 0
    @usableFromInline var kind: UInt8 = 0
    @inlinable init() {}
  }

  @usableFromInline var nodes: [Node] = []
  @usableFromInline var firstFree: UInt32 = .max
  @usableFromInline var heads: [UInt32]
  @usableFromInline var occupied = InlineArray<7, UInt64>(repeating: 0)
  @usableFromInline var cursor: UInt64
  @usableFromInline let limit: Int
  /// Timers running.
  @usableFromInline package private(set) var count = 0

  /// `limit` bounds the memory (40 bytes a timer); at it `schedule` answers `.none`.
  package init(start: Instant = .zero, limit: Int = 1 << 24) {
    heads = Array(repeating: .max, count: Self.levels * 64)
    cursor = Self.tickBefore(start)
    self.limit = min(max(limit, 0), 1 << 30)
  }

  @inlinable static func tickBefore(_ time: Instant) -> UInt64 { time.nanoseconds / 10_000_000 }
  @inlinable static func tickAfter(_ time: Instant) -> UInt64 {
    let (quotient, rest) = time.nanoseconds.quotientAndRemainder(dividingBy: 10_000_000)
    return rest == 0 ? quotient : quotient &+ 1
  }

  /// Starts a timer; one in the past fires at the next `popExpired`. `.none` only at the limit.
  @inlinable
  package mutating func schedule(at time: Instant, kind: UInt8, owner: UInt64) -> TimerID {
    var slot = firstFree
    if slot != Self.noNode {
      firstFree = nodes[Int(slot)].next
    } else {
      guard nodes.count < limit else { return .none }
      slot = UInt32(truncatingIfNeeded: nodes.count)
      nodes.append(Node())
    }
    let i = Int(slot)
    // Written once: each write to an array asks first whether it is shared.
    var node = nodes[i]
    node.generation &+= 1
    node.expiry = Swift.max(Self.tickAfter(time), cursor)
    node.kind = kind
    node.owner = owner
    link(slot, node)
    count &+= 1
    return TimerID(slot: slot, generation: node.generation)
  }

  @inlinable
  package func isRunning(_ id: TimerID) -> Bool {
    id.generation & 1 == 1 && Int(id.slot) < nodes.count
      && nodes[Int(id.slot)].generation == id.generation
  }

  /// Stops the timer and makes the name `.none`; false when it wasn't running.
  @inlinable @discardableResult
  package mutating func cancel(_ id: inout TimerID) -> Bool {
    defer { id = .none }
    guard isRunning(id) else { return false }
    unlink(id.slot)
    release(id.slot)
    return true
  }

  /// The next timer due by `now`, in order of their ticks and, within one, of their start; nil when
  /// there is none. One at a time, so the caller keeps the budget.
  @inlinable
  package mutating func popExpired(until now: Instant) -> (kind: UInt8, owner: UInt64)? {
    let target = Self.tickBefore(now)
    while true {
      guard let (level, digit, start) = nextSlot(), start <= target else {
        // Nothing is due up to `target`, so nothing changes its level by the jump.
        if target > cursor { cursor = target }
        return nil
      }
      cursor = start
      guard level == 0 else {
        cascade(level: level, digit: digit)
        continue
      }
      let slot = heads[digit]
      let node = nodes[Int(slot)]
      unlink(slot)
      release(slot)
      return (node.kind, node.owner)
    }
  }

  /// When `popExpired` has something to do: exact for the next 640 ms, else a tick at which far timers
  /// move nearer, never later than the first timer. Nil when none is running.
  @inlinable
  package var nextDeadline: Instant? {
    guard let next = nextSlot() else { return nil }
    let (time, overflow) = next.start.multipliedReportingOverflow(by: 10_000_000)
    return Instant(nanoseconds: overflow ? .max : time)
  }

  // MARK: Slots

  /// The first occupied slot: its level, its digit, and the tick at which the cursor reaches it.
  @inlinable
  func nextSlot() -> (level: Int, digit: Int, start: UInt64)? {
    for level in 0..<Self.levels where occupied[level] != 0 {
      let digit = occupied[level].trailingZeroBitCount
      let shift = UInt64(level &* 6)
      let above = (cursor &>> shift) & ~63
      return (level, digit, (above | UInt64(digit)) &<< shift)
    }
    return nil
  }

  @inlinable @inline(__always)
  func place(_ expiry: UInt64) -> Int {
    let difference = expiry ^ cursor
    let highest = 63 &- (difference | 1).leadingZeroBitCount
    let level = highest / 6
    return level &* 64 &+ Int(truncatingIfNeeded: expiry &>> UInt64(level &* 6) & 63)
  }

  /// Puts the node last in the list of its slot, as what `value` says of it.
  @inlinable
  mutating func link(_ slot: UInt32, _ value: Node) {
    var node = value
    let place = place(node.expiry)
    node.place = UInt16(truncatingIfNeeded: place)
    node.next = Self.noNode
    let head = heads[place]
    if head == Self.noNode {
      node.previous = slot
      heads[place] = slot
      occupied[place / 64] |= 1 &<< UInt64(place & 63)
    } else {
      let last = nodes[Int(head)].previous
      nodes[Int(last)].next = slot
      node.previous = last
      nodes[Int(head)].previous = slot
    }
    nodes[Int(slot)] = node
  }

  @inlinable
  mutating func unlink(_ slot: UInt32) {
    let node = nodes[Int(slot)]
    let place = Int(node.place)
    let head = heads[place]
    if head == slot {
      heads[place] = node.next
      if node.next == Self.noNode {
        occupied[place / 64] &= ~(1 &<< UInt64(place & 63))
      } else {
        nodes[Int(node.next)].previous = node.previous
      }
    } else {
      nodes[Int(node.previous)].next = node.next
      if node.next == Self.noNode {
        nodes[Int(head)].previous = node.previous
      } else {
        nodes[Int(node.next)].previous = node.previous
      }
    }
  }

  @inlinable
  mutating func release(_ slot: UInt32) {
    nodes[Int(slot)].generation &+= 1
    nodes[Int(slot)].next = firstFree
    firstFree = slot
    count &-= 1
  }

  /// Moves the timers of a slot that the cursor has reached to lower levels, in their order.
  @usableFromInline
  mutating func cascade(level: Int, digit: Int) {
    let place = level * 64 + digit
    var slot = heads[place]
    heads[place] = Self.noNode
    occupied[level] &= ~(1 << UInt64(digit))
    while slot != Self.noNode {
      let node = nodes[Int(slot)]
      link(slot, node)
      slot = node.next
    }
  }
}
