package import Base
package import SIPCore

extension Ladder {
  /// The ladder of one call from the messages that the trace kept: the caller at the left, then
  /// ourselves, then each address that we tried, in the order of trying.
  ///
  /// `name` is asked once for each peer. More peers than `participantLimit` share the last column,
  /// so that a call with a hundred forks still fits a page.
  package init(
    traced messages: [TracedMessage], ourName: String = "demarc", participantLimit: Int = 12,
    name: (LegSide, SocketAddress) -> String
  ) {
    var columns = LadderColumns(ourName: ourName, limit: max(3, participantLimit))
    for message in messages where message.leg == .a { columns.note(message, name: name) }
    columns.seal()
    for message in messages where message.leg == .b { columns.note(message, name: name) }

    var seen: Set<TracedMessageIdentity> = []
    let drawn = messages.map { message in
      let peer = columns.index(of: message)
      let first = seen.insert(TracedMessageIdentity(message)).inserted
      return LadderMessage(
        at: message.at, from: message.outgoing ? columns.ours : peer,
        to: message.outgoing ? peer : columns.ours, label: LadderLabel.of(message.bytes),
        again: !first)
    }
    self.init(participants: columns.names, messages: drawn)
  }
}

/// Two messages are the same one sent again when all but their time is equal.
private struct TracedMessageIdentity: Hashable {
  let outgoing: Bool
  let remote: SocketAddress
  let bytes: [UInt8]

  init(_ message: TracedMessage) {
    outgoing = message.outgoing
    remote = message.remote
    bytes = message.bytes
  }
}

private struct LadderColumns {
  private struct Peer: Hashable {
    var leg: LegSide
    var remote: SocketAddress
  }

  private(set) var names: [String] = []
  private(set) var ours = 0
  private var indexes: [Peer: Int] = [:]
  private let ourName: String
  private let limit: Int

  init(ourName: String, limit: Int) {
    self.ourName = ourName
    self.limit = limit
  }

  mutating func note(_ message: TracedMessage, name: (LegSide, SocketAddress) -> String) {
    let peer = Peer(leg: message.leg, remote: message.remote)
    guard indexes[peer] == nil else { return }
    if names.count < limit - (message.leg == .a ? 2 : 0) {
      names.append(name(message.leg, message.remote))
    }
    indexes[peer] = max(0, names.count - 1)
  }

  /// All callers are known: our own column comes next.
  mutating func seal() {
    ours = names.count
    names.append(ourName)
  }

  func index(of message: TracedMessage) -> Int {
    indexes[Peer(leg: message.leg, remote: message.remote)] ?? ours
  }
}
