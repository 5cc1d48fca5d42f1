internal import Base

/// HMAC-SHA-256 (RFC 2104, vectors of RFC 4231) under one key, used again; about 0.4 µs for 100 bytes.
/// Not `Sendable`: one a shard.
package final class HMACContext {
  private let digest = DigestContext(.sha256)
  private var inner = InlineArray<64, UInt8>(repeating: 0x36)
  private var outer = InlineArray<64, UInt8>(repeating: 0x5c)

  package init(key: RawSpan) {
    func mask(_ key: RawSpan) {
      for i in 0..<min(key.byteCount, 64) {
        inner[i] ^= key.byte(at: i)
        outer[i] ^= key.byte(at: i)
      }
    }
    if key.byteCount <= 64 {
      mask(key)
    } else {
      let short = digest.hash(key)
      mask(short.rawSpan)
    }
  }

  package func authenticate(_ bytes: RawSpan) -> DigestValue {
    begin()
    update(bytes)
    return finish()
  }

  /// The same in parts.
  package func begin() {
    digest.begin()
    digest.update(inner.span.rawSpan)
  }
  package func update(_ bytes: RawSpan) { digest.update(bytes) }
  package func finish() -> DigestValue {
    let first = digest.finish()
    digest.begin()
    digest.update(outer.span.rawSpan)
    digest.update(first.rawSpan)
    return digest.finish()
  }
}

package enum HMAC {
  /// In one step, for where speed is nobody's concern.
  package static func sha256(key: RawSpan, _ bytes: RawSpan) -> DigestValue {
    HMACContext(key: key).authenticate(bytes)
  }
}
