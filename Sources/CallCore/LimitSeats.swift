import Base
import Policy

/// Counters of what has a limit besides trunks (tenants, users, pools of lines, classes of numbers). Like those of
/// trunks they go by name and outlive every replacement of the configuration, and a limit that was moved counts
/// for the next call.
struct LimitSeats {
  enum Kind: UInt8 { case tenant, user, pool, numberClass }

  struct Key: Hashable {
    var kind: Kind
    var tenant: String
    var name: String
  }

  private struct State {
    var key: Key
    var calls = 0
    var maxCalls: Int?
    var callsPerSecond: Int?
    var rate: RateWindow?
    var full: Cause
    var exists = true
  }

  private var states: [State] = []
  private var byKey: [Key: Int] = [:]
  private var free: [Int] = []

  mutating func follow(_ configuration: Configuration) {
    for i in states.indices { states[i].exists = false }
    for tenant in configuration.tenants {
      set(.tenant, "", tenant.name, tenant.maxCalls, tenant.callsPerSecond, .tenantCallLimit)
    }
    for user in configuration.users {
      set(.user, user.tenant, user.name, user.maxCalls, user.callsPerSecond, .userCallLimit)
    }
    for pool in configuration.resources.pools {
      set(
        .pool, pool.tenant, pool.name, pool.lines, nil,
        pool.whenFull == .busy ? .linesBusy : .poolFull)
    }
    for numbers in configuration.resources.classes {
      set(
        .numberClass, numbers.tenant, numbers.name, numbers.maxCalls, numbers.callsPerSecond,
        .classCallLimit)
    }
    forget()
  }

  private mutating func set(
    _ kind: Kind, _ tenant: String, _ name: String, _ maxCalls: Int?, _ callsPerSecond: Int?,
    _ full: Cause
  ) {
    let key = Key(kind: kind, tenant: tenant, name: name)
    guard maxCalls != nil || callsPerSecond != nil else {
      // Without a limit nothing is counted; what is counted already goes on until its calls are over.
      if let seat = byKey[key] {
        states[seat].exists = states[seat].calls > 0
        states[seat].maxCalls = nil
        states[seat].callsPerSecond = nil
        states[seat].rate = nil
      }
      return
    }
    let seat = byKey[key] ?? insert(key)
    states[seat].exists = true
    states[seat].maxCalls = maxCalls
    states[seat].full = full
    if states[seat].callsPerSecond != callsPerSecond {
      states[seat].callsPerSecond = callsPerSecond
      states[seat].rate = callsPerSecond.map { RateWindow(limit: $0) }
    }
  }

  private mutating func insert(_ key: Key) -> Int {
    let state = State(key: key, full: .capacity)
    let seat: Int
    if let old = free.popLast() {
      seat = old
      states[seat] = state
    } else {
      seat = states.count
      states.append(state)
    }
    byKey[key] = seat
    return seat
  }

  /// What no configuration names and no call holds makes room.
  private mutating func forget() {
    // A slot that is free already keeps its last key, which may have a seat elsewhere again.
    for i in states.indices
    where !states[i].exists && states[i].calls == 0 && byKey[states[i].key] == i {
      byKey[states[i].key] = nil
      free.append(i)
    }
  }

  /// Nil: it has no limit.
  func seat(_ kind: Kind, tenant: String, name: String) -> Int? {
    byKey[Key(kind: kind, tenant: tenant, name: name)]
  }

  /// One of each or none at all: the limit that stands in the way is named. Whatever calls come at once, each is
  /// counted before the next is looked at.
  mutating func take(_ seats: [Int], at now: Instant) -> Cause? {
    for seat in seats {
      if let most = states[seat].maxCalls, states[seat].calls >= most { return states[seat].full }
    }
    for seat in seats where states[seat].rate?.take(at: now) == false {
      return states[seat].key.kind.rateCause
    }
    for seat in seats { states[seat].calls += 1 }
    return nil
  }

  mutating func release(_ seats: inout [Int]) {
    for seat in seats where states.indices.contains(seat) {
      states[seat].calls = max(0, states[seat].calls - 1)
    }
    seats = []
  }

  /// Calls counted, over all limits: 0 at rest.
  var taken: Int { states.reduce(0) { $0 + $1.calls } }
}

extension LimitSeats.Kind {
  fileprivate var rateCause: Cause {
    switch self {
    case .tenant: .tenantRateLimit
    case .user: .userRateLimit
    case .numberClass: .classRateLimit
    // A pool has lines and no rate.
    case .pool: .poolFull
    }
  }
}
