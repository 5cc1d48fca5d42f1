internal import COpenSSL

/// AES in Galois/Counter mode with tags of 16 bytes (RFC 5116 §5.1 and §5.2, as RFC 7714 uses it), in place,
/// under one key and with one context for all packets: a packet allocates nothing.
@safe
package struct AESGCM: ~Copyable {
  package static let tagSize = 16
  package enum Direction: Sendable { case seals, opens }

  private let context: OpaquePointer

  /// Nil unless the key has 16 or 32 bytes, or when libcrypto has no AES.
  package init?(key: RawSpan, _ direction: Direction) {
    guard key.byteCount == 16 || key.byteCount == 32 else { return nil }
    let name = key.byteCount == 16 ? "AES-128-GCM" : "AES-256-GCM"
    let made = unsafe makeCipherContext(name, key, encrypts: direction == .seals)
    guard let context = unsafe made else { return nil }
    unsafe self.context = context
  }

  deinit { unsafe EVP_CIPHER_CTX_free(context) }

  /// Encrypts `bytes[start..<end]` and writes the tag behind it. What stands before `start` is authenticated
  /// too, and so are the four bytes of `trailer`, which may lie anywhere. Of `nonce` the first 12 bytes count.
  package func seal(
    _ nonce: CipherBlock, _ bytes: inout MutableRawSpan, from start: Int, to end: Int,
    trailer: UInt32?
  ) -> Bool {
    unsafe run(nonce, &bytes, start, end, trailer) { place, written in
      unsafe EVP_EncryptFinal_ex(context, place, &written) == 1
        && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(Self.tagSize), place) == 1
    }
  }

  /// The way back, in constant time. False when the tag behind `end` is not the right one: the range then holds
  /// nothing that may be used.
  package func open(
    _ nonce: CipherBlock, _ bytes: inout MutableRawSpan, from start: Int, to end: Int,
    trailer: UInt32?
  ) -> Bool {
    unsafe run(nonce, &bytes, start, end, trailer) { place, written in
      unsafe EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(Self.tagSize), place) == 1
        && EVP_DecryptFinal_ex(context, place, &written) == 1
    }
  }

  @inline(__always)
  private func run(
    _ nonce: CipherBlock, _ bytes: inout MutableRawSpan, _ start: Int, _ end: Int,
    _ trailer: UInt32?,
    finish: (UnsafeMutablePointer<UInt8>, inout Int32) -> Bool
  ) -> Bool {
    guard start > 0, start <= end, end &+ Self.tagSize <= bytes.byteCount else { return false }
    var block = (nonce.high.bigEndian, nonce.low.bigEndian)
    return unsafe withUnsafeBytes(of: &block) { vector in
      unsafe bytes.withUnsafeMutableBytes { buffer in
        let first = unsafe buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
        let begin = unsafe vector.baseAddress?.assumingMemoryBound(to: UInt8.self)
        guard let place = unsafe first,
          // The direction stays that of the key (-1).
          unsafe EVP_CipherInit_ex2(context, nil, nil, begin, -1, nil) == 1
        else { return false }
        var written: Int32 = 0
        let head = Int32(truncatingIfNeeded: start)
        guard unsafe EVP_CipherUpdate(context, nil, &written, place, head) == 1,
          authenticate(trailer)
        else { return false }
        let count = Int32(truncatingIfNeeded: end &- start)
        guard
          unsafe EVP_CipherUpdate(context, place + start, &written, place + start, count) == 1,
          written == count
        else { return false }
        return unsafe finish(place + end, &written)
      }
    }
  }

  private func authenticate(_ trailer: UInt32?) -> Bool {
    guard let trailer else { return true }
    var written: Int32 = 0
    return unsafe withUnsafeBytes(of: trailer.bigEndian) { word in
      let first = unsafe word.baseAddress?.assumingMemoryBound(to: UInt8.self)
      return unsafe EVP_CipherUpdate(context, nil, &written, first, 4) == 1
    }
  }
}
