import Base
import Testing

@Suite struct AddressTests {
  /// Text in, canonical text out (RFC 5952 §4 and its examples).
  @Test(arguments: [
    ("192.0.2.1", "192.0.2.1"),
    ("255.255.255.255", "255.255.255.255"),
    ("0.0.0.0", "0.0.0.0"),
    ("::", "::"),
    ("::1", "::1"),
    ("1::", "1::"),
    ("2001:db8::1", "2001:db8::1"),
    ("2001:0DB8:0000:0000:0000:0000:0000:0001", "2001:db8::1"),
    ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
    ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
    ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
    ("2001:db8::0:1", "2001:db8::1"),
    ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
    ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
    ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
    ("::ffff:192.0.2.33", "::ffff:192.0.2.33"),
    ("::FFFF:c000:221", "::ffff:192.0.2.33"),
    ("::1.2.3.4", "::102:304"),
    ("fe80::1:0:0:a", "fe80::1:0:0:a"),
    ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("0:0:0:0:0:0:0:0", "::"),
    ("1:0:0:0:0:0:0:0", "1::"),
  ])
  func reads(text: String, canonical: String) throws {
    let address = try #require(IPAddress(text))
    #expect(address.description == canonical)
    #expect(IPAddress(address.description) == address)
    var output = OutputBuffer(byteLimit: 1_024, recordLimit: 4)
    output.begin()
    output.append(address, bracketed: false)
    let written = output.openBytes.displayText
    #expect(written == canonical)
  }

  @Test(arguments: [
    "", " ", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "256.1.1.1", "1.2.3.1000",
    "01.2.3.4", "1.2.3.4 ", " 1.2.3.4", "1.2.3.a", "-1.2.3.4", "a.b.c.d", ":", ":::", "1:", ":1",
    "1:2", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "g::", "::1%eth0", "[::1]",
    "1:2:3:4:5:6:7::8", "::1.2.3", "::1.2.3.4.5", "1:2:3:4:5:6:7:1.2.3.4", "1.2.3.4::", "::1:",
    "::1.2.3.256", "localhost", "1:2:3:4:5:6:7:8:", "::ffff:01.2.3.4", "1.2.3.4\0",
  ])
  func refuses(text: String) {
    #expect(IPAddress(text) == nil)
  }

  @Test func hosts() {
    func host(_ text: String) -> IPAddress? {
      IPAddress(parsingHost: Array(text.utf8).rawSpan)
    }
    #expect(host("[::1]") == .loopbackV6)
    #expect(host("::1") == .loopbackV6)
    #expect(host("127.0.0.1") == .loopbackV4)
    for bad in ["[127.0.0.1]", "[::1", "::1]", "[]", "[", "[[::1]]", "example.org"] {
      #expect(host(bad) == nil, "\(bad)")
    }
  }

  @Test func socketAddresses() {
    let v4 = SocketAddress(IPAddress(v4: 0xc000_0201), 5060)
    #expect(v4.description == "192.0.2.1:5060")
    #expect(SocketAddress("192.0.2.1:5060") == v4)
    let v6 = SocketAddress(.loopbackV6, 65_535)
    #expect(v6.description == "[::1]:65535")
    #expect(SocketAddress("[::1]:65535") == v6)
    for bad in [
      "192.0.2.1", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:-1", "::1:5060", "[::1]",
      "[::1]5060",
      ":5060", "192.0.2.1:5060 ", "192.0.2.1:000000080", "",
    ] {
      #expect(SocketAddress(bad) == nil, "\(bad)")
    }
    var output = OutputBuffer(byteLimit: 1_024, recordLimit: 4)
    output.begin()
    output.append(v4)
    output.append(byte: 0x20)
    output.append(v6)
    let written = output.openBytes.displayText
    #expect(written == "192.0.2.1:5060 [::1]:65535")
  }

  /// Every text is read as `inet_pton` would, whatever it is made of: no trap, and what is accepted
  /// survives a round trip.
  @Test func randomTextRoundTrips() {
    var random = RandomSource(seed: 1)
    let alphabet = Array("0123456789abcf:::...%[] ".utf8)
    var accepted = 0
    for _ in 0..<50_000 {
      let text = (0..<random.next(below: 24)).map { _ in
        alphabet[random.next(below: alphabet.count)]
      }
      guard let address = IPAddress(parsing: text.rawSpan) else { continue }
      accepted += 1
      #expect(IPAddress(address.description) == address)
    }
    #expect(accepted > 20)
    for _ in 0..<5_000 {
      // Sparse groups, so that runs of zeros of every shape occur.
      func half() -> UInt64 {
        (0..<4).reduce(0) { sum, _ in
          sum << 16 | (random.chance(2, in: 3) ? 0 : random.next() & 0xffff >> random.next() % 16)
        }
      }
      let address = IPAddress(v6High: half(), low: half())
      #expect(IPAddress(address.description) == address)
      #expect(!address.description.contains(":::"))
    }
  }

  @Test func networks() throws {
    let lan = try #require(IPNetwork("10.20.0.0/14"))
    #expect(try lan.contains(#require(IPAddress("10.23.255.255"))))
    #expect(try !lan.contains(#require(IPAddress("10.24.0.0"))))
    #expect(try !lan.contains(#require(IPAddress("::ffff:10.20.0.1"))))
    #expect(lan.description == "10.20.0.0/14")
    let all = try #require(IPNetwork("0.0.0.0/0"))
    #expect(all.contains(.loopbackV4) && !all.contains(.loopbackV6))
    let one = try #require(IPNetwork("192.0.2.1"))
    #expect(one.prefixLength == 32 && one.contains(one.address))
    let doc = try #require(IPNetwork("2001:db8::/32"))
    #expect(try doc.contains(#require(IPAddress("2001:db8:ffff::1"))))
    #expect(try !doc.contains(#require(IPAddress("2001:db9::1"))))
    let wide = try #require(IPNetwork("2001:db8:0:0:8000::/65"))
    #expect(try wide.contains(#require(IPAddress("2001:db8::8000:0:0:1"))))
    #expect(try !wide.contains(#require(IPAddress("2001:db8::1"))))
    #expect(IPNetwork("::/0") != nil && IPNetwork("::1/128") != nil)
    for bad in ["10.0.0.1/8", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "/8", "::1/127"]
    {
      #expect(IPNetwork(bad) == nil, "\(bad)")
    }
    // Lengths outside the family are cut, not shifted into a trap.
    #expect(IPAddress.loopbackV4.matches(network: .loopbackV4, prefixLength: 99))
    #expect(IPAddress.loopbackV4.matches(network: .anyV4, prefixLength: -1))
    #expect(IPNetwork(.loopbackV6, prefixLength: 999).contains(.loopbackV6))
  }

  @Test func kinds() {
    for text in [
      "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255",
      "127.0.0.1", "169.254.1.1", "::1", "fe80::1", "fc00::1", "fdff::1",
    ] {
      #expect(IPAddress(text)?.isPrivate == true, "\(text)")
    }
    for text in [
      "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255",
      "100.63.255.255",
      "100.128.0.0", "8.8.8.8", "2001:db8::1", "fe00::1", "fbff::1",
    ] {
      #expect(IPAddress(text)?.isPrivate == false, "\(text)")
    }
    #expect(IPAddress("224.0.0.1")?.isMulticast == true)
    #expect(IPAddress("ff02::1")?.isMulticast == true)
    #expect(IPAddress("::")?.isUnspecified == true)
  }
}
