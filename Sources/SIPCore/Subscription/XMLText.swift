package import Base

/// Text inside of an XML document that we write. We read none.
package enum XMLText {
  /// Escaped for content and for attributes in quotes of either kind. What XML 1.0 §2.2 has no place for is left
  /// out.
  package static func append(_ text: String, into output: inout OutputBuffer) {
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": output.append("&amp;")
      case "<": output.append("&lt;")
      case ">": output.append("&gt;")
      case "\"": output.append("&quot;")
      case "'": output.append("&apos;")
      case "\t", "\n", "\r", "\u{20}"..."\u{D7FF}", "\u{E000}"..."\u{FFFD}",
        "\u{10000}"..."\u{10FFFF}":
        guard let encoded = UTF8.encode(scalar) else { continue }
        for byte in encoded { output.append(byte: byte) }
      default: break
      }
    }
  }

  /// ` name="value"`.
  package static func attribute(
    _ name: StaticString, _ value: String, into output: inout OutputBuffer
  ) {
    output.append(" ")
    output.append(name)
    output.append("=\"")
    append(value, into: &output)
    output.append("\"")
  }
}
