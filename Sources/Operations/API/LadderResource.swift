import Base
package import CallCore
package import SIPCore
import SIPWire

/// A call's messages in the order in which they crossed, ready to be drawn.
package struct LadderResource: Codable, Hashable, Sendable {
  package struct Message: Codable, Hashable, Sendable {
    package var time: String
    /// Since the first message.
    package var microseconds: Int64
    /// Indexes into `participants`.
    package var from: Int
    package var to: Int
    package var label: String
    package var again: Bool
    /// The message as it crossed, when asked for.
    package var text: String?
  }

  package var call: String
  package var participants: [String]
  package var messages: [Message]

  /// - Parameter record: names the caller and the targets where it is known.
  package init(
    call: CallID, traced: [TracedMessage], record: CallRecord?, includesText: Bool, wall: WallTime
  ) {
    let transports = Dictionary(
      traced.map { ($0.remote, $0.transport) }, uniquingKeysWith: { first, _ in first })
    let ladder = Ladder(traced: traced) { leg, remote in
      LadderResource.name(leg, remote, transports[remote] ?? .udp, record: record)
    }
    let start = ladder.messages.first?.at ?? .zero
    self.call = "\(call)"
    participants = ladder.participants
    messages = zip(ladder.messages, traced).map { drawn, message in
      Message(
        time: Timestamp.text(wall.milliseconds(at: drawn.at)),
        microseconds: (drawn.at - start).nanoseconds / 1_000,
        from: drawn.from, to: drawn.to, label: drawn.label, again: drawn.again,
        text: includesText ? String(decoding: message.bytes, as: UTF8.self) : nil)
    }
  }

  package var ladder: Ladder {
    Ladder(
      participants: participants,
      messages: messages.map { message in
        LadderMessage(
          at: .zero + Interval(nanoseconds: message.microseconds &* 1_000), from: message.from,
          to: message.to, label: message.label, again: message.again)
      })
  }

  /// The picture, and below it the messages as they crossed, where they were asked for.
  package func text(ascii: Bool) -> String {
    var text = ladder.render(style: ascii ? .plain : .box) + "\n"
    for message in messages {
      guard let whole = message.text else { continue }
      let names = [message.from, message.to].map { index in
        participants.indices.contains(index) ? Table.clean(participants[index]) : "?"
      }
      text += "\n\(message.time)  \(names[0]) \(ascii ? "->" : "→") \(names[1])\n"
      for line in whole.split(separator: "\r\n", omittingEmptySubsequences: false) {
        text += "  \(Table.clean(String(line)))".trimmedRight + "\n"
      }
    }
    return text
  }

  /// The name that the record has for an address, without its kind; where it has none the address, with what
  /// leads there if that is not UDP.
  private static func name(
    _ leg: LegSide, _ remote: SocketAddress, _ transport: Transport, record: CallRecord?
  ) -> String {
    let full: String
    switch leg {
    case .a: full = record?.from ?? ""
    case .b: full = record?.attempts.last { $0.address == remote }?.target ?? ""
    }
    let name = full.split(separator: ":", maxSplits: 1).last.map(String.init) ?? ""
    guard name.isEmpty else { return name }
    return transport == .udp ? "\(remote)" : "\(transport.name) \(remote)"
  }
}

extension String {
  fileprivate var trimmedRight: String {
    var text = self[...]
    while text.last == " " { text.removeLast() }
    return String(text)
  }
}
