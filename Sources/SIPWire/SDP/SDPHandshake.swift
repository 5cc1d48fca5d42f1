package import Base

/// Who begins a connection (RFC 4145 §4, for DTLS RFC 5763 §5), seen from who says it.
package enum SDPSetup: UInt8, Sendable, CaseIterable {
  case active, passive, actpass, holdconn

  package var name: StaticString {
    switch self {
    case .active: "active"
    case .passive: "passive"
    case .actpass: "actpass"
    case .holdconn: "holdconn"
    }
  }
}

/// One a=fingerprint line (RFC 8122 §5) with a digest that can be trusted. SHA-1, MD5 and what we do not know are
/// passed over: one usable line is enough (§5.1), and without any the line has no keys.
package struct SDPFingerprint: Hashable, Sendable {
  package enum Algorithm: UInt8, Sendable, CaseIterable {
    case sha256, sha384, sha512

    package var name: StaticString {
      switch self {
      case .sha256: "sha-256"
      case .sha384: "sha-384"
      case .sha512: "sha-512"
      }
    }

    /// Of the digest, in bytes.
    package var size: Int {
      switch self {
      case .sha256: 32
      case .sha384: 48
      case .sha512: 64
      }
    }
  }

  package var algorithm: Algorithm
  /// Pairs of hexadecimal digits with a colon between each two.
  package var text: ByteRange

  /// The digest; nil where the text is none of the algorithm's.
  package func digest(in bytes: RawSpan) -> [UInt8]? {
    guard text.count == 3 * algorithm.size - 1 else { return nil }
    var digest: [UInt8] = []
    digest.reserveCapacity(algorithm.size)
    for i in 0..<algorithm.size {
      let at = text.start &+ 3 &* i
      guard let high = bytes.byte(at: at).hexDigitValue,
        let low = bytes.byte(at: at &+ 1).hexDigitValue,
        i == 0 || bytes.byte(at: at &- 1) == UInt8(ascii: ":")
      else { return nil }
      digest.append(high &<< 4 | low)
    }
    return digest
  }

  /// `hash-func SP fingerprint`
  init?(_ value: ByteRange, _ bytes: RawSpan) {
    var words = SDPWords(value)
    guard let name = words.next(bytes), let text = words.next(bytes), words.isAtEnd(bytes),
      let algorithm = Algorithm.allCases.first(where: {
        bytes.extracting(name).equalsIgnoringCase($0.name)
      })
    else { return nil }
    self.algorithm = algorithm
    self.text = text
    guard digest(in: bytes) != nil else { return nil }
  }
}

/// What an anchored line of ours says of DTLS-SRTP.
package struct SDPOwnHandshake: Sendable {
  /// Of our certificate, by SHA-256.
  package var fingerprint: [UInt8]
  package var setup: SDPSetup

  package init(fingerprint: [UInt8], setup: SDPSetup) {
    self.fingerprint = fingerprint
    self.setup = setup
  }
}

extension SDPSetup {
  init?(_ value: ByteRange, _ bytes: RawSpan) {
    let word = bytes.trimmed(value.start, value.end)
    let found = Self.allCases.first { bytes.extracting(word).equalsIgnoringCase($0.name) }
    guard let found else { return nil }
    self = found
  }
}
