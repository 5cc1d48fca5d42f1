import Base

/// The canonical form of SIP and SIPS URIs, in which a PASSporT says who calls that has no number (RFC 8224 §8.5):
///
///     canon-uri = ( "sip" / "sips" ) ":" user "@" host
///
/// without password, port, parameters and headers, all in lower case, and escaped no more than it must be
/// (RFC 3986 §6.2.2).
package enum CanonicalURI {
  /// Nil for a URI of another scheme, and for one without a user.
  package static func read(_ bytes: RawSpan, _ uri: SIPURI) -> String? {
    guard uri.scheme == .sip || uri.scheme == .sips, !uri.user.isEmpty else { return nil }
    var text = Array((uri.scheme == .sip ? "sip:" : "sips:").utf8)
    var at = uri.user.start
    while at < uri.user.end {
      let byte = bytes.byte(at: at)
      at &+= 1
      guard byte == UInt8(ascii: "%"), let octet = Escapes.octet(bytes, at &- 1) else {
        text.append(byte.asciiLowercased)
        continue
      }
      if isUnreserved(octet) {
        text.append(octet.asciiLowercased)
      } else {
        text += [byte, .hexDigit(octet >> 4), .hexDigit(octet & 15)]
      }
      at &+= 2
    }
    let host = bytes.array(uri.host)
    let isV6 = host.contains(UInt8(ascii: ":"))
    text += Array((isV6 ? "@[" : "@").utf8) + host.map(\.asciiLowercased)
    if isV6 { text.append(UInt8(ascii: "]")) }
    return String(decoding: text, as: UTF8.self)
  }

  package static func read(_ text: String) -> String? {
    let bytes = Array(text.utf8)
    return SIPURI.parse(bytes.rawSpan, ByteRange(0, bytes.count)).flatMap {
      read(bytes.rawSpan, $0)
    }
  }

  /// Of a URI in this form: who has authority over it (§8.4).
  package static func domain(of uri: String) -> String? {
    guard let at = uri.lastIndex(of: "@") else { return nil }
    return String(uri[uri.index(after: at)...])
  }

  /// RFC 3986 §2.3.
  private static func isUnreserved(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "-"), UInt8(ascii: "."),
      UInt8(ascii: "_"), UInt8(ascii: "~"):
      true
    default: false
    }
  }
}
