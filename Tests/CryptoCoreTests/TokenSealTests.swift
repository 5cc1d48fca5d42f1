import Base
import CryptoCore
import Testing

@Suite struct TokenSealTests {
  /// FIPS 197 appendix C.1.
  @Test func vector() throws {
    let seal = try #require(TokenSeal(key: [UInt8](0...15)))
    let (a, b) = seal.seal(0x0011_2233_4455_6677, 0x8899_aabb_ccdd_eeff)
    #expect(a == 0x69c4_e0d8_6a7b_0430)
    #expect(b == 0xd8cd_b780_70b4_c55a)
    let opened = seal.open(a, b)
    #expect(opened == (0x0011_2233_4455_6677, 0x8899_aabb_ccdd_eeff))
  }

  @Test func opensWhatItSealedAndNothingElse() throws {
    var random = RandomSource(seed: 7)
    let seal = try #require(TokenSeal(key: [UInt8](16...31)))
    let other = try #require(TokenSeal(key: [UInt8](17...32)))
    for _ in 0..<1_000 {
      let (a, b) = (random.next(), random.next())
      let sealed = seal.seal(a, b)
      #expect(seal.open(sealed.0, sealed.1) == (a, b))
      #expect(seal.open(sealed.0 ^ 1, sealed.1) != (a, b))
      #expect(other.open(sealed.0, sealed.1) != (a, b))
    }
  }

  @Test func keyLength() {
    #expect(TokenSeal(key: []) == nil)
    #expect(TokenSeal(key: [UInt8](repeating: 0, count: 15)) == nil)
    #expect(TokenSeal(key: [UInt8](repeating: 0, count: 32)) == nil)
  }
}
