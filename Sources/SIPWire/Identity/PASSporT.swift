import Base

/// How sure a provider is of whose number is shown (RFC 8588 §4): full, partial, gateway.
package enum Attestation: String, Sendable, CaseIterable, Comparable {
  case full = "A"
  case partial = "B"
  case gateway = "C"

  /// The less sure one is the lower.
  package static func < (a: Attestation, b: Attestation) -> Bool { a.rawValue > b.rawValue }
}

/// What a PASSporT says besides the base claims.
package enum PASSporTType: String, Sendable, CaseIterable {
  /// RFC 8225 alone.
  case base = ""
  /// RFC 8588.
  case shaken
  /// RFC 8946.
  case div
}

/// The claims of a PASSporT (RFC 8225 §5), as far as they are about telephone numbers and URIs.
package struct PASSporT: Hashable, Sendable {
  /// Numbers and URIs of one; far more than calls have.
  static let destinations = 32

  package enum Party: Hashable, Sendable {
    /// In the canonical form (RFC 8224 §8.3): digits alone.
    case number(String)
    /// In the canonical form (§8.5), where it is a SIP or SIPS URI with a user.
    case uri(String)

    static func uri(read text: String) -> Party { .uri(CanonicalURI.read(text) ?? text) }
  }

  package enum Defect: Error, Hashable, Sendable {
    /// The compact form, which SHAKEN and div forbid and nobody sends.
    case compact
    /// Base 64, JSON, or a claim that must be there.
    case malformed
    /// Another algorithm than ES256.
    case algorithm
    /// `ppt` of the header field and of the token, or `info` and `x5u`, are not the same.
    case contradictory
  }

  package var type = PASSporTType.base
  /// Where its certificate is.
  package var x5u = ""
  /// Seconds since 1970.
  package var iat: UInt64 = 0
  package var orig = Party.number("")
  package var dest: [Party] = []
  package var attestation: Attestation?
  package var origid: String?
  /// Of div: for whom the call was before it was sent on.
  package var div: Party?

  package init(
    type: PASSporTType, iat: UInt64, orig: Party, dest: [Party], attestation: Attestation? = nil,
    origid: String? = nil, div: Party? = nil
  ) {
    self.type = type
    self.iat = iat
    self.orig = orig
    self.dest = dest
    self.attestation = attestation
    self.origid = origid
    self.div = div
  }

  private init() {}

  /// Nil: one of a `ppt` that we do not know, which a verifier ignores (RFC 8224 §6.2 step 1).
  package static func read(_ bytes: RawSpan, _ value: IdentityValue) throws(Defect) -> PASSporT? {
    let named = bytes.string(value.ppt)
    guard let type = PASSporTType(rawValue: named) else { return nil }
    if value.isCompact { throw .compact }
    guard value.alg.isEmpty || bytes.matches(value.alg, "ES256") else { throw .algorithm }
    guard let header = Base64URL.decode(bytes.extracting(value.header)),
      let payload = Base64URL.decode(bytes.extracting(value.payload))
    else { throw .malformed }
    var token = PASSporT()
    try token.readHeader(header)
    // §4.1: where one of the two says it, both must.
    guard token.type == type, value.info.isEmpty || bytes.string(value.info) == token.x5u else {
      throw .contradictory
    }
    guard token.readClaims(payload) else { throw .malformed }
    return token
  }

  /// RFC 8225 §4: `typ`, `alg` and `x5u` must be there.
  private mutating func readHeader(_ bytes: [UInt8]) throws(Defect) {
    var reader = JSONReader(bytes)
    var alg: String?
    var typ: String?
    var url: String?
    var ppt: String? = ""
    let isRead = reader.object { reader, name in
      switch name {
      case "alg": alg = reader.string()
      case "typ": typ = reader.string()
      case "x5u": url = reader.string()
      case "ppt": ppt = reader.string()
      // RFC 7515 §4.1.11: what is critical must be understood, and we understand nothing beside these.
      case "crit": return false
      default: return reader.skip()
      }
      return true
    }
    guard isRead, reader.isAtEnd(), let alg, let url, let ppt, typ == "passport" else {
      throw .malformed
    }
    guard alg == "ES256" else { throw .algorithm }
    guard let type = PASSporTType(rawValue: ppt) else { throw .contradictory }
    self.type = type
    x5u = url
  }

  /// All claims of a payload by their names: of strings what they say, of others their JSON. Nil: it is no object.
  package static func claims(_ payload: [UInt8]) -> [String: String]? {
    var reader = JSONReader(payload)
    var found: [String: String] = [:]
    let isRead = reader.object { reader, name in
      found[name] = reader.text()
      return found[name] != nil
    }
    return isRead && reader.isAtEnd() ? found : nil
  }

  private mutating func readClaims(_ bytes: [UInt8]) -> Bool {
    var reader = JSONReader(bytes)
    var hasDate = false
    var hasOrigin = false
    var claims = self
    let isRead = reader.object { reader, name in
      switch name {
      case "iat":
        guard let date = reader.unsigned() else { return false }
        claims.iat = date
        hasDate = true
      case "orig":
        guard let party = Self.party(&reader) else { return false }
        claims.orig = party
        hasOrigin = true
      case "dest":
        guard let parties = Self.parties(&reader) else { return false }
        claims.dest = parties
      case "attest":
        guard let level = reader.string().flatMap(Attestation.init(rawValue:)) else { return false }
        claims.attestation = level
      case "origid":
        guard let id = reader.string(), !id.isEmpty, id.utf8.count <= 128 else { return false }
        claims.origid = id
      case "div":
        guard let party = Self.party(&reader) else { return false }
        claims.div = party
      default: return reader.skip()
      }
      return true
    }
    guard isRead, reader.isAtEnd(), hasDate, hasOrigin, !claims.dest.isEmpty else { return false }
    switch claims.type {
    case .base: break
    case .shaken: guard claims.attestation != nil, claims.origid != nil else { return false }
    case .div: guard claims.div != nil else { return false }
    }
    self = claims
    return true
  }

  /// One number or one URI (§5.2.1); a div may have `hi` beside it (RFC 8946 §3).
  private static func party(_ reader: inout JSONReader) -> Party? {
    var found: [Party] = []
    let isRead = reader.object { reader, name in
      switch name {
      case "tn":
        guard let text = reader.string(), let number = CanonicalNumber.read(text) else {
          return false
        }
        found.append(.number(number))
      case "uri":
        guard let text = reader.string(), !text.isEmpty else { return false }
        found.append(.uri(read: text))
      default: return reader.skip()
      }
      return true
    }
    return isRead && found.count == 1 ? found[0] : nil
  }

  private static func parties(_ reader: inout JSONReader) -> [Party]? {
    var found: [Party] = []
    let isRead = reader.object { reader, name in
      switch name {
      case "tn":
        guard let texts = reader.strings(most: Self.destinations) else { return false }
        for text in texts {
          guard let number = CanonicalNumber.read(text) else { return false }
          found.append(.number(number))
        }
      case "uri":
        guard let texts = reader.strings(most: Self.destinations) else { return false }
        found += texts.map(Party.uri(read:))
      default: return reader.skip()
      }
      return true
    }
    return isRead ? found : nil
  }
}

/// The canonical form of telephone numbers (RFC 8224 §8.3).
package enum CanonicalNumber {
  /// Without plus and visual separators. Nil for what has other characters than digits, `#` and `*` then, none at all or
  /// more than 32.
  package static func read(_ text: String) -> String? {
    var digits: [UInt8] = []
    for (position, byte) in text.utf8.enumerated() {
      switch byte {
      case UInt8(ascii: "+") where position == 0: break
      case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "("), UInt8(ascii: ")"), 0x20: break
      case 0x30...0x39, UInt8(ascii: "#"), UInt8(ascii: "*"): digits.append(byte)
      default: return nil
      }
    }
    guard (1...32).contains(digits.count) else { return nil }
    return String(decoding: digits, as: UTF8.self)
  }

  /// Of a number as it is inside: only one with its country has a form that means the same everywhere.
  package static func ofGlobal(_ number: String) -> String? {
    guard number.utf8.first == UInt8(ascii: "+"), number.utf8.count <= 16,
      number.utf8.dropFirst().allSatisfy(\.isASCIIDigit), number.utf8.count > 1
    else { return nil }
    return String(number.dropFirst())
  }
}
