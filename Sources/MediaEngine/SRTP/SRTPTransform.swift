import Base
package import CryptoCore
package import MediaControl
package import RTPWire

/// What the session keys of RTP or of RTCP do to a packet, in place: encryption, and the tag behind it. Which
/// packets may pass is decided by `SRTPSender` and `SRTPReceiver`.
///
///     RTP    header | encrypted payload | [MKI] | tag          AES-CM    (RFC 3711 §3.1)
///            header | encrypted payload and tag | [MKI]        AES-GCM   (RFC 7714 §8)
///     RTCP   8 bytes | encrypted | E, index | [MKI] | tag      AES-CM    (RFC 3711 §3.4)
///            8 bytes | encrypted and tag | E, index | [MKI]    AES-GCM   (RFC 7714 §9)
package struct SRTPTransform: ~Copyable {
  /// The part of an RTCP packet that stays readable.
  static let controlHeaderSize = 8
  /// Behind an RTCP packet: the index, and whether it is encrypted.
  static let controlTrailerSize = 4
  static let encryptedFlag: UInt32 = 1 << 31

  private enum Cipher: ~Copyable {
    case counter(CounterMode)
    case galois(AESGCM)
  }

  private struct CounterMode: ~Copyable {
    var cipher: AESCounter
    var digest: HMACSHA1
  }

  private let cipher: Cipher
  private let salt: CipherBlock
  private let tagSize: Int

  /// From a master key.
  package init?(_ key: SRTPKey, control: Bool, _ direction: AESGCM.Direction) {
    guard let keys = SRTPKeys(key, control: control) else { return nil }
    self.init(
      encryption: keys.encryption, authentication: keys.authentication, salt: keys.salt,
      tagSize: control ? key.suite.controlTagSize : key.suite.tagSize, direction)
  }

  /// From the keys of a session. An empty key of authentication: AES-GCM.
  package init?(
    encryption: [UInt8], authentication: [UInt8], salt: [UInt8], tagSize: Int,
    _ direction: AESGCM.Direction
  ) {
    self.salt = CipherBlock(salt: salt)
    self.tagSize = tagSize
    if authentication.isEmpty {
      guard let galois = AESGCM(key: encryption.span.rawSpan, direction) else { return nil }
      cipher = .galois(galois)
    } else {
      guard let counter = AESCounter(key: encryption.span.rawSpan),
        let digest = HMACSHA1(key: authentication.span.rawSpan)
      else { return nil }
      cipher = .counter(CounterMode(cipher: counter, digest: digest))
    }
  }

  /// RFC 3711 §4.1.1: SSRC times 2^64, index times 2^16.
  private func counter(_ ssrc: UInt32, _ index: UInt64) -> CipherBlock {
    salt ^ CipherBlock(high: UInt64(ssrc), low: index &<< 16)
  }

  /// RFC 7714 §8.1 and §9.1: two zero bytes, the SSRC, and the index in six bytes.
  private func nonce(_ ssrc: UInt32, _ index: UInt64) -> CipherBlock {
    let high = UInt64(ssrc) &<< 16 | index &>> 32 & 0xffff
    return salt ^ CipherBlock(high: high, low: index &<< 32)
  }

  // MARK: RTP

  /// The packet's new length; nil when there is no room or libcrypto fails.
  package func sealMedia(
    _ packet: inout MutableRawSpan, length: Int, _ header: SRTPHeader, index: UInt64
  ) -> Int? {
    guard length &+ tagSize <= packet.byteCount else { return nil }
    switch cipher {
    case .counter(let mode):
      guard
        mode.cipher.apply(
          counter(header.ssrc, index), to: &packet, from: header.size, to: length),
        let tag = mode.digest.tag(packet.bytes, count: length, trailer: rollovers(index))
      else { return nil }
      tag.write(to: &packet, at: length, count: tagSize)
    case .galois(let galois):
      let sealed = galois.seal(
        nonce(header.ssrc, index), &packet, from: header.size, to: length, trailer: nil)
      guard sealed else { return nil }
    }
    return length &+ tagSize
  }

  /// The length of the packet without MKI and tag; nil where it is not what the key's owner sent. The packet is
  /// spoilt then.
  package func openMedia(
    _ packet: inout MutableRawSpan, length: Int, _ header: SRTPHeader, index: UInt64, key: SRTPKey?
  ) -> Int? {
    let end = length &- tagSize &- identifierSize(key)
    guard length <= packet.byteCount, end >= header.size else { return nil }
    switch cipher {
    case .counter(let mode):
      guard hasIdentifier(key, packet.bytes, at: end),
        let tag = mode.digest.tag(packet.bytes, count: end, trailer: rollovers(index)),
        tag.matches(packet.bytes, at: length &- tagSize, count: tagSize),
        mode.cipher.apply(counter(header.ssrc, index), to: &packet, from: header.size, to: end)
      else { return nil }
    case .galois(let galois):
      guard hasIdentifier(key, packet.bytes, at: end &+ tagSize),
        galois.open(
          nonce(header.ssrc, index), &packet, from: header.size, to: end, trailer: nil)
      else { return nil }
    }
    return end
  }

  private func rollovers(_ index: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: index &>> 16) }

  // MARK: RTCP

  package func sealControl(
    _ packet: inout MutableRawSpan, length: Int, ssrc: UInt32, index: UInt32
  ) -> Int? {
    let size = length &+ tagSize &+ Self.controlTrailerSize
    guard length >= Self.controlHeaderSize, size <= packet.byteCount else { return nil }
    let word = index | Self.encryptedFlag
    switch cipher {
    case .counter(let mode):
      let end = length &+ Self.controlTrailerSize
      packet.storeBytes(of: word.bigEndian, toByteOffset: length, as: UInt32.self)
      guard
        mode.cipher.apply(
          counter(ssrc, UInt64(index)), to: &packet, from: Self.controlHeaderSize, to: length),
        let tag = mode.digest.tag(packet.bytes, count: end)
      else { return nil }
      tag.write(to: &packet, at: end, count: tagSize)
    case .galois(let galois):
      let sealed = galois.seal(
        nonce(ssrc, UInt64(index)), &packet, from: Self.controlHeaderSize, to: length, trailer: word
      )
      guard sealed else { return nil }
      packet.storeBytes(of: word.bigEndian, toByteOffset: length &+ tagSize, as: UInt32.self)
    }
    return size
  }

  /// Where the word with flag and index stands; nil where the packet is too short for one.
  package func controlTrailer(length: Int, key: SRTPKey?) -> Int? {
    let behind: Int
    switch cipher {
    case .counter: behind = tagSize &+ identifierSize(key)
    case .galois: behind = identifierSize(key)
    }
    let at = length &- behind &- Self.controlTrailerSize
    let isLongEnough = at >= Self.controlHeaderSize
    return isLongEnough ? at : nil
  }

  package func openControl(
    _ packet: inout MutableRawSpan, length: Int, ssrc: UInt32, trailer at: Int, key: SRTPKey?
  ) -> Int? {
    guard length <= packet.byteCount, at &+ Self.controlTrailerSize <= length else { return nil }
    let word = packet.bytes.bigEndian32(at: at)
    let index = UInt64(word & ~Self.encryptedFlag)
    switch cipher {
    case .counter(let mode):
      guard hasIdentifier(key, packet.bytes, at: at &+ Self.controlTrailerSize),
        let tag = mode.digest.tag(packet.bytes, count: at &+ Self.controlTrailerSize),
        tag.matches(packet.bytes, at: length &- tagSize, count: tagSize),
        mode.cipher.apply(
          counter(ssrc, index), to: &packet, from: Self.controlHeaderSize, to: at)
      else { return nil }
      return at
    case .galois(let galois):
      let end = at &- tagSize
      guard end >= Self.controlHeaderSize,
        hasIdentifier(key, packet.bytes, at: at &+ Self.controlTrailerSize),
        galois.open(
          nonce(ssrc, index), &packet, from: Self.controlHeaderSize, to: end, trailer: word)
      else { return nil }
      return end
    }
  }

  // MARK: MKI (RFC 3711 §3.1)

  private func identifierSize(_ key: SRTPKey?) -> Int { Int(key?.identifierSize ?? 0) }

  private func hasIdentifier(_ key: SRTPKey?, _ packet: RawSpan, at start: Int) -> Bool {
    guard let key, key.identifierSize > 0 else { return true }
    var value: UInt32 = 0
    for i in 0..<Int(key.identifierSize) {
      value = value &<< 8 | UInt32(packet.byte(at: start &+ i))
    }
    return value == key.identifier
  }
}
