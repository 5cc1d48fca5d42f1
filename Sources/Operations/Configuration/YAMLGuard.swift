/// Looks through a text before the YAML library sees it, and refuses what our documents never need and
/// what could make a small file cost a lot: anchors and aliases, tags, block scalars, complex keys, deep
/// nesting. An alias is also what an unquoted `*43` is, so the message says to quote it.
///
/// It follows YAML's tokens just far enough to know where a value begins: inside quotes, comments and
/// plain text the same characters mean nothing.
struct YAMLGuard {
  static let depthLimit = 32
  static let indentLimit = 64

  private let bytes: [UInt8]
  private var position = 0
  private var line = 1
  private var lineStart = 0
  private var flowDepth = 0
  /// Whether the next character begins a value (or a key).
  private var atStart = true
  /// Within brackets a quoted key's colon needs no blank after it: `{"a":"b"}`.
  private var isAfterQuotes = false
  private var errors: [ConfigError] = []
  private let source: String

  /// What must not be read on; empty: the text may be parsed.
  static func check(_ text: String, source: String, byteLimit: Int) -> [ConfigError] {
    guard text.utf8.count <= byteLimit else {
      return [
        ConfigError(
          source: source, message: "the document has more than \(byteLimit >> 20) MiB",
          remedy: "Split it: sections that a document leaves out stay as they are.")
      ]
    }
    var scanner = YAMLGuard(bytes: Array(text.utf8), source: source)
    scanner.scan()
    return scanner.errors
  }

  private init(bytes: [UInt8], source: String) {
    self.bytes = bytes
    self.source = source
  }

  private mutating func scan() {
    scanIndentation()
    while position < bytes.count, errors.count < 20 {
      let byte = bytes[position]
      let mayEndKey = isAfterQuotes && flowDepth > 0
      isAfterQuotes = isAfterQuotes && isBlank(at: position)
      switch byte {
      case 0x0a:
        newLine()
      case 0x20, 0x09, 0x0d:
        position += 1
      case UInt8(ascii: "#") where isBlank(at: position - 1):
        skipLine()
      case UInt8(ascii: "\""), UInt8(ascii: "'"):
        if atStart { skipQuoted(byte) } else { skipPlain() }
      case UInt8(ascii: "["), UInt8(ascii: "{"):
        guard atStart || flowDepth > 0 else {
          skipPlain()
          continue
        }
        flowDepth += 1
        if flowDepth > Self.depthLimit {
          return report("brackets are nested too deeply", Self.flat)
        }
        position += 1
        atStart = true
      case UInt8(ascii: "]"), UInt8(ascii: "}"):
        flowDepth = max(0, flowDepth - 1)
        position += 1
        atStart = false
      case UInt8(ascii: ",") where flowDepth > 0:
        position += 1
        atStart = true
      case UInt8(ascii: ":") where mayEndKey || endsToken(at: position + 1):
        position += 1
        atStart = true
      default:
        if atStart { scanValue(byte) } else { skipPlain() }
      }
    }
  }

  private static let quoteIt = "Write the value out; put it in quotes if it is meant as text."
  private static let flat = "A document of this kind is nested five levels deep at most."

  /// A token's first character.
  private mutating func scanValue(_ byte: UInt8) {
    switch byte {
    case UInt8(ascii: "*"), UInt8(ascii: "&"):
      let kind = byte == UInt8(ascii: "*") ? "alias" : "anchor"
      report(
        "a value that begins with `\(Character(Unicode.Scalar(byte)))` is an \(kind) in YAML, "
          + "and those are not taken", Self.quoteIt)
      skipPlain()
    case UInt8(ascii: "!"):
      report("tags are not taken", Self.quoteIt)
      skipPlain()
    case UInt8(ascii: "|"), UInt8(ascii: ">"):
      report("block text is not taken", "Write the text in quotes, on one line.")
      skipPlain()
    case UInt8(ascii: "?") where endsToken(at: position + 1):
      report("complex keys are not taken", "Write `key: value`.")
      position += 1
    case UInt8(ascii: "-") where endsToken(at: position + 1) && flowDepth == 0:
      position += 1
    default:
      skipPlain()
    }
  }

  private mutating func newLine() {
    position += 1
    line += 1
    lineStart = position
    // Plain text may go on in the next line; taking that for a new value errs on the careful side.
    atStart = true
    scanIndentation()
  }

  /// Blanks and list dashes at the start of a line: each level of nesting has at least one of them.
  private mutating func scanIndentation() {
    while position < bytes.count {
      let byte = bytes[position]
      let isDash = byte == UInt8(ascii: "-") && endsToken(at: position + 1)
      guard byte == 0x20 || isDash else { break }
      position += 1
    }
    if position - lineStart > Self.indentLimit, position < bytes.count,
      bytes[position] != UInt8(ascii: "#"), bytes[position] != 0x0a, bytes[position] != 0x0d,
      flowDepth == 0
    {
      report("the line is indented too deeply", Self.flat)
    }
  }

  private mutating func skipLine() {
    while position < bytes.count, bytes[position] != 0x0a { position += 1 }
  }

  private mutating func skipQuoted(_ quote: UInt8) {
    position += 1
    while position < bytes.count {
      let byte = bytes[position]
      position += 1
      switch byte {
      case UInt8(ascii: "\\") where quote == UInt8(ascii: "\""):
        if position < bytes.count, bytes[position] != 0x0a { position += 1 }
      case 0x0a:
        line += 1
        lineStart = position
      case quote:
        // Two single quotes are one in the text.
        if quote == UInt8(ascii: "'"), position < bytes.count, bytes[position] == quote {
          position += 1
          continue
        }
        atStart = false
        isAfterQuotes = true
        return
      default: break
      }
    }
  }

  /// To where plain text ends: a line's end, a comment, `: `, and within brackets also `,` and brackets.
  private mutating func skipPlain() {
    atStart = false
    position += 1
    while position < bytes.count {
      let byte = bytes[position]
      if byte == 0x0a { return }
      if byte == UInt8(ascii: ":"), endsToken(at: position + 1) { return }
      if byte == UInt8(ascii: "#"), isBlank(at: position - 1) { return }
      if flowDepth > 0, [0x2c, 0x5b, 0x5d, 0x7b, 0x7d].contains(byte) { return }
      position += 1
    }
  }

  private func isBlank(at index: Int) -> Bool {
    index < 0 || [0x20, 0x09, 0x0a, 0x0d].contains(bytes[index])
  }

  private func endsToken(at index: Int) -> Bool {
    guard index < bytes.count else { return true }
    if flowDepth > 0, [0x2c, 0x5b, 0x5d, 0x7b, 0x7d].contains(bytes[index]) { return true }
    return isBlank(at: index)
  }

  private mutating func report(_ message: String, _ remedy: String) {
    let column = bytes[lineStart..<min(position, bytes.count)].count { $0 & 0xc0 != 0x80 } + 1
    errors.append(
      ConfigError(source: source, line: line, column: column, message: message, remedy: remedy))
  }
}
