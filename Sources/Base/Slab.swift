/// Names one element of a `Slab`; one that was removed is never mistaken for its successor (until a slot
/// was reused 2³¹ times).
@frozen @usableFromInline
package struct SlabHandle: Hashable, Sendable, BitwiseCopyable {
  @usableFromInline package var slot: UInt32
  /// Odd while the element lives.
  @usableFromInline package var generation: UInt32
  @inlinable package init(slot: UInt32, generation: UInt32) {
    self.slot = slot
    self.generation = generation
  }
  @inlinable package static var none: SlabHandle { SlabHandle(slot: 0, generation: 0) }
  @inlinable package var isNone: Bool { generation == 0 }
  /// Both numbers in one word, for a timer's owner or a table's value.
  @inlinable package var packed: UInt64 { UInt64(slot) &<< 32 | UInt64(generation) }
  @inlinable package init(packed: UInt64) {
    slot = UInt32(truncatingIfNeeded: packed &>> 32)
    generation = UInt32(truncatingIfNeeded: packed)
  }
}

/// Elements at addresses that never move, named by handles: a shard's sessions and transactions.
///
/// Memory comes in chunks as it is needed, so growth copies nothing and a limit of 200 000 costs nothing
/// until it is used. A stale handle is an ordinary thing (a timer that fired late, a packet for a dead
/// call) and never traps: `isLive` and `withElement` tell, and the subscript, meant for callers that
/// have checked, then reads and writes a scrap element instead of somebody else's.
@safe @frozen @usableFromInline
package struct Slab<Element>: ~Copyable {
  @frozen @usableFromInline
  struct Cell {
    @usableFromInline var generation: UInt32
    @usableFromInline var nextFree: UInt32
    @inlinable init() {
      generation = 0
      nextFree = .max
    }
  }

  @inlinable static var chunkShift: UInt32 { 6 }
  @inlinable static var chunkSize: Int { 64 }

  @usableFromInline var chunks: [UnsafeMutablePointer<Element>]
  @usableFromInline var cells: [Cell] = []
  @usableFromInline var firstFree: UInt32 = .max
  @usableFromInline let limit: Int
  @usableFromInline let scrap: UnsafeMutablePointer<Element>
  /// Elements that live.
  @usableFromInline package private(set) var count = 0

  /// At most `limit` elements. `placeholder` is what a stale handle reads through the subscript.
  @inlinable
  package init(limit: Int, placeholder: Element) {
    self.limit = Swift.min(Swift.max(limit, 0), Int(UInt32.max) - 1)
    unsafe chunks = []
    unsafe scrap = .allocate(capacity: 1)
    unsafe scrap.initialize(to: placeholder)
  }

  @inlinable
  deinit {
    for slot in 0..<cells.count where cells[slot].generation & 1 == 1 {
      unsafe (chunks[slot / Self.chunkSize] + slot % Self.chunkSize).deinitialize(count: 1)
    }
    for i in 0..<(unsafe chunks.count) { unsafe chunks[i].deallocate() }
    unsafe scrap.deinitialize(count: 1)
    unsafe scrap.deallocate()
  }

  @inlinable @inline(__always)
  func address(_ slot: UInt32) -> UnsafeMutablePointer<Element> {
    unsafe chunks[Int(slot &>> Self.chunkShift)] + Int(slot & (1 &<< Self.chunkShift &- 1))
  }

  /// Nil at the limit.
  @inlinable
  package mutating func insert(_ element: Element) -> SlabHandle? {
    var slot = firstFree
    if slot == .max {
      guard cells.count < limit else { return nil }
      slot = UInt32(truncatingIfNeeded: cells.count)
      if cells.count & (Self.chunkSize &- 1) == 0 {
        unsafe chunks.append(.allocate(capacity: Self.chunkSize))
      }
      cells.append(Cell())
    } else {
      firstFree = cells[Int(slot)].nextFree
    }
    let generation = cells[Int(slot)].generation &+ 1
    cells[Int(slot)].generation = generation
    unsafe address(slot).initialize(to: element)
    count &+= 1
    return SlabHandle(slot: slot, generation: generation)
  }

  @inlinable @inline(__always)
  package func isLive(_ handle: SlabHandle) -> Bool {
    handle.generation & 1 == 1 && Int(handle.slot) < cells.count
      && cells[Int(handle.slot)].generation == handle.generation
  }

  @inlinable
  package func contains(_ handle: SlabHandle) -> Bool { isLive(handle) }

  /// Takes the element out; nil when the handle is stale.
  @inlinable @discardableResult
  package mutating func remove(_ handle: SlabHandle) -> Element? {
    guard isLive(handle) else { return nil }
    let slot = Int(handle.slot)
    cells[slot].generation &+= 1
    cells[slot].nextFree = firstFree
    firstFree = handle.slot
    count &-= 1
    return unsafe address(handle.slot).move()
  }

  /// Where the handle's element is, or the scrap element.
  @inlinable @inline(__always)
  func resolve(_ handle: SlabHandle) -> UnsafeMutablePointer<Element> {
    unsafe isLive(handle) ? address(handle.slot) : scrap
  }

  /// The element in place, for callers that have checked `isLive`. A stale handle reads and writes the
  /// scrap element: nonsense for the one who asked, harm to nobody else.
  @inlinable
  package subscript(_ handle: SlabHandle) -> Element {
    @inline(__always) unsafeAddress { unsafe UnsafePointer(resolve(handle)) }
    @inline(__always) unsafeMutableAddress { unsafe resolve(handle) }
  }

  /// Runs `body` on the element in place; nil when the handle is stale.
  @inlinable
  package mutating func withElement<R, E: Error>(
    _ handle: SlabHandle, _ body: (inout Element) throws(E) -> R
  ) throws(E) -> R? {
    guard isLive(handle) else { return nil }
    return try unsafe body(&address(handle.slot).pointee)
  }

  /// The handle after `handle` in slot order, `.none` to begin; nil at the end. Elements may be inserted
  /// and removed between two steps: those that stay are each seen once.
  @inlinable
  package func next(after handle: SlabHandle = .none) -> SlabHandle? {
    var slot = handle.isNone ? 0 : Int(handle.slot) &+ 1
    while slot < cells.count {
      let generation = cells[slot].generation
      if generation & 1 == 1 {
        return SlabHandle(slot: UInt32(truncatingIfNeeded: slot), generation: generation)
      }
      slot &+= 1
    }
    return nil
  }

  /// Handles of everything alive, as a copy: for queries and the end, not for every packet.
  @inlinable
  package var handles: [SlabHandle] {
    var all: [SlabHandle] = []
    all.reserveCapacity(count)
    var current = next()
    while let handle = current {
      all.append(handle)
      current = next(after: handle)
    }
    return all
  }
}
