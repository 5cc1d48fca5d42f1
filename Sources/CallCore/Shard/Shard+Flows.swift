package import Base
import Policy
import SIPCore
import SIPWire

// What is particular to connections: a peer is reached by the one that it made or that we made to it, and
// what depended on one that is gone has to hear of it (RFC 3261 §18.4, RFC 5626 §5.3).

extension Shard {
  func transport(_ listener: ListenerIndex) -> Transport {
    listeners.indices.contains(Int(listener))
      ? listeners[Int(listener)].transport : .udp
  }

  func isReliable(_ listener: ListenerIndex) -> Bool { transport(listener).isReliable }

  /// The head of a request that its stream could not be cut behind: answered where that is possible, before
  /// the edge closes the connection.
  package func refuse(
    _ head: RawSpan, status: Int, from source: SocketAddress, on listener: ListenerIndex,
    at now: Instant
  ) {
    self.now = max(self.now, now)
    let arrival = Arrival(source: source, listener: listener)
    counters.messagesReceived &+= 1
    if isShutOut(arrival) || turnsAwayMalformed(arrival) { return }
    guard let message = Message.parseLenient(head, using: index), message.isRequest else {
      return drop(.unparsable, arrival)
    }
    refuseMalformed(message, status, arrival)
  }

  // MARK: Where connections may be made to

  /// Of requests to a leg's peer: only a trunk is called upon; a phone is reached by the connection that it
  /// made, or not at all.
  func connectPort(_ leg: Leg) -> UInt16 {
    leg.followsSource || !isReliable(leg.listener) ? 0 : leg.destination.port
  }

  /// Of responses (§18.2.2): where the request says that its sender listens, if that is a trunk of ours; and whose
  /// certificate is to be seen there.
  func allowReturn(_ transaction: ServerTransaction, _ via: Via, _ arrival: Arrival) {
    let transport = transport(arrival.listener)
    guard transport.isReliable, let network = configuration.network(ofListener: arrival.listener),
      let trunk = knownTrunk(via, network: network, arrival)
        ?? locatedTrunk(arrival.source, network: network)
    else { return }
    transaction.connectPort = via.port ?? transport.defaultPort
    guard transport.isSecure else { return }
    transaction.security = security(ofTrunk: configuration.trunks[trunk], arrival.source)
      .map(PeerSecurity.init)
  }

  /// Said before a response that may open a connection.
  func secure(_ transaction: ServerTransaction) {
    guard transaction.connectPort != 0, let security = transaction.security?.value else { return }
    secure(
      security, transaction.listener,
      SocketAddress(transaction.replyTo.ip, transaction.connectPort))
  }

  /// The trunk that a source speaks for, by the certificate of its connection or by its address. The port of a connection's far end is nobody's: there the port in
  /// the topmost Via stands for it, on the address that the connection has proved.
  func knownTrunk(_ via: Via, network: Int, _ arrival: Arrival) -> Int? {
    let transport = transport(arrival.listener)
    if let domains = provenDomains(arrival) {
      let proven = domains.lazy.compactMap { [configuration] in
        configuration.trunk(clientName: $0, source: arrival.source, network: network)
      }
      if let trunk = proven.first { return trunk }
    }
    if transport.isReliable {
      let claimed = SocketAddress(arrival.source.ip, via.port ?? transport.defaultPort)
      if let trunk = configuration.trunk(source: claimed, network: network) { return trunk }
    }
    return configuration.trunk(source: arrival.source, network: network)
  }

  /// What the far end of a connection has proven to be; nil: nothing.
  func provenDomains(_ arrival: Arrival) -> [String]? {
    guard !provenFlows.isEmpty else { return nil }
    return provenFlows[Flow(listener: arrival.listener, remote: arrival.source)]
  }

  /// Whether a request may be a trunk's that is known by its certificate; one of another trunk need not show any.
  func shows(_ arrival: Arrival, certificateOf trunk: Int) -> Bool {
    guard let name = configuration.clientName(ofTrunk: trunk) else { return true }
    return provenDomains(arrival)?.contains(name) ?? false
  }

  /// RFC 5923 §5: a trunk may have its own connection used for requests to it.
  func noteAlias(_ message: borrowing Message, _ via: Via, _ arrival: Arrival) {
    guard isReliable(arrival.listener), let port = via.port, port != arrival.source.port else {
      return
    }
    var parameters = Parameters(via.params)
    while let parameter = parameters.next(message.bytes) {
      guard message.bytes.extracting(parameter.name).equalsIgnoringCase("alias") else { continue }
      outbox.flows.append(
        FlowHint(
          listener: arrival.listener, remote: arrival.source,
          kind: .alias(SocketAddress(arrival.source.ip, port))))
      return
    }
  }

  /// Said before anything that may open a connection to the leg's peer.
  func secure(_ leg: Leg) {
    guard let security = leg.security?.value, transport(leg.listener).isSecure else { return }
    outbox.flows.append(
      FlowHint(listener: leg.listener, remote: leg.destination, kind: .secure(security)))
  }

  func secure(_ security: TrunkSecurity, _ listener: ListenerIndex, _ address: SocketAddress) {
    guard transport(listener).isSecure else { return }
    outbox.flows.append(
      FlowHint(listener: listener, remote: address, kind: .secure(security)))
  }

  /// A phone speaks in its dialog from another place than before: its NAT gave it another port, or it made
  /// a new connection. What goes to it goes there from now on.
  func follow(_ leg: Leg, _ arrival: Arrival) {
    guard leg.followsSource, leg.source != arrival.source || leg.listener != arrival.listener,
      transport(leg.listener) == transport(arrival.listener)
    else { return }
    leg.source = arrival.source
    leg.destination = arrival.source
    leg.listener = arrival.listener
    tellMoved(leg)
    if leg.protection.renewal != nil { attached(leg) }
  }

  // MARK: Large requests (§18.1.1)

  static let largeRequest = 1_300

  /// The listener by which a request that is too long for a datagram goes, when its network has one of TCP
  /// and the peer has not been found to have none.
  func streamForLarge(_ leg: Leg, bytes: Int, _ session: Session) -> ListenerIndex? {
    guard bytes > Self.largeRequest, !leg.followsSource, transport(leg.listener) == .udp,
      leg.largeFrom == nil, withoutStream[leg.destination].map({ $0 <= now }) ?? true,
      let listener = session.configuration.listener(
        ofNetwork: leg.network, family: leg.destination.ip.family, transport: .tcp)
    else { return nil }
    return listener
  }

  /// No connection came about: by datagrams then, and for a while at once. False: it was not about that.
  func movesBack(_ leg: Leg) -> Bool {
    guard let listener = leg.largeFrom else { return false }
    leg.listener = listener
    leg.largeFrom = nil
    if withoutStream.count >= 256 { withoutStream.removeAll() }
    withoutStream[leg.destination] = now + .seconds(600)
    counters.movedBack &+= 1
    return true
  }

  // MARK: The end of a connection

  /// Requests of ours that waited for an answer by it fail as by ICMP; calls whose caller was on it end; the
  /// contacts that were registered by it are gone; and we register anew where we had registered by it.
  func flowLost(_ listener: ListenerIndex, _ remote: SocketAddress) {
    let flow = Flow(listener: listener, remote: remote)
    provenFlows[flow] = nil
    if awaits(remote) {
      for handle in clients.handles {
        guard let transaction = client(handle), transaction.destination == remote,
          transaction.listener == listener
        else { continue }
        flowLost(transaction)
      }
    }
    if let waiting = serversByFlow[flow] {
      for handle in waiting {
        guard let transaction = server(handle) else { continue }
        flowLost(transaction)
      }
    }
    for serial in registrar.serials(on: flow) { removeBinding(serial) }
    upstreamsLost(flow)
  }

  private func flowLost(_ transaction: ClientTransaction) {
    // A phone that rang cannot say any more that it was answered. A trunk can: it knows where we listen.
    if case .invite(let machine) = transaction.machine, machine.isProceeding,
      transaction.purpose == .invite, let leg = transaction.leg, leg.followsSource
    {
      clientTimedOut(transaction, isTransport: true)
      return remove(transaction)
    }
    handleClient(transaction, timer: nil)
  }

  /// A caller that is not there any more to hear the answer, and cannot be reached.
  private func flowLost(_ transaction: ServerTransaction) {
    guard transaction.isProceeding, transaction.connectPort == 0, let leg = transaction.leg,
      leg.side == .a, let session = leg.session
    else { return }
    if session.state == .answered || session.state == .released { return }
    release(session, by: .caller, .transportFailed)
  }

  /// A trunk's are not noted: they end whether its connection lasts or not.
  func noteFlow(_ transaction: ServerTransaction) {
    guard transaction.method == .invite, transaction.connectPort == 0 else { return }
    serversByFlow[
      Flow(listener: transaction.listener, remote: transaction.replyTo), default: []
    ].append(transaction.handle)
  }

  func forgetFlow(_ transaction: ServerTransaction) {
    guard transaction.method == .invite, transaction.connectPort == 0,
      isReliable(transaction.listener)
    else { return }
    let flow = Flow(listener: transaction.listener, remote: transaction.replyTo)
    serversByFlow[flow]?.removeAll { $0 == transaction.handle }
    if serversByFlow[flow]?.isEmpty == true { serversByFlow[flow] = nil }
  }
}

/// A connection as the shard knows it: by its ends.
struct Flow: Hashable {
  var listener: ListenerIndex
  var remote: SocketAddress
}
