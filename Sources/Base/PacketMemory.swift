/// A `BlockPool` as an object, for an owner whose methods read one block while they change other state.
///
/// Its chunks stay mapped for as long as it lives, and it lives as long as its owner; so a span of it is
/// never dangling. After `free` a span's bytes may be another block's: read before you free.
@safe
package final class PacketMemory {
  // Only the owner's thread touches it; the check would cost each message more than the lookup.
  @exclusivity(unchecked) private var pool: BlockPool

  package init(limitBytes: Int) { unsafe pool = BlockPool(limitBytes: limitBytes) }

  /// Nil at the limit.
  package func store(_ bytes: RawSpan) -> Block? { unsafe pool.store(bytes) }

  /// Empty for `.none` and for a block that was freed.
  @_lifetime(immortal)
  package func bytes(_ block: Block) -> RawSpan {
    guard let place = unsafe pool.location(of: block) else { return RawSpan() }
    return unsafe _overrideLifetime(
      RawSpan(_unsafeStart: place, byteCount: block.count), copying: ())
  }

  /// Leaves `.none` behind.
  package func free(_ block: inout Block) { unsafe pool.free(&block) }

  package var usedBytes: Int { unsafe pool.usedBytes }
  package var blocks: Int { unsafe pool.blocks }
}

extension OutputBuffer {
  /// What has been appended since `begin`, for as long as `body` runs.
  @inlinable
  package func withOpenBytes<Result>(_ body: (RawSpan) -> Result) -> Result { body(openBytes) }
}
