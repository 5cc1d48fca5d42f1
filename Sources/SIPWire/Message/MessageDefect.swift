package import Base

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

/// What each message must have, read (RFC 3261 §8.1.1).
package struct MessageIdentity: Hashable, Sendable {
  package var via: Via
  package var from: NameAddr
  package var to: NameAddr
  package var callID: ByteRange
  package var cseq: CSeq

  package init(via: Via, from: NameAddr, to: NameAddr, callID: ByteRange, cseq: CSeq) {
    self.via = via
    self.from = from
    self.to = to
    self.callID = callID
    self.cseq = cseq
  }
}

extension Message {
  /// What the message is told by, when it is fit to be worked with: the fields that each message must have
  /// are there and can be read, those that must be alone (§7.3.1, §20 table 2) are alone, the CSeq fits the
  /// method, and Request-URI, Max-Forwards and Contact hold what they should.
  ///
  /// A request that throws is answered 400, a response that does is dropped.
  package func identity() throws(MessageDefect) -> MessageIdentity {
    let identity = MessageIdentity(
      via: try readVia(), from: try read(.from, .missingFrom, .malformedFrom),
      to: try read(.to, .missingTo, .malformedTo), callID: try readCallID(),
      cseq: try readCSeq())
    guard !repeats(Self.alone) else { throw .repeatedField }
    if first(.maxForwards) != nil, maxForwards == nil { throw .malformedMaxForwards }
    if isRequest, SIPURI.parse(bytes, requestURI) == nil { throw .malformedRequestURI }
    guard hasFitContacts else { throw .malformedContact }
    return identity
  }

  /// What `identity` would throw.
  package func defect() -> MessageDefect? {
    do throws(MessageDefect) {
      _ = try identity()
      return nil
    } catch {
      return error
    }
  }

  /// The fields that must be alone, a bit each.
  private static var alone: UInt64 {
    bit(.from) | bit(.to) | bit(.callID) | bit(.cseq) | bit(.maxForwards) | bit(.contentType)
      | bit(.expires)
  }

  private static func bit(_ id: HeaderID) -> UInt64 { 1 &<< UInt64(id.rawValue) }

  private func readVia() throws(MessageDefect) -> Via {
    guard first(.via) != nil else { throw .missingVia }
    guard let via = topVia() else { throw .malformedVia }
    return via
  }

  private func read(_ id: HeaderID, _ missing: MessageDefect, _ malformed: MessageDefect)
    throws(MessageDefect) -> NameAddr
  {
    guard let value = first(id) else { throw missing }
    guard let name = NameAddr.parse(bytes, value) else { throw malformed }
    return name
  }

  /// `word [ "@" word ]`
  private func readCallID() throws(MessageDefect) -> ByteRange {
    guard let range = first(.callID), !range.isEmpty else { throw .missingCallID }
    var end = bytes.skip(.word, range.start, range.end)
    if bytes.byte(at: end) == UInt8(ascii: "@"), end < range.end, end > range.start {
      end = bytes.skip(.word, end &+ 1, range.end)
    }
    guard end == range.end, bytes.byte(at: end &- 1) != UInt8(ascii: "@") else {
      throw .malformedCallID
    }
    return range
  }

  private func readCSeq() throws(MessageDefect) -> CSeq {
    guard first(.cseq) != nil else { throw .missingCSeq }
    guard let cseq else { throw .malformedCSeq }
    let isSame =
      cseq.method == method
      && (method != .other
        || bytes.extracting(cseq.methodToken).equals(bytes.extracting(methodToken)))
    guard !isRequest || isSame else { throw .cseqMethod }
    return cseq
  }

  /// Each value is `*`, or has a URI that can be read: it may become a Request-URI.
  private var hasFitContacts: Bool {
    var contacts = values(of: .contact)
    while let value = contacts.next(bytes) {
      if NameAddr.isWildcard(bytes, value) { continue }
      guard let contact = NameAddr.parse(bytes, value),
        SIPURI.parse(bytes, contact.uri) != nil
      else { return false }
    }
    return true
  }
}
