/// Text from anywhere, made safe to stand in a line.
enum LogEscaping {
  /// As it is when it is one plain word, quoted otherwise.
  static func appendValue(_ value: String, to out: inout [UInt8]) {
    let isPlain = value.utf8.allSatisfy { byte in
      byte > 0x20 && byte < 0x7f && byte != 0x22 && byte != 0x5c && byte != 0x3d
    }
    if isPlain, !value.isEmpty, value.utf8.count <= LogFormatter.valueLimit {
      out.append(contentsOf: value.utf8)
    } else {
      appendQuoted(value, to: &out, json: false)
    }
  }

  static func appendQuoted(_ value: String, to out: inout [UInt8], json: Bool) {
    out.append(0x22)
    let isSimple = value.utf8.allSatisfy { byte in
      byte >= 0x20 && byte < 0x7f && byte != 0x22 && byte != 0x5c
    }
    if isSimple, value.utf8.count <= LogFormatter.valueLimit {
      out.append(contentsOf: value.utf8)
    } else {
      appendEscaped(value, to: &out, json: json)
    }
    out.append(0x22)
  }

  private static func appendEscaped(_ value: String, to out: inout [UInt8], json: Bool) {
    for (count, scalar) in value.unicodeScalars.enumerated() {
      if count == LogFormatter.valueLimit {
        out.append(contentsOf: "…".utf8)
        return
      }
      switch scalar {
      case "\"": out.append(contentsOf: "\\\"".utf8)
      case "\\": out.append(contentsOf: "\\\\".utf8)
      case "\n": out.append(contentsOf: "\\n".utf8)
      case "\r": out.append(contentsOf: "\\r".utf8)
      case "\t": out.append(contentsOf: "\\t".utf8)
      default:
        if isDrawn(scalar) {
          out.append(contentsOf: String(scalar).utf8)
        } else {
          escape(scalar, to: &out, json: json)
        }
      }
    }
  }

  /// Whether a terminal draws it and does nothing else.
  static func isDrawn(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value < 0x7f { return scalar.value >= 0x20 }
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse,
      .unassigned:
      return false
    default:
      return true
    }
  }

  private static func escape(_ scalar: Unicode.Scalar, to out: inout [UInt8], json: Bool) {
    if json {
      for unit in UTF16.encode(scalar) ?? UTF16.encodedReplacementCharacter {
        out.append(contentsOf: ("\\u" + hexadecimal(UInt32(unit), width: 4)).utf8)
      }
    } else if scalar.value < 0x100 {
      out.append(contentsOf: ("\\x" + hexadecimal(scalar.value, width: 2)).utf8)
    } else {
      out.append(contentsOf: ("\\u{" + hexadecimal(scalar.value, width: 1) + "}").utf8)
    }
  }

  private static func hexadecimal(_ value: UInt32, width: Int) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }
}
