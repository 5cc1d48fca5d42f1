package import Base

/// A network's access rules as ranges of addresses in order, so that an address costs one binary search however many
/// there are.
package final class AccessList: Sendable {
  private struct Bound: Sendable {
    var high: UInt64
    var low: UInt64
    /// From here to the next bound.
    var isAdmitted: Bool
  }

  private let v4: [Bound]
  private let v6: [Bound]
  private let others: Bool

  package init(_ rules: AccessRules) {
    others = rules.allow.isEmpty
    let all = rules.allow.map { ($0, true) } + rules.deny.map { ($0, false) }
    v4 = Self.bounds(all.filter { $0.0.address.family == .v4 }, others: others)
    v6 = Self.bounds(all.filter { $0.0.address.family == .v6 }, others: others)
  }

  /// Blocks lie apart or within each other, so one that begins ends before those around it.
  private static func bounds(_ blocks: [(IPNetwork, Bool)], others: Bool) -> [Bound] {
    let ordered = blocks.sorted { one, other in
      (one.0.address.high, one.0.address.low, one.0.prefixLength)
        < (other.0.address.high, other.0.address.low, other.0.prefixLength)
    }
    var bounds: [Bound] = []
    var open: [(end: (UInt64, UInt64), isAdmitted: Bool)] = []

    func add(_ high: UInt64, _ low: UInt64, _ isAdmitted: Bool) {
      if let last = bounds.last, last.high == high, last.low == low { bounds.removeLast() }
      bounds.append(Bound(high: high, low: low, isAdmitted: isAdmitted))
    }
    func close(before start: (UInt64, UInt64)?) {
      while let inner = open.last, start.map({ inner.end < $0 }) ?? true {
        open.removeLast()
        let (low, overflow) = inner.end.1.addingReportingOverflow(1)
        let (high, wraps) = inner.end.0.addingReportingOverflow(overflow ? 1 : 0)
        // Behind the last address there is none.
        if !wraps { add(high, low, open.last?.isAdmitted ?? others) }
      }
    }
    for (block, isAdmitted) in ordered {
      let address = block.address
      close(before: (address.high, address.low))
      add(address.high, address.low, isAdmitted)
      open.append((last(of: block), isAdmitted))
    }
    close(before: nil)
    return bounds
  }

  private static func last(of block: IPNetwork) -> (UInt64, UInt64) {
    let width = block.address.family == .v4 ? 32 : 128
    let free = width - block.prefixLength
    // Shifted by 64 nothing is left, by less than nothing everything.
    let low = block.address.low | (free >= 64 ? .max : .max >> UInt64(64 - free))
    let high = free <= 64 ? block.address.high : block.address.high | (.max >> UInt64(128 - free))
    return (high, low)
  }

  package func admits(_ ip: IPAddress) -> Bool {
    let bounds = ip.family == .v4 ? v4 : v6
    var (from, to) = (0, bounds.count)
    while from < to {
      let middle = (from &+ to) / 2
      let bound = bounds[middle]
      if (bound.high, bound.low) <= (ip.high, ip.low) { from = middle &+ 1 } else { to = middle }
    }
    return from == 0 ? others : bounds[from &- 1].isAdmitted
  }
}

extension Configuration {
  package var hasAccessLists: Bool { tables.hasAccessLists }

  /// Who may come by a listener; nil: everybody.
  package func access(ofListener listener: UInt16) -> AccessList? {
    guard let network = network(ofListener: listener) else { return nil }
    return tables.access.element(at: network) ?? nil
  }

  /// A trunk that has a source, or a target's address, in the block, or a source around it. Looks through all of them.
  package func trunk(overlapping block: IPNetwork) -> String? {
    trunks.first { trunk in
      trunk.sources.contains { source in
        let own = IPNetwork(source.network, prefixLength: Int(source.prefixLength))
        return own.contains(block.address) || block.contains(own.address)
      } || trunk.targets.contains { $0.address.map { block.contains($0.ip) } ?? false }
    }?.name
  }
}

extension ConfigurationCompiler {
  mutating func compileAccess(of network: Network, at path: [PathElement]) {
    let rules = network.access
    let here = path + ["access"]
    for (key, blocks) in [("allow", rules.allow), ("deny", rules.deny)]
    where blocks.count > ResourceLimits.accessBlocks {
      report(
        here + [.key(key)], "\(blocks.count) blocks of addresses are too many",
        remedy: "Write at most \(ResourceLimits.accessBlocks); larger blocks say the same in fewer."
      )
    }
    let both = Set(rules.allow).intersection(rules.deny)
    if let block = rules.deny.firstIndex(where: both.contains) {
      report(
        here + ["deny", .index(block)], "\(rules.deny[block]) is both allowed and denied",
        remedy: "Leave it out of one of the two.")
    }
    tables.access.append(rules.isEmpty ? nil : AccessList(rules))
    if !rules.isEmpty { tables.hasAccessLists = true }
  }

  /// A trunk whose own address may not come would be a riddle at its first call.
  mutating func checkAccess() {
    guard tables.hasAccessLists else { return }
    for (index, trunk) in resources.trunks.enumerated() {
      guard let network = tables.networks[trunk.network],
        let access = tables.access.element(at: network) ?? nil
      else { continue }
      for (position, source) in trunk.sources.enumerated() where !access.admits(source.network) {
        report(
          ["trunks", .index(index), "sources", .index(position)],
          "network `\(trunk.network)` denies \(source.network) by its access list",
          remedy: "Add the address to `allow` of the network's `access`.")
      }
      guard trunk.sources.isEmpty else { continue }
      for (position, target) in trunk.targets.enumerated() {
        guard let address = target.address, !access.admits(address.ip) else { continue }
        report(
          ["trunks", .index(index), "targets", .index(position)],
          "network `\(trunk.network)` denies \(address.ip) by its access list",
          remedy: "Add the address to `allow` of the network's `access`.")
      }
    }
  }
}
