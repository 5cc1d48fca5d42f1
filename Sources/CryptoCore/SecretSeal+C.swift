internal import Base

/// Seals short texts that are kept, such as passwords in a store: AES-256 in Galois/Counter mode (RFC 5116 §5.2) with a
/// nonce of 96 random bits each, so that one key is good for 2³² of them (NIST SP 800-38D §8.3).
///
/// The place of a text (whose it is, and which of its secrets) is authenticated with it: what was sealed for one place
/// opens nowhere else. Whoever opens learns nothing from a failure but that there was one.
package struct SecretSeal: Sendable {
  package static let keySize = 32
  private static let nonceSize = 12

  private let key: Redacted<[UInt8]>
  /// Tells this key from others and says nothing of it: 16 hexadecimal digits.
  package let identifier: String

  /// Nil unless the key has 32 bytes.
  package init?(key: [UInt8]) {
    guard key.count == Self.keySize else { return nil }
    self.key = Redacted(key)
    let label = Array("demarc: which key seals secrets".utf8)
    let digest = HMAC.sha256(key: key.rawSpan, label.rawSpan)
    guard digest.count > 0 else { return nil }
    identifier = String(digest.description.prefix(16))
  }

  /// 32 octets for another purpose, of which none leads back to the key or to those of a third one: HKDF-Expand (RFC 5869
  /// §2.3) with the purpose as its info. What it expands is random already (§3.3).
  package func secret(for purpose: String) -> [UInt8] {
    let info = Array(purpose.utf8) + [1]
    let secret = HMAC.sha256(key: key.exposed.rawSpan, info.rawSpan)
    return secret.rawSpan.array(ByteRange(0, secret.count))
  }

  /// The text as Base 64 of nonce, ciphertext and tag. Nil only when libcrypto has no AES. What `random` gives must never
  /// come again: a nonce that is used twice gives the key's secrets away.
  package func seal(_ secret: String, for place: String, random: () -> UInt64) -> String? {
    let nonce = (0..<Self.nonceSize).map { _ in UInt8(truncatingIfNeeded: random()) }
    guard let cipher = AESGCM(key: key.exposed.rawSpan, .seals) else { return nil }
    var bytes = Self.authenticated(place)
    let (start, end) = (bytes.count, bytes.count + secret.utf8.count)
    bytes += Array(secret.utf8) + [UInt8](repeating: 0, count: AESGCM.tagSize)
    var span = bytes.mutableSpan
    var raw = unsafe span.mutableBytes
    guard cipher.seal(Self.block(nonce), &raw, from: start, to: end, trailer: nil) else {
      return nil
    }
    return Base64.text(nonce + bytes[start...])
  }

  /// Nil: it was not sealed by this key for this place, or it is not whole.
  package func open(_ sealed: String, for place: String) -> String? {
    guard let parts = Base64.decode(Array(sealed.utf8).rawSpan),
      parts.count >= Self.nonceSize + AESGCM.tagSize,
      let cipher = AESGCM(key: key.exposed.rawSpan, .opens)
    else { return nil }
    var bytes = Self.authenticated(place)
    let start = bytes.count
    bytes += parts[Self.nonceSize...]
    let end = bytes.count - AESGCM.tagSize
    var span = bytes.mutableSpan
    var raw = unsafe span.mutableBytes
    let nonce = Self.block(Array(parts[..<Self.nonceSize]))
    guard cipher.open(nonce, &raw, from: start, to: end, trailer: nil) else { return nil }
    return String(validating: bytes[start..<end], as: UTF8.self)
  }

  /// Never empty, so that no place is another's beginning of nothing.
  private static func authenticated(_ place: String) -> [UInt8] {
    Array("secret of ".utf8) + Array(place.utf8)
  }

  private static func block(_ nonce: [UInt8]) -> CipherBlock {
    var block = CipherBlock(high: 0, low: 0)
    for (i, byte) in nonce.enumerated() {
      if i < 8 {
        block.high |= UInt64(byte) << UInt64(56 - 8 * i)
      } else {
        block.low |= UInt64(byte) << UInt64(120 - 8 * i)
      }
    }
    return block
  }
}
