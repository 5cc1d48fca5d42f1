/// 128 bits that stand for a branch, a Call-ID with its tags, a source address. Two different inputs
/// share one with a chance nobody meets, so tables compare keys and keep no bytes.
@frozen @usableFromInline
package struct HashKey: Hashable, Sendable, BitwiseCopyable {
  @usableFromInline package var low: UInt64
  @usableFromInline package var high: UInt64
  @inlinable package init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }
}

/// A keyed 128-bit hash over spans (two lanes of wyhash's multiply-and-fold).
///
/// The key is random per process, and every word of input is masked by a secret before it is multiplied:
/// a peer who doesn't know the key can neither aim at a table's slots nor force a zero factor.
/// The results mean nothing outside the process, and are no signature.
@frozen @usableFromInline
package struct KeyedHash: Sendable {
  // What input words, ends and starts are masked with; a, b, c in the low lane, d, e, f in the high one.
  @usableFromInline var a: UInt64
  @usableFromInline var b: UInt64
  @usableFromInline var c: UInt64
  @usableFromInline var d: UInt64
  @usableFromInline var e: UInt64
  @usableFromInline var f: UInt64
  @usableFromInline var startLow: UInt64
  @usableFromInline var startHigh: UInt64

  package init(secret0: UInt64, secret1: UInt64) {
    var first = SplitMix64(state: secret0)
    var second = SplitMix64(state: secret1)
    func word() -> UInt64 { first.next() ^ (second.next() | 1) }
    a = word()
    b = word()
    c = word()
    d = word()
    e = word()
    f = word()
    startLow = word()
    startHigh = word()
  }

  @inlinable @inline(__always)
  static func fold(_ x: UInt64, _ y: UInt64) -> UInt64 {
    let product = x.multipliedFullWidth(by: y)
    return product.high ^ product.low
  }

  /// `seed` keeps uses apart: the same bytes as a branch and as a Call-ID give unrelated keys.
  @inlinable
  package func key(_ bytes: RawSpan, seed: UInt64 = 0) -> HashKey {
    absorb(bytes, into: HashKey(low: seed ^ startLow, high: seed ^ startHigh))
  }

  @inlinable
  package func key(_ bytes: RawSpan, _ range: ByteRange, seed: UInt64 = 0) -> HashKey {
    key(bytes.extracting(range), seed: seed)
  }

  /// The key of several parts in order: `extend(key(x), y)`. Unlike hashing the parts glued together,
  /// "ab" + "c" and "a" + "bc" differ.
  @inlinable
  package func extend(_ key: HashKey, _ bytes: RawSpan) -> HashKey {
    absorb(bytes, into: HashKey(low: key.low &+ c, high: key.high &+ f))
  }

  @inlinable
  package func extend(_ key: HashKey, _ number: UInt64) -> HashKey {
    HashKey(
      low: Self.fold(key.low ^ a, number ^ b),
      high: Self.fold(key.high ^ d, (number &<< 32 | number &>> 32) ^ e))
  }

  @inlinable
  package func key(_ first: RawSpan, _ second: RawSpan, seed: UInt64 = 0) -> HashKey {
    extend(key(first, seed: seed), second)
  }

  @inlinable
  package func key(_ first: RawSpan, _ second: RawSpan, _ third: RawSpan, seed: UInt64 = 0)
    -> HashKey
  {
    extend(extend(key(first, seed: seed), second), third)
  }

  @inlinable
  package func key(_ address: IPAddress, seed: UInt64 = 0) -> HashKey {
    let start = HashKey(low: seed ^ startLow, high: seed ^ startHigh)
    let family = UInt64(address.family.rawValue)
    return extend(extend(start, address.high ^ family &<< 63), address.low)
  }

  @inlinable
  package func key(_ address: SocketAddress, seed: UInt64 = 0) -> HashKey {
    extend(key(address.ip, seed: seed), UInt64(address.port))
  }

  @inlinable @inline(__always)
  func absorb(_ bytes: RawSpan, into start: HashKey) -> HashKey {
    var low = start.low
    var high = start.high
    let n = bytes.byteCount
    var i = 0
    while i &+ 16 <= n {
      let x = unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: i, as: UInt64.self)
      let y = unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: i &+ 8, as: UInt64.self)
      low = Self.fold(x ^ a, y ^ low)
      high = Self.fold(x ^ high, y ^ d)
      i &+= 16
    }
    var x: UInt64 = 0
    var y: UInt64 = 0
    let rest = n &- i
    if rest >= 8 {
      x = unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: i, as: UInt64.self)
      y = unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: n &- 8, as: UInt64.self)
    } else {
      while i < n {
        x = x &<< 8 | UInt64(bytes.byte(at: i))
        i &+= 1
      }
    }
    let length = UInt64(truncatingIfNeeded: n)
    return HashKey(
      low: Self.fold(x ^ b, Self.fold(y ^ c, low ^ length)),
      high: Self.fold(y ^ e, Self.fold(x ^ f, high ^ length)))
  }
}
