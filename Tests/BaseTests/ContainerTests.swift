import Base
import Testing

/// Each container against a naive model of it, over seeded random operations.
@Suite struct ContainerTests {
  @Test(arguments: [UInt64(1), 2, 3])
  func keyTable(seed: UInt64) {
    var random = RandomSource(seed: seed)
    var table = KeyTable<UInt32>(capacity: seed == 1 ? 0 : 1_000, limit: 900)
    var model: [HashKey: UInt32] = [:]
    // Few distinct low words, so that probes collide and deletions shift; the zero key among them.
    func key() -> HashKey {
      HashKey(low: UInt64(random.next(below: 300)), high: UInt64(random.next(below: 5)))
    }
    for step in 0..<40_000 {
      let key = key()
      let value = UInt32(truncatingIfNeeded: step)
      switch random.next(below: step % 20_000 < 10_000 ? 4 : 7) {
      case 0, 1, 2:
        let entered = table.insert(key, value)
        let expected = model[key] != nil || model.count < 900
        check(entered == expected)
        if expected { model[key] = value }
      case 3:
        check(table.find(key) == model[key])
      default:
        check(table.remove(key) == model.removeValue(forKey: key))
      }
      check(table.count == model.count)
    }
    check(model.count > 50)
    var seen: [HashKey: UInt32] = [:]
    table.forEach { seen[$0] = $1 }
    // The zero key comes back as the constant that stands for it.
    check(seen.count == model.count)
    for (key, value) in model { check(table.find(key) == value) }
    check(Set(seen.values) == Set(model.values))
    table.removeAll()
    check(table.count == 0 && table.find(HashKey(low: 1, high: 1)) == nil)
    check(table.insert(HashKey(low: 1, high: 1), 1))
  }

  @Test func keyTableLimits() {
    var none = KeyTable<Int>(limit: 0)
    check(!none.insert(HashKey(low: 1, high: 2), 3))
    check(none.remove(HashKey(low: 1, high: 2)) == nil)
    var one = KeyTable<Int>(limit: 1)
    check(one.insert(HashKey(low: 1, high: 2), 3))
    check(one.insert(HashKey(low: 1, high: 2), 4))
    check(!one.insert(HashKey(low: 2, high: 2), 4))
    check(one.find(HashKey(low: 1, high: 2)) == 4)
  }

  @Test func hashKeepsInputsApart() {
    let hash = KeyedHash(secret0: 1, secret1: 2)
    var seen: Set<HashKey> = []
    var inputs = 0
    func note(_ bytes: [UInt8]) {
      inputs += 1
      seen.insert(hash.key(bytes.rawSpan))
    }
    // Every length to 80, zeros of every length, and each single bit of a 40-byte input.
    for n in 0...80 {
      note([UInt8](repeating: 0, count: n))
      note([UInt8](repeating: 0, count: n) + [1])
    }
    var bits = [UInt8](repeating: 0x5a, count: 40)
    for i in 0..<320 {
      bits[i / 8] ^= 1 << (i % 8)
      note(bits)
      bits[i / 8] ^= 1 << (i % 8)
    }
    check(seen.count == inputs)
    let a = Array("ab".utf8)
    let b = Array("c".utf8)
    let (glued, split) = (Array("abc".utf8), Array("bc".utf8))
    let pair = hash.key(a.rawSpan, b.rawSpan)
    let whole = hash.key(glued.rawSpan)
    let other = hash.key(Array("a".utf8).rawSpan, split.rawSpan)
    let seeded = hash.key(glued.rawSpan, seed: 1)
    let foreign = KeyedHash(secret0: 1, secret1: 3).key(glued.rawSpan)
    check(Set([pair, whole, other, seeded, foreign]).count == 5)
    let ranged = hash.key(Array("xabcx".utf8).rawSpan, ByteRange(1, 3))
    check(ranged == whole)
    check(hash.key(.anyV4) != hash.key(.anyV6))
    check(
      hash.key(SocketAddress(.loopbackV4, 1)) != hash.key(SocketAddress(.loopbackV4, 2)))
  }

  /// The low bits choose the slot: a table of sequential names must stay evenly filled.
  @Test func hashSpreads() {
    let hash = KeyedHash(secret0: 3, secret1: 4)
    var buckets = [Int](repeating: 0, count: 1_024)
    var highBuckets = buckets
    for n in 0..<65_536 {
      let key = hash.key(Array("z9hG4bK-\(n)".utf8).rawSpan)
      buckets[Int(key.low & 1_023)] += 1
      highBuckets[Int(key.high >> 54)] += 1
    }
    // 64 each; eight standard deviations either way.
    for count in buckets + highBuckets { check(count > 0 && count < 128) }
  }

  final class Witness {
    nonisolated(unsafe) static var alive = 0
    let number: Int
    init(_ number: Int) {
      self.number = number
      unsafe Witness.alive += 1
    }
    deinit { unsafe Witness.alive -= 1 }
  }

  @Test func slab() {
    var random = RandomSource(seed: 5)
    do {
      var slab = Slab<Witness>(limit: 300, placeholder: Witness(-1))
      var model: [(SlabHandle, Int)] = []
      var dead: [SlabHandle] = [.none]
      for step in 0..<40_000 {
        switch random.next(below: 5) {
        case 0, 1:
          let handle = slab.insert(Witness(step))
          check((handle == nil) == (model.count == 300))
          if let handle { model.append((handle, step)) }
        case 2:
          guard !model.isEmpty else { continue }
          let (handle, number) = model.remove(at: random.next(below: model.count))
          check(slab.remove(handle)?.number == number)
          dead.append(handle)
        case 3:
          guard !model.isEmpty else { continue }
          let (handle, number) = model[random.next(below: model.count)]
          check(slab[handle].number == number)
        default:
          let handle = dead[random.next(below: dead.count)]
          check(slab.remove(handle) == nil)
          let live = slab.isLive(handle)
          check(!live)
          check(slab[handle].number == -1)
          let touched = slab.withElement(handle) { $0.number }
          check(touched == nil)
        }
        check(slab.count == model.count)
      }
      check(Set(slab.handles) == Set(model.map(\.0)))
      check(unsafe Witness.alive == model.count + 1)
      check(dead.count > 3_000)
    }
    check(unsafe Witness.alive == 0, "elements are released with the slab")
  }

  @Test func slabInPlace() throws {
    var slab = Slab<[Int]>(limit: 2, placeholder: [])
    let a = try unwrap(slab.insert([1]))
    let b = try unwrap(slab.insert([2]))
    check(slab.insert([3]) == nil)
    slab[a].append(10)
    let sum = slab.withElement(b) { element in
      element.append(20)
      return element.reduce(0, +)
    }
    check(sum == 22 && slab[a] == [1, 10])
    slab.remove(a)
    slab[a].append(99)
    let c = try unwrap(slab.insert([4]))
    check(c.slot == a.slot && c != a && slab[c] == [4] && slab[b] == [2, 20])
    check(SlabHandle(packed: c.packed) == c)
    let forged = SlabHandle(slot: .max, generation: 1)
    let live = slab.isLive(forged)
    check(!live)
    slab[forged] = []
    check(slab.remove(forged) == nil)
    check(slab.handles == [c, b] || slab.handles == [b, c])
  }

  @Test func slabIterationSurvivesChanges() throws {
    var slab = Slab<Int>(limit: 1_000, placeholder: 0)
    for i in 0..<200 { _ = slab.insert(i) }
    var seen: [Int] = []
    var next = slab.next()
    while let handle = next {
      seen.append(slab[handle])
      if slab[handle] % 2 == 0 { slab.remove(handle) }
      next = slab.next(after: handle)
    }
    check(seen == Array(0..<200) && slab.count == 100)
  }

  @Test(arguments: [UInt64(1), 2])
  func blockPool(seed: UInt64) {
    var random = RandomSource(seed: seed)
    var pool = BlockPool(limitBytes: 1 << 20)
    var model: [(Block, [UInt8])] = []
    var dead: [Block] = [.none]
    var refused = 0
    for step in 0..<60_000 {
      // Small messages for a while, then large ones, so that chunks change their size.
      let widest = step / 10_000 % 2 == 0 ? 900 : 9_000
      switch random.next(below: step % 10_000 < 5_000 ? 5 : 8) {
      case 0, 1, 2:
        let fill = UInt8(truncatingIfNeeded: step)
        let bytes = [UInt8](repeating: fill, count: random.next(below: widest))
        if let block = pool.store(bytes.rawSpan) {
          check(block.count == bytes.count)
          model.append((block, bytes))
        } else {
          refused += 1
        }
      case 3:
        guard !model.isEmpty else { continue }
        let (block, bytes) = model[random.next(below: model.count)]
        let same = pool.bytes(block).equals(bytes.rawSpan)
        check(same)
      case 4:
        var stale = dead[random.next(below: dead.count)]
        let left = pool.bytes(stale).byteCount
        check(left == 0)
        pool.free(&stale)
        check(stale.isNone)
      default:
        guard !model.isEmpty else { continue }
        var (block, bytes) = model.remove(at: random.next(below: model.count))
        let same = pool.bytes(block).equals(bytes.rawSpan)
        check(same)
        dead.append(block)
        pool.free(&block)
        check(block.isNone)
      }
      check(pool.blocks == model.count)
    }
    check(pool.reservedBytes <= 1 << 20 && refused > 0)
    for (block, bytes) in model {
      let same = pool.bytes(block).equals(bytes.rawSpan)
      check(same)
      var block = block
      pool.free(&block)
    }
    check(pool.blocks == 0 && pool.usedBytes == 0)
  }

  @Test func blockPoolEdges() throws {
    var pool = BlockPool(limitBytes: 65_536)
    let empty = try unwrap(pool.store([UInt8]().rawSpan))
    check(empty.count == 0 && !empty.isNone)
    let huge = pool.store([UInt8](repeating: 1, count: 65_536).rawSpan)
    check(huge == nil)
    // The one chunk holds 128-byte blocks now, so nothing larger fits until it is empty again.
    let large = pool.store([UInt8](repeating: 1, count: 129).rawSpan)
    check(large == nil)
    var blocks: [Block] = [empty]
    while let block = pool.store([7].rawSpan) { blocks.append(block) }
    check(blocks.count == 512 && pool.usedBytes == 65_536)
    for var block in blocks { pool.free(&block) }
    var whole = try unwrap(pool.store([UInt8](repeating: 9, count: 65_535).rawSpan))
    let last = pool.bytes(whole).byte(at: 65_534)
    check(last == 9)
    // An old block's granule lies inside the new one: still stale.
    let stale = pool.bytes(blocks[100]).byteCount
    check(stale == 0)
    let twin = whole
    pool.free(&whole)
    var again = twin
    pool.free(&again)
    check(pool.blocks == 0)
    let forged = pool.bytes(Block.none).byteCount
    check(forged == 0)
  }

  @Test func redaction() {
    let secret = Redacted("hunter2")
    check("\(secret)" == "•••" && String(reflecting: secret) == "•••")
    var dumped = ""
    dump(["a": secret], to: &dumped)
    check(!dumped.contains("hunter2"))
    check(secret.exposed == "hunter2" && secret == Redacted("hunter2"))
  }
}
