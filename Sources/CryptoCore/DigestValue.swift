internal import Base

/// The digests that SIP authentication knows (RFC 8760 §2.1: "MD5", "SHA-256", "SHA-512-256").
package enum DigestAlgorithm: UInt8, Sendable, CaseIterable {
  case md5, sha256, sha512t256

  /// Bytes of a result.
  package var byteCount: Int { self == .md5 ? 16 : 32 }
}

/// The result of a digest: 16 or 32 bytes, as a value. Compared in constant time.
package struct DigestValue: Sendable {
  var bytes = InlineArray<32, UInt8>(repeating: 0)
  /// 0 when the digest could not be computed.
  package internal(set) var count: Int

  init(count: Int) { self.count = count }

  /// What a digest that could not be computed is. It equals nothing, itself included.
  static var failed: DigestValue { DigestValue(count: 0) }

  package var rawSpan: RawSpan {
    @_lifetime(borrow self) get { bytes.span.rawSpan.slice(0, count) }
  }

  /// Lowercase digits, as they stand in a header and are hashed again (RFC 7616 §3.4: `LHEX`).
  package var hex: HexDigits {
    var digits = HexDigits(count: count * 2)
    for i in 0..<count {
      digits.characters[i * 2] = .hexDigit(bytes[i] >> 4)
      digits.characters[i * 2 + 1] = .hexDigit(bytes[i])
    }
    return digits
  }

  /// Whether `text` spells this value in hexadecimal, in either case; constant time for a given length.
  package func matches(hex text: RawSpan) -> Bool {
    guard count > 0, text.byteCount == count * 2 else { return false }
    let expected = hex
    var difference: UInt8 = 0
    for i in 0..<text.byteCount {
      difference |= text.byte(at: i).asciiLowercased ^ expected.characters[i]
    }
    return difference == 0
  }
}

extension DigestValue: Equatable {
  package static func == (a: DigestValue, b: DigestValue) -> Bool {
    a.count > 0 && constantTimeEquals(a.rawSpan, b.rawSpan)
  }
}

extension DigestValue: CustomStringConvertible {
  package var description: String { hex.description }
}

/// The hexadecimal spelling of a digest: 32 or 64 characters, as a value.
package struct HexDigits: Sendable, CustomStringConvertible {
  var characters = InlineArray<64, UInt8>(repeating: 0x30)
  package internal(set) var count: Int

  init(count: Int) { self.count = count }

  package var rawSpan: RawSpan {
    @_lifetime(borrow self) get { characters.span.rawSpan.slice(0, count) }
  }

  package var description: String { rawSpan.displayText }
}

/// Equal bytes, in a time that depends on the length alone: for anything that a peer might guess.
package func constantTimeEquals(_ a: RawSpan, _ b: RawSpan) -> Bool {
  guard a.byteCount == b.byteCount else { return false }
  var difference: UInt8 = 0
  for i in 0..<a.byteCount { difference |= a.byte(at: i) ^ b.byte(at: i) }
  return difference == 0
}
