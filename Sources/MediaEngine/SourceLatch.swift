package import Base
package import MediaControl

/// Symmetric RTP that is safe by default: where the far end of one path really is.
///
///     open ──signalled source──────────────────▶ fixed ──▶ only that address and port
///       │                                          ▲
///       └─anyone (policy .window)─▶ window ────────┤ a signalled source, or the 5th packet
///                                     └─anyone─────┘
///                                          fixed ──moved, shown by its flow or key──▶ fixed
///
/// In the window the latest source is the far end, so a stranger who comes first is heard only until the
/// next packet of the right one; at its end the source of most of the five packets is.
package struct SourceLatch: Sendable {
  package enum State: UInt8 { case open, window, fixed }
  package enum Verdict: UInt8 {
    case refused, accepted
    /// Accepted, and this is now the far end.
    case latched
  }

  package private(set) var state = State.open
  package private(set) var address = SocketAddress(.anyV4, 0)
  private var heard: UInt8 = 0
  /// Majority vote of Boyer and Moore over the packets of the window.
  private var candidate = SocketAddress(.anyV4, 0)
  private var votes: UInt8 = 0

  package init() {}

  /// `media` is what SDP said, `signalling` where its signalling comes from.
  package mutating func admit(
    _ source: SocketAddress, media: IPAddress, signalling: IPAddress, policy: LatchPolicy
  ) -> Verdict {
    if state == .fixed { return source == address ? .accepted : .refused }
    let before = state == .open ? nil : address
    if source.ip == media || source.ip == signalling {
      state = .fixed
      address = source
    } else {
      guard policy == .window else { return .refused }
      vote(source)
      let over = Int(heard) >= MediaLimits.latchWindow
      state = over ? .fixed : .window
      address = over ? candidate : source
    }
    if address != source { return .refused }
    return address == before ? .accepted : .latched
  }

  /// A source that has shown that it has the far end's key: the first one is the far end.
  package mutating func prove(_ source: SocketAddress) -> Verdict {
    if state == .fixed { return source == address ? .accepted : .refused }
    let isKnown = state == .window && source == address
    state = .fixed
    address = source
    return isKnown ? .accepted : .latched
  }

  /// The far end is at another address now, as its flow or its key has shown (`Worker.follow`).
  package mutating func move(to source: SocketAddress) {
    state = .fixed
    address = source
  }

  private mutating func vote(_ source: SocketAddress) {
    heard += 1
    if votes == 0 { candidate = source }
    votes = source == candidate ? votes + 1 : votes - 1
  }
}
