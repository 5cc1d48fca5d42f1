internal import Base
internal import COpenSSL

// ES256 (RFC 7518 §3.4): ECDSA on P-256 with SHA-256, whose signature is r and s as 32 octets each. Keys are read once
// and held; a signature costs about 20 µs, a verification about 60.

package enum ES256 {
  /// Octets of a signature.
  package static let signatureBytes = 64
}

/// A private key on P-256.
///
/// Made on any thread and used on a shard's: libcrypto changes nothing in a key that signs.
@safe
package final class ES256PrivateKey: @unchecked Sendable {
  private let key: OpaquePointer

  /// Nil for anything but the PEM of a key on P-256 without a passphrase.
  package init?(pem: [UInt8]) {
    let made = unsafe pem.withUnsafeBytes { bytes in
      unsafe copenssl_private_key(bytes.baseAddress, Int32(clamping: bytes.count))
    }
    guard let made = unsafe made else { return nil }
    unsafe key = made
  }

  deinit { unsafe EVP_PKEY_free(key) }

  /// Nil where libcrypto fails.
  package func sign(_ bytes: [UInt8]) -> [UInt8]? {
    var signature = [UInt8](repeating: 0, count: ES256.signatureBytes)
    let done = unsafe copenssl_es256_sign(key, bytes, bytes.count, &signature)
    return done == 1 ? signature : nil
  }

  /// Whether what it signs is verified by the other.
  package func belongs(to other: ES256PublicKey) -> Bool {
    let probe = Array("key".utf8)
    guard let signature = sign(probe) else { return false }
    return other.verifies(signature, of: probe.rawSpan)
  }
}

/// A public key on P-256. As the private one it may be used from any thread.
@safe
package final class ES256PublicKey: @unchecked Sendable {
  private let key: OpaquePointer

  package init?(pem: [UInt8]) {
    let made = unsafe pem.withUnsafeBytes { bytes in
      unsafe copenssl_public_key(bytes.baseAddress, Int32(clamping: bytes.count))
    }
    guard let made = unsafe made else { return nil }
    unsafe key = made
  }

  /// Takes the key over. Nil, and the key is freed, where it is not on P-256.
  init?(owning made: OpaquePointer) {
    guard unsafe copenssl_is_p256(made) == 1 else {
      unsafe EVP_PKEY_free(made)
      return nil
    }
    unsafe key = made
  }

  deinit { unsafe EVP_PKEY_free(key) }

  /// False too for a signature of another length.
  package func verifies(_ signature: [UInt8], of bytes: RawSpan) -> Bool {
    guard signature.count == ES256.signatureBytes else { return false }
    return unsafe bytes.withUnsafeBytes { buffer in
      let start = unsafe buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
      return unsafe copenssl_es256_verify(key, start, buffer.count, signature) == 1
    }
  }
}
