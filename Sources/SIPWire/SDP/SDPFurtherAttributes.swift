import Base

// The attributes of streams beside speech are those of an agreement that we only carry. What stands in the lists
// here says something of coding and feedback; no address, name or key is in any of it.
extension SDPWriter {
  /// `b=` with a number, and the listed attributes, as they stand below the line.
  static func further(_ media: SDPMedia, of bytes: RawSpan, into out: inout OutputBuffer) {
    var at = media.section.start
    while at < media.section.end {
      let end = bytes.find(0x0a, from: at, to: media.section.end)
      var line = ByteRange(from: at, to: end)
      at = end &+ 1
      if line.count > 0, bytes.byte(at: line.end &- 1) == 0x0d {
        line = ByteRange(from: line.start, to: line.end &- 1)
      }
      guard passes(line, media, bytes) else { continue }
      out.append(bytes, line)
      out.append("\r\n")
    }
  }

  private static func passes(_ line: ByteRange, _ media: SDPMedia, _ bytes: RawSpan) -> Bool {
    guard line.count > 2, bytes.isPrintable(line) else { return false }
    let value = ByteRange(from: line.start &+ 2, to: line.end)
    let colon = bytes.find(UInt8(ascii: ":"), from: value.start, to: value.end)
    let name = ByteRange(from: value.start, to: colon)
    switch bytes.byte(at: line.start) {
    case UInt8(ascii: "b"):
      guard colon < value.end else { return false }
      let number = ByteRange(from: colon &+ 1, to: value.end)
      let isKnown = bytes.matches(name, "AS") || bytes.matches(name, "TIAS")
      return isKnown && bytes.number(number, limit: UInt32(Int32.max)) != nil
    case UInt8(ascii: "a"):
      let rest = ByteRange(from: min(colon &+ 1, value.end), to: value.end)
      return media.isFax
        ? passesOfFax(name, rest, bytes) : passesOfRTP(name, rest, bytes)
    default: return false
    }
  }

  /// ITU-T T.38 annex D.2.3, without T38VendorInfo: numbers, flags and fixed words. Some write a flag with a number.
  private static func passesOfFax(_ name: ByteRange, _ value: ByteRange, _ bytes: RawSpan) -> Bool {
    let numbers: [StaticString] = [
      "T38FaxVersion", "T38MaxBitRate", "T38FaxMaxBuffer", "T38FaxMaxDatagram", "T38FaxMaxIFP",
      "T38FaxUdpECDepth", "T38FaxUdpFECMaxSpan",
    ]
    let flags: [StaticString] = [
      "T38FaxFillBitRemoval", "T38FaxTranscodingMMR", "T38FaxTranscodingJBIG",
    ]
    if flags.contains(where: { bytes.matches(name, $0) }) {
      return value.isEmpty || areNumbers(value, bytes)
    }
    if numbers.contains(where: { bytes.matches(name, $0) }) { return areNumbers(value, bytes) }
    let words: [StaticString] =
      bytes.matches(name, "T38FaxRateManagement")
      ? ["localTCF", "transferredTCF"]
      : bytes.matches(name, "T38FaxUdpEC")
        ? ["t38UDPRedundancy", "t38UDPFEC", "t38UDPNoEC"]
        : bytes.matches(name, "T38ModemType") ? ["t38G3FaxOnly", "t38G3AndV34G3"] : []
    return words.contains { bytes.matches(value, $0) }
  }

  /// `framerate` is a number; `rtcp-fb` a payload type or *, and words of RFC 4585 and RFC 5104.
  private static func passesOfRTP(_ name: ByteRange, _ value: ByteRange, _ bytes: RawSpan) -> Bool {
    if bytes.matches(name, "framerate") { return areNumbers(value, bytes) }
    guard bytes.matches(name, "rtcp-fb") else { return false }
    var words = SDPWords(value)
    guard let type = words.next(bytes),
      bytes.equals(type, "*") || bytes.number(type, limit: 127) != nil, let kind = words.next(bytes)
    else { return false }
    let kinds: [StaticString] = [
      "nack", "ack", "ccm", "trr-int", "goog-remb", "transport-cc", "app",
    ]
    guard kinds.contains(where: { bytes.matches(kind, $0) }) else { return false }
    let known: [StaticString] = [
      "pli", "sli", "rpsi", "fir", "tmmbr", "tstr", "vbcm", "app", "tllei", "rai",
    ]
    while let word = words.next(bytes) {
      // `ccm tmmbr smaxpr=120` (RFC 5104 §7.1).
      let equals = bytes.find(UInt8(ascii: "="), from: word.start, to: word.end)
      let isLimit =
        bytes.matches(ByteRange(from: word.start, to: equals), "smaxpr")
        && areNumbers(ByteRange(from: min(equals &+ 1, word.end), to: word.end), bytes)
      guard isLimit || areNumbers(word, bytes) || known.contains(where: { bytes.matches(word, $0) })
      else { return false }
    }
    return true
  }

  /// Digits, and the signs that stand between them.
  private static func areNumbers(_ value: ByteRange, _ bytes: RawSpan) -> Bool {
    guard !value.isEmpty, value.count <= 12 else { return false }
    for i in value.start..<value.end {
      let byte = bytes.byte(at: i)
      guard byte.isASCIIDigit || byte == UInt8(ascii: ".") else { return false }
    }
    return true
  }
}

extension RawSpan {
  /// Visible ASCII characters and spaces alone.
  func isPrintable(_ range: ByteRange) -> Bool {
    for i in range.start..<range.end where !(0x20...0x7e ~= byte(at: i)) { return false }
    return true
  }
}
