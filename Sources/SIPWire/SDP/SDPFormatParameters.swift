import Base

extension SDPFormat {
  /// Whether one of its parameters is this, `name=value`; of those that are separated by semicolons (RFC 4855 §3).
  package func hasParameter(_ text: StaticString, in bytes: RawSpan) -> Bool {
    var start = parameters.start
    while start < parameters.end {
      let end = bytes.find(UInt8(ascii: ";"), from: start, to: parameters.end)
      if bytes.extracting(bytes.trimmed(start, end)).equalsIgnoringCase(text) { return true }
      start = end &+ 1
    }
    return false
  }
}
