package import Base
package import CallCore
package import MediaControl

/// A bug planted between the engine and the world, to see that some invariant notices it: messages,
/// media commands and facts can be changed, dropped, doubled or sent elsewhere on their way out.
package struct Mutation {
  package typealias Outgoing = (bytes: [UInt8], to: SocketAddress)

  package var name: String
  /// A message as it leaves; empty: dropped.
  package var message: (AgentMessage, SocketAddress) -> [Outgoing] = { [($0.bytes, $1)] }
  package var command: (MediaCommand) -> [MediaCommand] = { [$0] }
  package var fact: (Fact) -> [Fact] = { [$0] }
  /// The engine is told that its facts are durable before they are.
  package var confirmsEarly = false

  package init(_ name: String) { self.name = name }

  package init(
    _ name: String, message: @escaping (AgentMessage, SocketAddress) -> [Outgoing]
  ) {
    self.name = name
    self.message = message
  }

  package init(_ name: String, command: @escaping (MediaCommand) -> [MediaCommand]) {
    self.name = name
    self.command = command
  }

  package init(_ name: String, fact: @escaping (Fact) -> [Fact]) {
    self.name = name
    self.fact = fact
  }

  func altered(_ bytes: [UInt8], to: SocketAddress) -> [Outgoing] {
    guard let parsed = try? AgentMessage(bytes) else { return [(bytes, to)] }
    return message(parsed, to)
  }
}
