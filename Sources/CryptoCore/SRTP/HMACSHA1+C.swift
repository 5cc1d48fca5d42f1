internal import Base
internal import COpenSSL

/// HMAC-SHA-1 under one key, of at most 64 bytes (RFC 2104, RFC 3711 §4.2.1). No malloc a tag.
@safe
package struct HMACSHA1: ~Copyable {
  private var state = copenssl_hmac_sha1()

  package init?(key: RawSpan) {
    let done = unsafe key.withUnsafeBytes { bytes in
      let first = unsafe bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
      return unsafe copenssl_hmac_sha1_key(&state, first, bytes.count)
    }
    guard done == 1 else { return nil }
  }

  /// The tag of the first `count` bytes, and of `trailer` as if it stood behind them; nil when libcrypto fails.
  package func tag(_ bytes: RawSpan, count: Int, trailer: UInt32? = nil) -> Tag? {
    guard count >= 0, count <= bytes.byteCount else { return nil }
    var tag = Tag()
    let done = unsafe withUnsafePointer(to: state) { state in
      unsafe bytes.withUnsafeBytes { buffer in
        unsafe withUnsafeBytes(of: (trailer ?? 0).bigEndian) { word in
          var place = tag.bytes.mutableSpan
          return unsafe place.withUnsafeMutableBufferPointer { out in
            unsafe copenssl_hmac_sha1_tag(
              state, buffer.baseAddress?.assumingMemoryBound(to: UInt8.self), count,
              word.baseAddress?.assumingMemoryBound(to: UInt8.self), trailer == nil ? 0 : 4,
              out.baseAddress)
          }
        }
      }
    }
    return done == 1 ? tag : nil
  }

  package struct Tag: Sendable {
    package fileprivate(set) var bytes = InlineArray<20, UInt8>(repeating: 0)

    /// Whether `bytes[start..<start + count]` is the beginning of this tag, in constant time.
    package func matches(_ packet: RawSpan, at start: Int, count: Int) -> Bool {
      guard start >= 0, count > 0, count <= 20, start &+ count <= packet.byteCount else {
        return false
      }
      return constantTimeEquals(
        bytes.span.rawSpan.slice(0, count), packet.slice(start, start &+ count))
    }

    /// Writes the first `count` bytes of it at `start`, where that fits.
    package func write(to packet: inout MutableRawSpan, at start: Int, count: Int) {
      guard start >= 0, count <= 20, start &+ count <= packet.byteCount else { return }
      for i in 0..<count {
        packet.storeBytes(of: bytes[i], toByteOffset: start &+ i, as: UInt8.self)
      }
    }
  }
}
