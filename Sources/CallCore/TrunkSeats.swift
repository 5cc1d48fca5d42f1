import Base
import Policy

/// Counters that belong to a trunk and outlive every replacement of the configuration: its calls, its rate,
/// whether its targets answer. Found by name; a seat is an index that stays valid.
struct TrunkSeats {
  struct State {
    var key: Key
    var calls = 0
    var attempts: UInt64 = 0
    var refused: UInt64 = 0
    var usable = true
    var maxCalls: Int?
    var rate: RateWindow?
    var callsPerSecond: Int?
    var minute: RateWindow?
    var exists = true
  }
  struct Key: Hashable {
    var tenant: String
    var name: String
  }

  private var states: [State] = []
  private var byKey: [Key: Int] = [:]

  /// Takes over the limits of a new configuration; a raised or lowered limit counts for the next call.
  mutating func follow(_ configuration: Configuration) {
    for i in states.indices { states[i].exists = false }
    for trunk in configuration.trunks {
      let seat = seat(of: trunk)
      states[seat].exists = true
      states[seat].maxCalls = trunk.maxCalls
      if states[seat].callsPerSecond != trunk.callsPerSecond {
        states[seat].callsPerSecond = trunk.callsPerSecond
        states[seat].rate = trunk.callsPerSecond.map { RateWindow(limit: $0) }
      }
      if states[seat].minute?.limit != trunk.toll.callsPerMinute {
        states[seat].minute = trunk.toll.callsPerMinute.map {
          RateWindow(limit: $0, per: .seconds(60))
        }
      }
    }
  }

  mutating func seat(of trunk: Trunk) -> Int {
    let key = Key(tenant: trunk.tenant, name: trunk.name)
    if let known = byKey[key] { return known }
    states.append(State(key: key))
    byKey[key] = states.count - 1
    return states.count - 1
  }

  /// Counts the attempt and takes a channel, or names the limit that stands in the way. Never above the
  /// limit: counted at admission, released by `release`.
  mutating func take(_ seat: Int, at now: Instant) -> Cause? {
    states[seat].attempts &+= 1
    if let most = states[seat].maxCalls, states[seat].calls >= most {
      states[seat].refused &+= 1
      return .trunkCallLimit
    }
    if states[seat].rate?.take(at: now) == false || states[seat].minute?.take(at: now) == false {
      states[seat].refused &+= 1
      return .trunkRateLimit
    }
    states[seat].calls += 1
    return nil
  }

  /// A channel for a call that is there, whatever the limit is now; nil: there is no such trunk.
  mutating func occupy(_ key: Key) -> Int? {
    guard let seat = byKey[key] else { return nil }
    states[seat].calls += 1
    return seat
  }

  func key(_ seat: Int) -> Key? { states.indices.contains(seat) ? states[seat].key : nil }

  mutating func release(_ seat: Int) {
    states[seat].calls = max(0, states[seat].calls - 1)
  }

  mutating func setUsable(_ usable: Bool, _ seat: Int) { states[seat].usable = usable }

  /// Calls that hold a channel, over all trunks: 0 at rest.
  var taken: Int { states.reduce(0) { $0 + $1.calls } }

  var statuses: [(seat: Int, status: TrunkStatus)] {
    states.indices.filter { states[$0].exists || states[$0].calls > 0 }.map { seat in
      let state = states[seat]
      return (
        seat,
        TrunkStatus(
          name: state.key.name, tenant: state.key.tenant, calls: state.calls,
          attempts: state.attempts, refusedByLimit: state.refused, usable: state.usable)
      )
    }
  }
}
