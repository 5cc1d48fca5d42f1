/// The only randomness below the edge: xoshiro256** seeded by SplitMix64, so that a whole run can be
/// repeated from one number. Not for secrets; those come from the edge (`SystemRandom`).
@frozen @usableFromInline
package struct RandomSource: RandomNumberGenerator, Sendable {
  @usableFromInline var s0: UInt64
  @usableFromInline var s1: UInt64
  @usableFromInline var s2: UInt64
  @usableFromInline var s3: UInt64

  package init(seed: UInt64) {
    var mixer = SplitMix64(state: seed)
    s0 = mixer.next()
    s1 = mixer.next()
    s2 = mixer.next()
    s3 = mixer.next()
  }

  @inlinable
  package mutating func next() -> UInt64 {
    let scrambled = s1 &* 5
    let result = (scrambled &<< 7 | scrambled &>> 57) &* 9
    let shifted = s1 &<< 17
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= shifted
    s3 = s3 &<< 45 | s3 &>> 19
    return result
  }

  /// A number in 0..<bound, 0 for a bound of 0 or less. Biased by less than 2⁻³² for bounds below 2³².
  @inlinable
  package mutating func next(below bound: Int) -> Int {
    guard bound > 0 else { return 0 }
    return Int(truncatingIfNeeded: next().multipliedFullWidth(by: UInt64(bound)).high)
  }

  /// True in `numerator` of `denominator` cases.
  @inlinable
  package mutating func chance(_ numerator: Int, in denominator: Int) -> Bool {
    next(below: denominator) < numerator
  }
}

/// SplitMix64 (Steele, Lea, Flood 2014): turns one seed into as many well-mixed words as needed.
@frozen @usableFromInline
package struct SplitMix64: Sendable {
  @usableFromInline var state: UInt64
  @inlinable package init(state: UInt64) { self.state = state }

  @inlinable
  package mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z &>> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z &>> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z &>> 31
  }
}
