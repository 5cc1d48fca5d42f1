import Base
import Policy
import SIPCore
import SIPWire

// Which trunk a request comes from, where its source address alone does not say so.

extension Shard {
  /// The trunk whose registration the request came by: the registrar puts our Contact into the request URI
  /// (RFC 3261 §16.5), and its `line` is ours alone.
  func trunk(
    ofRegistration message: borrowing Message, network: Int, _ arrival: Arrival
  ) -> Int? {
    guard let trunk = namedTrunk(ofRegistration: message, source: arrival.source, network: network),
      shows(arrival, certificateOf: trunk)
    else { return nil }
    return trunk
  }

  private func namedTrunk(
    ofRegistration message: borrowing Message, source: SocketAddress, network: Int
  ) -> Int? {
    guard configuration.hasRegistrations,
      let uri = SIPURI.parse(message.bytes, message.requestURI)
    else { return nil }
    guard let line = uri.param("line", in: message.bytes), line.count <= 64 else {
      // A registrar that loses parameters still calls our Contact's user, and from its own address.
      let user = Escapes.string(message.bytes, uri.user)
      return configuration.trunk(contactUser: user, source: source, network: network) {
        isLocated(source, trunk: $0, network: network)
      }
    }
    guard let trunk = configuration.trunk(line: message.bytes.string(line)),
      configuration.network(ofTrunk: trunk) == network
    else { return nil }
    return trunk
  }

  /// Among trunks of one source, the one whose header the request bears.
  func trunk(
    ofHeader message: borrowing Message, network: Int, _ arrival: Arrival
  ) -> Int? {
    let candidates = configuration.trunks(matchingHeaders: network)
    guard !candidates.isEmpty else { return nil }
    let bytes = message.bytes
    for candidate in candidates
    where mayBe(candidate, network: network, arrival) {
      let name = Array(candidate.header.name.utf8)
      let value = Array(candidate.header.value.utf8)
      for i in 0..<message.headerCount {
        let field = message.header(i)
        if bytes.extracting(field.name).equalsIgnoringCase(name.rawSpan),
          bytes.extracting(field.value).equals(value.rawSpan)
        {
          return candidate.trunk
        }
      }
    }
    return nil
  }

  /// Whether a request's header is looked at for this trunk. One that is known by its certificate and names no source
  /// may be anywhere.
  private func mayBe(_ candidate: HeaderTrunk, network: Int, _ arrival: Arrival) -> Bool {
    guard shows(arrival, certificateOf: candidate.trunk) else { return false }
    let isAnywhere =
      configuration.clientName(ofTrunk: candidate.trunk) != nil
      && configuration.trunks[candidate.trunk].sources.isEmpty
    return isAnywhere || candidate.sources.matches(arrival.source)
      || isLocated(arrival.source, trunk: candidate.trunk, network: network)
  }

  private func withoutPlus(_ number: String) -> Substring {
    number.hasPrefix("+") ? number.dropFirst() : number[...]
  }

  /// Whom a call by a registration is for. A provider that calls our Contact as it stands names the number
  /// beside it: in P-Called-Party-ID (RFC 7315 §4.2), else in To.
  func numberBesideContact(_ message: borrowing Message, _ caller: CallerKind) -> String? {
    guard case .trunk(let index) = caller,
      let own = configuration.trunks[index].register?.ownUser,
      let uri = SIPURI.parse(message.bytes, message.requestURI),
      Escapes.string(message.bytes, uri.user) == own
    else { return nil }
    for id in [HeaderID.pCalledPartyID, .to] {
      guard let value = message.first(id), let party = NameAddr.parse(message.bytes, value),
        let called = SIPURI.parse(message.bytes, party.uri), !called.user.isEmpty
      else { continue }
      return Escapes.string(message.bytes, called.user)
    }
    return nil
  }

  /// RFC 3325 §9.2: which of the identities that the provider gave us is calling, its default one where none
  /// is the caller's.
  func writePreferredIdentity(_ leg: Leg, _ session: Session) {
    guard let standard = leg.identities.first, let number = session.identity.number,
      !session.identity.isPrivate
    else { return }
    let caller = withoutPlus(number)
    let own = leg.identities.first { identity in
      guard let uri = SIPURI.parse(identity.rawSpan, ByteRange(0, identity.count)) else {
        return false
      }
      return withoutPlus(Escapes.string(identity.rawSpan, uri.user)) == caller
    }
    outbox.datagrams.append("P-Preferred-Identity: <")
    outbox.datagrams.append(own ?? standard)
    outbox.datagrams.append(">\r\n")
  }
}
