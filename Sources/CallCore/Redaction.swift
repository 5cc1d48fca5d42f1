import Base

/// Makes what a message proves its sender by unreadable, in place and of the same length: with `response` and
/// `cnonce` at hand a password can be guessed offline, and ladders are shown and sent to others.
enum Redaction {
  private static let mark = UInt8(ascii: "*")

  /// `range` is one SIP message inside `bytes`.
  static func credentials(in bytes: inout [UInt8], _ range: Range<Int>) {
    // A response bears none.
    guard range.lowerBound >= 0, range.upperBound <= bytes.count,
      range.count > 8,
      bytes[range.lowerBound] | 0x20 != UInt8(ascii: "s")
        || bytes[range.lowerBound + 3] != UInt8(ascii: "/")
    else { return }
    var line = range.lowerBound
    while line < range.upperBound {
      let end = endOfLine(bytes, line, range.upperBound)
      // The empty line: what follows is the body.
      if end - line <= 1 { return }
      if isCredentials(bytes, line, end) { hide(&bytes, line..<end) }
      line = end + 1
    }
  }

  private static let inline = Array("inline:".utf8)
  /// How far the end of the word may move when this letter stands there (Horspool); 7: it has no such letter.
  private static let steps: InlineArray<256, UInt8> = {
    var steps = InlineArray<256, UInt8>(repeating: UInt8(inline.count))
    for (i, letter) in inline.dropLast().enumerated() {
      let step = UInt8(inline.count - 1 - i)
      steps[Int(letter)] = step
      if letter >= UInt8(ascii: "a") { steps[Int(letter - 0x20)] = step }
    }
    return steps
  }()

  /// The master keys of SRTP (RFC 4568 §9.2): who has one hears the call, be it from a capture of yesterday's.
  static func keys(in bytes: inout [UInt8], _ range: Range<Int>) {
    guard range.lowerBound >= 0, range.upperBound <= bytes.count, range.count > 4,
      !endsWithHead(bytes, range.upperBound)
    else { return }
    var last = range.lowerBound + inline.count - 1
    while last < range.upperBound {
      let letter = bytes[last]
      guard letter == UInt8(ascii: ":"), isInline(bytes, endingAt: last) else {
        last += Int(steps[Int(letter)])
        continue
      }
      last += 1
      while last < range.upperBound, !endsKey(bytes[last]) {
        bytes[last] = mark
        last += 1
      }
    }
  }

  private static let signal = Array("signal".utf8)

  /// The digits in an INFO: what somebody types is a card's number or a code. A mark that is no digit takes their place.
  static func digits(in bytes: inout [UInt8]) {
    guard starts(bytes, with: Array("INFO ".utf8)), let body = bodyStart(bytes) else { return }
    var line = body
    while line < bytes.count {
      var end = line
      while end < bytes.count, bytes[end] != 0x0a { end += 1 }
      let equals = (line..<end).first { bytes[$0] == UInt8(ascii: "=") }
      if equals == nil || isSignal(bytes, line..<end) {
        for i in (equals.map { $0 + 1 } ?? line)..<end where bytes[i] > 0x20 {
          bytes[i] = UInt8(ascii: "x")
        }
      }
      line = end + 1
    }
  }

  private static func starts(_ bytes: [UInt8], with word: [UInt8]) -> Bool {
    bytes.count >= word.count && bytes.prefix(word.count).elementsEqual(word)
  }

  /// The name is anything that has this word in it: nobody has standardised the body.
  private static func isSignal(_ bytes: [UInt8], _ line: Range<Int>) -> Bool {
    line.contains { start in
      start + signal.count <= line.upperBound
        && signal.indices.allSatisfy { bytes[start + $0].asciiLowercased == signal[$0] }
    }
  }

  private static func bodyStart(_ bytes: [UInt8]) -> Int? {
    var i = 0
    while i + 3 < bytes.count {
      if bytes[i] == 0x0d, bytes[i + 1] == 0x0a, bytes[i + 2] == 0x0d, bytes[i + 3] == 0x0a {
        return i + 4
      }
      i += 1
    }
    return nil
  }

  /// No body: the empty line is the last one.
  private static func endsWithHead(_ bytes: [UInt8], _ end: Int) -> Bool {
    bytes[end - 1] == 0x0a && bytes[end - 2] == 0x0d && bytes[end - 3] == 0x0a
  }

  private static func isInline(_ bytes: [UInt8], endingAt last: Int) -> Bool {
    let start = last + 1 - inline.count
    for i in inline.indices where bytes[start + i].asciiLowercased != inline[i] { return false }
    return true
  }

  private static func endsKey(_ byte: UInt8) -> Bool {
    byte <= 0x20 || byte == UInt8(ascii: "|") || byte == UInt8(ascii: ";")
  }

  /// The line feed that ends the header field, folded lines included (RFC 3261 §7.3.1), or the end.
  private static func endOfLine(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Int {
    var i = start
    while i < end {
      if bytes[i] == 0x0a {
        let isFolded = i + 1 < end && (bytes[i + 1] == 0x20 || bytes[i + 1] == 0x09)
        if !isFolded { return i }
      }
      i += 1
    }
    return end
  }

  private static let names = [Array("authorization".utf8), Array("proxy-authorization".utf8)]

  private static func isCredentials(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Bool {
    // Nearly every line is done with here.
    let first = bytes[start] | 0x20
    guard first == UInt8(ascii: "a") || first == UInt8(ascii: "p") else { return false }
    return names.contains { starts(bytes, start, end, with: $0) }
  }

  private static func starts(
    _ bytes: [UInt8], _ start: Int, _ end: Int, with name: [UInt8]
  ) -> Bool {
    guard start + name.count < end else { return false }
    for i in 0..<name.count where bytes[start + i].asciiLowercased != name[i] { return false }
    let next = bytes[start + name.count]
    return next == UInt8(ascii: ":") || next == 0x20 || next == 0x09
  }

  private static let secrets = [Array("response".utf8), Array("cnonce".utf8)]

  private static func hide(_ bytes: inout [UInt8], _ line: Range<Int>) {
    var i = line.lowerBound
    while i < line.upperBound {
      guard let name = secrets.first(where: { isParameter(bytes, i, line, $0) }) else {
        i += 1
        continue
      }
      i += name.count
      while i < line.upperBound, bytes[i] != UInt8(ascii: "=") { i += 1 }
      i += 1
      while i < line.upperBound, bytes[i] == 0x20 || bytes[i] == 0x09 { i += 1 }
      let isQuoted = i < line.upperBound && bytes[i] == UInt8(ascii: "\"")
      if isQuoted { i += 1 }
      while i < line.upperBound, !endsValue(bytes[i], isQuoted) {
        bytes[i] = mark
        i += 1
      }
    }
  }

  /// The name stands here, behind a comma or white space, and an equals sign follows.
  private static func isParameter(
    _ bytes: [UInt8], _ at: Int, _ line: Range<Int>, _ name: [UInt8]
  ) -> Bool {
    guard at > line.lowerBound, at + name.count < line.upperBound else { return false }
    let before = bytes[at - 1]
    guard before == 0x20 || before == 0x09 || before == 0x0a || before == UInt8(ascii: ",") else {
      return false
    }
    for i in 0..<name.count where bytes[at + i].asciiLowercased != name[i] { return false }
    let next = bytes[at + name.count]
    return next == UInt8(ascii: "=") || next == 0x20 || next == 0x09
  }

  private static func endsValue(_ byte: UInt8, _ isQuoted: Bool) -> Bool {
    if byte == 0x0d || byte == 0x0a { return true }
    return isQuoted ? byte == UInt8(ascii: "\"") : byte == UInt8(ascii: ",") || byte == 0x20
  }
}
