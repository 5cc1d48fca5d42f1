import Base
import Policy
import Resolution

// Targets that are names (RFC 3263). They are located ahead, so a call normally waits for nothing; one that
// comes before the first answer waits a bounded time.

extension Shard {
  /// The addresses of a target that is a name, in the order for one call. Nil: it has not come to anything yet.
  func addresses(
    of target: SIPTarget, _ trunk: Trunk, network: Int, _ configuration: Configuration
  ) -> [LocatedAddress]? {
    guard let request = request(target, trunk, network: network, configuration) else {
      return []
    }
    guard let location = names[request] else { return nil }
    return location.ordered(random: &random)
  }

  func request(
    _ target: SIPTarget, _ trunk: Trunk, network: Int, _ configuration: Configuration
  ) -> LocationRequest? {
    func has(_ family: IPAddress.Family) -> Bool {
      let wire = trunk.transport.wire
      return configuration.listener(ofNetwork: network, family: family, transport: wire) != nil
    }
    return LocationRequest(target, trunk.transport, usesV4: has(.v4), usesV6: has(.v6))
  }

  /// Asks for the names of the configuration.
  func followNames() {
    var wanted: [LocationRequest] = []
    for (index, trunk) in configuration.trunks.enumerated() {
      guard let network = configuration.network(ofTrunk: index) else { continue }
      wanted += (trunk.targets + trunk.registrarTargets).compactMap {
        request($0, trunk, network: network, configuration)
      }
    }
    names.follow(wanted, into: &outbox.names)
  }

  /// Whoever resolves has news of a name. Calls that wait for one go on with it.
  func located(_ request: LocationRequest, _ location: Location) {
    let before = names[request]
    guard names.located(request, location) else { return }
    if before?.state != location.state {
      tell(.nameState(name: "\(request.host)", location.state, addresses: location.addresses.count))
    }
    followTargets()
    followBans()
    registrarLocated(request)
    guard !awaitingName.isEmpty else { return }
    let waiting = awaitingName
    awaitingName = []
    for (session, strand) in waiting where session.state == .routing && strand.awaitsName {
      strand.awaitsName = false
      if let hop = strand.hop, case .trunk(let trunk) = hop.target {
        startTrunk(session, strand, trunk, hop)
      }
      memberEnded(session, strand)
    }
  }

  /// The hop's targets have no address yet: the walk is held as by a member that is still to be heard of.
  func awaitName(_ session: Session, _ strand: Strand) {
    strand.awaitsName = true
    strand.pending += 1
    awaitingName.append((session, strand))
    if session.nameTimer.isNone {
      restart(&session.nameTimer, .name, settings.limits.namePatience, session.handle)
    }
  }

  func nameTimedOut(_ handle: SlabHandle) {
    guard let session = session(handle) else { return }
    session.nameTimer = .none
    let waiting = awaitingName.filter { $0.session === session }
    awaitingName.removeAll { $0.session === session }
    for (_, strand) in waiting where session.state == .routing && strand.awaitsName {
      strand.awaitsName = false
      memberLost(session, strand, Failure(.nameUnresolved))
    }
  }

  /// The call is over, or has found its callee.
  func stopWaitingForNames(_ session: Session) {
    wheel.cancel(&session.nameTimer)
    if !awaitingName.isEmpty { awaitingName.removeAll { $0.session === session } }
  }
}
