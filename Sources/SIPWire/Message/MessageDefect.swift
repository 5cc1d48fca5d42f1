import Base

/// What makes a message unfit to be worked with although its lines could be read.
package enum MessageDefect: String, Error, Sendable, CaseIterable {
  case missingVia = "Missing Via"
  case malformedVia = "Malformed Via"
  case missingFrom = "Missing From"
  case malformedFrom = "Malformed From"
  case missingTo = "Missing To"
  case malformedTo = "Malformed To"
  case missingCallID = "Missing Call-ID"
  case malformedCallID = "Malformed Call-ID"
  case missingCSeq = "Missing CSeq"
  case malformedCSeq = "Malformed CSeq"
  case cseqMethod = "CSeq Method Mismatch"
  case repeatedField = "Repeated Header Field"
  case malformedMaxForwards = "Malformed Max-Forwards"
  case malformedContact = "Malformed Contact"
  case malformedRequestURI = "Malformed Request-URI"

  /// The reason phrase of a 400.
  package var phrase: String { rawValue }
}

extension Message {
  /// The first rule of RFC 3261 that the message breaks: the fields that each message must have
  /// (§8.1.1) are there, those that must be alone (§7.3.1, table 2) are alone, and what a transaction or
  /// dialog is told by can be read. Nil for a message that is fit.
  ///
  /// A request with a defect is answered 400, a response with one is dropped.
  package func defect() -> MessageDefect? {
    identityDefect() ?? repetitionDefect() ?? valueDefect()
  }

  private func identityDefect() -> MessageDefect? {
    guard first(.via) != nil else { return .missingVia }
    guard topVia() != nil else { return .malformedVia }
    guard first(.from) != nil else { return .missingFrom }
    guard from != nil else { return .malformedFrom }
    guard first(.to) != nil else { return .missingTo }
    guard to != nil else { return .malformedTo }
    guard let callID = first(.callID), !callID.isEmpty else { return .missingCallID }
    guard isCallID(callID) else { return .malformedCallID }
    guard first(.cseq) != nil else { return .missingCSeq }
    guard let cseq else { return .malformedCSeq }
    guard !isRequest || isMethod(cseq) else { return .cseqMethod }
    return nil
  }

  /// `word [ "@" word ]`
  private func isCallID(_ range: ByteRange) -> Bool {
    var end = bytes.skip(.word, range.start, range.end)
    if bytes.byte(at: end) == UInt8(ascii: "@"), end < range.end, end > range.start {
      end = bytes.skip(.word, end &+ 1, range.end)
    }
    return end == range.end && bytes.byte(at: end &- 1) != UInt8(ascii: "@")
  }

  private func isMethod(_ cseq: CSeq) -> Bool {
    cseq.method == method
      && (method != .other
        || bytes.extracting(cseq.methodToken).equals(bytes.extracting(methodToken)))
  }

  private func repetitionDefect() -> MessageDefect? {
    let isAlone =
      count(.from) == 1 && count(.to) == 1 && count(.callID) == 1 && count(.cseq) == 1
      && count(.maxForwards) <= 1 && count(.contentType) <= 1 && count(.expires) <= 1
    return isAlone ? nil : .repeatedField
  }

  private func valueDefect() -> MessageDefect? {
    if first(.maxForwards) != nil, maxForwards == nil { return .malformedMaxForwards }
    if isRequest, SIPURI.parse(bytes, requestURI) == nil { return .malformedRequestURI }
    var contacts = values(of: .contact)
    while let value = contacts.next(bytes) {
      guard NameAddr.parse(bytes, value) != nil || NameAddr.isWildcard(bytes, value) else {
        return .malformedContact
      }
    }
    return nil
  }
}
