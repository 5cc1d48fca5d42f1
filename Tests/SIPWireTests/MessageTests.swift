import Base
import SIPWire
import Testing

@Suite struct MessageTests {
  @Test func requestLine() throws {
    try parsed(request(line: "OPTIONS sip:bob@example.com;x?a=b SIP/2.0")) { m in
      #expect(m.isRequest == true)
      #expect(m.method == .options)
      #expect(m.text(m.methodToken) == "OPTIONS")
      #expect(m.text(m.requestURI) == "sip:bob@example.com;x?a=b")
      #expect(m.status == 0)
      #expect(m.reason.isEmpty)
      #expect(m.defect() == nil)
    }
  }

  @Test func statusLine() throws {
    try parsed("SIP/2.0 486 Busy Here\r\n\r\n") { m in
      #expect(m.isRequest == false)
      #expect(m.method == .other)
      #expect(m.methodToken.isEmpty)
      #expect(m.requestURI.isEmpty)
      #expect(m.status == 486)
      #expect(m.text(m.reason) == "Busy Here")
    }
  }

  /// Tolerated: line breaks before the start line, a version in lower case, no space before an empty
  /// reason phrase, an extension method.
  @Test(arguments: [
    "\r\n\r\n" + request(), request(line: "OPTIONS sip:bob@example.com sip/2.0"),
    "SIP/2.0 200\r\n\r\n", "sip/2.0 699 \r\n\r\n", "\n" + request(),
  ])
  func accepted(text: String) throws {
    #expect(parseError(text) == nil)
  }

  static let refusals: [(String, SIPParseError.Reason, Int)] = [
    ("", .empty, 0),
    ("\r\n\r\n", .empty, 0),
    ("\0", .controlCharacter, 0),
    ("INVITE", .incomplete, 6),
    ("\r\n", .empty, 0),
    ("INVITE sip:a@b SIP/2.0\r\n", .incomplete, 24),
    ("INVITE sip:a@b SIP/2.0\r\nVia: x\r\n", .incomplete, 32),
    ("INVITE sip:a@b SIP/2.0\r\nVia: x", .incomplete, 30),
    ("INVITE sip:a@b\r\n\r\n", .startLine, 14),
    ("INVITE  sip:a@b SIP/2.0\r\n\r\n", .startLine, 7),
    (" INVITE sip:a@b SIP/2.0\r\n\r\n", .startLine, 0),
    ("INVITE sip:a@b SIP/2.0 \r\n\r\n", .startLine, 14),
    ("INVITE sip:a b SIP/2.0\r\n\r\n", .startLine, 12),
    ("IN(VITE sip:a SIP/2.0\r\n\r\n", .startLine, 0),
    ("INVITE sip:a SIP/2.\r\n\r\n", .startLine, 12),
    ("INVITE sip:a HTTP/1.1\r\n\r\n", .startLine, 12),
    ("GET / HTTP/1.1\r\n\r\n", .startLine, 5),
    ("INVITE sip:a SIP/3.0\r\n\r\n", .version, 13),
    ("INVITE sip:a SIP/2.00\r\n\r\n", .version, 13),
    ("INVITE sip:a SIP/12.34\r\n\r\n", .version, 13),
    ("SIP/2.0 99 x\r\n\r\n", .startLine, 8),
    ("SIP/2.0 700 x\r\n\r\n", .startLine, 8),
    ("SIP/2.0 099 x\r\n\r\n", .startLine, 8),
    ("SIP/2.0 2000 x\r\n\r\n", .startLine, 8),
    ("SIP/2.0 -20 x\r\n\r\n", .startLine, 8),
    ("SIP/2.0 20", .incomplete, 10),
    ("SIP/2.0 20\r\n\r\n", .startLine, 8),
    ("SIP/3.0 200 OK\r\n\r\n", .startLine, 0),
    ("OPTIONS sip:a SIP/2.0\n\n", .lineEnd, 21),
    ("OPTIONS sip:a SIP/2.0\r\r\n", .lineEnd, 21),
    ("OPTIONS sip:a\rb SIP/2.0\r\n\r\n", .lineEnd, 13),
    ("OPTIONS sip:a\0 SIP/2.0\r\n\r\n", .controlCharacter, 13),
    ("OPTIONS sip:a SIP/2.0\r\nX: a\nVia: b\r\n\r\n", .lineEnd, 27),
    ("OPTIONS sip:a SIP/2.0\r\nX: a\rVia: b\r\n\r\n", .lineEnd, 27),
    ("OPTIONS sip:a SIP/2.0\r\nX: a\0b\r\n\r\n", .controlCharacter, 27),
    ("OPTIONS sip:a SIP/2.0\r\nX: a\u{1}\r\n\r\n", .controlCharacter, 27),
    ("OPTIONS sip:a SIP/2.0\r\nX: \"\\\r\n\"\r\n\r\n", .headerName, 30),
    ("OPTIONS sip:a SIP/2.0\r\n: a\r\n\r\n", .headerName, 23),
    ("OPTIONS sip:a SIP/2.0\r\nX\r\n\r\n", .headerName, 24),
    ("OPTIONS sip:a SIP/2.0\r\nX Y: a\r\n\r\n", .headerName, 24),
    ("OPTIONS sip:a SIP/2.0\r\n X: a\r\n\r\n", .headerName, 23),
    ("OPTIONS sip:a SIP/2.0\r\nX(: a\r\n\r\n", .headerName, 24),
    ("OPTIONS sip:a SIP/2.0\r\n\n", .headerName, 23),
    ("OPTIONS sip:a SIP/2.0\r\nMax\rForwards: 7\r\n\r\n", .headerName, 26),
    ("OPTIONS sip:a SIP/2.0\r\nContent-Length: x\r\n\r\n", .contentLength, 39),
    ("OPTIONS sip:a SIP/2.0\r\nContent-Length:\r\n\r\n", .contentLength, 38),
    ("OPTIONS sip:a SIP/2.0\r\nContent-Length: -1\r\n\r\n", .contentLength, 39),
    ("OPTIONS sip:a SIP/2.0\r\nContent-Length: +1\r\n\r\n", .contentLength, 39),
    ("OPTIONS sip:a SIP/2.0\r\nContent-Length: 0x1\r\n\r\n", .contentLength, 39),
    ("OPTIONS sip:a SIP/2.0\r\nContent-Length: 0, 0\r\n\r\n", .contentLength, 39),
    (
      "OPTIONS sip:a SIP/2.0\r\nContent-Length: 99999999999999999999\r\n\r\n", .contentLength, 39
    ),
    ("OPTIONS sip:a SIP/2.0\r\nContent-Length: 4294967296\r\n\r\n", .contentLength, 39),
    ("OPTIONS sip:a SIP/2.0\r\nContent-Length: 1\r\nl: 2\r\n\r\nab", .contentLength, 45),
    ("OPTIONS sip:a SIP/2.0\r\nContent-Length: 3\r\n\r\nab", .truncatedBody, 39),
  ]

  @Test(arguments: refusals)
  func refused(text: String, reason: SIPParseError.Reason, offset: Int) throws {
    let error = try unwrap(parseError(text))
    #expect(error.reason == reason)
    #expect(error.offset == offset)
  }

  // MARK: Body and length

  @Test func bodyWithoutLengthIsTheRest() throws {
    try parsed(request() + "rest") { m in #expect(m.text(m.body) == "rest") }
  }

  @Test func bodyEndsWhereTheLengthSays() throws {
    try parsed(request("Content-Length: 2\r\n") + "rest") { m in
      #expect(m.text(m.body) == "re")
    }
  }

  @Test func equalLengthsAreOne() throws {
    try parsed(request("Content-Length: 2\r\nl: 0002\r\n") + "rest") { m in
      #expect(m.text(m.body) == "re")
    }
  }

  @Test func bodyMayHoldAnything() throws {
    try parsed(bytes: Array(request().utf8) + [0, 10, 13, 255, 0]) { m in
      #expect(m.bytes.array(m.body) == [0, 10, 13, 255, 0])
    }
  }

  // MARK: Lines

  static let values: [(String, String)] = [
    ("Q: a\r\n", "a"), ("Q:a\r\n", "a"), ("Q :a\r\n", "a"), ("Q\t : \t a \t\r\n", "a"),
    ("Q:\r\n", ""), ("Q: \t\r\n", ""), ("Q: a b\r\n", "a b"), ("Q: a:b\r\n", "a:b"),
    ("Q: a\r\n b\r\n", "a\r\n b"), ("Q:\r\n a\r\n", "a"), ("Q: \r\n\t \r\n a \r\n", "a"),
    ("Q: a\r\n \r\n", "a"), ("Q: a\tb\r\n", "a\tb"),
    ("Q: \u{00e9}\u{4e2d}\r\n", "\u{00e9}\u{4e2d}"),
    ("Q: \"\\\0\"\r\n", "\"\\\0\""),
  ]

  @Test(arguments: values) func value(field: String, expected: String) throws {
    try parsed(request(field)) { m in
      let header = m.header(2)
      #expect(header.id == .other)
      #expect(m.text(header.name) == "Q")
      #expect(m.text(header.value) == expected)
      #expect(m.headerCount == 7)
      #expect(m.defect() == nil)
    }
  }

  @Test func headersOutsideTheCountAreEmpty() throws {
    try parsed(request()) { m in
      #expect(m.header(-1).value.isEmpty)
      #expect(m.header(6).value.isEmpty)
      #expect(m.header(Int.max).name.isEmpty)
      #expect(m.next(.via, after: Int.max - 1) == nil)
    }
  }

  /// A message whose index was used again has no header fields, rather than another message's.
  @Test func indexUsedAgain() throws {
    let index = HeaderIndex()
    let first = Array(request().utf8)
    let second = Array("SIP/2.0 200 OK\r\nVia: y\r\n\r\n".utf8)
    let old = try Message.parse(first.rawSpan, using: index)
    #expect(old.headerCount == 6)
    _ = try Message.parse(second.rawSpan, using: index)
    #expect(old.headerCount == 0)
    #expect(old.first(.from) == nil)
    #expect(old.topVia() == nil)
    #expect(old.list(.via).isEmpty)
  }

  // MARK: Limits

  private func flood(_ count: Int) -> String {
    request(String(repeating: "X: 1\r\n", count: count))
  }

  @Test func manyHeaderFields() throws {
    try parsed(flood(128 - 6)) { m in
      #expect(m.headerCount == 128)
      #expect(m.cseq?.number == 314_159)
    }
    let error = try unwrap(parseError(flood(128 - 5)))
    #expect(error.reason == .tooManyHeaders)
    #expect(error.status == 513)
  }

  @Test func longHeaderFields() throws {
    let room = SIPLimits.headerBytes - request().utf8.count - "X: \r\n".utf8.count
    try parsed(request("X: \(String(repeating: "a", count: room))\r\n")) { m in
      #expect(Int(m.header(2).value.count) == room)
      #expect(m.cseq != nil)
    }
    let long = request("X: \(String(repeating: "a", count: room + 1))\r\n")
    #expect(parseError(long)?.reason == .headersTooLong)
    let name = String(repeating: "n", count: 255)
    try parsed(request("\(name): x\r\n")) { m in #expect(m.header(2).name.count == 255) }
    #expect(parseError(request("\(name)n: x\r\n"))?.reason == .headerName)
  }

  @Test func longMessages() throws {
    let head = Array(request().utf8)
    let full = head + [UInt8](repeating: 7, count: SIPLimits.messageBytes - head.count)
    try parsed(bytes: full) { m in #expect(m.body.end == SIPLimits.messageBytes) }
    #expect(parseError(bytes: full + [7])?.reason == .messageTooLong)
    #expect(parseError(bytes: [UInt8](repeating: 13, count: 60_000))?.reason == .empty)
    #expect(
      parseError(bytes: [UInt8](repeating: 10, count: 40_000) + head)?.reason == .headersTooLong)
  }

  // MARK: Answering what was refused

  @Test func linesThatAreNoFieldsAreLost() throws {
    let text = request("Bad line\r\nX: a\nb\r\nContent-Length: -1\r\n")
    #expect(parseError(text)?.headersUsable == true)
    let bytes = Array(text.utf8)
    let index = HeaderIndex()
    guard let m = Message.parseLenient(bytes.rawSpan, using: index) else {
      Issue.record("no answer possible")
      return
    }
    #expect(m.method == .options)
    #expect(m.cseq?.number == 314_159)
    #expect(m.callID.isEmpty == false)
    #expect(m.body.isEmpty)
    #expect(m.first(.maxForwards) != nil)
  }

  @Test(arguments: [
    "", "\r\n", "SIP/2.0 200 OK\r\n\r\n", "nonsense", "INVITE\r\n\r\n",
    request().replacing("CSeq: 314159 OPTIONS\r\n", with: ""),
    request().replacing("From:", with: "Frm:"),
    request(line: "ACK sip:bob@example.com SIP/9.0"),
    "SIP/2.0 xyz\r\n" + request(),
  ])
  func noAnswer(text: String) {
    let bytes = Array(text.utf8)
    let found = Message.parseLenient(bytes.rawSpan, using: HeaderIndex()) != nil
    #expect(found == false)
  }

  @Test func responsesAreNotAnswered() {
    #expect(parseError("SIP/2.0 200 OK\r\nX\r\n\r\n")?.headersUsable == false)
    #expect(parseError("nonsense\r\n\r\n")?.headersUsable == false)
  }

  // MARK: Defects

  static let defects: [(String, String, MessageDefect)] = [
    ("Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776asdhds\r\n", "", .missingVia),
    ("branch=z9hG4bK776asdhds", "branch=", .malformedVia),
    ("192.0.2.1:5060;", "192.0.2.1:0;", .malformedVia),
    ("192.0.2.1:5060;", "192.0.2.1:65536;", .malformedVia),
    ("192.0.2.1:5060;", ";", .malformedVia),
    ("SIP/2.0/UDP 192", "SIP/2.0/UDP192", .malformedVia),
    ("From: Alice <sip:alice@example.com>;tag=1928301774\r\n", "", .missingFrom),
    ("Alice <sip:alice@example.com>", "Alice <>", .malformedFrom),
    ("Alice <sip:alice@example.com>", "*", .malformedFrom),
    ("Alice <sip:alice@example.com>", "Alice sip:alice@example.com", .malformedFrom),
    ("To: Bob <sip:bob@example.com>\r\n", "", .missingTo),
    ("To: Bob <sip:bob@example.com>", "To: <sip:bob@example.com", .malformedTo),
    ("Call-ID: a84b4c76e66710@192.0.2.1\r\n", "", .missingCallID),
    ("Call-ID: a84b4c76e66710@192.0.2.1", "Call-ID:", .missingCallID),
    ("a84b4c76e66710@192.0.2.1", "a b", .malformedCallID),
    ("a84b4c76e66710@192.0.2.1", "a@b@c", .malformedCallID),
    ("a84b4c76e66710@192.0.2.1", "a@", .malformedCallID),
    ("a84b4c76e66710@192.0.2.1", "@b", .malformedCallID),
    ("CSeq: 314159 OPTIONS\r\n", "", .missingCSeq),
    ("314159 OPTIONS", "OPTIONS", .malformedCSeq),
    ("314159 OPTIONS", "314159", .malformedCSeq),
    ("314159 OPTIONS", "314159OPTIONS", .malformedCSeq),
    ("314159 OPTIONS", "-1 OPTIONS", .malformedCSeq),
    ("314159 OPTIONS", "2147483648 OPTIONS", .malformedCSeq),
    ("314159 OPTIONS", "1 OPTIONS x", .malformedCSeq),
    ("314159 OPTIONS", "1 options", .cseqMethod),
    ("314159 OPTIONS", "1 INVITE", .cseqMethod),
    ("CSeq: 314159", "Call-ID: second\r\nCSeq: 314159", .repeatedField),
    ("CSeq: 314159", "f: <sip:a@b>;tag=1\r\nCSeq: 314159", .repeatedField),
    ("Max-Forwards: 70", "Max-Forwards: 256", .malformedMaxForwards),
    ("Max-Forwards: 70", "Max-Forwards: x", .malformedMaxForwards),
    ("Max-Forwards: 70", "m: <sip:a@b>, <\r\nMax-Forwards: 70", .malformedContact),
    ("Max-Forwards: 70", "m: <sip:a@b:5@c>\r\nMax-Forwards: 70", .malformedContact),
    ("Max-Forwards: 70", "m: <sip:a@b:99999>\r\nMax-Forwards: 70", .malformedContact),
    ("Max-Forwards: 70", "Max-Forwards: 70\r\nMAX-FORWARDS: 70", .repeatedField),
    ("Max-Forwards: 70", "Max-Forwards: 70\r\nt: <sip:a@b>", .repeatedField),
    ("Max-Forwards: 70", "Max-Forwards: 70\r\nCSeq: 314159 OPTIONS", .repeatedField),
    ("Max-Forwards: 70", "c: a/b\r\nMax-Forwards: 70\r\nContent-Type: a/b", .repeatedField),
    ("Max-Forwards: 70", "Expires: 1\r\nMax-Forwards: 70\r\nExpires: 1", .repeatedField),
    ("OPTIONS sip:bob@example.com", "OPTIONS <sip:bob@example.com>", .malformedRequestURI),
    ("OPTIONS sip:bob@example.com", "OPTIONS bob", .malformedRequestURI),
    ("OPTIONS sip:bob@example.com", "OPTIONS sip:", .malformedRequestURI),
  ]

  @Test(arguments: defects)
  func defect(part: String, replacement: String, expected: MessageDefect) throws {
    let text = request()
    try #require(text.contains(part))
    try parsed(text.replacing(part, with: replacement, maxReplacements: 1)) { m in
      #expect(m.defect() == expected)
    }
  }

  @Test func identity() throws {
    try parsed(request()) { m in
      let identity = try m.identity()
      #expect(identity.via == m.topVia())
      #expect(identity.from == m.from)
      #expect(identity.to == m.to)
      #expect(identity.callID == m.callID)
      #expect(identity.cseq == m.cseq)
    }
  }

  @Test func fitThoughOdd() throws {
    for (part, replacement) in [
      ("Max-Forwards: 70\r\n", ""), ("Max-Forwards: 70", "Max-Forwards: 0"),
      ("Max-Forwards: 70", "m: *\r\nMax-Forwards: 70"), ("314159 OPTIONS", "0 OPTIONS"),
      ("314159 OPTIONS", "2147483647\t OPTIONS"), ("a84b4c76e66710@192.0.2.1", "<x>@[::1]"),
      ("Alice <sip:alice@example.com>", "sip:alice@example.com"),
      ("Alice <sip:alice@example.com>", "<tel:+15551234>"),
    ] {
      try parsed(request().replacing(part, with: replacement)) { m in
        #expect(m.defect() == nil, "\(replacement)")
      }
    }
  }

  // MARK: Values

  @Test func numbers() throws {
    let text = request("Expires: 99999999999\r\nContent-Type: application/SDP ;charset=utf-8\r\n")
    try parsed(text) { m in
      #expect(m.expires == .max)
      #expect(m.maxForwards == 70)
      #expect(m.contentType?.isSDP(in: m.bytes) == true)
      #expect(m.contentLength == nil)
    }
    try parsed(request("Expires: soon\r\nc: text\r\n")) { m in
      #expect(m.expires == nil)
      #expect(m.contentType == nil)
    }
    try parsed(request("Expires:\r\nc: multipart / mixed;boundary=x\r\n")) { m in
      #expect(m.expires == nil)
      #expect(m.contentType?.isSDP(in: m.bytes) == false)
      #expect(m.text(m.contentType?.subtype) == "mixed")
    }
  }

  @Test func wildcardContact() throws {
    try parsed(request("Contact:  * \r\n")) { m in
      #expect(m.hasContactWildcard == true)
      #expect(m.contact == nil)
    }
    try parsed(request("Contact: <sip:a@b>;expires=0\r\n")) { m in
      #expect(m.hasContactWildcard == false)
      #expect(m.text(m.contact?.uri) == "sip:a@b")
    }
  }

  /// What is not understood can be passed on as it came.
  @Test func unknownFieldsAreKeptToTheOctet() throws {
    let fields = [
      "X-One:  a \t b;c=\"d\" ", "X-Two: \u{fc}\u{1f600}", "X-Three: 1\r\n 2\r\n\t3", "X-Four:",
    ]
    let text = request(fields.map { $0 + "\r\n" }.joined())
    try parsed(text) { m in
      var again: [String] = []
      for i in 0..<m.headerCount where m.header(i).id == .other {
        let field = m.header(i)
        again.append("\(m.text(field.name)): \(m.text(field.value))")
      }
      #expect(
        again == [
          "X-One: a \t b;c=\"d\"", "X-Two: \u{fc}\u{1f600}", "X-Three: 1\r\n 2\r\n\t3", "X-Four: ",
        ])
    }
  }
}
