import Base
import SIPWire

/// A part of a message that a rule reads or sets: `request-uri`, a header's first field, or what of its URI is
/// named behind a dot; a parameter stands behind a semicolon.
struct RulePart: Hashable, Sendable {
  enum Field: Hashable, Sendable {
    case requestURI, status
    case header(RuleHeader)
  }
  enum Piece: Hashable, Sendable {
    case whole, display, uri, user, host
    case parameter(String)
  }

  var field: Field
  var piece: Piece

  /// "From.user", "Diversion;reason", "request-uri;phone-context", "X-Thing".
  init?(_ text: String) {
    let bytes = Array(text.utf8)
    var name = text
    piece = .whole
    if let semicolon = bytes.firstIndex(of: UInt8(ascii: ";")) {
      let parameter = String(decoding: bytes[(semicolon + 1)...], as: UTF8.self)
      guard RuleHeader.isToken(parameter) else { return nil }
      piece = .parameter(parameter)
      name = String(decoding: bytes[..<semicolon], as: UTF8.self)
    } else if let dot = bytes.lastIndex(of: UInt8(ascii: ".")) {
      switch asciiLowercased(String(decoding: bytes[(dot + 1)...], as: UTF8.self)) {
      case "display": piece = .display
      case "uri": piece = .uri
      case "user": piece = .user
      case "host": piece = .host
      default: return nil
      }
      name = String(decoding: bytes[..<dot], as: UTF8.self)
    }
    switch asciiLowercased(name) {
    case "request-uri":
      guard piece != .display, piece != .uri else { return nil }
      field = .requestURI
    case "status":
      guard piece == .whole else { return nil }
      field = .status
    default:
      guard let header = RuleHeader(name) else { return nil }
      field = .header(header)
    }
  }
}

/// A header by its name, in any case, long or compact.
struct RuleHeader: Hashable, Sendable {
  /// As it is written when a rule adds it.
  let name: String
  let id: HeaderID

  init?(_ name: String) {
    guard Self.isToken(name), name.utf8.count <= 64 else { return nil }
    let folded = asciiLowercased(name)
    let known = HeaderID.allCases.first { id in
      guard id != .other else { return false }
      let compact = id.compact
      return asciiLowercased("\(id.name)") == folded
        || (compact != 0 && Array(folded.utf8) == [compact])
    }
    id = known ?? .other
    self.name = known.map { "\($0.name)" } ?? name
  }

  static func isToken(_ text: String) -> Bool {
    !text.isEmpty && text.utf8.allSatisfy { OctetSet.token.contains($0) }
  }

  static func == (a: RuleHeader, b: RuleHeader) -> Bool {
    a.id == b.id && (a.id != .other || asciiLowercased(a.name) == asciiLowercased(b.name))
  }
  func hash(into hasher: inout Hasher) {
    hasher.combine(id)
    if id == .other { hasher.combine(asciiLowercased(name)) }
  }

  /// Without which a message is not found, framed or routed any more: no rule touches them.
  var isFixed: Bool {
    switch id {
    case .via, .callID, .cseq, .contentLength, .contentType, .contentEncoding, .maxForwards,
      .route, .recordRoute, .authorization, .proxyAuthorization, .wwwAuthenticate,
      .proxyAuthenticate, .rack, .rseq:
      true
    default: false
    }
  }

  /// Of these the dialog lives: a rule may set pieces of them, and can neither replace nor remove them.
  var isOfDialog: Bool {
    switch id {
    case .from, .to, .contact: true
    default: false
    }
  }

  /// What may cross from leg to leg where a rule names it: what we have no word of our own for.
  var mayPass: Bool {
    switch id {
    case .other, .alertInfo, .callInfo, .subject, .priority, .organization, .acceptLanguage, .date,
      .inReplyTo, .replyTo, .errorInfo:
      true
    default: false
    }
  }
}
