package import Base

/// How calls are shared out over a trunk's targets.
package struct TargetShare: Hashable, Sendable {
  /// Lower is tried first; within one priority the order is drawn by weight (RFC 2782).
  package var priority: Int
  package var weight: Int

  package init(priority: Int, weight: Int) {
    self.priority = priority
    self.weight = weight
  }
}

extension Trunk {
  /// The targets as a call is to try them: in their order, or where they say so drawn anew. One that does not say it has
  /// its place in the list as its priority.
  package func targetsInOrder(random: inout RandomSource) -> [SIPTarget] {
    guard targets.contains(where: { $0.share != nil }) else { return targets }
    var groups: [Int: [SIPTarget]] = [:]
    for (place, target) in targets.enumerated() {
      groups[target.share?.priority ?? place + 1, default: []].append(target)
    }
    return groups.sorted { $0.key < $1.key }.flatMap {
      weightedOrder(
        of: $0.value, weight: { $0.share?.weight ?? ResourceDefaults.carrierWeight },
        random: &random)
    }
  }
}
