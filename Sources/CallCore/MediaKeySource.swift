import Base
import CryptoCore
import MediaControl

/// Master keys of SRTP: HMAC-SHA-256 of a counter under a key of its own, which comes from the shard's secret. Whoever
/// has seen any number of them knows nothing of the next, and a simulated run has the same ones each time.
struct MediaKeySource {
  private let mac: HMACContext
  private var counter: UInt64 = 0

  init(secret: [UInt8], incarnation: UInt64, shard: UInt16) {
    let purpose: StaticString = "SRTP master keys "
    var label = Array("\(purpose)".utf8)
    for shift in stride(from: 0, to: 64, by: 8) {
      label.append(UInt8(truncatingIfNeeded: incarnation >> UInt64(shift)))
    }
    label.append(UInt8(truncatingIfNeeded: shard))
    label.append(UInt8(truncatingIfNeeded: shard >> 8))
    let key = HMAC.sha256(key: secret.span.rawSpan, label.span.rawSpan)
    mac = HMACContext(key: key.rawSpan)
  }

  /// A key that has not been given before; nil when libcrypto has no SHA-256.
  mutating func next(_ suite: SRTPSuite) -> SRTPKey? {
    let size = suite.keySize + suite.saltSize
    var secret: [UInt8] = []
    secret.reserveCapacity(size + 32)
    while secret.count < size {
      counter &+= 1
      var input = InlineArray<8, UInt8>(repeating: 0)
      for i in 0..<8 { input[i] = UInt8(truncatingIfNeeded: counter >> UInt64(8 * i)) }
      let block = mac.authenticate(input.span.rawSpan)
      guard block.count == 32 else { return nil }
      secret.append(copying: block.rawSpan)
    }
    return SRTPKey(suite, secret: Array(secret.prefix(size)))
  }
}
