internal import Base

/// What a certificate allows in the PASSporTs that it signs (RFC 8226 §8; RFC 9118 §3, which has `mustExclude` too), read
/// from its DER. Tags are explicit.
///
///     SEQUENCE { mustInclude [0] SEQUENCE OF IA5String OPTIONAL,
///                permittedValues [1] SEQUENCE OF SEQUENCE { claim IA5String, values SEQUENCE OF UTF8String } OPTIONAL,
///                mustExclude [2] SEQUENCE OF IA5String OPTIONAL }         -- one of them at least
package struct ClaimConstraints: Hashable, Sendable {
  /// Names and values in all; far more than there are claims.
  package static let most = 500

  package private(set) var mustInclude: [String] = []
  package private(set) var permitted: [String: [String]] = [:]
  package private(set) var mustExclude: [String] = []

  /// Nil for what is no such thing, has nothing in it or more than `most`.
  ///
  /// - Parameter isEnhanced: that of RFC 9118.
  package init?(der: [UInt8], isEnhanced: Bool) {
    var reader = DERReader(der)
    guard let body = reader.take(0x30), reader.isAtEnd else { return nil }
    var parts = DERReader(body)
    var last: UInt8 = 0
    while !parts.isAtEnd {
      guard let (tag, value) = parts.next(), tag > last else { return nil }
      last = tag
      var part = DERReader(value)
      guard let list = part.take(0x30), part.isAtEnd, !list.isEmpty else { return nil }
      switch tag {
      case 0xa0:
        guard let names = Self.texts(list, 0x16) else { return nil }
        mustInclude = names
      case 0xa1: guard takePermitted(list) else { return nil }
      case 0xa2 where isEnhanced:
        guard let names = Self.texts(list, 0x16) else { return nil }
        mustExclude = names
      default: return nil
      }
    }
    guard last > 0 else { return nil }
  }

  private mutating func takePermitted(_ list: ArraySlice<UInt8>) -> Bool {
    var entries = DERReader(list)
    var count = 0
    while !entries.isAtEnd {
      guard let entry = entries.take(0x30) else { return false }
      var pair = DERReader(entry)
      guard let name = pair.take(0x16), let values = pair.take(0x30), pair.isAtEnd,
        let texts = Self.texts(values, 0x0c)
      else { return false }
      count += 1 + texts.count
      // Of a claim that stands there twice the two lists would contradict each other.
      guard count <= Self.most,
        permitted.updateValue(texts, forKey: String(decoding: name, as: UTF8.self)) == nil
      else { return false }
    }
    return true
  }

  private static func texts(_ list: ArraySlice<UInt8>, _ tag: UInt8) -> [String]? {
    var reader = DERReader(list)
    var found: [String] = []
    while !reader.isAtEnd {
      guard found.count < most, let text = reader.take(tag) else { return nil }
      found.append(String(decoding: text, as: UTF8.self))
    }
    return found.isEmpty ? nil : found
  }

  /// The first claim by which a PASSporT breaks them; nil: none.
  ///
  /// - Parameter claims: all that it has, of strings what they say and of others their JSON.
  package func broken(by claims: [String: String]) -> String? {
    if let missing = mustInclude.first(where: { claims[$0] == nil }) { return missing }
    if let excluded = mustExclude.first(where: { claims[$0] != nil }) { return excluded }
    return permitted.keys.sorted().first { name in
      guard let value = claims[name], let allowed = permitted[name] else { return false }
      return !allowed.contains(value)
    }
  }
}
