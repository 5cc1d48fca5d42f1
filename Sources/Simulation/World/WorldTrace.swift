package import Base
package import SIPCore

/// Every datagram that entered the virtual network, for ladders.
package struct WorldTrace {
  package struct Entry {
    package var at: Instant
    package var from: SocketAddress
    package var to: SocketAddress
    package var bytes: [UInt8]
    package var callID: String
    package var lost: Bool
  }

  package private(set) var entries: [Entry] = []
  package var isOn = true

  package init() {}

  mutating func note(_ datagram: Datagram, at: Instant, lost: Bool) {
    guard isOn else { return }
    entries.append(
      Entry(
        at: at, from: datagram.from, to: datagram.to, bytes: datagram.bytes,
        callID: datagram.message?.callID ?? "", lost: lost))
  }

  package mutating func removeAll() { entries = [] }
}

extension World {
  /// The ladder of everything that passed between the engine and these agents, at the instants of
  /// sending: agents before `demarc` stand left of it, the others right, in the given order.
  package func ladder(
    left: [Agent], right: [Agent], callIDs: Set<String>? = nil, since: Instant = .zero
  ) -> Ladder {
    var columns: [SocketAddress: Int] = [:]
    for (index, agent) in left.enumerated() { columns[agent.address] = index }
    for (index, agent) in right.enumerated() { columns[agent.address] = left.count + 1 + index }
    var seen: Set<[UInt8]> = []
    var messages: [LadderMessage] = []
    for entry in trace.entries where entry.at >= since {
      if let callIDs, !callIDs.contains(entry.callID) { continue }
      let outgoing = network.isListener(entry.from)
      guard let peer = columns[outgoing ? entry.to : entry.from] else { continue }
      let again = !seen.insert(entry.bytes).inserted
      messages.append(
        LadderMessage(
          at: entry.at, from: outgoing ? left.count : peer, to: outgoing ? peer : left.count,
          label: LadderLabel.of(entry.bytes), lost: entry.lost, again: again))
    }
    return Ladder(
      participants: left.map(\.name) + ["demarc"] + right.map(\.name), messages: messages)
  }

  /// The ladder of one call from both its sides, for failures.
  package func ladder(ofCalls callIDs: Set<String>) -> String {
    var involved: [Agent] = []
    for agent in agents
    where trace.entries.contains(where: {
      callIDs.contains($0.callID) && ($0.from == agent.address || $0.to == agent.address)
    }) { involved.append(agent) }
    let callers = involved.filter { agent in
      agent.calls.contains { $0.isCaller && callIDs.contains($0.callID) }
    }
    let others = involved.filter { agent in !callers.contains { $0 === agent } }
    return ladder(left: callers, right: others, callIDs: callIDs).render()
  }

  /// The same, whole.
  package func messages(ofCalls callIDs: Set<String>) -> String {
    trace.entries.filter { callIDs.contains($0.callID) }.map { entry in
      "--- \(entry.at.nanoseconds / 1_000_000) ms \(entry.from) → \(entry.to)"
        + (entry.lost ? ", lost" : "") + "\n" + String(decoding: entry.bytes, as: UTF8.self)
    }.joined(separator: "\n")
  }
}
