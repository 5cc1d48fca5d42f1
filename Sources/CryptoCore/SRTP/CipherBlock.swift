/// 16 bytes as two words, the first byte in the highest bits: a counter, a salt, an initialisation vector.
package struct CipherBlock: Hashable, Sendable, BitwiseCopyable {
  package var high: UInt64
  package var low: UInt64

  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  package static func ^ (a: CipherBlock, b: CipherBlock) -> CipherBlock {
    CipherBlock(high: a.high ^ b.high, low: a.low ^ b.low)
  }
}
