/// Keys to small values by open addressing: linear probing, deletion by shifting back, at most half full.
/// One lookup is one or two cache lines.
///
/// The keys are already keyed hashes, so their low bits are the slot. The key of all zeros marks a free
/// slot; it is looked up as another constant, which costs nothing and collides with nobody.
@safe @frozen @usableFromInline
package struct KeyTable<Value: BitwiseCopyable>: ~Copyable {
  @frozen @usableFromInline
  struct Slot {
    @usableFromInline var key: HashKey
    @usableFromInline var value: Value
    @inlinable init(key: HashKey, value: Value) {
      self.key = key
      self.value = value
    }
  }

  @usableFromInline var slots: UnsafeMutablePointer<Slot>?
  @usableFromInline var mask: Int
  @usableFromInline let limit: Int
  /// Entries in the table.
  @usableFromInline package private(set) var count = 0

  /// Room for `capacity` entries at once, growing by doubling; never more than `limit` entries.
  @inlinable
  package init(capacity: Int = 0, limit: Int = .max) {
    self.limit = Swift.max(limit, 0)
    unsafe slots = nil
    mask = -1
    if capacity > 0 { allocate(entries: Swift.min(capacity, self.limit)) }
  }

  @inlinable deinit { unsafe slots?.deallocate() }

  @inlinable
  mutating func allocate(entries: Int) {
    var size = 16
    while size < entries &* 2, size < 1 << 40 { size &<<= 1 }
    unsafe slots = Self.makeSlots(size)
    mask = size &- 1
  }

  @inlinable
  static func makeSlots(_ size: Int) -> UnsafeMutablePointer<Slot> {
    let slots = UnsafeMutablePointer<Slot>.allocate(capacity: size)
    for i in 0..<size {
      // Only the key of a free slot is ever read; `Value` needs no initial state.
      let key = unsafe UnsafeMutableRawPointer(slots + i)
      unsafe key.storeBytes(of: 0, toByteOffset: 0, as: UInt64.self)
      unsafe key.storeBytes(of: 0, toByteOffset: 8, as: UInt64.self)
    }
    return unsafe slots
  }

  @inlinable @inline(__always)
  static func isFree(_ key: HashKey) -> Bool { key.low | key.high == 0 }

  @inlinable @inline(__always)
  static func occupied(_ key: HashKey) -> HashKey {
    isFree(key) ? HashKey(low: 0x9e37_79b9_7f4a_7c15, high: 1) : key
  }

  @inlinable @inline(__always)
  static func index(_ key: HashKey) -> Int { Int(truncatingIfNeeded: key.low) }

  /// The slot that holds `key`, or nil.
  @inlinable @inline(__always)
  func locate(_ key: HashKey) -> Int? {
    guard let slots = unsafe slots else { return nil }
    var i = Self.index(key) & mask
    while true {
      let present = unsafe slots[i].key
      if present == key { return i }
      if Self.isFree(present) { return nil }
      i = (i &+ 1) & mask
    }
  }

  @inlinable
  package func find(_ key: HashKey) -> Value? {
    guard let i = locate(Self.occupied(key)), let slots = unsafe slots else { return nil }
    return unsafe slots[i].value
  }

  @inlinable
  package func contains(_ key: HashKey) -> Bool { locate(Self.occupied(key)) != nil }

  /// Enters the value, in place of what the key had. False, and nothing changed, when the key is new
  /// and the table is at its limit.
  @inlinable @discardableResult
  package mutating func insert(_ key: HashKey, _ value: Value) -> Bool {
    let key = Self.occupied(key)
    if let i = locate(key), let slots = unsafe slots {
      unsafe slots[i].value = value
      return true
    }
    guard count < limit else { return false }
    if (count &+ 1) &* 2 > mask &+ 1 { grow() }
    guard let slots = unsafe slots else { return false }
    unsafe Self.place(Slot(key: key, value: value), in: slots, mask: mask)
    count &+= 1
    return true
  }

  @inlinable
  static func place(_ slot: Slot, in slots: UnsafeMutablePointer<Slot>, mask: Int) {
    var i = index(slot.key) & mask
    while !isFree(unsafe slots[i].key) { i = (i &+ 1) & mask }
    unsafe (slots + i).initialize(to: slot)
  }

  @inlinable
  mutating func grow() {
    guard let old = unsafe slots else {
      allocate(entries: 8)
      return
    }
    let oldSize = mask &+ 1
    let larger = unsafe Self.makeSlots(oldSize &* 2)
    for i in 0..<oldSize where !Self.isFree(unsafe old[i].key) {
      unsafe Self.place(old[i], in: larger, mask: oldSize &* 2 &- 1)
    }
    unsafe old.deallocate()
    unsafe slots = larger
    mask = oldSize &* 2 &- 1
  }

  /// Takes the entry out; nil when there was none.
  @inlinable @discardableResult
  package mutating func remove(_ key: HashKey) -> Value? {
    guard let found = locate(Self.occupied(key)), let slots = unsafe slots else { return nil }
    let value = unsafe slots[found].value
    var hole = found
    var i = found
    while true {
      i = (i &+ 1) & mask
      let present = unsafe slots[i].key
      if Self.isFree(present) { break }
      // An entry may fill the hole unless its own slot lies between the hole and itself.
      let home = Self.index(present) & mask
      if (i &- home) & mask >= (i &- hole) & mask {
        unsafe slots[hole] = slots[i]
        hole = i
      }
    }
    unsafe slots[hole].key = HashKey(low: 0, high: 0)
    count &-= 1
    return value
  }

  /// Every entry once, in no order that means anything.
  @inlinable
  package func forEach(_ body: (HashKey, Value) -> Void) {
    guard let slots = unsafe slots else { return }
    for i in 0...mask where !Self.isFree(unsafe slots[i].key) {
      unsafe body(slots[i].key, slots[i].value)
    }
  }

  @inlinable
  package mutating func removeAll() {
    unsafe slots?.deallocate()
    unsafe slots = nil
    mask = -1
    count = 0
  }

  /// Bytes of memory that the table holds.
  @inlinable package var memory: Int { (mask &+ 1) &* MemoryLayout<Slot>.stride }
}
