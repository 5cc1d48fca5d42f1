package import Base

/// Why the bytes of a stream cannot be cut into messages any more: where one ends is unknown from here on,
/// so the connection has to go.
package struct StreamProblem: Error, Hashable, Sendable {
  package enum Reason: UInt8, Sendable, CaseIterable {
    /// What comes is no SIP message: a binary octet at its start, or a first line without SIP's version.
    case notSIP
    /// LF without CR before it: two readers that differ over it see different ends.
    case lineEnd
    case headersTooLong
    case messageTooLong
    /// Content-Length is missing (RFC 3261 §18.3 demands it), is no number, or there are different ones.
    case contentLength
  }

  package var reason: Reason
  /// As much of the message as there is, so that a request may still be refused by an answer.
  package var head: ByteRange

  /// What a request gets before its connection is closed.
  package var status: Int {
    switch reason {
    case .headersTooLong, .messageTooLong: 513
    case .notSIP, .lineEnd, .contentLength: 400
    }
  }
}

/// Cuts a stream into SIP messages by Content-Length (RFC 3261 §18.3), and finds the keep-alives between
/// them (RFC 5626 §3.5.1).
///
/// It looks at the bytes that its owner has collected and has not dropped yet. No byte is searched twice,
/// however slowly they drip, and a message's size is known, and refused, before its body is collected.
/// Lines are those of `Message.parse`: whatever that accepts from a datagram is found here as a whole.
package struct StreamFramer: Hashable, Sendable {
  package enum Event: Hashable, Sendable {
    case message(ByteRange)
    /// CRLF CRLF between messages: to be answered by CRLF (RFC 5626 §4.4.1).
    case ping
    /// Nothing whole is left.
    case incomplete
  }

  /// Bytes from the start that are done with: the owner may drop them, and then says so by `drop`.
  package private(set) var consumed = 0

  /// CRLF was just skipped: another makes a ping.
  private var sawBreak = false
  /// Of the line that is being read, and how far it was searched for its end.
  private var lineStart = 0
  private var scanned = 0
  private var lines = 0
  /// The value of a Content-Length whose line may still be continued by a folded one.
  private var openLength: ByteRange?
  private var length: Int?
  /// One past the empty line; 0 while the head is read.
  private var headEnd = 0

  package init() {}

  /// The owner has removed what was consumed.
  package mutating func drop() {
    lineStart -= consumed
    scanned -= consumed
    headEnd = headEnd == 0 ? 0 : headEnd - consumed
    if let open = openLength { openLength = ByteRange(open.start - consumed, Int(open.count)) }
    consumed = 0
  }

  /// What comes next in the bytes, which are all that arrived and was not dropped.
  package mutating func next(_ bytes: RawSpan) throws(StreamProblem) -> Event {
    if headEnd == 0 {
      if lines == 0, scanned <= consumed {
        if let event = skipBreaks(bytes) { return event }
        guard bytes.consists(ByteRange(consumed, 1), of: .token) else {
          throw problem(.notSIP, bytes)
        }
        lineStart = consumed
        scanned = consumed
      }
      guard try readHead(bytes) else { return .incomplete }
    }
    let start = consumed
    guard let length else { throw problem(.contentLength, bytes) }
    let end = headEnd &+ length
    guard end &- start <= SIPLimits.messageBytes else { throw problem(.messageTooLong, bytes) }
    guard end <= bytes.byteCount else { return .incomplete }
    self = StreamFramer()
    consumed = end
    scanned = end
    return .message(ByteRange(from: start, to: end))
  }

  /// §7.5: line breaks before a start line mean nothing, but for a pair of them.
  private mutating func skipBreaks(_ bytes: RawSpan) -> Event? {
    while consumed < bytes.byteCount {
      switch bytes.byte(at: consumed) {
      case 0x0d:
        guard consumed &+ 1 < bytes.byteCount else { return .incomplete }
        guard bytes.byte(at: consumed &+ 1) == 0x0a else {
          consumed &+= 1
          sawBreak = false
          continue
        }
        consumed &+= 2
        if sawBreak {
          sawBreak = false
          scanned = consumed
          return .ping
        }
        sawBreak = true
      case 0x0a:
        consumed &+= 1
        sawBreak = false
      default:
        sawBreak = false
        return nil
      }
    }
    scanned = consumed
    return .incomplete
  }

  /// True when the empty line is there; `length` is then what the Content-Length fields agree on.
  private mutating func readHead(_ bytes: RawSpan) throws(StreamProblem) -> Bool {
    while true {
      let end = bytes.find(0x0a, from: scanned, to: bytes.byteCount)
      guard end &- consumed < SIPLimits.headerBytes else { throw problem(.headersTooLong, bytes) }
      guard end < bytes.byteCount else {
        scanned = bytes.byteCount
        return false
      }
      guard end > lineStart, bytes.byte(at: end &- 1) == 0x0d else {
        throw problem(.lineEnd, bytes)
      }
      let line = ByteRange(from: lineStart, to: end &- 1)
      scanned = end &+ 1
      lineStart = end &+ 1
      lines &+= 1
      if lines == 1 {
        guard isStartLine(bytes, line) else { throw problem(.notSIP, bytes) }
        continue
      }
      let first = bytes.byte(at: line.start)
      if !line.isEmpty, first == 0x20 || first == 0x09 {
        if let open = openLength { openLength = ByteRange(from: open.start, to: line.end) }
        continue
      }
      try closeLength(bytes)
      guard !line.isEmpty else {
        headEnd = end &+ 1
        return true
      }
      openLength = contentLength(bytes, line)
    }
  }

  /// `SIP/x.y …`, or a line that ends with the version.
  private func isStartLine(_ bytes: RawSpan, _ line: ByteRange) -> Bool {
    if bytes.hasPrefix("SIP/", at: line.start) { return true }
    var space = line.end
    while space > line.start, bytes.byte(at: space &- 1) != 0x20 { space &-= 1 }
    return space > line.start && bytes.hasPrefix("SIP/", at: space)
  }

  /// The value of the line when it is `Content-Length` or `l`, white space before the colon allowed.
  private func contentLength(_ bytes: RawSpan, _ line: ByteRange) -> ByteRange? {
    let initial = bytes.byte(at: line.start).asciiLowercased
    guard initial == UInt8(ascii: "c") || initial == UInt8(ascii: "l") else { return nil }
    let colon = bytes.find(UInt8(ascii: ":"), from: line.start, to: line.end)
    guard colon < line.end else { return nil }
    let name = bytes.extracting(bytes.trimmed(line.start, colon))
    guard name.equalsIgnoringCase("content-length") || name.equalsIgnoringCase("l") else {
      return nil
    }
    return ByteRange(from: colon &+ 1, to: line.end)
  }

  /// Several fields must agree (RFC 4475 §3.3.9).
  private mutating func closeLength(_ bytes: RawSpan) throws(StreamProblem) {
    guard let open = openLength else { return }
    openLength = nil
    guard let number = bytes.number(bytes.trimmed(open.start, open.end)),
      length == nil || length == Int(number)
    else { throw problem(.contentLength, bytes) }
    length = Int(number)
  }

  private func problem(_ reason: StreamProblem.Reason, _ bytes: RawSpan) -> StreamProblem {
    let end = headEnd > 0 ? headEnd : min(bytes.byteCount, consumed &+ SIPLimits.headerBytes)
    return StreamProblem(reason: reason, head: ByteRange(from: consumed, to: end))
  }
}
