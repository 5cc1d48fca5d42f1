import Base
import Resolution
import Testing

/// DNS messages as RFC 1035 has them, and as liars do.
@Suite struct DNSMessageTests {
  @Test(arguments: [
    ("example.com", "example.com"), ("Example.COM.", "example.com"),
    ("_sip._udp.Example.com", "_sip._udp.example.com"), ("a", "a"),
  ])
  func names(_ text: String, _ written: String) throws {
    #expect(try #require(DNSName(text)).description == written)
  }

  @Test(arguments: [
    "", ".", "..", "a..b", ".a", "a b", "a/b", "ä.de", String(repeating: "x", count: 64),
    (0..<64).map { _ in "abc" }.joined(separator: "."),
  ])
  func noNames(_ text: String) { #expect(DNSName(text) == nil) }

  @Test func queryIsWhatRFC1035Says() throws {
    let bytes = DNSQuery.bytes(id: 0x1234, DNSQuestion("sip.example", .srv), extended: false)
    #expect(
      bytes == [
        0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 0x73, 0x69, 0x70, 7, 0x65, 0x78, 0x61, 0x6d,
        0x70, 0x6c, 0x65, 0, 0, 33, 0, 1,
      ])
    let extended = DNSQuery.bytes(id: 1, DNSQuestion("a", .a), extended: true)
    #expect(extended.suffix(11) == [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0])
    #expect(read(query: bytes)?.question == DNSQuestion("sip.example", .srv))
  }

  @Test func everyTypeReadsBack() throws {
    let records = [
      DNSRecord("a.example", ttl: 7, .address(IPAddress(v4: 0xc000_0201))),
      DNSRecord("b.example", ttl: 0, .address(IPAddress(v6High: 0x2001_0db8 << 32, low: 5))),
      DNSRecord("c.example", ttl: 9, .alias("a.example")),
      DNSRecord(
        "_sip._udp.example", ttl: 60,
        .service(priority: 1, weight: 2, port: 5_062, target: "a.example")),
      DNSRecord(
        "example", ttl: 60,
        .pointer(
          order: 50, preference: 60, flags: Array("s".utf8), services: Array("sip+d2u".utf8),
          hasExpression: false, replacement: "_sip._udp.example")),
      DNSRecord(.root, ttl: 60, .authority(minimum: 77)),
    ]
    var writer = ReplyWriter(id: 9, DNSQuestion("a.example", .a))
    for record in records { writer.add(record) }
    let reply = try parse(writer.bytes)
    #expect(reply.answers == records)
    #expect(reply.id == 9 && reply.code == .success && !reply.isTruncated)
    #expect(reply.question == DNSQuestion("a.example", .a))
  }

  @Test func namesAreCompressedAndCaseIsFolded() throws {
    var writer = ReplyWriter(id: 1, DNSQuestion("www.example", .a))
    // WWW by a pointer to the question; then a label before a pointer into it.
    writer.record([0xc0, 12], 1, ttl: 5, [192, 0, 2, 1])
    writer.record([3, 0x46, 0x54, 0x50, 0xc0, 16], 1, ttl: 5, [192, 0, 2, 2])
    let reply = try parse(writer.bytes)
    #expect(reply.answers.map(\.name) == ["www.example", "ftp.example"])
  }

  @Test func loopsAndForwardPointersAreRefused() {
    let start = ReplyWriter(id: 1, DNSQuestion("a", .a)).bytes.count
    let low = UInt8(start)
    for name: [UInt8] in [
      [0xc0, low],  // itself
      [0xc0, low + 2, 0xc0, low],  // forwards, then back
      [1, 0x61, 0xc0, low],  // a label that goes on for ever
      [0xff, 0xff], [0x40, 0x61, 0], [0x80, 0x61, 0],  // outside; forms that nobody uses
    ] {
      var writer = ReplyWriter(id: 1, DNSQuestion("a", .a))
      writer.record(name, 1, ttl: 5, [192, 0, 2, 1])
      #expect(throws: DNSParseError.self) { try parse(writer.bytes) }
    }
  }

  @Test func namesEndAt255Bytes() throws {
    // 63-byte labels, chained by pointers: the fifth is too much.
    var writer = ReplyWriter(id: 1)
    var last: Int?
    var failed = 0
    for _ in 0..<6 {
      let at = writer.bytes.count
      var name = [63] + [UInt8](repeating: 0x61, count: 63)
      name += last.map { [0xc0 | UInt8($0 >> 8), UInt8($0 & 255)] } ?? [0]
      writer.record(name, 1, ttl: 5, [192, 0, 2, 1])
      last = at
      if (try? parse(writer.bytes)) == nil { failed += 1 }
    }
    #expect(failed == 3)
  }

  @Test func everyCutIsAnError() {
    var writer = ReplyWriter(id: 1, DNSQuestion("a.example", .srv))
    writer.add(
      DNSRecord("a.example", ttl: 5, .service(priority: 0, weight: 0, port: 1, target: "b")))
    let whole = writer.bytes
    for count in 0..<whole.count {
      let cut = Array(whole.prefix(count))
      #expect(throws: DNSParseError.self) { try parse(cut) }
    }
  }

  private static let wrongData: [(UInt16, [UInt8])] = [
    (1, [192, 0, 2]), (1, [192, 0, 2, 1, 5]), (28, [1, 1, 1, 1, 1, 1, 1, 1]),
    (33, [0, 0, 0, 0, 0, 1]), (33, [0, 0, 0, 0, 0, 1, 0, 0]), (5, []), (5, [0, 0]),
    (35, [0, 0, 0, 0, 9, 1, 0, 0, 0]), (35, [0, 0, 0, 0, 1, 0x73, 1, 0x78, 0]), (6, [0, 0, 1]),
  ]

  @Test(arguments: wrongData)
  func wrongDataIsRefused(_ type: UInt16, _ data: [UInt8]) {
    var writer = ReplyWriter(id: 1, DNSQuestion("a", .a))
    writer.record([0], type, ttl: 5, data)
    #expect(throws: DNSParseError.self) { try parse(writer.bytes) }
  }

  @Test func whatNobodyAskedForIsPassedOver() throws {
    var writer = ReplyWriter(id: 1, DNSQuestion("a", .a))
    writer.record([0], 16, ttl: 5, [3, 0x61, 0x62, 0x63])
    writer.add(DNSRecord("a", ttl: 0x8000_0005, .address(.loopbackV4)))
    let reply = try parse(writer.bytes)
    #expect(reply.answers == [DNSRecord("a", ttl: 0, .address(.loopbackV4))])
  }

  private func parse(_ bytes: [UInt8]) throws(DNSParseError) -> DNSReply {
    try DNSReply.parse(bytes.rawSpan)
  }

  @Test func mutationsNeverTrap() {
    var writer = ReplyWriter(id: 1, DNSQuestion("www.example", .naptr))
    writer.record([0xc0, 12], 1, ttl: 5, [192, 0, 2, 1])
    writer.add(
      DNSRecord(
        "www.example", ttl: 60,
        .pointer(
          order: 1, preference: 1, flags: Array("s".utf8), services: Array("sip+d2t".utf8),
          hasExpression: true, replacement: "_sip._tcp.example")))
    writer.add(DNSRecord(.root, ttl: 60, .authority(minimum: 77)), isAuthority: true)
    var random = RandomSource(seed: 1)
    var read = 0
    for _ in 0..<20_000 {
      var bytes = writer.bytes
      for _ in 0...random.next(below: 4) {
        bytes[random.next(below: bytes.count)] = UInt8(random.next(below: 256))
      }
      bytes.removeLast(random.next(below: 3) == 0 ? random.next(below: bytes.count) : 0)
      if (try? parse(bytes)) != nil { read += 1 }
    }
    #expect(read > 1_000 && read < 20_000)
  }
}
