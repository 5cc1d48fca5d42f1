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
  package let sending: SRTPKey
  package let receiving: SRTPKey

  package init(sending: SRTPKey, receiving: SRTPKey) {
    self.sending = sending
    self.receiving = receiving
  }

  package static func == (a: MediaSecurity, b: MediaSecurity) -> Bool {
    a === b || a.sending == b.sending && a.receiving == b.receiving
  }

  package func hash(into hasher: inout Hasher) {
    hasher.combine(sending)
    hasher.combine(receiving)
  }
}
