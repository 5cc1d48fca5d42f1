internal import COpenSSL

/// AES in counter mode (RFC 3711 §4.1.1, RFC 6188 §2), in place, under one key and with one context for all
/// packets: a packet allocates nothing.
@safe
package struct AESCounter: ~Copyable {
  private let context: OpaquePointer

  /// Nil unless the key has 16 or 32 bytes, or when libcrypto has no AES.
  package init?(key: RawSpan) {
    guard key.byteCount == 16 || key.byteCount == 32 else { return nil }
    let name = key.byteCount == 16 ? "AES-128-CTR" : "AES-256-CTR"
    guard let context = unsafe makeCipherContext(name, key, encrypts: true) else { return nil }
    unsafe self.context = context
  }

  deinit { unsafe EVP_CIPHER_CTX_free(context) }

  /// Adds the key stream that begins with the block of `counter` to `bytes[start..<end]`. False, and nothing
  /// to be used in there, when libcrypto fails or the range lies outside.
  package func apply(
    _ counter: CipherBlock, to bytes: inout MutableRawSpan, from start: Int, to end: Int
  ) -> Bool {
    guard start >= 0, start <= end, end <= bytes.byteCount else { return false }
    var block = (counter.high.bigEndian, counter.low.bigEndian)
    var written: Int32 = 0
    return unsafe withUnsafeBytes(of: &block) { vector in
      unsafe bytes.withUnsafeMutableBytes { buffer in
        let place = unsafe buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
        guard let place = unsafe place else { return start == end }
        let begin = unsafe vector.baseAddress?.assumingMemoryBound(to: UInt8.self)
        guard unsafe EVP_EncryptInit_ex2(context, nil, nil, begin, nil) == 1 else { return false }
        let count = Int32(truncatingIfNeeded: end &- start)
        return unsafe EVP_EncryptUpdate(context, place + start, &written, place + start, count) == 1
          && written == count
      }
    }
  }

  /// The key stream itself, for deriving keys.
  package func keyStream(_ counter: CipherBlock, count: Int) -> [UInt8]? {
    var stream = [UInt8](repeating: 0, count: max(count, 0))
    var span = stream.mutableSpan
    var bytes = unsafe span.mutableBytes
    return apply(counter, to: &bytes, from: 0, to: count) ? stream : nil
  }
}

/// A context with its cipher and key, for any number of initialisation vectors.
@unsafe
func makeCipherContext(_ name: String, _ key: RawSpan, encrypts: Bool) -> OpaquePointer? {
  guard let cipher = unsafe EVP_CIPHER_fetch(nil, name, nil) else { return nil }
  defer { unsafe EVP_CIPHER_free(cipher) }
  guard let context = unsafe EVP_CIPHER_CTX_new() else { return nil }
  let done = unsafe key.withUnsafeBytes { bytes in
    let first = unsafe bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
    return unsafe EVP_CipherInit_ex2(context, cipher, first, nil, encrypts ? 1 : 0, nil) == 1
  }
  guard done else {
    unsafe EVP_CIPHER_CTX_free(context)
    return nil
  }
  return unsafe context
}
