package import Base
package import MediaControl
package import Resolution

/// Everything that an input of a shard caused, in order of each kind. The edge drains it after every
/// batch; the shard never waits for it.
package final class Outbox {
  package var datagrams: OutputBuffer
  package var media: [MediaCommand] = []
  package var facts: [Fact] = []
  /// For whoever resolves names; told by `ShardInput.located`.
  package var names: [NameOrder] = []
  package var answers: [(token: UInt64, answer: ShardAnswer)] = []
  /// About connections, for the datagrams beside them.
  package var flows: [FlowHint] = []
  /// Listeners that nothing uses any more: their sockets and connections are to be closed.
  package var closedListeners: [ListenerIndex] = []
  /// URLs of certificates to be fetched; told by `ShardInput.certificate`.
  package var certificates: [String] = []
  /// Whose connections are not accepted, in order.
  package var border: [BorderOrder] = []

  init(limits: ShardLimits) {
    datagrams = OutputBuffer(byteLimit: limits.outputBytes, recordLimit: limits.outputDatagrams)
  }

  package var isEmpty: Bool {
    datagrams.count == 0 && media.isEmpty && facts.isEmpty && names.isEmpty
      && answers.isEmpty && closedListeners.isEmpty && border.isEmpty && certificates.isEmpty
  }

  /// Keeps the capacity. Emptying an empty array costs as much as emptying a full one, so that is asked first.
  package func removeAll() {
    datagrams.removeAll()
    if !media.isEmpty { media.removeAll(keepingCapacity: true) }
    if !facts.isEmpty { facts.removeAll(keepingCapacity: true) }
    if !names.isEmpty { names.removeAll(keepingCapacity: true) }
    if !answers.isEmpty { answers.removeAll(keepingCapacity: true) }
    if !flows.isEmpty { flows.removeAll(keepingCapacity: true) }
    if !closedListeners.isEmpty { closedListeners.removeAll() }
    if !border.isEmpty { border.removeAll() }
    if !certificates.isEmpty { certificates.removeAll() }
  }
}
