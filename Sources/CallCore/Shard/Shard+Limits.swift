import Base
import Policy

// Limits of tenants, users, pools of lines and classes of numbers, and the calls for which none of them holds.

/// What a call holds for its caller until it ends.
struct CallerHolding {
  var trunk: Int?
  var limits: [Int] = []
}

extension Shard {
  /// A channel of the caller's trunk, a line of each of its pools, and a place in its user's and tenant's limits:
  /// all of them, or none and the limit that stands in the way.
  func hold(_ caller: CallerKind, tenant: Int?, in holding: inout CallerHolding) -> Cause? {
    var wanted: [Int?] = []
    if let tenant {
      wanted.append(limits.seat(.tenant, tenant: "", name: configuration.tenants[tenant].name))
    }
    switch caller {
    case .user(let index):
      let user = configuration.users[index]
      wanted.append(limits.seat(.user, tenant: user.tenant, name: user.name))
    // It takes a channel of its trunk on the way out.
    case .phone: break
    case .trunk(let index):
      let seat = seats.seat(of: configuration.trunks[index])
      if let cause = seats.take(seat, at: now) { return cause }
      holding.trunk = seat
      for pool in configuration.pools(ofTrunk: index) {
        wanted.append(limits.seat(.pool, tenant: pool.tenant, name: pool.name))
      }
    }
    let places = wanted.compactMap { $0 }
    if let cause = limits.take(places, at: now) {
      letGo(&holding)
      return cause
    }
    holding.limits = places
    return nil
  }

  func letGo(_ holding: inout CallerHolding) {
    if let seat = holding.trunk { seats.release(seat) }
    holding.trunk = nil
    limits.release(&holding.limits)
  }

  /// The same for the way out through a trunk, and a place in the number's class. A call for help asks nobody.
  func holdWayOut(
    _ session: Session, _ branch: Branch, trunk: Int, called: String, _ outside: OutsideCall?
  ) -> Cause? {
    guard session.emergency == nil else { return nil }
    let configuration = session.configuration
    let seat = seats.seat(of: configuration.trunks[trunk])
    if let cause = seats.take(seat, at: now) { return cause }
    var wanted = configuration.pools(ofTrunk: trunk).map {
      limits.seat(.pool, tenant: $0.tenant, name: $0.name)
    }
    if let numbers = configuration.numberClass(of: called, tenant: session.tenant) {
      wanted.append(limits.seat(.numberClass, tenant: numbers.tenant, name: numbers.name))
    }
    var places = wanted.compactMap { $0 }
    if let outside, outside.classes.isCostly { places += costlySeats(outside, session) }
    if let cause = limits.take(places, at: now) {
      seats.release(seat)
      if cause == .costlyLimit, let outside { costlyLimitReached(outside, session) }
      return cause
    }
    branch.seat = seat
    branch.limits = places
    return nil
  }

  func letGoWayOut(_ session: Session) {
    if let seat = session.egressSeat { seats.release(seat) }
    session.egressSeat = nil
    endToll(session)
    limits.release(&session.egressLimits)
  }

  func letGoCaller(_ session: Session) {
    if let seat = session.ingressSeat { seats.release(seat) }
    session.ingressSeat = nil
    limits.release(&session.ingressLimits)
    if session.emergency != nil {
      session.emergency = nil
      let tenant = session.record.tenant
      emergencyCalls[tenant] = emergencyCalls[tenant].flatMap { $0 > 1 ? $0 - 1 : nil }
    }
  }

  // MARK: Emergencies

  /// Whether the number calls for help, where such calls go, and whether one of the reserved places is free.
  func readEmergency(_ reading: inout InviteReading, _ caller: CallerKind, tenant: Int) {
    guard reachesHelp(caller),
      let index = configuration.emergency(reading.dialled, tenant: tenant)
    else { return }
    let emergency = configuration.resources.emergencies[index]
    reading.called = .success(reading.dialled)
    reading.emergencyPlan = .success(
      configuration.emergencyPlan(index, called: reading.dialled, random: &random))
    if emergencyCalls.values.reduce(0, +) < ResourceLimits.emergencyReserved,
      emergencyCalls[emergency.tenant, default: 0] < emergency.reserved
    {
      reading.emergency = index
    }
    // Whoever helps must be able to call back: a number is shown whatever the caller asked for, and a policy that
    // would refuse the caller does not.
    var identity =
      (try? reading.identity.get()) ?? CallerIdentity(number: nil, origin: .unknown)
    if let number = emergency.callerID {
      identity = CallerIdentity(number: number, origin: .standard)
    }
    identity.isPrivate = false
    reading.identity = .success(identity)
  }

  /// A carrier delivers calls to our numbers; it has no emergencies of ours.
  private func reachesHelp(_ caller: CallerKind) -> Bool {
    switch caller {
    case .user: true
    case .trunk(let trunk): configuration.trunks[trunk].kind == .pbx
    // Its PBX does.
    case .phone: false
    }
  }

  func begin(_ emergency: Int, _ session: Session) {
    session.emergency = emergency
    emergencyCalls[session.record.tenant, default: 0] += 1
    session.record.note(CallRecord.emergencyNote)
  }
}
