import Base
import CallCore
import SIPCore
import Testing

@Suite struct TracedLadderTests {
  static func traced(
    _ milliseconds: Int, _ leg: LegSide, outgoing: Bool, port: UInt16, _ text: String
  ) -> TracedMessage {
    TracedMessage(
      at: .zero + .milliseconds(milliseconds), outgoing: outgoing, leg: leg,
      local: SocketAddress(.loopbackV4, 5060), remote: SocketAddress(.loopbackV4, port),
      bytes: Array(text.utf8))
  }

  static let invite = "INVITE sip:x@y SIP/2.0\r\n\r\n"
  static let busy = "SIP/2.0 486 Busy Here\r\nCSeq: 1 INVITE\r\n\r\n"

  @Test func peersStandInTheOrderOfTrying() {
    let ladder = Ladder(traced: [
      Self.traced(0, .a, outgoing: false, port: 1, Self.invite),
      Self.traced(1, .b, outgoing: true, port: 3, Self.invite),
      Self.traced(501, .b, outgoing: true, port: 3, Self.invite),
      Self.traced(502, .b, outgoing: false, port: 3, Self.busy),
      Self.traced(503, .b, outgoing: true, port: 2, Self.invite),
      Self.traced(504, .a, outgoing: true, port: 1, "SIP/2.0 180 Ringing\r\n\r\n"),
    ]) { leg, remote in "\(leg)\(remote.port)" }
    #expect(
      ladder.render() == """
           a1                  demarc                   b3                    b2
            │ ── INVITE ────────▶ │                      │                     │       0.000
            │                     │ ── INVITE ─────────▶ │                     │      +0.001
            │                     │ ── INVITE ↻ ───────▶ │                     │      +0.501
            │                     │ ◀── 486 Busy Here ── │                     │      +0.502
            │                     │ ── INVITE ───────────────────────────────▶ │      +0.503
            │ ◀── 180 Ringing ─── │                      │                     │      +0.504
        """)
    #expect(ladder.participants == ["a1", "demarc", "b3", "b2"])
  }

  @Test func aFlockOfPeersSharesTheLastColumn() {
    let messages = (1...100).map {
      Self.traced(0, $0 < 50 ? .a : .b, outgoing: false, port: $0, Self.invite)
    }
    let ladder = Ladder(traced: messages) { _, remote in "\(remote.port)" }
    #expect(ladder.participants.count == 12)
    #expect(ladder.messages.allSatisfy { $0.from < 12 && $0.to == 10 })
  }
}
