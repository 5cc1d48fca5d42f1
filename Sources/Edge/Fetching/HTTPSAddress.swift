internal import Base

/// Where something is that is fetched by HTTPS: `https://host[:port]/path`, and nothing beside it.
package struct HTTPSAddress: Hashable, Sendable {
  /// A name in lower case, or an address without brackets.
  package var host: String
  package var port: UInt16
  /// With the query, as it is requested.
  package var path: String
  /// As it stands in a Host header field.
  package var authority: String

  package static let most = 1_024

  /// Nil for another scheme, a user part, and whatever has a place in no request line.
  package init?(_ text: String) {
    let bytes = Array(text.utf8)
    let scheme = Array("https://".utf8)
    guard bytes.count <= Self.most, bytes.count > scheme.count,
      zip(bytes, scheme).allSatisfy({ $0.asciiLowercased == $1 }),
      bytes.allSatisfy({
        (0x21...0x7e).contains($0) && $0 != 0x5c && $0 != 0x22 && $0 != 0x3c && $0 != 0x3e
      })
    else { return nil }
    let rest = bytes[scheme.count...].prefix { $0 != UInt8(ascii: "#") }
    let authority = rest.prefix { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") }
    let tail = String(decoding: rest[authority.endIndex...], as: UTF8.self)
    path = tail.utf8.first == UInt8(ascii: "/") ? tail : "/" + tail
    self.authority = String(decoding: authority, as: UTF8.self).lowercased()
    let end: Int?
    if authority.first == UInt8(ascii: "[") {
      guard let close = authority.firstIndex(of: UInt8(ascii: "]")) else { return nil }
      host = String(decoding: authority[(authority.startIndex + 1)..<close], as: UTF8.self)
      guard IPAddress(host)?.family == .v6 else { return nil }
      let after = authority[(close + 1)...]
      guard after.isEmpty || after.first == UInt8(ascii: ":") else { return nil }
      end = after.isEmpty ? nil : close + 1
    } else {
      end = authority.firstIndex(of: UInt8(ascii: ":"))
      host = String(decoding: authority[..<(end ?? authority.endIndex)], as: UTF8.self).lowercased()
      guard (1...253).contains(host.utf8.count), host.utf8.allSatisfy(Self.isOfHost) else {
        return nil
      }
    }
    guard let end else {
      port = 443
      return
    }
    let digits = authority[(end + 1)...]
    guard (1...5).contains(digits.count), digits.allSatisfy(\.isASCIIDigit),
      let number = UInt16(String(decoding: digits, as: UTF8.self)), number > 0
    else { return nil }
    port = number
  }

  private static func isOfHost(_ byte: UInt8) -> Bool {
    byte.isASCIIDigit || byte.isASCIILetter || byte == UInt8(ascii: "-")
      || byte == UInt8(ascii: ".")
  }
}
