import Base
import Policy
import Resolution
import SIPCore

// Where REGISTER goes when the registrar, or the proxy before it, is a name (RFC 3263). The names are located ahead
// with those of trunks' targets; what they come to is read before each round of tries.

/// The bounds of what the RFC leaves open here.
private enum RegistrarNameLimits {
  /// Of addresses of one registration.
  static let addresses = 16
  /// How long one that says nothing is waited for while there is another: long enough for four requests, of which
  /// one in two hundred cases of loss all four are lost.
  static let silence = Interval.seconds(4)
  /// Within this time a registration moves when its address is not the name's any more, drawn for each.
  static let move = Interval.seconds(5)
}

extension UpstreamRegistration {
  /// A REGISTER that is to bring the registration about, or to keep it, is on its way.
  var isTrying: Bool { machine.state == .trying || machine.state == .challenged }
}

extension Shard {
  /// Reads what the names have come to, before a round of tries. False: there was never an answer yet, and the
  /// start waits for it.
  func hasAddresses(_ upstream: UpstreamRegistration) -> Bool {
    // Between two addresses of one round the round goes on.
    if upstream.failedAddresses == 0 { chooseAddresses(upstream) }
    guard upstream.addresses.isEmpty, upstream.machine.state == .unregistered else {
      upstream.awaitsNameSince = nil
      return true
    }
    let since = upstream.awaitsNameSince ?? now
    let deadline = since + settings.limits.namePatience
    guard now < deadline, let pending = pendingName(upstream) else {
      upstream.awaitsNameSince = nil
      return true
    }
    upstream.awaitsNameSince = since
    upstream.unresolved = pending
    upstream.next = deadline
    upstream.timer = wheel.schedule(
      at: deadline, kind: ShardTimer.upstream.rawValue, owner: upstream.serial)
    report(upstream)
    return false
  }

  private func requests(of upstream: UpstreamRegistration) -> [(SIPTarget, LocationRequest)] {
    guard let network = configuration.network(named: upstream.trunk.network) else { return [] }
    return upstream.targets.compactMap { target in
      request(target, upstream.trunk, network: network, configuration).map { (target, $0) }
    }
  }

  /// A name of which nothing has been heard yet.
  private func pendingName(_ upstream: UpstreamRegistration) -> String? {
    requests(of: upstream).first { names[$0.1] == nil }?.0.hostPort
  }

  /// The addresses in their order. As long as names come to the same, a registration stays where it is; when they
  /// change it goes on with the new order from its beginning, and where they come to nothing with the old one
  /// for as long as it is registered.
  private func chooseAddresses(_ upstream: UpstreamRegistration) {
    guard upstream.isCurrent(upstreamsByTrunk) else { return }
    let requests = requests(of: upstream)
    if requests.isEmpty {
      if upstream.addresses.isEmpty { upstream.addresses = upstream.targets.compactMap(\.address) }
      return
    }
    let locations = requests.map { Self.comparable(names[$0.1]) }
    if locations == upstream.locations, !upstream.addresses.isEmpty { return }
    var next: [SocketAddress] = []
    for target in upstream.targets {
      let found =
        target.address.map { [$0] }
        ?? requests.first { $0.0 == target }
        .flatMap { names[$0.1]?.ordered(random: &random).map(\.address) } ?? []
      for address in found where !next.contains(address) { next.append(address) }
    }
    upstream.unresolved =
      requests.first { (names[$0.1]?.addresses ?? []).isEmpty }?.0.hostPort ?? ""
    if next.isEmpty, upstream.machine.isRegistered(at: now) { return }
    let current = upstream.addresses.element(at: upstream.chosen)
    upstream.locations = locations
    upstream.addresses = Array(next.prefix(RegistrarNameLimits.addresses))
    upstream.chosen = 0
    upstream.failedAddresses = 0
    // Of servers that are as good as each other the one that knows us stays.
    if let current, Self.isFirstChoice(current, locations),
      let place = upstream.addresses.firstIndex(of: current)
    {
      upstream.chosen = place
    }
  }

  /// Without what changes from one answer to the next although they say the same.
  private static func comparable(_ location: Location?) -> Set<LocatedAddress> {
    Set(
      (location?.addresses ?? []).map { one in
        var one = one
        one.host = 0
        return one
      })
  }

  private static func isFirstChoice(
    _ address: SocketAddress, _ locations: [Set<LocatedAddress>]
  ) -> Bool {
    guard let location = locations.first(where: { !$0.isEmpty }) else { return false }
    let best = location.map(\.rank).min()
    return location.contains { $0.address == address && $0.rank == best }
  }

  // MARK: News

  /// Whoever resolves has news of a name: who waited for it begins, and who is registered where the name does not
  /// lead any more moves, each at a time of its own.
  func registrarLocated(_ request: LocationRequest) {
    for upstream in upstreams.values.sorted(by: { $0.serial < $1.serial })
    where upstream.isCurrent(upstreamsByTrunk) {
      guard requests(of: upstream).contains(where: { $0.1 == request }) else { continue }
      let addresses = names[request]?.addresses ?? []
      switch upstream.machine.state {
      case .unregistered where upstream.awaitsNameSince != nil:
        wheel.cancel(&upstream.timer)
        upstreamDue(upstream.serial)
      case .waiting where upstream.machine.problem == .unresolved && !addresses.isEmpty:
        wheel.cancel(&upstream.timer)
        upstreamDue(upstream.serial)
      case .registered: move(upstream, addresses)
      case .unregistered, .trying, .challenged, .waiting, .removing, .removed: break
      }
    }
  }

  private func move(_ upstream: UpstreamRegistration, _ addresses: [LocatedAddress]) {
    guard let flow = upstream.flow, upstream.targets.count == 1, !addresses.isEmpty,
      !addresses.contains(where: { $0.address == flow.address })
    else { return }
    let delay = Interval(
      nanoseconds: Int64(random.next(below: Int(RegistrarNameLimits.move.nanoseconds))))
    if let next = upstream.next, next <= now + delay { return }
    wheel.cancel(&upstream.timer)
    upstream.next = now + delay
    upstream.timer = wheel.schedule(
      at: now + delay, kind: ShardTimer.upstream.rawValue, owner: upstream.serial)
  }

  // MARK: Silence

  /// RFC 3263 §4.3: an address that says nothing gives way to the next one, and not only when Timer F is over.
  func limitSilence(_ upstream: UpstreamRegistration) {
    guard upstream.isTrying, upstream.transaction != nil,
      upstream.failedAddresses + 1 < upstream.addresses.count
    else { return }
    wheel.cancel(&upstream.timer)
    upstream.timer = wheel.schedule(
      at: now + RegistrarNameLimits.silence, kind: ShardTimer.upstream.rawValue,
      owner: upstream.serial)
  }
}

extension UpstreamRegistration {
  /// The one of its trunk; others are being taken back.
  func isCurrent(_ byTrunk: [TrunkSeats.Key: UInt64]) -> Bool { byTrunk[key] == serial }
}
