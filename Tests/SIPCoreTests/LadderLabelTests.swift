import SIPCore
import Testing

@Suite struct LadderLabelTests {
  @Test(arguments: [
    ("INVITE sip:a@b SIP/2.0\r\nContent-Type: application/sdp\r\n\r\nv=0", "INVITE (SDP)"),
    ("INVITE sip:a@b SIP/2.0\r\nc : Application/SDP;x=y\r\n\r\n", "INVITE"),
    ("SIP/2.0 180 Ringing\r\nCSeq: 1 INVITE\r\n\r\n", "180 Ringing"),
    ("SIP/2.0 200 OK\r\ncseq:  7  BYE\r\n\r\n", "200 OK (BYE)"),
    ("\r\n\r\nSIP/2.0 200 OK\nCSEQ: 2 UPDATE\nc: application/sdp\n\nv", "200 OK (UPDATE, SDP)"),
    ("SIP/2.0 603 ", "603 "),
    ("", "(empty)"),
    ("\r\n\r\n", "(empty)"),
    ("\u{0}\u{1}garbage", "\u{0}\u{1}garbage"),
    ("SIP/2.0 200 OK\r\nCSeq", "200 OK"),
  ])
  func aMessageIsNamedByItsStartLine(message: String, label: String) {
    #expect(LadderLabel.of(Array(message.utf8)) == label)
  }

  @Test func aFloodOfHeadersEndsTheSearch() {
    let flood = String(repeating: "X: y\r\n", count: 10_000)
    let message = "SIP/2.0 200 OK\r\n\(flood)CSeq: 1 BYE\r\n\r\n"
    #expect(LadderLabel.of(Array(message.utf8)) == "200 OK")
  }
}
