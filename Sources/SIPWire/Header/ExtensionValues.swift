package import Base

/// RAck: which reliable response a PRACK acknowledges (RFC 3262 §7.2).
package struct ResponseAcknowledgement: Hashable, Sendable {
  package var rseq: UInt32
  package var cseq: UInt32
  package var method: Method
}

/// Session-Expires (RFC 4028 §4).
package struct SessionExpiry: Hashable, Sendable {
  /// Seconds, numbers beyond 32 bits becoming the largest.
  package var seconds: UInt32
  /// `refresher`: true for uac, false for uas, nil where there is none.
  package var byClient: Bool?
}

extension Message {
  /// RSeq (RFC 3262 §7.1); nil for 0, which no response may have.
  package var rseq: UInt32? {
    guard let value = first(.rseq), let number = bytes.number(value), number > 0 else { return nil }
    return number
  }

  package var rack: ResponseAcknowledgement? {
    guard let value = first(.rack) else { return nil }
    let (start, end) = bytes.bounds(value)
    let firstEnd = digits(start, end)
    let second = bytes.skipSpace(firstEnd, end)
    let secondEnd = digits(second, end)
    let method = bytes.trimmed(secondEnd, end)
    guard let rseq = bytes.number(ByteRange(from: start, to: firstEnd)),
      let cseq = bytes.number(ByteRange(from: second, to: secondEnd), limit: 0x7fff_ffff),
      second > firstEnd, method.start > secondEnd
    else { return nil }
    return ResponseAcknowledgement(
      rseq: rseq, cseq: cseq, method: Method.parse(bytes.extracting(method)))
  }

  private func digits(_ start: Int, _ end: Int) -> Int {
    var i = start
    while i < end, bytes.byte(at: i).isASCIIDigit { i &+= 1 }
    return i
  }

  /// Event (RFC 6665 §8.2.1): the name of the package, and its parameters.
  package var event: (package: ByteRange, params: ByteRange)? {
    guard let value = first(.event) else { return nil }
    let (start, end) = bytes.bounds(value)
    let semicolon = bytes.find(UInt8(ascii: ";"), from: start, to: end)
    return (bytes.trimmed(start, semicolon), ByteRange(from: semicolon, to: end))
  }

  package var sessionExpires: SessionExpiry? {
    guard let value = first(.sessionExpires) else { return nil }
    let (start, end) = bytes.bounds(value)
    let numberEnd = digits(start, end)
    guard let seconds = seconds(ByteRange(from: start, to: numberEnd)) else { return nil }
    var expiry = SessionExpiry(seconds: seconds)
    let params = ByteRange(from: numberEnd, to: end)
    if let refresher = Parameters.find("refresher", bytes, params) {
      if bytes.matches(refresher, "uac") { expiry.byClient = true }
      if bytes.matches(refresher, "uas") { expiry.byClient = false }
    }
    return expiry
  }

  /// Seconds; the parameters that it may have say nothing (RFC 4028 §5).
  package var minSE: UInt32? { leadingSeconds(of: .minSE) }

  /// Seconds; the comment and parameters that it may have say nothing to us (RFC 3261 §20.33).
  package var retryAfter: UInt32? { leadingSeconds(of: .retryAfter) }

  /// Seconds (RFC 3261 §20.23).
  package var minExpires: UInt32? { leadingSeconds(of: .minExpires) }

  private func leadingSeconds(of header: HeaderID) -> UInt32? {
    guard let value = first(header) else { return nil }
    let (start, end) = bytes.bounds(value)
    return seconds(ByteRange(from: start, to: digits(start, end)))
  }
}
