package import Base

/// Bounds of all streams of a shard; at each there is an answer, and a count of how often it was given.
package struct StreamLimits: Hashable, Sendable {
  /// Connections in all. Beyond them new ones are closed at once.
  package var connections = 20_000
  /// Of one IPv4 address, or one /64 of IPv6.
  package var connectionsPerSource = 256
  /// TLS, and the upgrade to a WebSocket.
  package var handshakeTime = Interval.seconds(8)
  /// From the handshake to the first whole message, and for each later message from its first byte.
  package var messageTime = Interval.seconds(30)
  /// Without a byte from the peer. Keep-alives count.
  package var idleTime = Interval.seconds(3_600)
  /// How long an attempt to reach a trunk may take.
  package var connectTime = Interval.seconds(4)
  /// Bytes that wait for a peer that reads too slowly; then it is closed.
  package var outputBytes = 256 << 10
  /// Bytes that wait for the shard: as much as it works off in some milliseconds, so that a flood of one
  /// connection delays nobody for longer.
  package var arrivalBytes = 1 << 20
  /// Bytes that wait for the streams' thread.
  package var departureBytes = 8 << 20

  package init() {}
}

/// What the streams of an edge are told at its start.
package struct StreamSettings: Sendable {
  package var limits = StreamLimits()
  /// By name of the listener; each one of TLS and WSS has an entry.
  package var certificates: [String: TLSListenerSettings] = [:]
  /// Origins of the pages that may open a WebSocket; empty: any (RFC 6455 §10.2).
  package var origins: [String: [String]] = [:]

  package init() {}
}

/// Why a connection was closed, or never came about.
package enum StreamEnd: String, Sendable, CaseIterable {
  case peerClosed, idle, handshakeTimeout, firstMessageTimeout, messageTimeout
  /// The bytes cannot be cut into messages: no SIP, a bare LF, headers or message too long, Content-Length.
  case notSIP, lineEnd, headersTooLong, messageTooLong, contentLength
  /// WebSocket: the upgrade was refused, a frame broke the protocol.
  case upgradeRefused, frameError
  case slowReader
  case handshakeFailed, untrustedCertificate, wrongCertificateName
  case connectFailed, connectTimeout
  /// Refused: too many in all, too many of the source, no descriptor left.
  case tooMany, tooManyOfSource, noDescriptors
  /// Its address is banned, or the network's access list denies it.
  case banned, denied
  /// A reload took the listener away, and nothing used it any more.
  case listenerClosed
  case stopping
}
