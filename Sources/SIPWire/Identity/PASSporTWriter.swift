import Base

extension PASSporT {
  /// The token's header in the canonical form (RFC 8225 §9: names in lexicographic order, no white space), in base 64.
  /// It is the same for all of one kind and certificate, so it is made once.
  ///
  /// - Parameter x5u: with nothing in it that JSON escapes.
  package static func header(_ type: PASSporTType, x5u: String) -> [UInt8] {
    let ppt = type == .base ? "" : "\"ppt\":\"\(type.rawValue)\","
    var text: [UInt8] = []
    Base64URL.append(
      "{\"alg\":\"ES256\",\(ppt)\"typ\":\"passport\",\"x5u\":\"\(x5u)\"}".utf8, to: &text)
    return text
  }

  /// The claims in the canonical form.
  package var canonicalClaims: [UInt8] {
    var text = "{"
    if let attestation { text += "\"attest\":\"\(attestation.rawValue)\"," }
    text += "\"dest\":{"
    let numbers = dest.compactMap { if case .number(let number) = $0 { number } else { nil } }
    let uris = dest.compactMap { if case .uri(let uri) = $0 { uri } else { nil } }
    if !numbers.isEmpty { text += "\"tn\":[" + Self.list(numbers) + "]" }
    if !uris.isEmpty { text += (numbers.isEmpty ? "" : ",") + "\"uri\":[" + Self.list(uris) + "]" }
    text += "}"
    if let div { text += ",\"div\":" + Self.object(div) }
    text += ",\"iat\":\(iat),\"orig\":" + Self.object(orig)
    if let origid { text += ",\"origid\":" + Self.quoted(origid) }
    return Array((text + "}").utf8)
  }

  /// Header, dot, claims: what is signed.
  ///
  /// - Parameter header: as `header(_:x5u:)` makes it.
  package func signingInput(_ header: [UInt8]) -> [UInt8] {
    var bytes = header
    bytes.append(UInt8(ascii: "."))
    Base64URL.append(canonicalClaims, to: &bytes)
    return bytes
  }

  private static func list(_ texts: [String]) -> String { texts.map(quoted).joined(separator: ",") }

  private static func object(_ party: Party) -> String {
    switch party {
    case .number(let number): "{\"tn\":" + quoted(number) + "}"
    case .uri(let uri): "{\"uri\":" + quoted(uri) + "}"
    }
  }

  /// With as few escapes as there may be (RFC 8259 §7).
  private static func quoted(_ text: String) -> String {
    var out: [UInt8] = [UInt8(ascii: "\"")]
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): out += [UInt8(ascii: "\\"), byte]
      case 0..<0x20: out += Array("\\u00".utf8) + [.hexDigit(byte >> 4), .hexDigit(byte & 15)]
      default: out.append(byte)
      }
    }
    return String(decoding: out + [UInt8(ascii: "\"")], as: UTF8.self)
  }
}
