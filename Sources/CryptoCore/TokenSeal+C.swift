internal import COpenSSL

/// Seals 16 bytes into 16 others under a key: AES-128, one block (FIPS 197). So a token in a branch, a tag
/// or a Call-ID can carry node, shard, slot and generation without showing or obeying anybody else.
///
/// Whoever opens a token must check a constant inside it: any 16 bytes open to something. About 20 ns
/// each way, no malloc. Not `Sendable`: one a shard.
@safe
package final class TokenSeal {
  private let sealing: OpaquePointer
  private let opening: OpaquePointer

  /// Nil unless the key has 16 bytes, or when libcrypto has no AES.
  package init?(key: [UInt8]) {
    guard key.count == 16, let cipher = unsafe EVP_CIPHER_fetch(nil, "AES-128-ECB", nil) else {
      return nil
    }
    defer { unsafe EVP_CIPHER_free(cipher) }
    guard let sealing = unsafe EVP_CIPHER_CTX_new() else { return nil }
    guard let opening = unsafe EVP_CIPHER_CTX_new() else {
      unsafe EVP_CIPHER_CTX_free(sealing)
      return nil
    }
    unsafe self.sealing = sealing
    unsafe self.opening = opening
    guard unsafe EVP_EncryptInit_ex2(sealing, cipher, key, nil, nil) == 1,
      unsafe EVP_DecryptInit_ex2(opening, cipher, key, nil, nil) == 1,
      unsafe EVP_CIPHER_CTX_set_padding(sealing, 0) == 1,
      unsafe EVP_CIPHER_CTX_set_padding(opening, 0) == 1
    else { return nil }
  }

  deinit {
    unsafe EVP_CIPHER_CTX_free(sealing)
    unsafe EVP_CIPHER_CTX_free(opening)
  }

  /// The sealed block as two big-endian words. (0, 0) if libcrypto fails, which opens to nonsense.
  package func seal(_ a: UInt64, _ b: UInt64) -> (UInt64, UInt64) {
    unsafe Self.transform(a, b) { output, length, input in
      unsafe EVP_EncryptUpdate(sealing, output, length, input, 16)
    }
  }

  /// The block that `seal` was given; something else, of no meaning, for anything it didn't make.
  package func open(_ a: UInt64, _ b: UInt64) -> (UInt64, UInt64) {
    unsafe Self.transform(a, b) { output, length, input in
      unsafe EVP_DecryptUpdate(opening, output, length, input, 16)
    }
  }

  @inline(__always)
  private static func transform(
    _ a: UInt64, _ b: UInt64,
    _ run: (UnsafeMutablePointer<UInt8>, UnsafeMutablePointer<Int32>, UnsafePointer<UInt8>) -> Int32
  ) -> (UInt64, UInt64) {
    var input = (a.bigEndian, b.bigEndian)
    var output: (UInt64, UInt64) = (0, 0)
    var length: Int32 = 0
    let done = unsafe withUnsafeBytes(of: &input) { source in
      unsafe withUnsafeMutableBytes(of: &output) { target in
        guard let from = source.baseAddress, let to = target.baseAddress else { return false }
        return unsafe run(
          to.assumingMemoryBound(to: UInt8.self), &length, from.assumingMemoryBound(to: UInt8.self))
          == 1
      }
    }
    guard done, length == 16 else { return (0, 0) }
    return (UInt64(bigEndian: output.0), UInt64(bigEndian: output.1))
  }
}
