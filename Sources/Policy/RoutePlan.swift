package import Base

/// Who calls: what it may reach depends on it.
package enum CallerKind: Hashable, Sendable {
  /// Index into `Configuration.users`.
  case user(Int)
  /// Index into `Configuration.trunks`.
  case trunk(Int)
  /// A phone whose registration the PBX of this trunk keeps: it calls that PBX and nobody else.
  case phone(Int)
}

/// Index into the configuration's table of the kind.
package enum PlannedTarget: Hashable, Sendable {
  case trunk(Int)
  case user(Int)
  case application(Int)
  /// A phone's contact, by the name that its PBX knows it by.
  case contact(String)
  /// Several at once, each along a plan of its own: the first that answers has the call.
  case ring([RoutePlan])
}

/// On these causes the call leaves a group of hops (the carriers of an outside number, say) for the
/// hop after the group.
package struct PlannedExit: Hashable, Sendable {
  package var causes: CauseSet
  /// Index into `RoutePlan.hops`; one past the end: there is nothing left.
  package var to: Int
}

/// One link of the chain that a call walks.
package struct PlannedHop: Hashable, Sendable {
  package var target: PlannedTarget
  /// The row of the dial plan that led here, an index into the configuration's; -1: none did, so it is no outside call
  /// or one for help.
  package var route: Int32 = -1
  /// How long it may ring, and how long it may say nothing but 100.
  package var answerTimeout: Interval
  package var responseTimeout: Interval
  /// Causes on which the next hop is tried.
  package var continueOn: CauseSet
  /// The number as this target is to see it.
  package var calledNumber: String
  /// The number as it was dialled, before a route strips and prepends: what limits and classes go by.
  package var dialled: String
  /// Looked at in order when `continueOn` does not have the cause; nearly always empty.
  package var exits: [PlannedExit] = []

  package init(
    target: PlannedTarget, answerTimeout: Interval, responseTimeout: Interval,
    continueOn: CauseSet, calledNumber: String, dialled: String? = nil
  ) {
    self.target = target
    self.answerTimeout = answerTimeout
    self.responseTimeout = responseTimeout
    self.continueOn = continueOn
    self.calledNumber = calledNumber
    self.dialled = dialled ?? calledNumber
  }
}

package struct RoutePlan: Hashable, Sendable {
  package var hops: [PlannedHop]

  package init(hops: [PlannedHop]) { self.hops = hops }

  /// Where the call goes after hop `index` ended with `cause`; nil: that was the end of the chain.
  package func next(after index: Int, cause: Cause) -> Int? {
    guard hops.indices.contains(index) else { return nil }
    let hop = hops[index]
    let next: Int
    if hop.continueOn.contains(cause) {
      next = index + 1
    } else if let exit = hop.exits.first(where: { $0.causes.contains(cause) }) {
      next = exit.to
    } else {
      return nil
    }
    return next > index && next < hops.count ? next : nil
  }
}
