import Base
package import CryptoCore
package import MediaControl

/// The keys of a session, from its master key (RFC 3711 §4.3.1, key derivation rate 0).
package struct SRTPKeys: Sendable {
  /// §4.3.2, of RTP; those of RTCP are three further.
  package enum Label: UInt8, Sendable { case encryption, authentication, salt }
  package static let authenticationSize = 20

  package let encryption: [UInt8]
  /// Empty where the cipher authenticates.
  package let authentication: [UInt8]
  package let salt: [UInt8]

  /// Nil when libcrypto has no AES.
  package init?(_ key: SRTPKey, control: Bool) {
    let master = key.secret.exposed
    let suite = key.suite
    let head = Array(master[..<suite.keySize])
    guard let function = AESCounter(key: head.span.rawSpan) else { return nil }
    let salt = CipherBlock(salt: master[suite.keySize...])
    func derive(_ label: Label, _ count: Int) -> [UInt8]? {
      // x = label || r XOR salt, times 2^16: the label is the eighth byte of the block.
      let number = UInt64(label.rawValue + (control ? 3 : 0))
      return function.keyStream(salt ^ CipherBlock(high: number, low: 0), count: count)
    }
    guard let encryption = derive(.encryption, suite.keySize),
      let authentication = derive(.authentication, suite.isAEAD ? 0 : Self.authenticationSize),
      let sessionSalt = derive(.salt, suite.saltSize)
    else { return nil }
    self.encryption = encryption
    self.authentication = authentication
    self.salt = sessionSalt
  }
}

extension CipherBlock {
  /// A salt of 12 or 14 bytes at the block's beginning, zeros behind it.
  package init(salt: some Collection<UInt8>) {
    self.init(high: 0, low: 0)
    for (i, byte) in salt.prefix(16).enumerated() {
      if i < 8 {
        high |= UInt64(byte) << UInt64(56 - 8 * i)
      } else {
        low |= UInt64(byte) << UInt64(120 - 8 * i)
      }
    }
  }
}
