import Base
import SIPWire
import Testing

/// Digits in INFO, read from what phones and gateways write and written as one of two forms.
@Suite struct InfoDigitsTests {
  private func rewritten(_ body: String, _ type: String = "application/dtmf-relay") throws
    -> String?
  {
    let text = """
      INFO sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r
      To: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INFO\r\nContent-Type: \(type)\r
      Content-Length: \(body.utf8.count)\r\n\r\n\(body)
      """
    let bytes = Array(text.utf8)
    let index = HeaderIndex()
    let message = try Message.parse(bytes.rawSpan, using: index)
    guard let digits = InfoDigits(message) else { return nil }
    var out = OutputBuffer(byteLimit: 1_024, recordLimit: 1)
    out.begin()
    digits.write(into: &out)
    return String(
      decoding: out.openBytes.array(ByteRange(0, out.openBytes.byteCount)), as: UTF8.self)
  }

  @Test(arguments: [
    ("Signal=5\r\nDuration=160\r\n", "Signal=5\r\nDuration=160\r\n"),
    ("signal= *\nduration = 250\n", "Signal=*\r\nDuration=250\r\n"),
    ("Signal=#", "Signal=#\r\n"), ("Signal=11\r\n", "Signal=#\r\n"), ("Signal=d", "Signal=D\r\n"),
    ("Signal=16\r\nDuration=x\r\n", "Signal=!\r\n"),
    ("Signal=5 \r\nX-Secret: here\r\nDuration=100", "Signal=5\r\nDuration=100\r\n"),
  ])
  func relay(body: String, expected: String) throws {
    #expect(try rewritten(body) == expected)
  }

  @Test(arguments: [
    "", "Signal=", "Signal=E", "Signal=17", "Signal=55", "Duration=160", "5", "\u{0}",
  ])
  func noRelay(body: String) throws {
    #expect(try rewritten(body) == nil)
  }

  @Test func theDigitAlone() throws {
    #expect(try rewritten("5\r\n", "application/dtmf") == "5")
    #expect(try rewritten("#", "Application/DTMF") == "#")
    #expect(try rewritten("Signal=7", "application/dtmf") == "7")
    for body in ["", "10", "12", "hello", "\r\n"] {
      #expect(try rewritten(body, "application/dtmf") == nil)
    }
    #expect(try rewritten("5", "text/plain") == nil)
  }
}
