package import Base

/// The transforms of a=crypto that we speak, in the order in which we offer them: what every phone has first
/// comes last only where it is the weaker one.
package enum SDPCryptoSuite: UInt8, Sendable, CaseIterable {
  case aeadAES256GCM, aeadAES128GCM, aesCM256HMAC80, aesCM128HMAC80, aesCM256HMAC32, aesCM128HMAC32

  /// RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §14.1.
  package var name: StaticString {
    switch self {
    case .aeadAES256GCM: "AEAD_AES_256_GCM"
    case .aeadAES128GCM: "AEAD_AES_128_GCM"
    case .aesCM256HMAC80: "AES_256_CM_HMAC_SHA1_80"
    case .aesCM128HMAC80: "AES_CM_128_HMAC_SHA1_80"
    case .aesCM256HMAC32: "AES_256_CM_HMAC_SHA1_32"
    case .aesCM128HMAC32: "AES_CM_128_HMAC_SHA1_32"
    }
  }

  /// Of master key and salt.
  package var secretSize: Int {
    switch self {
    case .aeadAES256GCM: 44
    case .aeadAES128GCM: 28
    case .aesCM256HMAC80, .aesCM256HMAC32: 46
    case .aesCM128HMAC80, .aesCM128HMAC32: 30
    }
  }

  /// In any case: there are phones that write the names in small letters.
  static func named(_ name: RawSpan) -> SDPCryptoSuite? {
    allCases.first { name.equalsIgnoringCase($0.name) }
  }
}

/// One a=crypto line of an m-line (RFC 4568 §9.1) that can be used: with a suite that we speak, one key, and no
/// session parameter that changes what we would do. All others are passed over, as §6.3.7 wants it.
package struct SDPCrypto: Hashable, Sendable {
  package var tag: UInt32
  package var suite: SDPCryptoSuite
  /// The key and salt in base 64. Not to be shown.
  package var secret: ByteRange
  /// The MKI in each packet, and how many bytes it takes; 0: none.
  package var identifier: UInt32 = 0
  package var identifierSize: UInt8 = 0

  /// Nil where the text is not a key of the suite.
  package func key(in bytes: RawSpan) -> [UInt8]? {
    let key = Base64.decode(bytes.extracting(secret))
    return key?.count == suite.secretSize ? key : nil
  }
}

/// An a=crypto line of our own.
package struct SDPOwnCrypto: Sendable {
  package var tag: UInt32
  package var suite: SDPCryptoSuite
  package var secret: Redacted<[UInt8]>

  package init(tag: UInt32, suite: SDPCryptoSuite, secret: Redacted<[UInt8]>) {
    self.tag = tag
    self.suite = suite
    self.secret = secret
  }
}

/// How an anchored line of ours is protected.
package struct SDPProtection: Sendable {
  /// The protocol that the far end offered; nil in an offer: that of the keys, with feedback where there is any.
  package var transport: SDPMedia.Transport?
  package var lines: [SDPOwnCrypto]
  /// Nil: the keys stand in the lines.
  package var handshake: SDPOwnHandshake?

  package init(transport: SDPMedia.Transport?, lines: [SDPOwnCrypto]) {
    self.transport = transport
    self.lines = lines
  }

  package init(transport: SDPMedia.Transport?, handshake: SDPOwnHandshake) {
    self.init(transport: transport, lines: [])
    self.handshake = handshake
  }

  /// Of an offer.
  func profile(feedback: Bool) -> SDPMedia.Transport {
    if handshake != nil { return feedback ? .dtlsSAVPF : .dtlsSAVP }
    return feedback ? .rtpSAVPF : .rtpSAVP
  }
}

// `crypto:tag suite key-params [session-params]`
extension SDPCrypto {
  init?(_ value: ByteRange, _ bytes: RawSpan) {
    var words = SDPWords(value)
    guard let number = words.next(bytes), let tag = bytes.number(number, limit: 999_999_999),
      let name = words.next(bytes), let parameters = words.next(bytes),
      let suite = SDPCryptoSuite.named(bytes.extracting(name)),
      let key = SDPCryptoKey(parameters, bytes)
    else { return nil }
    while let parameter = words.next(bytes) {
      guard Self.isHarmless(bytes.extracting(parameter)) else { return nil }
    }
    self.tag = tag
    self.suite = suite
    secret = key.secret
    identifier = key.identifier
    identifierSize = key.identifierSize
    guard self.key(in: bytes) != nil else { return nil }
  }

  /// Session parameters (§6.3) that change nothing for us: a hint, the default, and extensions marked as such.
  private static func isHarmless(_ parameter: RawSpan) -> Bool {
    parameter.equalsIgnoringCase("KDR=0") || parameter.hasPrefix("WSH=") || parameter.hasPrefix("-")
      || parameter.equalsIgnoringCase("FEC_ORDER=FEC_SRTP")
      || parameter.equalsIgnoringCase("FEC_ORDER=SRTP_FEC")
  }
}

/// `inline:key-salt ["|" lifetime] ["|" MKI ":" length]` (§9.2). Several keys, which an MKI would have to tell
/// apart, and MKIs that do not fit in a word are not understood.
private struct SDPCryptoKey {
  var secret: ByteRange
  var identifier: UInt32 = 0
  var identifierSize: UInt8 = 0

  init?(_ value: ByteRange, _ bytes: RawSpan) {
    let colon = bytes.find(UInt8(ascii: ":"), from: value.start, to: value.end)
    guard bytes.matches(ByteRange(from: value.start, to: colon), "inline"), colon < value.end,
      bytes.find(UInt8(ascii: ";"), from: value.start, to: value.end) == value.end
    else { return nil }
    var bar = bytes.find(UInt8(ascii: "|"), from: colon &+ 1, to: value.end)
    secret = ByteRange(from: colon &+ 1, to: bar)
    var hasLifetime = false
    while bar < value.end {
      let start = bar &+ 1
      bar = bytes.find(UInt8(ascii: "|"), from: start, to: value.end)
      let field = ByteRange(from: start, to: bar)
      if identifierSize == 0, let mark = Self.identifier(field, bytes) {
        (identifier, identifierSize) = mark
      } else if !hasLifetime, identifierSize == 0, Self.isLifetime(field, bytes) {
        hasLifetime = true
      } else {
        return nil
      }
    }
  }

  /// §6.1: packets that a key lasts for. A shorter life than we would make of it is the far end's to watch: it
  /// knows what it has sent, and a call rarely sees 2^20 packets.
  private static func isLifetime(_ field: ByteRange, _ bytes: RawSpan) -> Bool {
    let isPower = field.count > 2 && bytes.equals(ByteRange(field.start, 2), "2^")
    let digits = isPower ? ByteRange(from: field.start &+ 2, to: field.end) : field
    guard !digits.isEmpty, digits.count < 16 else { return false }
    for i in digits.start..<digits.end where !bytes.byte(at: i).isASCIIDigit { return false }
    return true
  }

  private static func identifier(_ field: ByteRange, _ bytes: RawSpan) -> (UInt32, UInt8)? {
    let colon = bytes.find(UInt8(ascii: ":"), from: field.start, to: field.end)
    guard colon < field.end,
      let value = bytes.number(ByteRange(from: field.start, to: colon)),
      let size = bytes.number(ByteRange(from: colon &+ 1, to: field.end), limit: 4), size > 0,
      size == 4 || value < 1 << (8 * size)
    else { return nil }
    return (value, UInt8(truncatingIfNeeded: size))
  }
}

extension RawSpan {
  fileprivate func hasPrefix(_ text: StaticString) -> Bool {
    byteCount >= text.utf8CodeUnitCount
      && extracting(ByteRange(0, text.utf8CodeUnitCount)).equalsIgnoringCase(text)
  }
}
