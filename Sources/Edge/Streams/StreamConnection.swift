internal import Base
internal import CallCore
internal import SIPWire

/// By what the shard addresses a connection.
struct FlowKey: Hashable {
  var listener: ListenerIndex
  var remote: SocketAddress
}

/// One TCP connection: its socket, what lies on it, and what has come of its bytes.
///
///     accepted ─▶ handshaking (TLS) ─▶ upgrading (WebSocket) ─▶ open ─▶ closing ─▶ gone
///     connecting ─────▲ ────────────────────────────────────────▲
///
/// A stage that its transport does not have is passed over. `closing` reads nothing any more, lets the last
/// answer leave, and ends after a second.
final class StreamConnection {
  enum Stage { case connecting, handshaking, upgrading, open, closing }

  let slot: Int
  let key: FlowKey
  let transport: Transport
  let socket: StreamSocket
  /// We opened it.
  let isOurs: Bool
  let since: Instant
  var stage = Stage.open
  var tls: TLSSession?

  /// What arrived and is not whole yet; no memory is held between messages.
  var input: [UInt8] = []
  var framer = StreamFramer()
  var webSocket = WebSocketReader()

  /// What waits to be written, from `outputStart` on.
  var output: [UInt8] = []
  var outputStart = 0

  /// A whole message has come; before that a connection has little time.
  var hasMessage = false
  /// The shard has heard of it, so it is told of its end.
  var isKnown = false
  /// Since when a message has been incomplete.
  var partialSince: Instant?
  var heard: Instant
  /// When it entered `closing`.
  var closingSince: Instant?
  var timer = TimerID.none
  var timerAt = Instant.zero

  /// What the poller was last told.
  var watchesReading = true
  var watchesWriting = false
  /// TLS can go on only when the socket takes something.
  var tlsWantsToWrite = false
  /// It is among those that are to be written to at the end of the turn.
  var isDirty = false
  /// Other addresses of the peer that lead here (RFC 5923).
  var aliases: [FlowKey] = []

  init(
    slot: Int, key: FlowKey, transport: Transport, socket: StreamSocket, isOurs: Bool, now: Instant
  ) {
    self.slot = slot
    self.key = key
    self.transport = transport
    self.socket = socket
    self.isOurs = isOurs
    since = now
    heard = now
  }

  var waiting: Int { output.count - outputStart }

  /// When its patience ends, and with which reason.
  func deadline(_ limits: StreamLimits) -> (at: Instant, end: StreamEnd) {
    switch stage {
    case .connecting: (since + limits.connectTime, .connectTimeout)
    case .handshaking, .upgrading: (since + limits.handshakeTime, .handshakeTimeout)
    case .closing: ((closingSince ?? since) + .seconds(1), .peerClosed)
    case .open:
      if let partialSince {
        (partialSince + limits.messageTime, hasMessage ? .messageTimeout : .firstMessageTimeout)
      } else if !hasMessage, !isOurs {
        (since + limits.messageTime, .firstMessageTimeout)
      } else {
        (heard + limits.idleTime, .idle)
      }
    }
  }

  /// What was written is gone; memory is kept only for a peer that is being spoken to, and not for one that is always
  /// a little behind.
  func wrote(_ count: Int) {
    outputStart += count
    if outputStart >= output.count {
      output = []
    } else if outputStart >= 65_536, outputStart >= waiting {
      output.removeFirst(outputStart)
    } else {
      return
    }
    outputStart = 0
  }
}
