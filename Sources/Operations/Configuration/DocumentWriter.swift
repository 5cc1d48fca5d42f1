import Base

/// A `DocumentNode` as text: JSON for machines (which is YAML too), block YAML for people.
package enum DocumentWriter {
  package static func json(_ node: DocumentNode, indented: Bool = false) -> String {
    var out = ""
    json(node, indent: indented ? 0 : nil, to: &out)
    return indented ? out + "\n" : out
  }

  package static func yaml(_ node: DocumentNode) -> String {
    var out = ""
    yaml(node, indent: 0, to: &out)
    return out
  }

  private static func json(_ node: DocumentNode, indent: Int?, to out: inout String) {
    let inner = indent.map { $0 + 1 }
    func lineBreak(_ depth: Int?) {
      if let depth { out += "\n" + String(repeating: "  ", count: depth) }
    }
    switch node {
    case .scalar(let scalar):
      if scalar.isQuoted {
        quote(scalar.text, to: &out)
      } else {
        out += scalar.isNull ? "null" : scalar.text
      }
    case .sequence(let nodes, _):
      out += "["
      for (position, item) in nodes.enumerated() {
        if position > 0 { out += "," }
        lineBreak(inner)
        json(item, indent: inner, to: &out)
      }
      if !nodes.isEmpty { lineBreak(indent) }
      out += "]"
    case .mapping(let entries, _):
      out += "{"
      for (position, entry) in entries.enumerated() {
        if position > 0 { out += "," }
        lineBreak(inner)
        quote(entry.key, to: &out)
        out += indent == nil ? ":" : ": "
        json(entry.value, indent: inner, to: &out)
      }
      if !entries.isEmpty { lineBreak(indent) }
      out += "}"
    }
  }

  private static func yaml(_ node: DocumentNode, indent: Int, to out: inout String) {
    let margin = String(repeating: "  ", count: indent)
    switch node {
    case .scalar: out += margin + inline(node) + "\n"
    case .sequence(let nodes, _):
      if nodes.isEmpty { out += margin + "[]\n" }
      for item in nodes {
        guard case .mapping(let entries, _) = item, !entries.isEmpty else {
          out += "\(margin)- \(inline(item))\n"
          continue
        }
        var text = ""
        yaml(item, indent: indent + 1, to: &text)
        // The dash stands where the first key's indentation ends.
        out += "\(margin)- \(text.dropFirst(margin.count + 2))"
      }
    case .mapping(let entries, _):
      if entries.isEmpty { out += margin + "{}\n" }
      for entry in entries {
        out += "\(margin)\(plainOrQuoted(entry.key)):"
        if isInline(entry.value) {
          out += " \(inline(entry.value))\n"
        } else {
          out += "\n"
          yaml(entry.value, indent: indent + 1, to: &out)
        }
      }
    }
  }

  /// Scalars, what is empty, and lists of scalars stand on their key's line.
  private static func isInline(_ node: DocumentNode) -> Bool {
    switch node {
    case .scalar: true
    case .mapping(let entries, _): entries.isEmpty
    case .sequence(let nodes, _):
      nodes.allSatisfy { if case .scalar = $0 { true } else { false } }
    }
  }

  private static func inline(_ node: DocumentNode) -> String {
    switch node {
    case .scalar(let scalar):
      return scalar.isQuoted ? plainOrQuoted(scalar.text) : scalar.isNull ? "null" : scalar.text
    case .sequence(let nodes, _): return "[" + nodes.map(inline).joined(separator: ", ") + "]"
    case .mapping:
      var out = ""
      json(node, indent: nil, to: &out)
      return out
    }
  }

  /// Without quotes only what no YAML reader takes for anything but text.
  private static func plainOrQuoted(_ text: String) -> String {
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"]
    let isPlain =
      text.utf8.first.map { ($0 | 0x20) >= 0x61 && ($0 | 0x20) <= 0x7a } ?? false
      && text.utf8.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "/"): true
        default: false
        }
      }
    if isPlain, !words.contains(text.lowercased()) { return text }
    if isDuration(text) || IPAddress(text)?.family == .v4 { return text }
    var out = ""
    quote(text, to: &out)
    return out
  }

  /// `500ms`: digits and a unit, which no number of YAML ends with.
  private static func isDuration(_ text: String) -> Bool {
    let unit = text.drop { $0.isASCII && $0.isNumber }
    return unit.count < text.count && ["ms", "s", "m", "h"].contains(unit)
  }

  /// RFC 8259 §7, in the part that YAML's double quotes have too.
  private static func quote(_ text: String, to out: inout String) {
    out += "\""
    for scalar in text.unicodeScalars {
      switch scalar.value {
      case 0x22: out += "\\\""
      case 0x5c: out += "\\\\"
      case 0x0a: out += "\\n"
      case 0x0d: out += "\\r"
      case 0x09: out += "\\t"
      case 0..<0x20, 0x7f..<0xa0, 0x2028, 0x2029, 0xfeff, 0xfffe, 0xffff:
        let hex = String(scalar.value, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      default: out.unicodeScalars.append(scalar)
      }
    }
    out += "\""
  }
}
