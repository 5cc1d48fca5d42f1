/// Names a copy of some bytes in a `BlockPool`.
///
/// 8 bytes: how many, where, and a generation that makes a stale one harmless.
@frozen @usableFromInline
package struct Block: Hashable, Sendable, BitwiseCopyable {
  /// 16 bits of count, 24 of generation (odd: live), 24 of granule.
  @usableFromInline let raw: UInt64

  @inlinable init(raw: UInt64) { self.raw = raw }
  @inlinable init(granule: Int, generation: UInt32, count: Int) {
    raw =
      UInt64(truncatingIfNeeded: count) &<< 48 | UInt64(generation & 0xff_ffff) &<< 24
      | UInt64(truncatingIfNeeded: granule)
  }

  @inlinable package static var none: Block { Block(raw: 0) }
  @inlinable package var isNone: Bool { raw == 0 }
  /// Bytes stored.
  @inlinable package var count: Int { Int(truncatingIfNeeded: raw &>> 48) }
  @inlinable var generation: UInt32 { UInt32(truncatingIfNeeded: raw &>> 24) & 0xff_ffff }
  @inlinable var granule: Int { Int(truncatingIfNeeded: raw & 0xff_ffff) }
}

/// Packet memory: copies of messages that outlive the receive buffer (what a transaction repeats, what a
/// ladder keeps), in blocks of eleven sizes cut from chunks of 64 KiB.
///
/// Storing and freeing take constant time and no malloc once a chunk is there. A chunk that became empty
/// serves any size again, so a burst of one size leaves nothing behind. Memory is bounded by `limitBytes`
/// and never given back before the end. Misuse can't corrupt it: a stale block reads as empty, and
/// freeing one twice does nothing.
@safe @frozen @usableFromInline
package struct BlockPool: ~Copyable {
  @inlinable static var chunkBytes: Int { 65_536 }
  @inlinable static var granuleBytes: Int { 128 }
  @inlinable static var granulesPerChunk: Int { 512 }

  @usableFromInline static let sizes: InlineArray<11, Int> = [
    128, 256, 384, 512, 768, 1_024, 1_536, 2_048, 4_096, 16_384, 65_536,
  ]

  @safe @frozen @usableFromInline
  struct Chunk {
    @usableFromInline var memory: UnsafeMutableRawPointer
    /// Index into `sizes`; 255: empty, and in the list of empty ones.
    @usableFromInline var sizeClass: UInt8 = 255
    @usableFromInline var live: UInt16 = 0
    /// Blocks ever cut since the chunk took its size, and the first one given back since.
    @usableFromInline var cut: UInt16 = 0
    @usableFromInline var firstFree: UInt16 = .max
    /// Neighbours among chunks of the same size that have room, or (`next`) among empty ones.
    @usableFromInline var previous: Int32 = -1
    @usableFromInline var next: Int32 = -1
    @inlinable init(memory: UnsafeMutableRawPointer) { unsafe self.memory = memory }
  }

  @usableFromInline var chunks: [Chunk] = []
  /// Per granule: the generation of the block that starts there, and the next free block of its chunk.
  @usableFromInline var generations: [UInt32] = []
  @usableFromInline var freeLinks: [UInt16] = []
  @usableFromInline var withRoom = InlineArray<11, Int32>(repeating: -1)
  @usableFromInline var firstEmpty: Int32 = -1
  @usableFromInline let chunkLimit: Int

  /// Blocks that live, and the bytes of their sizes (not of what is stored in them).
  @usableFromInline package private(set) var blocks = 0
  @usableFromInline package private(set) var usedBytes = 0
  /// Bytes of memory held.
  package var reservedBytes: Int { chunks.count * Self.chunkBytes }

  /// At most `limitBytes` of memory, in whole chunks of 64 KiB and at least one, up to 2 GiB.
  package init(limitBytes: Int) {
    chunkLimit = min(max(limitBytes / Self.chunkBytes, 1), 65_536)
  }

  deinit {
    for chunk in chunks { unsafe chunk.memory.deallocate() }
  }

  @inlinable
  static func sizeClass(for count: Int) -> Int? {
    for i in 0..<11 where count <= sizes[i] { return i }
    return nil
  }

  /// A copy of the bytes; nil above 65 535 bytes or when the limit leaves no block that is large enough.
  @inlinable
  package mutating func store(_ bytes: RawSpan) -> Block? {
    guard bytes.byteCount <= 65_535, let wanted = Self.sizeClass(for: bytes.byteCount) else {
      return nil
    }
    guard let index = chunkWithRoom(wanted) else { return nil }
    let granule = take(from: index)
    let generation = (generations[granule] &+ 1) & 0xff_ffff
    generations[granule] = generation
    let target = unsafe address(granule)
    unsafe bytes.withUnsafeBytes { source in
      guard let start = source.baseAddress else { return }
      unsafe target.copyMemory(from: start, byteCount: source.count)
    }
    return Block(granule: granule, generation: generation, count: bytes.byteCount)
  }

  /// What was stored; empty for `.none` and for a block that was freed.
  @inlinable @_lifetime(borrow self)
  package func bytes(_ block: Block) -> RawSpan {
    guard isLive(block) else { return RawSpan() }
    let span = unsafe RawSpan(_unsafeStart: address(block.granule), byteCount: block.count)
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  /// Where a live block begins; nil for any other. For `PacketMemory`.
  @inlinable
  func location(of block: Block) -> UnsafeRawPointer? {
    guard isLive(block) else { return nil }
    return unsafe UnsafeRawPointer(address(block.granule))
  }

  @inlinable
  package func isLive(_ block: Block) -> Bool {
    let generation = block.generation
    return generation & 1 == 1 && block.granule < generations.count
      && generations[block.granule] == generation
  }

  /// Gives the block back and makes the handle `.none`. A stale one is only made `.none`.
  @inlinable
  package mutating func free(_ block: inout Block) {
    defer { block = .none }
    guard isLive(block) else { return }
    let granule = block.granule
    generations[granule] = (generations[granule] &+ 1) & 0xff_ffff
    giveBack(granule)
  }

  @inlinable @inline(__always)
  func address(_ granule: Int) -> UnsafeMutableRawPointer {
    let offset = (granule & (Self.granulesPerChunk &- 1)) &* Self.granuleBytes
    return unsafe chunks[granule / Self.granulesPerChunk].memory + offset
  }

  // MARK: Chunks

  /// A chunk that has room for a block of the class, or of the next larger one that has.
  @usableFromInline
  mutating func chunkWithRoom(_ wanted: Int) -> Int? {
    if withRoom[wanted] >= 0 { return Int(withRoom[wanted]) }
    if let fresh = emptyChunk() {
      chunks[fresh].sizeClass = UInt8(wanted)
      chunks[fresh].cut = 0
      chunks[fresh].firstFree = .max
      link(fresh, wanted)
      return fresh
    }
    for larger in wanted..<11 where withRoom[larger] >= 0 { return Int(withRoom[larger]) }
    return nil
  }

  mutating func emptyChunk() -> Int? {
    if firstEmpty >= 0 {
      let index = Int(firstEmpty)
      firstEmpty = chunks[index].next
      return index
    }
    guard chunks.count < chunkLimit else { return nil }
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: Self.chunkBytes, alignment: Self.granuleBytes)
    unsafe chunks.append(Chunk(memory: memory))
    generations.append(contentsOf: repeatElement(0, count: Self.granulesPerChunk))
    freeLinks.append(contentsOf: repeatElement(.max, count: Self.granulesPerChunk))
    return chunks.count - 1
  }

  /// Cuts or reuses one block of the chunk and returns its granule.
  @usableFromInline
  mutating func take(from index: Int) -> Int {
    var chunk = chunks[index]
    let sizeClass = Int(chunk.sizeClass)
    let size = Self.sizes[sizeClass]
    let local: Int
    if chunk.firstFree != .max {
      local = Int(chunk.firstFree)
      chunk.firstFree = freeLinks[index * Self.granulesPerChunk + local]
    } else {
      local = Int(chunk.cut) * (size / Self.granuleBytes)
      chunk.cut += 1
    }
    chunk.live += 1
    chunks[index] = chunk
    if Int(chunk.live) == Self.chunkBytes / size { unlink(index, sizeClass) }
    blocks += 1
    usedBytes += size
    return index * Self.granulesPerChunk + local
  }

  @usableFromInline
  mutating func giveBack(_ granule: Int) {
    let index = granule / Self.granulesPerChunk
    let sizeClass = Int(chunks[index].sizeClass)
    let size = Self.sizes[sizeClass]
    blocks -= 1
    usedBytes -= size
    let wasFull = Int(chunks[index].live) == Self.chunkBytes / size
    chunks[index].live -= 1
    if chunks[index].live == 0 {
      if !wasFull { unlink(index, sizeClass) }
      chunks[index].sizeClass = 255
      chunks[index].next = firstEmpty
      firstEmpty = Int32(index)
      return
    }
    freeLinks[granule] = chunks[index].firstFree
    chunks[index].firstFree = UInt16(granule % Self.granulesPerChunk)
    if wasFull { link(index, sizeClass) }
  }

  mutating func link(_ index: Int, _ sizeClass: Int) {
    let head = withRoom[sizeClass]
    chunks[index].previous = -1
    chunks[index].next = head
    if head >= 0 { chunks[Int(head)].previous = Int32(index) }
    withRoom[sizeClass] = Int32(index)
  }

  mutating func unlink(_ index: Int, _ sizeClass: Int) {
    let previous = chunks[index].previous
    let next = chunks[index].next
    if previous >= 0 {
      chunks[Int(previous)].next = next
    } else {
      withRoom[sizeClass] = next
    }
    if next >= 0 { chunks[Int(next)].previous = previous }
  }
}
