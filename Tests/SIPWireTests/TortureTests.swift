import Base
import SIPWire
import Testing

/// RFC 4475 and RFC 5118, every message, as the RFCs say it should be taken.
///
/// Where an RFC leaves a choice, ours is written beside it. Rules of the layers above (415, 416, 420,
/// 501 …) are tested there; here such a message must be fit.
@Suite struct TortureTests {
  enum Verdict: Equatable {
    case fit
    case refused(SIPParseError.Reason)
    case defect(MessageDefect)
  }

  static let verdicts: [(String, Verdict)] = [
    // RFC 4475 §3.1.1: valid
    ("rfc4475-wsinv", .fit), ("rfc4475-intmeth", .fit), ("rfc4475-esc01", .fit),
    ("rfc4475-escnull", .fit), ("rfc4475-esc02", .fit), ("rfc4475-lwsdisp", .fit),
    ("rfc4475-longreq", .fit), ("rfc4475-dblreq", .fit), ("rfc4475-semiuri", .fit),
    ("rfc4475-transports", .fit), ("rfc4475-mpart01", .fit), ("rfc4475-unreason", .fit),
    ("rfc4475-noreason", .fit),
    // §3.1.2: invalid
    ("rfc4475-badinv01", .defect(.malformedVia)),
    ("rfc4475-clerr", .refused(.truncatedBody)),
    ("rfc4475-ncl", .refused(.contentLength)),
    ("rfc4475-scalar02", .defect(.malformedCSeq)),
    ("rfc4475-scalarlg", .defect(.malformedCSeq)),
    ("rfc4475-quotbal", .defect(.malformedTo)),
    ("rfc4475-ltgtruri", .defect(.malformedRequestURI)),
    ("rfc4475-lwsruri", .refused(.startLine)),
    ("rfc4475-lwsstart", .refused(.startLine)),
    ("rfc4475-trws", .refused(.startLine)),
    // "An element could choose to be liberal in what it accepts and ignore the escaped headers."
    ("rfc4475-escruri", .fit),
    // "An element shouldn't [reject] unless the contents of the Date header field were important."
    ("rfc4475-baddate", .fit),
    ("rfc4475-regbadct", .defect(.malformedContact)),
    ("rfc4475-badaspec", .defect(.malformedTo)),
    // The archive's file lacks the empty line; `commaInDisplayName` adds it.
    ("rfc4475-baddn", .refused(.incomplete)),
    ("rfc4475-badvers", .refused(.version)),
    ("rfc4475-mismatch01", .defect(.cseqMethod)),
    // 501 is recommended, "a 400 Bad Request is also acceptable".
    ("rfc4475-mismatch02", .defect(.cseqMethod)),
    ("rfc4475-bigcode", .refused(.startLine)),
    // §3.2, §3.3: for the layers above
    ("rfc4475-badbranch", .fit), ("rfc4475-insuf", .defect(.missingFrom)),
    ("rfc4475-unkscm", .fit), ("rfc4475-novelsc", .fit), ("rfc4475-unksm2", .fit),
    ("rfc4475-bext01", .fit), ("rfc4475-invut", .fit), ("rfc4475-regaut01", .fit),
    ("rfc4475-multi01", .defect(.repeatedField)),
    ("rfc4475-mcl01", .refused(.contentLength)),
    ("rfc4475-bcast", .fit), ("rfc4475-zeromf", .fit), ("rfc4475-cparam01", .fit),
    ("rfc4475-cparam02", .fit), ("rfc4475-regescrt", .fit), ("rfc4475-sdp01", .fit),
    // §3.4
    ("rfc4475-inv2543", .fit),
    // An extra of the archive, no part of the text: a request line without a version
    ("rfc4475-test", .refused(.startLine)),
    // RFC 5118
    ("rfc5118-ipv6-good", .fit),
    ("rfc5118-ipv6-bad", .defect(.malformedRequestURI)),
    ("rfc5118-port-ambiguous", .fit), ("rfc5118-port-unambiguous", .fit),
    ("rfc5118-via-received-param-with-delim", .fit),
    ("rfc5118-via-received-param-no-delim", .fit),
    ("rfc5118-ipv6-in-sdp", .fit), ("rfc5118-mult-ip-in-header", .fit),
    ("rfc5118-mult-ip-in-sdp", .fit), ("rfc5118-ipv4-mapped-ipv6", .fit),
    ("rfc5118-ipv6-bug-abnf-3-colons", .fit), ("rfc5118-ipv6-correct-abnf-2-colons", .fit),
  ]

  @Test("is taken as the RFC says", arguments: verdicts)
  func verdict(name: String, expected: Verdict) throws {
    let bytes = try Files.read("Fuzz/seeds/sip_datagram/\(name)")
    let verdict = try Self.judge(bytes)
    #expect(verdict == expected)
  }

  @Test func everyMessageHasAVerdict() {
    let files = Files.names(in: "Fuzz/seeds/sip_datagram").filter { $0.hasPrefix("rfc") }
    #expect(files == Self.verdicts.map(\.0).sorted())
  }

  static func judge(_ bytes: [UInt8]) throws -> Verdict {
    if let error = parseError(bytes: bytes) { return .refused(error.reason) }
    return try parsed(bytes: bytes) { message in message.defect().map { .defect($0) } ?? .fit }
  }

  private func torture<R>(_ name: String, _ body: (borrowing Message) throws -> R) throws -> R {
    try parsed(bytes: try Files.read("Fuzz/seeds/sip_datagram/\(name)"), body)
  }

  // MARK: What the RFC points out

  @Test func commaInDisplayName() throws {
    let bytes = try Files.read("Fuzz/seeds/sip_datagram/rfc4475-baddn") + [13, 10]
    let verdict = try Self.judge(bytes)
    #expect(verdict == .defect(.malformedFrom))
  }

  /// RFC 5118's archive has its messages with LF alone and with lengths that don't fit; the seeds are
  /// corrected. Lines that end with LF alone are refused.
  @Test func lineFeedsAlone() throws {
    let bytes = try Files.read("Fuzz/seeds/sip_datagram/rfc5118-ipv6-good").filter { $0 != 13 }
    #expect(parseError(bytes: bytes)?.reason == .lineEnd)
  }

  @Test func shortTortuousInvite() throws {
    try torture("rfc4475-wsinv") { m in
      #expect(m.maxForwards == 68)
      #expect(m.cseq?.number == 9)
      #expect(m.cseq?.method == .invite)
      let display = try unwrap(m.from?.display)
      #expect(Quoting.string(m.bytes, display) == "J Rosenberg \\\"")
      #expect(m.text(m.from?.tag) == "98asjd8")
      #expect(m.text(m.to?.tag) == "1918181833n")
      #expect(m.list(.via).count == 3)
      let via = try unwrap(m.topVia())
      #expect(via.transport == .udp)
      #expect(m.text(via.host) == "192.0.2.2")
      #expect(m.text(via.branch) == "390skdjuw")
      #expect(m.first(.subject)?.isEmpty == true)
      #expect(m.contentType?.isSDP(in: m.bytes) == true)
      #expect(m.contentLength == Int(m.body.count))
      let contact = try unwrap(m.contact)
      #expect(Quoting.string(m.bytes, contact.display) == "Quoted string \"\"")
      #expect(m.text(contact.param("newparam", in: m.bytes)) == "newvalue")
      #expect(m.text(contact.param("secondparam", in: m.bytes)) == "")
      #expect(m.text(contact.param("q", in: m.bytes)) == "0.33")
      #expect(
        m.list(.route) == ["<sip:services.example.com;lr;unknownwith=value;unknown-no-value>"])
    }
  }

  @Test func wideRangeOfCharacters() throws {
    try torture("rfc4475-intmeth") { m in
      #expect(m.method == .other)
      #expect(m.text(m.methodToken) == "!interesting-Method0123456789_*+`.%indeed'~")
      let uri = try unwrap(SIPURI.parse(m.bytes, m.requestURI))
      #expect(
        m.text(uri.user) == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*")
      #expect(m.text(uri.password) == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)")
      #expect(m.text(uri.host) == "example.com")
      let to = try unwrap(m.to)
      #expect(m.bytes.array(to.display).contains(0))
      #expect(m.text(m.from?.tag) == "_token~1'+`*%!-.")
    }
  }

  @Test func escapes() throws {
    try torture("rfc4475-esc01") { m in
      let uri = try unwrap(SIPURI.parse(m.bytes, m.requestURI))
      #expect(Escapes.string(m.bytes, uri.user) == "sips:user@example.com")
      let contact = try unwrap(m.contact)
      let contactURI = try unwrap(SIPURI.parse(m.bytes, contact.uri))
      // "name" has a value of "value%41", which is not "valueA": unescaping is never repeated.
      #expect(Escapes.string(m.bytes, contactURI.params) == ";lr;name=value%41")
    }
  }

  @Test func escapedNulls() throws {
    try torture("rfc4475-escnull") { m in
      let to = try unwrap(m.to)
      let uri = try unwrap(SIPURI.parse(m.bytes, to.uri))
      #expect(m.text(uri.user) == "null-%00-null")
      #expect(Escapes.string(m.bytes, uri.user) == "null-\u{fffd}-null")
      let contacts = m.list(.contact)
      #expect(contacts == ["<sip:%00@host5.example.com>", "<sip:%00%00@host5.example.com>"])
    }
  }

  @Test func percentWithoutMeaning() throws {
    try torture("rfc4475-esc02") { m in
      #expect(m.method == .other)
      #expect(m.list(.contact).count == 2)
      #expect(m.text(m.from?.display) == "%Z%45")
    }
  }

  @Test func octetsBehindTheBodyAreIgnored() throws {
    try torture("rfc4475-dblreq") { m in
      #expect(m.method == .register)
      #expect(m.body.isEmpty)
      #expect(m.count(.via) == 1)
    }
  }

  @Test func semicolonInUser() throws {
    try torture("rfc4475-semiuri") { m in
      let uri = try unwrap(SIPURI.parse(m.bytes, m.requestURI))
      #expect(Escapes.string(m.bytes, uri.user) == "user;par=u@example.net")
      #expect(uri.params.isEmpty)
    }
  }

  @Test func transports() throws {
    try torture("rfc4475-transports") { m in
      var kinds: [Transport] = []
      var walk = m.values(of: .via)
      while let value = walk.next(m.bytes) {
        kinds.append(try unwrap(Via.parse(m.bytes, value)).transport)
      }
      #expect(kinds == [.udp, .other, .tls, .other, .tcp])
    }
  }

  @Test func responsesWithOddReasons() throws {
    try torture("rfc4475-unreason") { m in
      #expect(m.status == 200)
      #expect(m.text(m.reason).hasPrefix("= 2**3 * 5**2 но сто"))
    }
    try torture("rfc4475-noreason") { m in
      #expect(m.status == 100)
      #expect(m.reason.isEmpty)
    }
  }

  @Test func overlargeExpiryIsTheLargest() throws {
    try torture("rfc4475-scalar02") { m in
      #expect(m.expires == .max)
      #expect(m.maxForwards == nil)
    }
  }

  @Test func parametersInsideAndOutsideTheBrackets() throws {
    try torture("rfc4475-cparam01") { m in
      let contact = try unwrap(m.contact)
      #expect(contact.param("unknownparam", in: m.bytes) != nil)
      #expect(SIPURI.parse(m.bytes, contact.uri)?.params.isEmpty == true)
    }
    try torture("rfc4475-cparam02") { m in
      let contact = try unwrap(m.contact)
      #expect(contact.param("unknownparam", in: m.bytes) == nil)
      let uri = try unwrap(SIPURI.parse(m.bytes, contact.uri))
      #expect(uri.param("unknownparam", in: m.bytes) != nil)
    }
  }

  @Test func oldSyntax() throws {
    try torture("rfc4475-inv2543") { m in
      #expect(m.topVia()?.branch.isEmpty == true)
      #expect(m.from?.tag.isEmpty == true)
      #expect(m.contentLength == nil)
      #expect(m.body.end == m.bytes.byteCount)
      #expect(m.text(m.body).hasPrefix("v=0"))
    }
  }

  @Test func addressesOfVersion6() throws {
    try torture("rfc5118-port-ambiguous") { m in
      let uri = try unwrap(SIPURI.parse(m.bytes, m.requestURI))
      #expect(uri.hostAddress(in: m.bytes) == IPAddress("2001:db8::10:5070"))
      #expect(uri.port == nil)
    }
    try torture("rfc5118-port-unambiguous") { m in
      let uri = try unwrap(SIPURI.parse(m.bytes, m.requestURI))
      #expect(uri.hostAddress(in: m.bytes) == IPAddress("2001:db8::10"))
      #expect(uri.port == 5070)
    }
    for name in ["rfc5118-via-received-param-with-delim", "rfc5118-via-received-param-no-delim"] {
      try torture(name) { m in
        let via = try unwrap(m.topVia())
        let received = try unwrap(via.received)
        #expect(
          IPAddress(parsingHost: m.bytes.extracting(received)) == IPAddress("2001:db8::9:255"))
        #expect(via.hostAddress(in: m.bytes) == IPAddress("2001:db8::9:1"))
      }
    }
  }

  @Test func bodiesOfVersion6() throws {
    try torture("rfc5118-ipv4-mapped-ipv6") { m in
      #expect(m.topVia()?.port == 19823)
      var sdp = SessionDescription()
      try SessionDescription.parse(m.bytes, m.body, into: &sdp)
      #expect(sdp.media.count == 2)
      #expect(sdp.rtpAddress(of: 0) == SocketAddress("[::ffff:192.0.2.2]:6000"))
    }
    try torture("rfc5118-mult-ip-in-sdp") { m in
      var sdp = SessionDescription()
      try SessionDescription.parse(m.bytes, m.body, into: &sdp)
      #expect(sdp.rtpAddress(of: 0) == SocketAddress("192.0.2.1:22334"))
      #expect(sdp.rtpAddress(of: 1) == SocketAddress("[2001:db8::1]:6024"))
    }
  }

  /// A request that was refused can be answered where its header fields allow.
  @Test(
    "is answered with",
    arguments: [
      ("rfc4475-clerr", 400), ("rfc4475-ncl", 400), ("rfc4475-lwsruri", 400),
      ("rfc4475-lwsstart", 400), ("rfc4475-trws", 400), ("rfc4475-badvers", 505),
      ("rfc4475-mcl01", 400),
    ])
  func answerable(name: String, status: Int) throws {
    let bytes = try Files.read("Fuzz/seeds/sip_datagram/\(name)")
    let error = try unwrap(parseError(bytes: bytes))
    #expect(error.headersUsable)
    #expect(error.status == status)
    let index = HeaderIndex()
    guard let message = Message.parseLenient(bytes.rawSpan, using: index) else {
      Issue.record("no answer possible")
      return
    }
    #expect(message.topVia() != nil)
    #expect(message.from != nil)
    #expect(message.to != nil)
    #expect(message.cseq != nil)
  }
}
