package import Base
package import MediaControl

/// Symmetric RTP that is safe by default: where the far end of one path really is.
///
///     open ──signalled source──────────────────▶ fixed ──▶ only that address and port
///       │                                          ▲
///       └─anyone (policy .window)─▶ window ────────┤ a signalled source, or the 5th packet
///                                     └─anyone─────┘
///                                          fixed ──moved, shown by its flow or key──▶ fixed
///                       fixed by the IP alone ──the very address and port of SDP──▶ fixed
///
/// Behind a NAT the port is another than SDP says, so the first packet from the right IP is believed. Who shares that
/// IP could be first; the packet from where SDP says shows that there is no such NAT, and ends that.
///
/// In the window the latest source is the far end, so a stranger who comes first is heard only until the
/// next packet of the right one; at its end the source of most of the five packets is.
package struct SourceLatch: Sendable {
  package enum State: UInt8 { case open, window, fixed }
  package enum Verdict: UInt8 {
    case refused, accepted
    /// Accepted, and this is now the far end.
    case latched
    /// Accepted: this is the far end, and was not the one that was taken for it; `move` is to follow.
    case displaced
  }

  package private(set) var state = State.open
  package private(set) var address = SocketAddress(.anyV4, 0)
  /// Nothing but its IP says that `address` is the far end's.
  private var isByAddressAlone = false
  private var heard: UInt8 = 0
  /// Majority vote of Boyer and Moore over the packets of the window.
  private var candidate = SocketAddress(.anyV4, 0)
  private var votes: UInt8 = 0

  package init() {}

  /// `media` is what SDP said, `signalling` where its signalling comes from.
  package mutating func admit(
    _ source: SocketAddress, media: SocketAddress, signalling: IPAddress, policy: LatchPolicy
  ) -> Verdict {
    if state == .fixed {
      if source == address { return .accepted }
      return isByAddressAlone && source == media ? .displaced : .refused
    }
    let before = state == .open ? nil : address
    if source.ip == media.ip || source.ip == signalling {
      state = .fixed
      address = source
      isByAddressAlone = source != media
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
    isByAddressAlone = false
  }

  private mutating func vote(_ source: SocketAddress) {
    heard += 1
    if votes == 0 { candidate = source }
    votes = source == candidate ? votes + 1 : votes - 1
  }
}
