internal import Base
internal import CallCore
internal import CryptoCore
internal import Policy
internal import SIPWire

// How connections come about: accepted within the limits, or made for the shard; TLS and the upgrade to a
// WebSocket before the first message.

extension StreamLoop {
  func accept(_ index: ListenerIndex) {
    guard let listener = listeners[index], let listening = listening[index] else { return }
    for _ in 0..<Self.acceptsPerTurn {
      switch listening.accept() {
      case .none: return
      case .lost: continue
      case .connection(let socket, let source): admit(socket, source, index, listener)
      case .exhausted:
        refuseWithReserve(listening)
        poller.forget(listening)
        acceptAgain(index)
        return
      }
    }
  }

  /// No descriptor is left: those who wait are shown so, instead of being left to wait.
  private func refuseWithReserve(_ listener: StreamListener) {
    tally.ended[.noDescriptors, default: 0] += 1
    reserve.lend {
      if case .connection = listener.accept() {}
    }
  }

  private func admit(
    _ socket: StreamSocket, _ source: SocketAddress, _ index: ListenerIndex, _ listener: Listener
  ) {
    let place = Self.place(source.ip)
    if let refusal = border.refusal(of: source.ip, on: index) {
      tally.ended[refusal, default: 0] += 1
      return
    }
    guard tally.connections < limits.connections else {
      tally.ended[.tooMany, default: 0] += 1
      return
    }
    guard sources[place, default: 0] < limits.connectionsPerSource else {
      tally.ended[.tooManyOfSource, default: 0] += 1
      return
    }
    let key = FlowKey(listener: index, remote: source)
    guard let connection = add(socket, key, listener.transport, isOurs: false) else { return }
    sources[place, default: 0] += 1
    tally.accepted += 1
    if listener.transport.isSecure {
      guard let context = contexts[listener.name],
        let tls = TLSSession(accepting: context, on: socket)
      else { return close(connection, .handshakeFailed) }
      connection.tls = tls
      connection.stage = .handshaking
      tally.handshaking += 1
    } else if listener.transport == .ws {
      connection.stage = .upgrading
      tally.handshaking += 1
    }
    watchTime(connection)
  }

  /// Whom a source's connections are counted for.
  private static func place(_ ip: IPAddress) -> IPAddress {
    ip.family == .v4 ? ip : IPAddress(v6High: ip.high, low: 0)
  }

  func leave(_ ip: IPAddress) {
    let place = Self.place(ip)
    guard let count = sources[place] else { return }
    sources[place] = count > 1 ? count - 1 : nil
  }

  private func add(
    _ socket: StreamSocket, _ key: FlowKey, _ transport: Transport, isOurs: Bool
  ) -> StreamConnection? {
    let slot = freeSlots.popLast() ?? connections.count
    let connection = StreamConnection(
      slot: slot, key: key, transport: transport, socket: socket, isOurs: isOurs, now: now)
    if isOurs {
      connection.watchesReading = false
      connection.watchesWriting = true
    }
    do {
      try poller.watch(
        socket, token: UInt32(truncatingIfNeeded: slot), reading: !isOurs, writing: isOurs,
        isNew: true)
    } catch {
      // The kernel's own bound of watches.
      freeSlots.append(slot)
      tally.ended[.noDescriptors, default: 0] += 1
      return nil
    }
    if slot == connections.count {
      connections.append(connection)
    } else {
      connections[slot] = connection
    }
    // A peer that comes again from a port that it left without a word: the old one is dead.
    if let old = flows.updateValue(slot, forKey: key), let left = connections[old],
      left !== connection
    {
      close(left, .peerClosed)
      flows[key] = slot
    }
    tally.connections += 1
    return connection
  }

  // MARK: Ours

  /// Begins to connect from a listener's address. Nil where that is refused at once; the queue of the
  /// connection takes messages meanwhile.
  func connect(_ key: FlowKey, _ security: TrunkSecurity?) -> StreamConnection? {
    guard let listener = listeners[key.listener],
      listener.transport == .tcp || listener.transport == .tls,
      tally.connections < limits.connections
    else { return nil }
    guard
      let socket = StreamSocket(
        from: listener.bound.ip, to: key.remote, trafficClass: trafficClass)
    else {
      tally.ended[.connectFailed, default: 0] += 1
      return nil
    }
    var tls: TLSSession?
    if listener.transport == .tls {
      let security = security ?? TrunkSecurity()
      guard let context = clientContext(security) else { return nil }
      let domain = security.serverName.isEmpty ? "\(key.remote.ip)" : security.serverName
      tls = TLSSession(connecting: context, to: domain, on: socket)
      guard tls != nil else { return nil }
    }
    guard let connection = add(socket, key, listener.transport, isOurs: true) else { return nil }
    connection.tls = tls
    connection.stage = .connecting
    connection.isKnown = true
    tally.connected += 1
    watchTime(connection)
    return connection
  }

  /// Kept by what it was made from, so that files are read once; forgotten at each reload.
  private func clientContext(_ security: TrunkSecurity) -> TLSContext? {
    if let known = clientContexts[security] { return known }
    guard let made = try? TLSContext(security) else {
      tally.ended[.untrustedCertificate, default: 0] += 1
      return nil
    }
    if clientContexts.count >= 256 { clientContexts.removeAll() }
    clientContexts[security] = made
    return made
  }

  func connectEnded(_ connection: StreamConnection) {
    guard connection.socket.isConnected else { return close(connection, .connectFailed) }
    if connection.tls != nil {
      connection.stage = .handshaking
      tally.handshaking += 1
      return shakeHands(connection)
    }
    opened(connection)
  }

  // MARK: Handshakes

  func shakeHands(_ connection: StreamConnection) {
    guard let tls = connection.tls else { return close(connection, .handshakeFailed) }
    switch tls.handshake() {
    case .done:
      tally.handshaking -= 1
      if connection.transport == .wss {
        connection.stage = .upgrading
        tally.handshaking += 1
        watch(connection, writing: false)
        // The request may lie decrypted behind the handshake.
        read(connection)
      } else {
        opened(connection)
      }
    case .wantsToRead: watch(connection, writing: false)
    case .wantsToWrite: watch(connection, writing: true)
    case .ended: close(connection, .handshakeFailed)
    case .failed(.untrusted): close(connection, .untrustedCertificate)
    case .failed(.wrongName): close(connection, .wrongCertificateName)
    case .failed(.protocolError): close(connection, .handshakeFailed)
    }
  }

  private func opened(_ connection: StreamConnection) {
    connection.stage = .open
    connection.heard = now
    watch(connection, writing: false)
    watchTime(connection)
    touch(connection)
    guard let tls = connection.tls else { return }
    // Of the listener's authorities alone: one that a trunk of ours is checked by could name any other trunk.
    let domains = connection.isOurs ? [] : tls.provenDomains
    if !domains.isEmpty {
      connection.isKnown = true
      arrivals.add(
        .proven(domains), RawSpan(), from: connection.key.remote, on: connection.key.listener,
        at: now)
    }
    read(connection)
  }

  /// The HTTP request that opens a WebSocket (RFC 6455 §4.2.2).
  func upgrade(_ connection: StreamConnection) {
    let request: WebSocketUpgrade
    do throws(WebSocketUpgrade.Refusal) {
      let received = connection.input
      guard let whole = try WebSocketUpgrade.parse(received.rawSpan) else { return }
      guard isAllowed(whole.origin, connection) else { throw .originForbidden }
      request = whole
    } catch {
      connection.output.append(contentsOf: error.response.description.utf8)
      return finish(connection, .upgradeRefused)
    }
    let received = connection.input
    let digest = Digest.sha1(received.rawSpan.extracting(request.key), WebSocketUpgrade.magic)
    WebSocketUpgrade.write(acceptOf: digest.rawSpan, into: &connection.output)
    let rest = Array(connection.input[request.end...])
    connection.input = []
    connection.stage = .open
    connection.heard = now
    tally.handshaking -= 1
    watchTime(connection)
    touch(connection)
    // A client may not send before our answer; what it sends all the same is read as frames.
    if !rest.isEmpty { take(rest.rawSpan, connection) }
  }

  private func isAllowed(_ origin: ByteRange, _ connection: StreamConnection) -> Bool {
    guard let name = listeners[connection.key.listener]?.name,
      let allowed = origins[name], !allowed.isEmpty
    else { return true }
    let request = connection.input
    let given = request.rawSpan.string(origin)
    return allowed.contains { $0.lowercased() == given.lowercased() }
  }
}
