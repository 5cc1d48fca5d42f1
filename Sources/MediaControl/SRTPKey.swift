package import Base

/// The transforms of SRTP that we speak, by their names in SDP (RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §14.1).
package enum SRTPSuite: UInt8, Sendable, CaseIterable {
  case aesCM128HMAC80, aesCM128HMAC32, aesCM256HMAC80, aesCM256HMAC32, aeadAES128GCM, aeadAES256GCM

  package var isAEAD: Bool { self == .aeadAES128GCM || self == .aeadAES256GCM }
  package var keySize: Int {
    switch self {
    case .aesCM128HMAC80, .aesCM128HMAC32, .aeadAES128GCM: 16
    case .aesCM256HMAC80, .aesCM256HMAC32, .aeadAES256GCM: 32
    }
  }
  package var saltSize: Int { isAEAD ? 12 : 14 }
  /// Of RTP. RTCP's tag is never the short one (RFC 4568 §6.2.2).
  package var tagSize: Int {
    switch self {
    case .aesCM128HMAC80, .aesCM256HMAC80: 10
    case .aesCM128HMAC32, .aesCM256HMAC32: 4
    case .aeadAES128GCM, .aeadAES256GCM: 16
    }
  }
  package var controlTagSize: Int { isAEAD ? 16 : 10 }
}

/// A master key with its salt, of one direction. It prints as dots and is equal to itself: the same key means
/// the same context.
package struct SRTPKey: Hashable, Sendable {
  package static let maxIdentifierSize = 4

  package let suite: SRTPSuite
  /// Key and salt in a row.
  package let secret: Redacted<[UInt8]>
  /// The MKI that stands in each packet of the far end, and its length in bytes; 0: none.
  package let identifier: UInt32
  package let identifierSize: UInt8

  /// Nil unless key and salt have the suite's length.
  package init?(
    _ suite: SRTPSuite, secret: [UInt8], identifier: UInt32 = 0, identifierSize: UInt8 = 0
  ) {
    guard secret.count == suite.keySize + suite.saltSize, identifierSize <= Self.maxIdentifierSize
    else { return nil }
    self.suite = suite
    self.secret = Redacted(secret)
    self.identifier = identifier
    self.identifierSize = identifierSize
  }
}

/// What a protected transport sends under and what it takes in. A value; an object because most have none, and
/// what holds one should be no larger for it.
package final class MediaSecurity: Hashable, Sendable {
  package enum Keying: Hashable, Sendable {
    /// The signalling has brought the keys (RFC 4568).
    case given(sending: SRTPKey, receiving: SRTPKey)
    /// The two ends agree on keys on the media path (RFC 5763).
    case handshake(MediaHandshake)
  }

  package let keying: Keying

  package init(_ keying: Keying) { self.keying = keying }

  package convenience init(sending: SRTPKey, receiving: SRTPKey) {
    self.init(.given(sending: sending, receiving: receiving))
  }

  package convenience init(_ handshake: MediaHandshake) { self.init(.handshake(handshake)) }

  /// The keys that the signalling has brought; nil where a handshake brings them.
  package var sending: SRTPKey? {
    if case .given(let sending, receiving: _) = keying { return sending }
    return nil
  }
  package var receiving: SRTPKey? {
    if case .given(sending: _, let receiving) = keying { return receiving }
    return nil
  }
  package var handshake: MediaHandshake? {
    if case .handshake(let handshake) = keying { return handshake }
    return nil
  }

  package static func == (a: MediaSecurity, b: MediaSecurity) -> Bool {
    a === b || a.keying == b.keying
  }

  package func hash(into hasher: inout Hasher) { hasher.combine(keying) }
}
