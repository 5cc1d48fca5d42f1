internal import Locking

/// What the streams count, readable from any thread.
package final class StreamCounters: Sendable {
  package struct Reading: Hashable, Sendable {
    /// Open now, and of them those whose handshake is not over.
    package var connections = 0
    package var handshaking = 0
    package var accepted: UInt64 = 0
    package var connected: UInt64 = 0
    package var messagesReceived: UInt64 = 0
    package var messagesSent: UInt64 = 0
    package var bytesReceived: UInt64 = 0
    package var bytesSent: UInt64 = 0
    /// Keep-alives that were answered (RFC 5626 §4.4.1, RFC 6455 §5.5.2).
    package var keepAlives: UInt64 = 0
    /// Messages for a connection that is gone and may not be opened again.
    package var flowsMissing: UInt64 = 0
    /// Messages that the queue between the threads had no room for.
    package var discarded: UInt64 = 0
    package var ended: [StreamEnd: UInt64] = [:]
    package var certificates: [CertificateState] = []
    package init() {}
  }

  private let state = Mutex(Reading())

  package init() {}

  package var reading: Reading { state.withLock { $0 } }

  /// The streams' thread says how things stand, once a turn.
  func publish(_ reading: Reading) { state.withLock { $0 = reading } }
}
