import Base
import Policy
import SIPWire

// From where a trunk may speak within a call (RELIABILITY C5). Tags prove that a peer has seen the dialog; that of a
// trunk whose addresses are known also has to come from one of them.

extension Shard {
  /// Whether a request within the dialog comes from where its peer may be. Asked only of trunks that are known by
  /// their addresses: phones move behind their NATs, who proves itself by digest may be anywhere, and a provider
  /// that we register with calls from more hosts than it names.
  func isFromItsPeer(
    _ leg: Leg, _ message: borrowing Message, _ fields: RequestFields, _ arrival: Arrival
  ) -> Bool {
    guard !leg.followsSource, let index = leg.trunk, let session = leg.session else { return true }
    let ip = arrival.source.ip
    if ip == leg.source.ip || ip == leg.destination.ip { return true }
    if leg.early.contains(where: { $0.destination.ip == ip }) { return true }
    guard let trunk = session.configuration.trunks.element(at: index), trunk.isKnownByAddress
    else { return true }
    return isOfDialog(leg, ip) || speaks(for: trunk, message, fields, arrival)
  }

  /// The Contact or a proxy that recorded itself: either may speak without the other (§16.6 step 4).
  private func isOfDialog(_ leg: Leg, _ ip: IPAddress) -> Bool {
    let text = blocks.bytes(leg.text)
    if SIPURI.parse(text, leg.target)?.hostAddress(in: text) == ip { return true }
    var list = CommaList(leg.routes)
    while let value = list.next(text) {
      guard let route = NameAddr.parse(text, value), let uri = SIPURI.parse(text, route.uri) else {
        continue
      }
      if uri.hostAddress(in: text) == ip { return true }
    }
    return false
  }

  /// What would attribute a new call from there to a trunk of the same tenant: a carrier's hosts are often several
  /// trunks.
  private func speaks(
    for trunk: Trunk, _ message: borrowing Message, _ fields: RequestFields, _ arrival: Arrival
  ) -> Bool {
    guard let network = configuration.network(ofListener: arrival.listener) else { return false }
    let known =
      knownTrunk(fields.via, network: network, arrival)
      ?? locatedTrunk(arrival.source, network: network)
    if let known, configuration.trunks[known].tenant == trunk.tenant { return true }
    if configuration.trunks(matchingHeaders: network).contains(where: {
      $0.sources.matches(arrival.source) && configuration.trunks[$0.trunk].tenant == trunk.tenant
    }) {
      return true
    }
    return configuration.trunks.indices.contains { index in
      configuration.trunks[index].tenant == trunk.tenant
        && isLocated(arrival.source, trunk: index, network: network)
    }
  }
}

extension Trunk {
  /// Nothing but its addresses says who it is.
  fileprivate var isKnownByAddress: Bool {
    register == nil && authentication == nil && passing == nil
  }
}
