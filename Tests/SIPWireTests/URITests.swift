import Base
import SIPWire
import Testing

private func uri(_ text: String) -> (bytes: [UInt8], uri: SIPURI?) {
  let bytes = Array(text.utf8)
  let parsed = SIPURI.parse(bytes.rawSpan, ByteRange(0, bytes.count))
  return (bytes, parsed)
}

private func string(_ bytes: [UInt8], _ range: ByteRange) -> String {
  String(decoding: bytes.rawSpan.array(range), as: UTF8.self)
}

@Suite struct URITests {
  struct Parts {
    var scheme = SIPURI.Scheme.sip
    var user = ""
    var password = ""
    var host = ""
    var port: UInt16?
    var params = ""
    var headers = ""
    var opaque = ""
  }

  static let wellFormed: [(String, Parts)] = [
    ("sip:host", Parts(host: "host")),
    ("SIPS:host", Parts(scheme: .sips, host: "host")),
    ("sip:a@host", Parts(user: "a", host: "host")),
    ("sip:a:pw@host:5060", Parts(user: "a", password: "pw", host: "host", port: 5060)),
    ("sip:a:@host", Parts(user: "a", host: "host")),
    ("sip:192.0.2.1:1;lr", Parts(host: "192.0.2.1", port: 1, params: ";lr")),
    ("sip:[2001:db8::1]", Parts(host: "2001:db8::1")),
    ("sip:a@[::ffff:192.0.2.1]:65535", Parts(user: "a", host: "::ffff:192.0.2.1", port: 65535)),
    (
      "sip:a@b;transport=tcp;lr;x=[y]?Subject=a%20b&to=c",
      Parts(
        user: "a", host: "b", params: ";transport=tcp;lr;x=[y]", headers: "Subject=a%20b&to=c")
    ),
    ("sip:a@b?h=", Parts(user: "a", host: "b", headers: "h=")),
    ("sip:+1;isub=2;x=%40?y@h", Parts(user: "+1;isub=2;x=%40?y", host: "h")),
    ("sip:%61b@h", Parts(user: "%61b", host: "h")),
    ("sip:*31%23123@h", Parts(user: "*31%23123", host: "h")),
    ("tel:+1-201-555-0123", Parts(scheme: .tel, user: "+1-201-555-0123")),
    (
      "tel:7042;phone-context=example.com",
      Parts(scheme: .tel, user: "7042", params: ";phone-context=example.com")
    ),
    ("TEL:*70#", Parts(scheme: .tel, user: "*70#")),
    ("urn:service:sos", Parts(scheme: .other, opaque: "service:sos")),
    ("http://x/y?z#f", Parts(scheme: .other, opaque: "//x/y?z#f")),
  ]

  @Test(arguments: wellFormed) func valid(text: String, parts: Parts) throws {
    let (bytes, parsed) = uri(text)
    let found = try unwrap(parsed)
    #expect(found.scheme == parts.scheme)
    #expect(string(bytes, found.user) == parts.user)
    #expect(string(bytes, found.password) == parts.password)
    #expect(string(bytes, found.host) == parts.host)
    #expect(found.port == parts.port)
    #expect(string(bytes, found.params) == parts.params)
    #expect(string(bytes, found.headers) == parts.headers)
    #expect(string(bytes, found.opaque) == parts.opaque)
  }

  @Test(arguments: [
    "", "sip", "sip:", ":a", "1sip:a", "sip:a@", "sip:@b", "sip::pw@b", "sip:a@b@c", "sip:a@b:",
    "sip:a@b:0", "sip:a@b:65536", "sip:a@b:1x", "sip:a@b;", "sip:a@b;;x", "sip:a@b;x=",
    "sip:a@b;=y",
    "sip:a@b?", "sip:a@b?x", "sip:a@b?=y", "sip:a@b?x=y&", "sip:a@b?x=y=z&", "sip:a b@c",
    "<sip:a@b>", " sip:a@b", "sip:a@b ", "sip:a%4@b", "sip:a%zz@b", "sip:a%", "sip:a@b;x=%",
    "sip:a\"@b", "sip:a#b@c", "sip:a@[::1", "sip:a@::1", "sip:a@[x]", "sip:a@b\0", "sip:\u{fc}@b",
    "tel:", "tel:abc xyz", "tel:+1;", "urn:", "urn:a b", "sip:a@b,c",
  ])
  func malformed(text: String) {
    let parsed = uri(text).uri
    #expect(parsed == nil)
  }

  @Test func parameters() throws {
    let (bytes, parsed) = uri("sip:a@b;Transport=TCP;lr;user=phone;lr=2")
    let found = try unwrap(parsed)
    #expect(found.param("transport", in: bytes.rawSpan).map { string(bytes, $0) } == "TCP")
    #expect(found.param("LR", in: bytes.rawSpan)?.isEmpty == true)
    #expect(found.param("user", in: bytes.rawSpan).map { string(bytes, $0) } == "phone")
    #expect(found.param("maddr", in: bytes.rawSpan) == nil)
  }

  @Test func addresses() throws {
    for (text, address) in [
      ("sip:192.0.2.1", IPAddress("192.0.2.1")),
      ("sip:a@[2001:db8::1]:5", IPAddress("2001:db8::1")),
      ("sip:example.com", nil), ("sip:192.0.2.256", nil), ("tel:+1", nil),
    ] {
      let (bytes, parsed) = uri(text)
      let found = try unwrap(parsed)
      #expect(found.hostAddress(in: bytes.rawSpan) == address)
    }
  }

  @Test func manyParameters() {
    let some = String(repeating: ";p=1", count: 32)
    #expect(uri("sip:a" + some).uri != nil)
    #expect(uri("sip:a;q" + some).uri == nil)
    let headers = Array(repeating: "h=1", count: 32).joined(separator: "&")
    #expect(uri("sip:a?" + headers).uri != nil)
    #expect(uri("sip:a?h=1&" + headers).uri == nil)
  }

  @Test func escapesForPeople() {
    for (text, expected) in [
      ("a%20b", "a b"), ("%C3%BC", "\u{fc}"), ("%", "%"), ("%4", "%4"), ("%4g", "%4g"),
      ("%00", "\u{fffd}"), ("%2541", "%41"), ("", ""), ("%ff", "\u{fffd}"),
    ] {
      let bytes = Array(text.utf8)
      #expect(Escapes.string(bytes.rawSpan, ByteRange(0, bytes.count)) == expected)
    }
  }
}

/// RFC 3261 §19.1.4: its own examples, and RFC 3966 §5 for numbers.
@Suite struct URIEqualityTests {
  private func equal(_ a: String, _ b: String) throws -> Bool {
    let left = uri(a)
    let right = uri(b)
    let first = try unwrap(left.uri)
    let second = try unwrap(right.uri)
    return first.equals(second, in: left.bytes.rawSpan, otherIn: right.bytes.rawSpan)
  }

  @Test(arguments: [
    ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
    ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
    (
      "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
      "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"
    ),
    (
      "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
      "sip:alice@atlanta.com?priority=urgent&subject=project%20x"
    ),
    ("sip:a@[2001:db8:0::1]", "sip:a@[2001:DB8::0:1]"),
    ("sip:a%20b@c", "sip:a%20b@c"),
    ("tel:+1-201-555-0123", "tel:+1(201)555.0123"),
    ("tel:7042;phone-context=Example.com", "tel:7042;phone-context=example.com"),
    ("urn:service:sos", "urn:service:sos"),
  ])
  func same(a: String, b: String) throws {
    #expect(try equal(a, b))
    #expect(try equal(b, a))
  }

  @Test(arguments: [
    ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
    ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
    ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
    ("sip:a@b", "sips:a@b"), ("sip:b", "sip:a@b"), ("sip:a:x@b", "sip:a@b"),
    ("sip:a@b;user=phone", "sip:a@b"), ("sip:a@b;ttl=1", "sip:a@b"),
    ("sip:a@b;maddr=1.2.3.4", "sip:a@b"), ("sip:a@b;method=X", "sip:a@b"),
    ("sip:a%3bb@c", "sip:a;b@c"), ("sip:a@b?x=1", "sip:a@b?x=1&y=2"),
    ("tel:+12015550123", "tel:12015550123"), ("tel:1;ext=2", "tel:1"), ("tel:12", "tel:1"),
    ("urn:a", "urn:b"),
  ])
  func different(a: String, b: String) throws {
    #expect(try !equal(a, b))
    #expect(try !equal(b, a))
  }
}
