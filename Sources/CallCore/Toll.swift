package import Base
package import Policy

// What the engine says of outside calls that cost too much, or are about to.

package struct TollAlarm: Hashable, Sendable {
  package enum Reason: String, Sendable, CaseIterable {
    /// Several calls to numbers that the account may not call, or to many countries, one after another.
    case probing
    /// A limit of `costlyCalls`: calls at once, calls a minute, minutes a day.
    case calls, rate, minutes
    /// A number of a class with `alarm`.
    case watched
  }

  package var tenant: String
  /// "user:NAME", "trunk:NAME" or "tenant:NAME": whoever pays.
  package var account: String
  package var reason: Reason
  /// As it is inside.
  package var number: String
  package var classes: DestinationClasses
  /// No outside call of the account is taken from now on.
  package var isBlocked: Bool
}

/// How one account stands.
package struct TollStatus: Hashable, Sendable {
  package var tenant: String
  package var account: String
  package var isBlocked: Bool
  package var alarms: UInt64
  package var lastAlarm: Instant
  /// How much longer ago it was than the clock of this process can say.
  package var earlier = Interval.zero
  package var reason: TollAlarm.Reason

  package init(
    tenant: String, account: String, isBlocked: Bool, alarms: UInt64, lastAlarm: Instant,
    earlier: Interval = .zero, reason: TollAlarm.Reason
  ) {
    self.earlier = earlier
    self.tenant = tenant
    self.account = account
    self.isBlocked = isBlocked
    self.alarms = alarms
    self.lastAlarm = lastAlarm
    self.reason = reason
  }
}

package enum TollOrder: Sendable {
  /// Its outside calls are taken again.
  case unblock
  /// Its outside calls are ended, those for help excepted.
  case hangUp
}

/// What an outside call is, as far as money goes.
struct OutsideCall {
  var payer: Payer
  var classes: DestinationClasses
  var number: String
}

/// Accounts that something was noticed of. By name, so that it outlives every replacement of the configuration.
struct TollWatch {
  struct Account: Hashable {
    var tenant: String
    /// "user:NAME", "trunk:NAME" or "tenant:NAME".
    var name: String
  }

  struct State {
    var isBlocked = false
    var alarms: UInt64 = 0
    var lastAlarm = Instant.zero
    /// As in `TollStatus`.
    var earlier = Interval.zero
    var lastReason = TollAlarm.Reason.probing
    /// Numbers that it may not call, lately.
    var denied = RateWindow(limit: TollWatch.probes - 1, per: TollWatch.window)
    /// Countries that it called lately, the last first.
    var zones: [(zone: String, at: Instant)] = []
  }

  /// So many refused calls, or so many countries, within the window are somebody who is looking for a way.
  static let probes = 5
  static let window = Interval.seconds(600)
  /// Alarms of one account that are told.
  static let pause = Interval.seconds(60)
  /// Accounts of which something is remembered; of further ones each event is told by itself.
  static let limit = 10_000

  private var states: [Account: State] = [:]
  /// Seats of talk that has ended, which is written down with the records of its calls and not before: so it costs the
  /// store no further turn. Whoever dies in between is taken to have talked on.
  var unsaid: [Int] = []

  subscript(account: Account) -> State { states[account] ?? State() }

  /// Asked first: nearly always nobody is.
  private(set) var blocksAnybody = false

  func isBlocked(_ account: Account) -> Bool { states[account]?.isBlocked ?? false }

  var statuses: [TollStatus] {
    states.filter { $0.value.alarms > 0 || $0.value.isBlocked }.map {
      TollStatus(
        tenant: $0.key.tenant, account: $0.key.name, isBlocked: $0.value.isBlocked,
        alarms: $0.value.alarms, lastAlarm: $0.value.lastAlarm, earlier: $0.value.earlier,
        reason: $0.value.lastReason)
    }.sorted { ($0.tenant, $0.account) < ($1.tenant, $1.account) }
  }

  mutating func restore(_ state: State, of account: Account) {
    guard states.count < Self.limit else { return }
    states[account] = state
    blocksAnybody = blocksAnybody || state.isBlocked
  }

  /// False: it was none that is blocked.
  mutating func unblock(_ account: Account) -> Bool {
    guard isBlocked(account) else { return false }
    states[account] = nil
    blocksAnybody = states.values.contains(where: \.isBlocked)
    return true
  }

  /// A call to a number that it may not call. True: it is one too many.
  mutating func denied(_ account: Account, at now: Instant) -> Bool {
    guard makeRoom(for: account, at: now) else { return false }
    return states[account, default: State()].denied.take(at: now) == false
  }

  /// A call to this country. True: it is one country too many.
  mutating func called(_ zone: String, _ account: Account, at now: Instant) -> Bool {
    guard makeRoom(for: account, at: now) else { return false }
    var state = self[account]
    state.zones.removeAll { $0.zone == zone || now - $0.at > Self.window }
    state.zones.insert((zone, now), at: 0)
    let isSpread = state.zones.count >= Self.probes
    if isSpread { state.zones.removeLast() }
    states[account] = state
    return isSpread
  }

  /// Whether it is to be told.
  mutating func alarmed(
    _ account: Account, _ reason: TollAlarm.Reason, blocks: Bool, at now: Instant
  ) -> Bool {
    guard makeRoom(for: account, at: now) else { return true }
    var state = self[account]
    let isNew =
      state.alarms == 0 || now - state.lastAlarm >= Self.pause || reason != state.lastReason
      || blocks && !state.isBlocked
    state.alarms &+= 1
    if blocks {
      state.isBlocked = true
      blocksAnybody = true
    }
    if isNew {
      state.lastAlarm = now
      state.earlier = .zero
      state.lastReason = reason
    }
    states[account] = state
    return isNew
  }

  /// Whoever has been quiet is forgotten first; nobody who is blocked.
  private mutating func makeRoom(for account: Account, at now: Instant) -> Bool {
    if states[account] != nil || states.count < Self.limit { return true }
    states = states.filter {
      $0.value.isBlocked
        || $0.value.alarms > 0 && now - $0.value.lastAlarm < Self.window
    }
    return states.count < Self.limit
  }
}
