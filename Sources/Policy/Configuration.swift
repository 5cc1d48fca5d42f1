package import Base

/// The resources compiled for the engine: immutable, indexed, swapped whole between two events.
package final class Configuration: Sendable {
  package let revision: UInt64
  package let tenants: [Tenant]
  package let networks: [Network]
  package let trunks: [Trunk]
  package let users: [User]
  package let applications: [Application]

  package init() {
    revision = 0
    tenants = []
    networks = []
    trunks = []
    users = []
    applications = []
  }
}

/// A set of causes as one word.
@frozen
package struct CauseSet: Hashable, Sendable {
  package var bits: UInt64 = 0
  package init() {}
  package init(_ causes: [Cause]) {
    for cause in causes { bits |= 1 << UInt64(cause.rawValue) }
  }
  package func contains(_ cause: Cause) -> Bool { bits & (1 << UInt64(cause.rawValue)) != 0 }
}

/// Index into the configuration's table of the kind.
package enum PlannedTarget: Hashable, Sendable {
  case trunk(Int)
  case user(Int)
  case application(Int)
}

/// One link of the chain that a call walks.
package struct PlannedHop: Hashable, Sendable {
  package var target: PlannedTarget
  /// How long it may ring, and how long it may say nothing but 100.
  package var answerTimeout: Interval
  package var responseTimeout: Interval
  package var continueOn: CauseSet
  /// The number as this target is to see it.
  package var calledNumber: String
}

package struct RoutePlan: Hashable, Sendable {
  package var hops: [PlannedHop]
}
