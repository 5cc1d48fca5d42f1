import Base
import SIPWire
import Testing

/// A value of its own, not in a message.
private struct Text {
  let bytes: [UInt8]
  init(_ text: String) { bytes = Array(text.utf8) }
  var all: ByteRange { ByteRange(0, bytes.count) }
  func callAsFunction(_ range: ByteRange) -> String {
    String(decoding: bytes.rawSpan.array(range), as: UTF8.self)
  }
}

@Suite struct NameAddrTests {
  struct Expected {
    var display = ""
    var uri: String
    var tag = ""
    var params = ""
  }

  static let wellFormed: [(String, Expected)] = [
    ("<sip:a@b>", Expected(uri: "sip:a@b")),
    (" <sip:a@b> ", Expected(uri: "sip:a@b", params: " ")),
    ("<sip:a@b>;tag=x", Expected(uri: "sip:a@b", tag: "x", params: ";tag=x")),
    ("<sip:a@b> ; TAG = x;y", Expected(uri: "sip:a@b", tag: "x", params: " ; TAG = x;y")),
    ("<sip:a@b;tag=u>;tag=x", Expected(uri: "sip:a@b;tag=u", tag: "x", params: ";tag=x")),
    ("sip:a@b", Expected(uri: "sip:a@b")),
    ("sip:a@b;tag=x", Expected(uri: "sip:a@b", tag: "x", params: ";tag=x")),
    ("sip:a@b ;tag=x", Expected(uri: "sip:a@b", tag: "x", params: ";tag=x")),
    ("tel:+1555;tag=x", Expected(uri: "tel:+1555", tag: "x", params: ";tag=x")),
    ("Bob <sip:a@b>", Expected(display: "Bob", uri: "sip:a@b")),
    ("Bob<sip:a@b>", Expected(display: "Bob", uri: "sip:a@b")),
    ("Bob  Smith  <sip:a@b>", Expected(display: "Bob  Smith", uri: "sip:a@b")),
    ("Bob (office) @home <sip:a@b>", Expected(display: "Bob (office) @home", uri: "sip:a@b")),
    ("J\u{fc}rgen <sip:a@b>", Expected(display: "J\u{fc}rgen", uri: "sip:a@b")),
    ("\"Bob\" <sip:a@b>", Expected(display: "Bob", uri: "sip:a@b")),
    ("\"\"<sip:a@b>", Expected(uri: "sip:a@b")),
    (
      "\"a, b; <c> \\\"d\\\" \\\\\" <sip:a@b>;tag=1",
      Expected(display: "a, b; <c> \\\"d\\\" \\\\", uri: "sip:a@b", tag: "1", params: ";tag=1")
    ),
    ("\"x\"\r\n <sip:a@b>", Expected(display: "x", uri: "sip:a@b")),
    ("<sip:a@b?x=y>", Expected(uri: "sip:a@b?x=y")),
    ("<sip:a,b;c@d>", Expected(uri: "sip:a,b;c@d")),
    ("<sip:[2001:db8::1]:5060>", Expected(uri: "sip:[2001:db8::1]:5060")),
    ("<urn:service:sos>", Expected(uri: "urn:service:sos")),
    (
      "<sip:a@b>;x=\"q;tag=no\";tag=yes",
      Expected(uri: "sip:a@b", tag: "yes", params: ";x=\"q;tag=no\";tag=yes")
    ),
  ]

  @Test(arguments: wellFormed) func valid(text: String, expected: Expected) throws {
    let t = Text(text)
    let found = try unwrap(NameAddr.parse(t.bytes.rawSpan, t.all))
    #expect(t(found.display) == expected.display)
    #expect(t(found.uri) == expected.uri)
    #expect(t(found.tag) == expected.tag)
    #expect(t(found.params) == expected.params)
  }

  @Test(arguments: [
    "", " ", "*", "Bob", "<>", "<sip:a@b", "sip:a@b>", "\"Bob <sip:a@b>", "\"Bob\" sip:a@b",
    "\"Bob\"", "Bob \"x\" <sip:a@b>", "<sip:a@b>x", "<sip:a@b> x", "<sip:a@b>;", "<sip:a@b>;;tag=1",
    "<sip:a@b>;tag=", "<sip:a@b>;tag=\"x", "<sip:a b>", "< sip:a@b>", "<sip:a@b >", "<sip:>",
    "<a@b>", "<:a@b>", "<1sip:a>", "a@b", "sip:a@b?x=y", "sip:a@b,sip:c@d", "<<sip:a@b>>",
    "<sip:a@b>,<sip:c@d>", "a,b <sip:a@b>", "<sip:a\u{fc}@b>", "<sip:a\"@b>", "<sip:a\r\n@b>",
    "<sip:a@b\0>", "\"a\\",
  ])
  func malformed(text: String) {
    let t = Text(text)
    let found = NameAddr.parse(t.bytes.rawSpan, t.all)
    #expect(found == nil)
  }

  @Test func ranges() {
    // A range beyond the bytes is cut, one in their midst is kept to.
    let t = Text("x<sip:a@b>y")
    let inner = NameAddr.parse(t.bytes.rawSpan, ByteRange(1, 9))
    #expect(inner.map { t($0.uri) } == "sip:a@b")
    let beyond = NameAddr.parse(t.bytes.rawSpan, ByteRange(1, 1_000))
    #expect(beyond == nil)
    let outside = NameAddr.parse(t.bytes.rawSpan, ByteRange(1_000, 5))
    #expect(outside == nil)
  }

  @Test func namesForPeople() {
    let t = Text("a \\\"b\\\" \\\\ \u{fc}\u{7}")
    #expect(Quoting.string(t.bytes.rawSpan, t.all) == "a \"b\" \\ \u{fc}\u{fffd}")
    let same = Quoting.equals(t.bytes.rawSpan, t.all, Array("a \"b\" \\ \u{fc}\u{7}".utf8).rawSpan)
    #expect(same)
    for other in ["", "a", "a \"b\" \\ \u{fc}\u{7}x", "a \\\"b"] {
      let same = Quoting.equals(t.bytes.rawSpan, t.all, Array(other.utf8).rawSpan)
      #expect(!same)
    }
  }
}

@Suite struct ViaTests {
  @Test func everyPart() throws {
    let t = Text(
      "SIP/2.0/TCP proxy.example.com:5070;rport=1234;received=192.0.2.7;branch=z9hG4bKx;ttl=16"
        + ";maddr=224.0.1.75;other=\"a;b\"")
    let via = try unwrap(Via.parse(t.bytes.rawSpan, t.all))
    #expect(via.transport == .tcp)
    #expect(t(via.transportToken) == "TCP")
    #expect(t(via.host) == "proxy.example.com")
    #expect(via.port == 5070)
    #expect(via.hasRport)
    #expect(via.rport == 1234)
    #expect(via.received.map { t($0) } == "192.0.2.7")
    #expect(via.maddr.map { t($0) } == "224.0.1.75")
    #expect(via.ttl == 16)
    #expect(t(via.branch) == "z9hG4bKx")
    let cookie = via.hasCookie(in: t.bytes.rawSpan)
    #expect(cookie)
    let address = via.hostAddress(in: t.bytes.rawSpan)
    #expect(address == nil)
  }

  @Test(
    arguments: [
      ("SIP/2.0/UDP 192.0.2.1", "192.0.2.1", nil), ("SIP/2.0/UDP a:1", "a", 1),
      ("SIP / 2.0 / UDP a : 65535 ; branch = x", "a", 65535),
      ("sip/2.0/udp [::1]:5", "::1", 5), ("SIP/2.0/UDP\ta\r\n ;x", "a", nil),
      ("SIP/2.0/UDP under_score.example", "under_score.example", nil),
      ("SIP/3.0/UDP a", "a", nil),
      ("SIP/2.0/WSS df7jal23ls0d.invalid;rport", "df7jal23ls0d.invalid", nil),
    ] as [(String, String, UInt16?)])
  func sentBy(text: String, host: String, port: UInt16?) throws {
    let t = Text(text)
    let via = try unwrap(Via.parse(t.bytes.rawSpan, t.all))
    #expect(t(via.host) == host)
    #expect(via.port == port)
  }

  @Test(arguments: [
    "", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0 a", "SIP//UDP a", "/2.0/UDP a", "SIP/2.0/ a",
    "SIP/2.0/UDP a:", "SIP/2.0/UDP a:x", "SIP/2.0/UDP a:99999", "SIP/2.0/UDP a:0",
    "SIP/2.0/UDP [::1", "SIP/2.0/UDP ::1", "SIP/2.0/UDP []", "SIP/2.0/UDP a;", "SIP/2.0/UDP a b",
    "SIP/2.0/UDP a;branch=", "SIP/2.0/UDP a;branch", "SIP/2.0/UDP a;rport=x",
    "SIP/2.0/UDP a;rport=65536", "SIP/2.0/UDP a;ttl=256", "SIP/2.0/UDP a;ttl", "SIP/2.0/UDP a,",
    "SIP/2.0/UDP a;;branch=x", "SIP/2.0/UDP \u{fc}",
  ])
  func malformed(text: String) {
    let t = Text(text)
    let via = Via.parse(t.bytes.rawSpan, t.all)
    #expect(via == nil)
  }

  @Test func cookies() throws {
    for (branch, expected) in [
      ("z9hG4bK", false), ("z9hG4bK1", true), ("Z9HG4BK1", true), ("1", false),
    ] {
      let t = Text("SIP/2.0/UDP a;branch=\(branch)")
      let via = try unwrap(Via.parse(t.bytes.rawSpan, t.all))
      let cookie = via.hasCookie(in: t.bytes.rawSpan)
      #expect(cookie == expected, "\(branch)")
    }
  }
}

@Suite struct AuthParamsTests {
  @Test func challenge() throws {
    let t = Text(
      "Digest realm=\"atlanta, \\\"x\\\"\", qop=\"auth-int,auth\",nonce=\"84a4cc6f\", opaque=\"\","
        + "\r\n stale=FALSE, algorithm=SHA-256, domain=\"sip:a\", new=thing")
    let p = try unwrap(AuthParams.parse(t.bytes.rawSpan, t.all))
    #expect(p.realm.map { t($0) } == "atlanta, \\\"x\\\"")
    #expect(p.nonce.map { t($0) } == "84a4cc6f")
    #expect(p.opaque?.isEmpty == true)
    #expect(p.stale.map { t($0) } == "FALSE")
    #expect(p.algorithm.map { t($0) } == "SHA-256")
    #expect(p.response == nil)
    let offers = p.offersAuth(in: t.bytes.rawSpan)
    #expect(offers)
  }

  @Test func credentials() throws {
    let t = Text(
      "digest username=\"bob\", REALM=\"r\",nonce=\"n\" , uri=\"sip:a,b\",response=\"00\""
        + ",cnonce=\"c\",nc=00000001,qop=auth,userhash=false")
    let p = try unwrap(AuthParams.parse(t.bytes.rawSpan, t.all))
    #expect(p.username.map { t($0) } == "bob")
    #expect(p.realm.map { t($0) } == "r")
    #expect(p.uri.map { t($0) } == "sip:a,b")
    #expect(p.response.map { t($0) } == "00")
    #expect(p.cnonce.map { t($0) } == "c")
    #expect(p.nc.map { t($0) } == "00000001")
    #expect(p.qop.map { t($0) } == "auth")
    #expect(p.userhash.map { t($0) } == "false")
  }

  @Test func info() throws {
    let t = Text("nextnonce=\"47\", rspauth=\"ab\", qop=auth")
    let p = try unwrap(AuthParams.parseInfo(t.bytes.rawSpan, t.all))
    #expect(p.nextnonce.map { t($0) } == "47")
    #expect(p.rspauth.map { t($0) } == "ab")
    let none = AuthParams.parse(t.bytes.rawSpan, t.all)
    #expect(none == nil)
  }

  @Test(arguments: [
    "", "Digest", "Digest ", "Basic realm=\"x\"", "Digest realm", "Digest realm=", "Digest =x",
    "Digest realm=\"x", "Digest realm=\"x\" nonce=\"y\"", "Digest realm=\"x\",",
    "Digest realm=\"x\",,nonce=\"y\"", "Digest realm=\"x\",realm=\"y\"", "Digest nc=1,NC=1",
    "Digestrealm=\"x\"", "NTLM abc", "Digest realm=\"x\";nonce=\"y\"",
  ])
  func refused(text: String) {
    let t = Text(text)
    let p = AuthParams.parse(t.bytes.rawSpan, t.all)
    #expect(p == nil)
  }
}
