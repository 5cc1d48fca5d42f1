package import Base
import Policy

// What the border and the watch over costly calls remember over a restart.

/// Handed to a shard at its start, before anything reaches it.
package struct BorderMemory: Hashable, Sendable {
  package var bans: [Ban] = []
  package var toll: [TollMemory] = []

  package init() {}
}

/// What outlives the process of one account's outside calls.
package struct TollMemory: Hashable, Sendable {
  package var tenant: String
  /// "user:NAME", "trunk:NAME" or "tenant:NAME".
  package var account: String
  package var isBlocked = false
  package var alarms: UInt64 = 0
  package var lastAlarm = Instant.zero
  /// How much longer ago the alarm was than the clock of this process can say.
  package var earlier = Interval.zero
  package var lastReason = TollAlarm.Reason.probing
  /// What its costly calls have talked by `at`, of the day that ends at `dayEnds`; and how many talk on.
  package var spoken = Interval.zero
  package var talking = 0
  package var at = Instant.zero
  package var dayEnds = Instant.zero

  package init(tenant: String, account: String) {
    self.tenant = tenant
    self.account = account
  }
}

extension Shard {
  /// Before the first configuration is followed, which leaves out what has become somebody's who is trusted.
  func restore(_ memory: BorderMemory) {
    for ban in memory.bans where ban.until > now {
      outbox.border.append(.ban(ban.network, until: ban.until))
      if let displaced = admission.bans.insert(ban) {
        outbox.border.append(.lift(displaced.network))
        tell(.banEnded(displaced, .displaced))
      }
    }
    for account in memory.toll {
      toll.restore(account)
      limits.restore(account, at: now)
    }
  }

  /// Said whenever it is another, for the store.
  func keep(_ account: TollWatch.Account) {
    var memory = TollMemory(tenant: account.tenant, account: account.name)
    let state = toll[account]
    memory.isBlocked = state.isBlocked
    memory.alarms = state.alarms
    memory.lastAlarm = state.lastAlarm
    memory.earlier = state.earlier
    memory.lastReason = state.lastReason
    limits.write(into: &memory, at: now)
    tell(.tollKept(memory))
  }

  func keepUnsaid() {
    let seats = Set(toll.unsaid)
    toll.unsaid = []
    keepSpoken(seats.sorted())
  }

  /// Of each account whose costly calls began or ceased to talk. Minutes that nothing limits are nobody's concern.
  func keepSpoken(_ seats: [Int]) {
    for seat in seats where limits.hasDay(seat) {
      guard let key = limits.key(seat) else { continue }
      keep(TollWatch.Account(tenant: key.tenant, name: key.accountName))
    }
  }
}

extension TollWatch {
  mutating func restore(_ memory: TollMemory) {
    guard memory.isBlocked || memory.alarms > 0 else { return }
    var state = State()
    state.isBlocked = memory.isBlocked
    state.alarms = memory.alarms
    state.lastAlarm = memory.lastAlarm
    state.earlier = memory.earlier
    state.lastReason = memory.lastReason
    restore(state, of: Account(tenant: memory.tenant, name: memory.account))
  }
}

extension LimitSeats {
  private func key(_ memory: TollMemory) -> Key? {
    let parts = memory.account.split(separator: ":", maxSplits: 1).map(String.init)
    guard parts.count == 2 else { return nil }
    let kind: Kind
    switch parts[0] {
    case "user": kind = .costlyOfUser
    case "trunk": kind = .costlyOfTrunk
    case "tenant": kind = .costlyOfTenant
    default: return nil
    }
    return Key(kind: kind, tenant: memory.tenant, name: parts[1])
  }

  /// The minutes that are used up stay so; limits are set by the configuration that is followed next.
  mutating func restore(_ memory: TollMemory, at now: Instant) {
    guard memory.spoken > .zero, memory.dayEnds > now, let key = key(memory) else { return }
    restore(SpokenTime(memory.spoken, dayEnds: memory.dayEnds, at: now), of: key)
  }

  mutating func write(into memory: inout TollMemory, at now: Instant) {
    guard let key = key(memory), let seat = seat(key.kind, tenant: key.tenant, name: key.name)
    else { return }
    let spoken = spoken(seat, at: now)
    memory.spoken = spoken.past
    memory.talking = spoken.talking
    memory.at = now
    memory.dayEnds = spoken.dayEnds
  }
}
