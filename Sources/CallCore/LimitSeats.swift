import Base
import Policy

/// Counters of what has a limit besides trunks (tenants, users, pools of lines, classes of numbers, and the costly calls
/// of whoever pays for them). Like those of trunks they go by name and outlive every replacement of the configuration,
/// and a limit that was moved counts for the next call.
struct LimitSeats {
  enum Kind: UInt8 {
    case tenant, user, pool, numberClass, costlyOfTenant, costlyOfUser, costlyOfTrunk
  }

  struct Key: Hashable {
    var kind: Kind
    var tenant: String
    var name: String
  }

  /// Nil: unlimited.
  struct Limits: Equatable {
    var calls: Int?
    var perSecond: Int?
    var perMinute: Int?
    var minutesPerDay: Int?

    var isEmpty: Bool { self == Limits() }
  }

  /// What stood in a call's way.
  enum Reason: String { case calls, rate, minutes }

  private struct State {
    var key: Key
    var calls = 0
    var limits = Limits()
    var second: RateWindow?
    var minute: RateWindow?
    var spoken = SpokenTime()
    var full: Cause
    var exists = true
  }

  private var states: [State] = []
  private var byKey: [Key: Int] = [:]
  private var free: [Int] = []
  /// Of the last call that found no place: which seat was full, and how.
  private(set) var refusal: (seat: Int, reason: Reason)?

  mutating func follow(_ configuration: Configuration) {
    for i in states.indices { states[i].exists = false }
    for tenant in configuration.tenants {
      let limits = Limits(
        calls: tenant.maxCalls, perSecond: tenant.callsPerSecond,
        perMinute: tenant.toll.callsPerMinute)
      set(.tenant, "", tenant.name, limits, .tenantCallLimit)
    }
    for user in configuration.users {
      let limits = Limits(
        calls: user.maxCalls, perSecond: user.callsPerSecond, perMinute: user.toll.callsPerMinute)
      set(.user, user.tenant, user.name, limits, .userCallLimit)
    }
    for pool in configuration.resources.pools {
      set(
        .pool, pool.tenant, pool.name, Limits(calls: pool.lines),
        pool.whenFull == .busy ? .linesBusy : .poolFull)
    }
    for numbers in configuration.resources.classes {
      set(
        .numberClass, numbers.tenant, numbers.name,
        Limits(calls: numbers.maxCalls, perSecond: numbers.callsPerSecond), .classCallLimit)
    }
    followCostly(configuration)
    forget()
  }

  private mutating func set(
    _ kind: Kind, _ tenant: String, _ name: String, _ limits: Limits, _ full: Cause
  ) {
    let key = Key(kind: kind, tenant: tenant, name: name)
    guard !limits.isEmpty else {
      // Without a limit nothing is counted; what is counted already goes on until its calls are over.
      if let seat = byKey[key] {
        states[seat].exists = states[seat].calls > 0
        move(seat, limits)
      }
      return
    }
    let seat = byKey[key] ?? insert(key)
    states[seat].exists = true
    states[seat].full = full
    move(seat, limits)
  }

  /// A rate that stays the same remembers what has passed.
  private mutating func move(_ seat: Int, _ limits: Limits) {
    let old = states[seat].limits
    states[seat].limits = limits
    if old.perSecond != limits.perSecond {
      states[seat].second = limits.perSecond.map { RateWindow(limit: $0) }
    }
    if old.perMinute != limits.perMinute {
      states[seat].minute = limits.perMinute.map { RateWindow(limit: $0, per: .seconds(60)) }
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

  func key(_ seat: Int) -> Key? { states.indices.contains(seat) ? states[seat].key : nil }

  /// One of each or none at all: the limit that stands in the way is named. Whatever calls come at once, each is
  /// counted before the next is looked at.
  mutating func take(_ seats: [Int], at now: Instant) -> Cause? {
    for seat in seats {
      if let most = states[seat].limits.calls, states[seat].calls >= most {
        refusal = (seat, .calls)
        return states[seat].full
      }
      if let most = states[seat].limits.minutesPerDay,
        states[seat].spoken.total(at: now) >= .seconds(60 * most)
      {
        refusal = (seat, .minutes)
        return states[seat].full
      }
    }
    for seat in seats {
      guard
        states[seat].second?.take(at: now) == false || states[seat].minute?.take(at: now) == false
      else { continue }
      refusal = (seat, .rate)
      return states[seat].key.kind.rateCause
    }
    for seat in seats { states[seat].calls += 1 }
    return nil
  }

  /// A place for a call that is there, whatever the limit is now; nil: there is none of the name any more.
  mutating func occupy(_ key: Key, _ configuration: Configuration) -> Int? {
    var seat = byKey[key]
    if seat == nil, let costly = configuration.costlyCalls(key) {
      seat = costlySeat(key.kind, tenant: key.tenant, name: key.name, costly)
    }
    if let seat { states[seat].calls += 1 }
    return seat
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

// MARK: Costly calls

extension LimitSeats {
  /// Made when the first costly call of a payer comes: most never make one.
  mutating func costlySeat(_ kind: Kind, tenant: String, name: String, _ costly: CostlyCalls) -> Int
  {
    let key = Key(kind: kind, tenant: tenant, name: name)
    let seat = byKey[key] ?? insert(key)
    states[seat].full = .costlyLimit
    move(seat, Limits(costly))
    return seat
  }

  private mutating func followCostly(_ configuration: Configuration) {
    for seat in states.indices where byKey[states[seat].key] == seat {
      guard let costly = configuration.costlyCalls(states[seat].key) else { continue }
      states[seat].exists = true
      move(seat, Limits(costly))
    }
  }

  mutating func restore(_ spoken: SpokenTime, of key: Key) {
    let seat = byKey[key] ?? insert(key)
    states[seat].full = .costlyLimit
    states[seat].spoken = spoken
  }

  mutating func spoken(_ seat: Int, at now: Instant) -> SpokenTime {
    _ = states[seat].spoken.total(at: now)
    return states[seat].spoken
  }

  /// An answered call of these seats begins or ends to cost.
  mutating func beginTalk(_ seats: [Int], at now: Instant) {
    for seat in seats where isMetered(seat) { states[seat].spoken.begin(at: now) }
  }

  mutating func endTalk(_ seats: [Int], at now: Instant) {
    for seat in seats where isMetered(seat) { states[seat].spoken.end(at: now) }
  }

  /// Its minutes of a day are limited.
  func hasDay(_ seat: Int) -> Bool {
    isMetered(seat) && states[seat].limits.minutesPerDay != nil
  }

  func isMetered(_ seat: Int) -> Bool {
    states.indices.contains(seat) && states[seat].key.kind.isCostly
  }

  /// The first instant at which calls that talk now have used up the minutes of a day; nil: none will.
  mutating func nextExhausted(at now: Instant) -> Instant? {
    var next: Instant?
    for seat in states.indices where states[seat].spoken.talking > 0 {
      guard let most = states[seat].limits.minutesPerDay else { continue }
      let at = states[seat].spoken.reaches(.seconds(60 * most), at: now)
      next = next.map { min($0, at) } ?? at
    }
    return next
  }

  mutating func exhausted(at now: Instant) -> [Int] {
    states.indices.filter { seat in
      guard states[seat].spoken.talking > 0, let most = states[seat].limits.minutesPerDay else {
        return false
      }
      return states[seat].spoken.total(at: now) >= .seconds(60 * most)
    }
  }
}

extension LimitSeats.Limits {
  init(_ costly: CostlyCalls) {
    self.init(
      calls: costly.maxCalls, perSecond: nil, perMinute: costly.callsPerMinute,
      minutesPerDay: costly.minutesPerDay)
  }
}

extension Configuration {
  /// What whoever has the seat may spend; nil: it is no seat of costly calls, or of nobody any more.
  fileprivate func costlyCalls(_ key: LimitSeats.Key) -> CostlyCalls? {
    guard let tenant = tenant(named: key.tenant) else { return nil }
    switch key.kind {
    case .costlyOfTenant: return costlyCalls(of: .tenant(tenant))
    case .costlyOfUser:
      return user(named: key.name, tenant: tenant).map { costlyCalls(of: .user($0)) }
    case .costlyOfTrunk:
      return trunk(named: key.name, tenant: tenant).map { costlyCalls(of: .trunk($0)) }
    case .tenant, .user, .pool, .numberClass: return nil
    }
  }
}

extension LimitSeats.Kind {
  var isCostly: Bool {
    switch self {
    case .costlyOfTenant, .costlyOfUser, .costlyOfTrunk: true
    case .tenant, .user, .pool, .numberClass: false
    }
  }

  fileprivate var rateCause: Cause {
    switch self {
    case .tenant: .tenantRateLimit
    case .user: .userRateLimit
    case .numberClass: .classRateLimit
    case .costlyOfTenant, .costlyOfUser, .costlyOfTrunk: .costlyLimit
    // A pool has lines and no rate.
    case .pool: .poolFull
    }
  }
}
