import Base

/// A domain name as it stands on the wire (RFC 1035 §3.1): labels with their lengths, ended by the root's
/// zero; in lower case, so that equal names are equal bytes.
package struct DNSName: Hashable, Sendable {
  package static let limit = 255
  package let wire: [UInt8]

  package static let root = DNSName(wire: [0])

  init(wire: [UInt8]) { self.wire = wire }

  /// From text, with or without the last dot. Nil for an empty or overlong name or label, and for what no
  /// host or service is called: only letters, digits, `-` and `_` (RFC 2782's underscores).
  package init?(_ text: some StringProtocol) {
    var wire: [UInt8] = []
    let utf8 = text.hasSuffix(".") ? Array(text.utf8.dropLast()) : Array(text.utf8)
    for label in utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
      guard (1...63).contains(label.count), label.allSatisfy(Self.isHostByte) else { return nil }
      wire.append(UInt8(label.count))
      wire.append(contentsOf: label.map(\.asciiLowercased))
    }
    wire.append(0)
    guard wire.count <= Self.limit else { return nil }
    self.wire = wire
  }

  /// `_sip._udp` before this name; nil when that is too long.
  package func service(_ labels: String) -> DNSName? {
    DNSName("\(labels).\(description)")
  }

  package var isRoot: Bool { wire == [0] }

  private static func isHostByte(_ byte: UInt8) -> Bool {
    byte.isASCIIDigit || byte.isASCIILetter || byte == UInt8(ascii: "-")
      || byte == UInt8(ascii: "_")
  }
}

extension DNSName: CustomStringConvertible {
  /// Without the last dot; the root is ".". Bytes that no host name has are written as `\ddd` (RFC 1035 §5.1).
  package var description: String {
    var text = ""
    var i = 0
    while i < wire.count, wire[i] > 0 {
      let length = Int(wire[i])
      if !text.isEmpty { text += "." }
      for byte in wire[min(i + 1, wire.count)..<min(i + 1 + length, wire.count)] {
        if Self.isHostByte(byte) {
          text.unicodeScalars.append(Unicode.Scalar(byte))
        } else {
          let digits = String(byte)
          text += "\\" + String(repeating: "0", count: 3 - digits.count) + digits
        }
      }
      i += 1 + length
    }
    return text.isEmpty ? "." : text
  }
}
