package import Base

/// What the Reason fields of a message say (RFC 3326, RFC 6432): the first cause of each protocol.
package struct ReleaseReason: Hashable, Sendable {
  /// ITU-T Q.850, 1 to 127; 0: not said.
  package var q850: UInt8 = 0
  /// A SIP status; 0: not said.
  package var sip: UInt16 = 0

  package init() {}
}

extension Message {
  package var releaseReason: ReleaseReason {
    var reason = ReleaseReason()
    guard first(.reason) != nil else { return reason }
    var walk = values(of: .reason)
    while let value = walk.next(bytes) {
      let (start, end) = bytes.bounds(value)
      let semicolon = bytes.find(UInt8(ascii: ";"), from: start, to: end)
      let name = bytes.trimmed(start, semicolon)
      let params = ByteRange(from: semicolon, to: end)
      guard let text = Parameters.find("cause", bytes, params), let cause = bytes.number(text)
      else { continue }
      if bytes.matches(name, "Q.850"), reason.q850 == 0, (1...127).contains(cause) {
        reason.q850 = UInt8(truncatingIfNeeded: cause)
      }
      if bytes.matches(name, "SIP"), reason.sip == 0, (100...699).contains(cause) {
        reason.sip = UInt16(truncatingIfNeeded: cause)
      }
    }
    return reason
  }

  /// The sender's half of Session-ID (RFC 7989 §5): 32 hexadecimal digits; nil for none and for the null one.
  package var sessionUUID: ByteRange? {
    guard let value = first(.sessionID) else { return nil }
    let (start, end) = bytes.bounds(value)
    let stop = bytes.trimmed(start, bytes.find(UInt8(ascii: ";"), from: start, to: end))
    guard stop.count == 32 else { return nil }
    var isNull = true
    for i in stop.start..<stop.end {
      guard bytes.byte(at: i).hexDigitValue != nil else { return nil }
      if bytes.byte(at: i) != UInt8(ascii: "0") { isNull = false }
    }
    return isNull ? nil : stop
  }
}
