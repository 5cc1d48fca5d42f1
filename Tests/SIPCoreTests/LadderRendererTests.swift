import Base
import SIPCore
import Testing

@Suite struct LadderRendererTests {
  static func at(_ milliseconds: Int) -> Instant {
    Instant(nanoseconds: 5_000_000_000) + .milliseconds(milliseconds)
  }

  static let call = Ladder(
    participants: ["caller", "demarc", "carrier-a"],
    messages: [
      LadderMessage(at: at(0), from: 0, to: 1, label: "INVITE (SDP)"),
      LadderMessage(at: at(1), from: 1, to: 0, label: "100 Trying"),
      LadderMessage(at: at(4), from: 1, to: 2, label: "INVITE (SDP)", lost: true),
      LadderMessage(at: at(504), from: 1, to: 2, label: "INVITE (SDP)", again: true),
      LadderMessage(at: at(1_600), from: 2, to: 1, label: "486 Busy Here", lost: true),
      LadderMessage(at: at(1_700), from: 1, to: 1, label: "timer B", note: "gave up"),
      LadderMessage(at: at(61_000), from: 0, to: 2, label: "RTP"),
    ])

  @Test func aCallIsDrawnInColumns() {
    #expect(
      Self.call.render() == """
         caller                demarc                  carrier-a
            │ ── INVITE (SDP) ──▶ │                        │       0.000
            │ ◀── 100 Trying ──── │                        │      +0.001
            │                     │ ── INVITE (SDP) ───✗   │      +0.004
            │                     │ ── INVITE (SDP) ↻ ───▶ │      +0.504
            │                     │   ✗── 486 Busy Here ── │      +1.600
            │                     │ ● timer B              │      +1.700  gave up
            │ ── RTP ────────────────────────────────────▶ │     +61.000
        """)
  }

  @Test func theSameCallInASCII() {
    #expect(
      Self.call.render(style: LadderStyle(ascii: true, times: false)) == """
         caller                demarc                       carrier-a
            | -- INVITE (SDP) --> |                             |
            | <-- 100 Trying ---- |                             |
            |                     | -- INVITE (SDP) --------x   |
            |                     | -- INVITE (SDP) (again) --> |
            |                     |   x-- 486 Busy Here ------- |
            |                     | * timer B                   |  gave up
            | -- RTP -----------------------------------------> |
        """)
  }

  @Test func textFromPeersCannotLeaveItsPlace() {
    let ladder = Ladder(
      participants: ["a\u{1b}[31m", "b"],
      messages: [
        LadderMessage(
          at: .zero, from: 0, to: 1, label: "200 O\u{1b}]0;x\u{7}\r\nK\u{202e}\u{301}",
          note: "\n\u{9b}"
        ),
        LadderMessage(
          at: .zero, from: 1, to: 0, label: String(repeating: "x", count: 5_000)),
        LadderMessage(at: .zero, from: 0, to: 9, label: "nobody"),
      ])
    let lines = ladder.render().split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.count == 4)
    #expect(lines[0].contains("a?[31m"))
    #expect(lines[1].contains("200 O?]0;x???K?? "))
    #expect(lines[2].contains("xx… ──"))
    #expect(lines.allSatisfy { $0.count <= 76 })
  }

  @Test func nothingAtAllIsALineOfNames() {
    #expect(Ladder(participants: [], messages: []).render() == "")
    #expect(Ladder(participants: ["only"], messages: []).render() == "  only")
  }
}
