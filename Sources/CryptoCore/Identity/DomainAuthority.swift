internal import Base

/// The domains that a certificate speaks for (RFC 8224 §8.4), read from the DER of its subjectAltName as RFC 5922 §7.1
/// reads it: of its SIP URIs without a user, and where there are none, of its DNS names. Wildcards match nothing (§7.2),
/// and the subject's own name says nothing.
///
///     SubjectAltName ::= SEQUENCE OF CHOICE { …, dNSName [2] IA5String, …, uniformResourceIdentifier [6] IA5String, … }
package struct DomainAuthority: Hashable, Sendable {
  package static let most = 1_000

  private var names: Set<String> = []

  /// Nil for what is no such list, and for one with nothing of it or more than `most`.
  package init?(der: [UInt8]) {
    var reader = DERReader(der)
    guard let list = reader.take(0x30), reader.isAtEnd else { return nil }
    var entries = DERReader(list)
    var hosts: Set<String> = []
    var count = 0
    while !entries.isAtEnd {
      count += 1
      guard count <= Self.most, let (tag, value) = entries.next() else { return nil }
      switch tag {
      case 0x82: if let name = Self.domain(value) { hosts.insert(name) }
      case 0x86: if let name = Self.domain(ofURI: value) { names.insert(name) }
      default: break
      }
    }
    if names.isEmpty { names = hosts }
    if names.isEmpty { return nil }
  }

  private static func domain(ofURI text: ArraySlice<UInt8>) -> String? {
    guard text.prefix(4).map(\.asciiLowercased).elementsEqual("sip:".utf8) else { return nil }
    let rest = text.dropFirst(4)
    guard !rest.contains(UInt8(ascii: "@")) else { return nil }
    return domain(rest.prefix { $0 != UInt8(ascii: ":") && $0 != UInt8(ascii: ";") })
  }

  private static func domain(_ text: ArraySlice<UInt8>) -> String? {
    let isName = text.allSatisfy {
      $0.isASCIILetter || $0.isASCIIDigit || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".")
    }
    guard isName, (1...253).contains(text.count) else { return nil }
    return String(decoding: text.map(\.asciiLowercased), as: UTF8.self)
  }

  /// - Parameter domain: in lower case.
  package func covers(_ domain: String) -> Bool { names.contains(domain) }
}
