import Base
import CryptoCore
import Testing

@Suite struct SecretSealTests {
  private static func random() -> UInt64 { .random(in: .min ... .max) }

  private static func key(_ first: UInt8) -> [UInt8] { [UInt8](first..<first + 32) }

  @Test func opensWhatItSealedForThatPlaceAlone() throws {
    let seal = try #require(SecretSeal(key: Self.key(1)))
    for secret in [
      "", "x", "mX7tqQkW3bVzR9hYdL2fNcPa", "pässwörd\u{0}\n", String(repeating: "a", count: 5_000),
    ] {
      let sealed = try #require(seal.seal(secret, for: "users/acme/alice", random: Self.random))
      #expect(seal.open(sealed, for: "users/acme/alice") == secret)
      #expect(seal.open(sealed, for: "users/acme/bob") == nil)
      #expect(seal.open(sealed, for: "users/acme/alic") == nil)
      #expect(seal.open(sealed, for: "") == nil)
      #expect(secret.count < 8 || !sealed.contains(secret))
    }
  }

  @Test func anotherKeyOpensNothing() throws {
    let seal = try #require(SecretSeal(key: Self.key(1)))
    let other = try #require(SecretSeal(key: Self.key(2)))
    let sealed = try #require(seal.seal("secret", for: "p", random: Self.random))
    #expect(other.open(sealed, for: "p") == nil)
    #expect(seal.identifier != other.identifier)
    #expect(seal.identifier == SecretSeal(key: Self.key(1))?.identifier)
    #expect(seal.identifier.utf8.count == 16)
  }

  /// HKDF-Expand of 32 octets by Python's hmac.
  @Test func secretsForOtherPurposes() throws {
    let seal = try #require(SecretSeal(key: Self.key(1)))
    let secret = seal.secret(for: "demarc: origid")
    let hex = secret.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    #expect(hex == "24995b40dce7cbdc2d558417224721234c52304246f352de4e46d8e7c434a235")
    #expect(secret != seal.secret(for: "demarc: origin"))
    #expect(secret != SecretSeal(key: Self.key(2))?.secret(for: "demarc: origid"))
  }

  /// Every bit of what is kept counts, and so does its length.
  @Test func whatWasChangedDoesNotOpen() throws {
    let seal = try #require(SecretSeal(key: Self.key(1)))
    let sealed = try #require(seal.seal("secret", for: "p", random: Self.random))
    let decoded = Base64.decode(Array(sealed.utf8).rawSpan)
    let bytes = try #require(decoded)
    #expect(seal.open(Base64.text(bytes), for: "p") == "secret")
    for i in bytes.indices {
      for bit in 0..<8 {
        var changed = bytes
        changed[i] ^= 1 << UInt8(bit)
        #expect(seal.open(Base64.text(changed), for: "p") == nil)
      }
      #expect(seal.open(Base64.text(Array(bytes[..<i])), for: "p") == nil)
    }
    #expect(seal.open(Base64.text(bytes + [0]), for: "p") == nil)
    for text in ["", "secret", "?", "AAAA", sealed + "!", "\u{e4}"] {
      #expect(seal.open(text, for: "p") == nil)
    }
  }

  /// The same password twice does not look the same.
  @Test func nothingIsSealedTwiceAlike() throws {
    let seal = try #require(SecretSeal(key: Self.key(1)))
    let all = (0..<100).compactMap { _ in seal.seal("secret", for: "p", random: Self.random) }
    #expect(Set(all).count == 100)
  }

  @Test func keysHaveTheirLengthAndAreNotShown() throws {
    #expect(SecretSeal(key: []) == nil)
    #expect(SecretSeal(key: [UInt8](repeating: 0, count: 16)) == nil)
    #expect(SecretSeal(key: [UInt8](repeating: 0, count: 33)) == nil)
    let seal = try #require(SecretSeal(key: Self.key(0x41)))
    var text = "\(seal)"
    dump(seal, to: &text)
    #expect(!text.contains("65, 66, 67") && !text.contains("ABC"))
  }
}
