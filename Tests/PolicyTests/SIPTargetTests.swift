import Base
import Policy
import SIPWire
import Testing

/// The spellings of a target.
@Suite struct SIPTargetTests {
  @Test(arguments: [
    ("192.0.2.1", "192.0.2.1:5060"), ("192.0.2.1:5080", "192.0.2.1:5080"),
    ("[2001:db8::1]:5060", "[2001:db8::1]:5060"), ("2001:db8::1", "[2001:db8::1]:5060"),
    ("sip:192.0.2.1", "192.0.2.1:5060"), ("Sip.Example.COM", "sip.example.com"),
    ("pbx.example.com:5080", "pbx.example.com:5080"), ("sip:example.com", "example.com"),
    ("pbx", "pbx"), ("sip:example.com:5070;transport=UDP", "sip:example.com:5070;transport=udp"),
    ("sips:example.com", "sips:example.com"),
    ("sip:192.0.2.1;transport=tls", "sip:192.0.2.1:5061;transport=tls"),
    ("_odd.example.com", "_odd.example.com"),
  ])
  func spellings(_ text: String, _ written: String) throws {
    let target = try #require(SIPTarget(text))
    #expect(target.description == written)
    #expect(SIPTarget(written) == target.reached(by: .udp))
  }

  @Test(arguments: [
    "", ".", "a..b", "host:", "host:0", "host:65536", "host:5060:1", "sip:bob@example.com",
    "sip:example.com;lr", "tel:+441234", "1.2.3", "1.2.3.4.5", "ex ample.com", "exämple.com",
    "sip:example.com?Subject=x", "[2001:db8::1]x",
  ])
  func noTargets(_ text: String) { #expect(SIPTarget(text) == nil) }

  @Test func onlyAnAddressIsOne() {
    #expect(SIPTarget("192.0.2.1")?.address == SocketAddress("192.0.2.1:5060"))
    #expect(SIPTarget("example.com:5060")?.address == nil)
    #expect(SIPTarget("example.com:5060")?.hostPort == "example.com:5060")
  }
}
