package import Base

/// A description as it may be written down: as long as it was, with every key in it made of zeros (`A` in Base64), so
/// that each line is what it was to whoever reads it again. Keys stand in `a=crypto` (RFC 4568 §9.1), and of old in `k=`
/// (RFC 8866 §5.12) and `a=key-mgmt` (RFC 4567).
package enum SDPKeyBlanking {
  package static func write(_ description: RawSpan, into output: inout OutputBuffer) {
    var at = 0
    while at < description.byteCount {
      let end = description.find(0x0a, from: at, to: description.byteCount)
      write(description, ByteRange(from: at, to: end), into: &output)
      if end < description.byteCount { output.append(byte: 0x0a) }
      at = end &+ 1
    }
  }

  private static func write(
    _ bytes: RawSpan, _ line: ByteRange, into output: inout OutputBuffer
  ) {
    let secret = secretStart(bytes, line)
    let hasKey = begins(bytes, line, "a=crypto") && secret > line.start &+ 8
    output.append(bytes, ByteRange(from: line.start, to: secret))
    var isSecret = true
    for i in secret..<line.end {
      let c = bytes.byte(at: i)
      // Behind the key come its lifetime and its name, then another one or parameters.
      if hasKey, c == UInt8(ascii: "|") || c == UInt8(ascii: " ") { isSecret = false }
      if c == UInt8(ascii: ";") { isSecret = true }
      output.append(byte: isSecret && isDigit(c) ? UInt8(ascii: "A") : c)
    }
  }

  /// Where the secret of the line begins; its end: it has none.
  private static func secretStart(_ bytes: RawSpan, _ line: ByteRange) -> Int {
    if begins(bytes, line, "k=") { return line.start &+ 2 }
    if begins(bytes, line, "a=key-mgmt") { return line.start &+ 10 }
    guard begins(bytes, line, "a=crypto") else { return line.end }
    let method: StaticString = "inline:"
    for i in line.start..<line.end
    where begins(bytes, ByteRange(from: i, to: line.end), method) {
      return i &+ method.utf8CodeUnitCount
    }
    return line.start &+ 8
  }

  /// Of Base64, without what fills it up.
  private static func isDigit(_ c: UInt8) -> Bool {
    c.isASCIIDigit || c.isASCIILetter || c == UInt8(ascii: "+") || c == UInt8(ascii: "/")
  }

  private static func begins(_ bytes: RawSpan, _ line: ByteRange, _ text: StaticString) -> Bool {
    let count = text.utf8CodeUnitCount
    return Int(line.count) >= count
      && bytes.extracting(ByteRange(line.start, count)).equalsIgnoringCase(text)
  }
}
