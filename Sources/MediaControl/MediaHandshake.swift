/// The digest of a certificate as SDP names it (RFC 8122 §5). SHA-1 and older ones are none for us: another
/// certificate of the same digest can be made.
package struct CertificateFingerprint: Hashable, Sendable {
  package enum Algorithm: UInt8, Sendable, CaseIterable {
    case sha256, sha384, sha512

    /// Of the digest, in bytes.
    package var size: Int {
      switch self {
      case .sha256: 32
      case .sha384: 48
      case .sha512: 64
      }
    }
  }

  package let algorithm: Algorithm
  package let bytes: [UInt8]

  /// Nil unless there are as many bytes as the algorithm has.
  package init?(_ algorithm: Algorithm, _ bytes: [UInt8]) {
    guard bytes.count == algorithm.size else { return nil }
    self.algorithm = algorithm
    self.bytes = bytes
  }
}

/// What offer and answer have come to on DTLS-SRTP (RFC 5763 §5): who begins, and by which certificates the far end is
/// known. The same value again is the same association (RFC 8842 §3.1).
package struct MediaHandshake: Hashable, Sendable {
  /// Ours. The client sends the first message.
  package enum Role: UInt8, Sendable { case client, server }

  /// Fingerprints that are compared with a certificate; a description with more is judged by its first.
  package static let maxFingerprints = 4

  package let role: Role
  /// Any of them will do.
  package let fingerprints: [CertificateFingerprint]

  /// Nil without a fingerprint: anybody would be the far end then.
  package init?(_ role: Role, _ fingerprints: [CertificateFingerprint]) {
    guard !fingerprints.isEmpty else { return nil }
    self.role = role
    self.fingerprints = Array(fingerprints.prefix(Self.maxFingerprints))
  }
}

/// What a handshake has come to.
package enum HandshakeOutcome: Hashable, Sendable {
  /// Keys are agreed on, for packets of this suite.
  case agreed(SRTPSuite)
  /// Somebody has finished it whose certificate is not the far end's.
  case wrongFingerprint
}

/// How far a transport is with its handshake when somebody asks why it is not heard.
package enum HandshakeProgress: UInt8, Sendable, CaseIterable {
  /// It needs none, or has its keys.
  case settled
  /// Nobody has begun one that got as far as a certificate.
  case unfinished
  case wrongFingerprint
}

extension SRTPSuite {
  /// The name of the protection profile (RFC 5764 §4.1.2, RFC 7714 §14.2); nil: it has none.
  package var profile: StaticString? {
    switch self {
    case .aesCM128HMAC80: "SRTP_AES128_CM_HMAC_SHA1_80"
    case .aesCM128HMAC32: "SRTP_AES128_CM_HMAC_SHA1_32"
    case .aeadAES128GCM: "SRTP_AEAD_AES_128_GCM"
    case .aeadAES256GCM: "SRTP_AEAD_AES_256_GCM"
    case .aesCM256HMAC80, .aesCM256HMAC32: nil
    }
  }
}
