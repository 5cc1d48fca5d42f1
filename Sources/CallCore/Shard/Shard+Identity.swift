import Base
import Policy
import SIPCore
import SIPWire

// Who calls whom: where a request says it, and where we say it to the other side. What crosses is a number and
// whether it may be shown, never a header.

extension Shard {
  // MARK: Reading

  /// The called number as written, from the first place of the trunk's `calledFrom` that has one.
  func dialledNumber(_ message: borrowing Message, _ caller: CallerKind) -> String {
    for place in numbers(of: caller)?.calledFrom ?? [.requestURI] {
      if place == .requestURI, let number = numberBesideContact(message, caller) { return number }
      let uri: ByteRange? =
        switch place {
        case .requestURI: message.requestURI
        case .to: message.to?.uri
        case .calledPartyID:
          message.first(.pCalledPartyID).flatMap { NameAddr.parse(message.bytes, $0)?.uri }
        }
      if let uri, let number = writtenNumber(message.bytes, uri) { return number }
    }
    return ""
  }

  private func numbers(of caller: CallerKind) -> TrunkNumbers? {
    guard case .trunk(let trunk) = caller else { return nil }
    return configuration.trunks[trunk].numbers
  }

  /// The user part of a SIP URI, or the number of a tel URI with what it is local to (RFC 3966 §5.1.5).
  private func writtenNumber(_ bytes: RawSpan, _ range: ByteRange) -> String? {
    guard let uri = SIPURI.parse(bytes, range), !uri.user.isEmpty else { return nil }
    let number = Escapes.string(bytes, uri.user)
    guard uri.scheme == .tel, let context = uri.param("phone-context", in: bytes) else {
      return number
    }
    return number + ";phone-context=" + Escapes.string(bytes, context)
  }

  /// What the request says of its caller, as far as its sender is believed.
  func claim(
    _ message: borrowing Message, _ fields: RequestFields, _ caller: CallerKind
  ) -> CallerClaim {
    var claim = CallerClaim()
    claim.isPrivate = asksForPrivacy(message) || isAnonymous(message.bytes, fields.from)
    claim.preferred = party(message, .pPreferredIdentity)?.number
    guard case .trunk(let trunk) = caller else { return claim }
    for place in callerPlaces(trunk) where claim.number == nil {
      take(place, message, fields, into: &claim)
    }
    return claim
  }

  private func callerPlaces(_ trunk: Int) -> [CallerPlace] {
    let chosen = configuration.trunks[trunk].numbers?.callerFrom ?? []
    return chosen.isEmpty
      ? (isTrusted(trunk: trunk) ? [.assertedIdentity, .from] : [.from]) : chosen
  }

  /// The URI that `claim` has taken a trunk's caller from.
  func claimedURI(
    _ message: borrowing Message, _ fields: RequestFields, _ caller: CallerKind
  ) -> ByteRange? {
    guard case .trunk(let trunk) = caller else { return nil }
    for place in callerPlaces(trunk) {
      let uri: ByteRange? =
        switch place {
        case .from: isAnonymous(message.bytes, fields.from) ? nil : fields.from.uri
        case .assertedIdentity: party(message, .pAssertedIdentity)?.uri
        case .preferredIdentity: party(message, .pPreferredIdentity)?.uri
        case .diversion: party(message, .diversion)?.uri
        case .remotePartyID: party(message, .remotePartyID)?.uri
        }
      if let uri, writtenNumber(message.bytes, uri) != nil { return uri }
    }
    return nil
  }

  private func take(
    _ place: CallerPlace, _ message: borrowing Message, _ fields: RequestFields,
    into claim: inout CallerClaim
  ) {
    switch place {
    case .from:
      guard !isAnonymous(message.bytes, fields.from) else { return }
      claim.number = writtenNumber(message.bytes, fields.from.uri)
      return
    case .assertedIdentity: claim.number = party(message, .pAssertedIdentity)?.number
    case .preferredIdentity: claim.number = party(message, .pPreferredIdentity)?.number
    case .diversion: claim.number = party(message, .diversion)?.number
    case .remotePartyID:
      claim.number = party(message, .remotePartyID)?.number
      if let value = message.first(.remotePartyID),
        let privacy = NameAddr.parse(message.bytes, value)?.param("privacy", in: message.bytes),
        !message.bytes.extracting(privacy).equalsIgnoringCase("off")
      {
        claim.isPrivate = true
      }
    }
    claim.isBelieved = claim.number != nil
  }

  /// The first value that has a number.
  private func party(
    _ message: borrowing Message, _ id: HeaderID
  ) -> (uri: ByteRange, number: String)? {
    var values = message.values(of: id)
    for _ in 0..<4 {
      guard let value = values.next(message.bytes) else { return nil }
      if let uri = NameAddr.parse(message.bytes, value)?.uri,
        let number = writtenNumber(message.bytes, uri)
      {
        return (uri, number)
      }
    }
    return nil
  }

  /// RFC 3323 §4.2: everything but `none` asks for some privacy, and we know how to give all of it.
  private func asksForPrivacy(_ message: borrowing Message) -> Bool {
    guard let privacy = message.first(.privacy) else { return false }
    return !message.bytes.extracting(privacy).equalsIgnoringCase("none")
  }

  /// RFC 3323 §4.1.1.3.
  private func isAnonymous(_ bytes: RawSpan, _ from: NameAddr) -> Bool {
    guard let uri = SIPURI.parse(bytes, from.uri) else { return false }
    return bytes.extracting(uri.user).equalsIgnoringCase("anonymous")
      || bytes.extracting(uri.host).equalsIgnoringCase("anonymous.invalid")
  }

  private func isTrusted(trunk: Int) -> Bool {
    guard let network = configuration.network(ofTrunk: trunk) else { return false }
    return configuration.networks[network].trusted
  }

  // MARK: Writing

  /// `<sip:number@host>` as the leg's trunk wants it; in the open scratch record.
  func writeCalled(_ number: String, at host: String, _ leg: Leg, _ session: Session)
    -> ByteRange
  {
    let start = body.position
    body.append("<")
    writeURI(
      session.configuration.calledText(number, trunk: leg.trunk),
      at: leg.calledDomain ?? "\(host)", leg, session, into: &body)
    body.append(">")
    return ByteRange(from: start, to: body.position)
  }

  /// From without its tag (RFC 3323 §4.1.1.3 for a caller that is not to be shown).
  func writeCaller(_ leg: Leg, _ session: Session) -> ByteRange {
    let start = body.position
    if let number = session.identity.number, !session.identity.isPrivate {
      body.append("<")
      writeCallerURI(number, leg, session, into: &body)
      body.append(">")
    } else {
      body.append("\"Anonymous\" <sip:anonymous@anonymous.invalid>")
    }
    return ByteRange(from: start, to: body.position)
  }

  /// P-Asserted-Identity, Remote-Party-ID and Privacy: where the trunk has them, else towards a network of our
  /// trust domain (RFC 3325 §5). A number that is not to be shown leaves that domain nowhere (§7).
  func writeIdentity(_ leg: Leg, _ session: Session) {
    let identity = session.identity
    let isTrusted =
      session.configuration.networks.indices.contains(leg.network)
      && session.configuration.networks[leg.network].trusted
    guard let number = identity.number, isTrusted || !identity.isPrivate else { return }
    let chosen = leg.trunk.flatMap { session.configuration.trunks[$0].numbers?.callerIn }
    for place in chosen ?? (isTrusted && identity.isAsserted ? [.assertedIdentity] : []) {
      switch place {
      case .assertedIdentity:
        outbox.datagrams.append("P-Asserted-Identity: <")
        writeCallerURI(number, leg, session, into: &outbox.datagrams)
        outbox.datagrams.append(identity.isPrivate ? ">\r\nPrivacy: id\r\n" : ">\r\n")
      case .remotePartyID:
        outbox.datagrams.append("Remote-Party-ID: <")
        writeCallerURI(number, leg, session, into: &outbox.datagrams)
        outbox.datagrams.append(">;party=calling;screen=")
        outbox.datagrams.append(identity.isAsserted ? "yes" : "no")
        outbox.datagrams.append(identity.isPrivate ? ";privacy=full\r\n" : ";privacy=off\r\n")
      case .from, .preferredIdentity, .diversion: break
      }
    }
  }

  private func writeCallerURI(
    _ number: String, _ leg: Leg, _ session: Session, into output: inout OutputBuffer
  ) {
    let text = leg.trunk.map { session.configuration.numberWriter(ofTrunk: $0).caller(number) }
    writeURI(
      text ?? number, at: leg.domain ?? "\(ourAddress(leg.listener))", leg, session,
      verstat: identities == nil ? nil : verstat(leg, session), into: &output)
  }

  private func writeURI(
    _ number: String, at host: String, _ leg: Leg, _ session: Session,
    verstat: StaticString? = nil, into output: inout OutputBuffer
  ) {
    let numbers = leg.trunk.flatMap { session.configuration.trunks[$0].numbers }
    output.append(NumberURI.text(number, at: host, numbers, verstat: verstat))
  }
}

/// The URI of a number.
enum NumberURI {
  /// Only E.164 has a form as tel URI that means the same everywhere.
  ///
  /// - Parameter verstat: a parameter of the number, which a SIP URI has in its user part (RFC 3261 §19.1.6).
  static func text(
    _ number: String, at host: String, _ numbers: TrunkNumbers?, verstat: StaticString? = nil
  ) -> String {
    let said = verstat.map { ";verstat=\($0)" } ?? ""
    if numbers?.scheme == .tel, number.utf8.first == UInt8(ascii: "+") {
      return "tel:" + number + said
    }
    return "sip:\(UserPart.escaped(number))\(said)@\(host)"
      + (numbers?.userPhone == true ? ";user=phone" : "")
  }
}

extension Configuration {
  /// A called number as the trunk wants it; as it is where it goes elsewhere.
  func calledText(_ number: String, trunk: Int?) -> String {
    trunk.map { numberWriter(ofTrunk: $0).called(number) } ?? number
  }
}
