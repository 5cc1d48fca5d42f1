package import Base

/// What calls have talked together within a day, which begins with the first of them.
package struct SpokenTime: Sendable {
  package private(set) var talking = 0
  private var past = Interval.zero
  private var last = Instant.zero
  private var dayEnds = Instant.zero

  package init() {}

  static let day = Interval.seconds(86_400)

  package mutating func begin(at now: Instant) {
    advance(to: now)
    talking += 1
  }

  package mutating func end(at now: Instant) {
    advance(to: now)
    talking = max(0, talking - 1)
  }

  package mutating func total(at now: Instant) -> Interval {
    advance(to: now)
    return past
  }

  /// When the total will be so much, if all go on talking; `now` at the earliest.
  package mutating func reaches(_ most: Interval, at now: Instant) -> Instant {
    let left = most.nanoseconds - total(at: now).nanoseconds
    guard talking > 0, left > 0 else { return now }
    // Rounded up: a timer that is early by a nanosecond would find nothing used up.
    return now + Interval(nanoseconds: left / Int64(talking) + 1)
  }

  private mutating func advance(to now: Instant) {
    if now >= dayEnds {
      past = .zero
      last = max(last, min(now, dayEnds))
      dayEnds = now + Self.day
    }
    past = past + (now - last) * talking
    last = now
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
