package import Base

// What calls of a tenant, a user or a PBX may cost, as it is written down.

/// Calls that cost more than ordinary ones: to every class but `domestic`. Counted together for whoever pays.
package struct CostlyCalls: Hashable, Sendable {
  /// At once; begun within a minute; minutes spoken within a day from the first of them.
  package var maxCalls: Int
  package var callsPerMinute: Int
  package var minutesPerDay: Int
  /// Whoever comes to one of these limits makes no further outside call until an operator allows it.
  package var block = false

  package init(maxCalls: Int, callsPerMinute: Int, minutesPerDay: Int, block: Bool = false) {
    self.maxCalls = maxCalls
    self.callsPerMinute = callsPerMinute
    self.minutesPerDay = minutesPerDay
    self.block = block
  }

  /// More than any trunk carries.
  package static let unlimited = CostlyCalls(
    maxCalls: 1_000_000, callsPerMinute: 1_000_000, minutesPerDay: 100_000_000)
}

/// Nil is what the tenant says, and where that says nothing the default.
package struct TollRules: Hashable, Sendable {
  package var mayCall: DestinationClasses?
  package var costlyCalls: CostlyCalls?
  package var callsPerMinute: Int?
  /// The call is ended when it has been answered for so long.
  package var maxCallDuration: Interval?

  package init() {}
}

/// Who pays for an outside call: whoever made it, sent it on, or handed it on. Index into the configuration's table.
package enum Payer: Hashable, Sendable {
  case user(Int)
  case trunk(Int)
  /// The destinations of its own numbers.
  case tenant(Int)
}

extension ResourceDefaults {
  /// What a stolen password may cost in the worst case, where calls beyond `domestic` are allowed at all.
  package static let costlyCallsOfUser = CostlyCalls(
    maxCalls: 3, callsPerMinute: 10, minutesPerDay: 240)
  package static let costlyCallsOfTrunk = CostlyCalls(
    maxCalls: 10, callsPerMinute: 30, minutesPerDay: 1_440)
  package static let costlyCallsOfTenant = CostlyCalls(
    maxCalls: 20, callsPerMinute: 60, minutesPerDay: 2_880)
  package static let mayCall = DestinationClasses.domestic
}

extension ResourceLimits {
  package static let callDuration = Interval.seconds(7 * 86_400)
}
