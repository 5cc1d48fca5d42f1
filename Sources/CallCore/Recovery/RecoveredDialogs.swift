import Base

/// Dialogs that an earlier process began: our tag in them is no token of ours, so it is looked up. As many as there were
/// calls at the start at most, and ever fewer.
struct RecoveredDialogs: ~Copyable {
  private struct Own {
    var key: HashKey
    var tag: [UInt8]
  }

  private var byTag = KeyTable<SlabHandle>(capacity: 0, limit: 1 << 20)
  private var own: [SlabHandle: Own] = [:]

  var isEmpty: Bool { own.isEmpty }

  func leg(_ key: HashKey) -> SlabHandle? { byTag.find(key) }

  /// Nil: the leg's tag is a token.
  func tag(of leg: SlabHandle) -> [UInt8]? { own[leg]?.tag }

  /// False: another leg has the tag.
  mutating func insert(_ tag: [UInt8], _ key: HashKey, _ leg: SlabHandle) -> Bool {
    guard byTag.find(key) == nil, byTag.insert(key, leg) else { return false }
    own[leg] = Own(key: key, tag: tag)
    return true
  }

  mutating func remove(_ leg: SlabHandle) {
    guard let known = own.removeValue(forKey: leg) else { return }
    _ = byTag.remove(known.key)
  }
}
