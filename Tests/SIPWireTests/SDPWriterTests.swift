import Base
import SIPWire
import Testing

private func written(_ body: (inout OutputBuffer) -> Void) -> String {
  var out = OutputBuffer(byteLimit: 65_536, recordLimit: 4)
  out.begin()
  body(&out)
  return String(decoding: out.openBytes.array(ByteRange(0, out.openBytes.byteCount)), as: UTF8.self)
}

private func passedOn(
  _ text: String, lines: SDPLines = SDPLines(line: 0, port: 30_000), codecs: [String] = [],
  address: String = "203.0.113.5"
) throws -> String {
  let bytes = Array(text.utf8)
  var sdp = SessionDescription()
  try SessionDescription.parse(bytes.rawSpan, into: &sdp)
  let ours = SDPSession(id: 77, version: 3, address: try unwrap(IPAddress(address)))
  let result = written { out in
    SDPWriter.write(
      sdp, of: bytes.rawSpan, as: ours, lines: lines, codecs: CodecFilter(codecs), into: &out)
  }
  // What we write we can read.
  let again = Array(result.utf8)
  var read = SessionDescription()
  try SessionDescription.parse(again.rawSpan, into: &read)
  #expect(read.media.count == sdp.media.count)
  return result
}

/// Everything a peer can put into a description that must not cross, each with a word of its own.
private let canaries = """
  v=0\r
  o=canaryUser 4711 4712 IN IP4 canary-host.example\r
  s=canarySubject\r
  i=canaryInfo\r
  u=http://canary-uri.example/\r
  e=canary@mail.example\r
  p=+1 555 0100 (canaryPhone)\r
  c=IN IP4 10.99.98.97\r
  b=X-canary:99\r
  t=2873397496 2873404696\r
  k=clear:canaryKey\r
  a=tool:canaryTool\r
  a=ice-ufrag:canaryUfrag\r
  a=ice-pwd:canaryPassword\r
  a=fingerprint:sha-256 CA:NA:RY\r
  a=group:BUNDLE canaryGroup\r
  m=audio 49999/2 RTP/AVP 0 8 111 9 13 101\r
  i=canaryTitle\r
  c=IN IP4 10.99.98.96\r
  b=AS:9999\r
  k=prompt\r
  a=rtpmap:0 PCMU/8000\r
  a=rtpmap:8 PCMA/8000\r
  a=rtpmap:111 opus/48000/2\r
  a=fmtp:111 minptime=10;useinbandfec=1\r
  a=rtpmap:101 telephone-event/8000\r
  a=fmtp:101 0-16\r
  a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:canaryInline\r
  a=candidate:1 1 UDP 2130706431 10.99.98.95 49999 typ host\r
  a=rtcp:48888 IN IP4 10.99.98.94\r
  a=rtcp-fb:111 canaryFeedback\r
  a=ssrc:1 cname:canaryName\r
  a=mid:canaryMid\r
  a=x-unknown:canaryAttribute\r
  a=canaryflag\r
  a=ptime:20\r
  a=maxptime:60\r
  a=sendonly\r
  m=video 48000 RTP/AVP 96 97\r
  c=IN IP4 10.99.98.93\r
  a=rtpmap:96 H264/90000\r
  b=canary:1\r
  a=x-canary:1\r
  a=mid:canaryMid\r
  a=candidate:1 1 UDP 2130706431 10.99.98.92 49999 typ host\r
  m=image 47000 udptl t38\r
  a=T38FaxVersion:0\r\n
  """

@Suite struct SDPWriterTests {
  @Test func passesOnWhatItUnderstands() throws {
    let result = try passedOn(canaries)
    #expect(
      result == """
        v=0\r
        o=- 77 3 IN IP4 203.0.113.5\r
        s=-\r
        c=IN IP4 203.0.113.5\r
        t=0 0\r
        m=audio 30000 RTP/AVP 0 8 111 9 13 101\r
        a=rtpmap:0 PCMU/8000\r
        a=rtpmap:8 PCMA/8000\r
        a=rtpmap:111 opus/48000/2\r
        a=fmtp:111 minptime=10;useinbandfec=1\r
        a=rtpmap:101 telephone-event/8000\r
        a=fmtp:101 0-16\r
        a=ptime:20\r
        a=maxptime:60\r
        a=sendonly\r
        m=video 0 RTP/AVP 96\r
        m=image 0 udptl t38\r\n
        """)
  }

  @Test func letsNothingElseThrough() throws {
    var all = SDPLines(line: 0, port: 30_000)
    for i in 1...2 { all[i].port = 30_002 }
    for lines in [SDPLines(), SDPLines(line: 0, port: 30_000), all] {
      let result = try passedOn(canaries, lines: lines).lowercased()
      for word in ["canary", "10.99.98", "4711", "4712", "4999", "48888", "9999", "ca:na"] {
        #expect(!result.contains(word), "\(word)")
      }
    }
  }

  @Test func keepsAllowedCodecsWithEventsAndNoise() throws {
    let result = try passedOn(canaries, codecs: ["pcma/8000", "G722"])
    #expect(result.contains("m=audio 30000 RTP/AVP 8 9 13 101\r\n"))
    #expect(!result.contains("opus"))
    #expect(!result.contains("PCMU"))
    #expect(result.contains("a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n"))
  }

  @Test func rejectsALineWithoutSpeech() throws {
    let result = try passedOn(canaries, codecs: ["G729"])
    #expect(result.contains("m=audio 0 RTP/AVP 0\r\n"))
    #expect(!result.contains("a="))
  }

  /// Beside speech some more passes, and nothing that names anybody.
  @Test func streamsBesideSpeech() throws {
    let text = """
      v=0\r\no=- 1 1 IN IP4 10.99.98.97\r\ns=-\r\nc=IN IP4 10.99.98.97\r\nt=0 0\r
      m=image 47000 udptl t38\r
      b=AS:64\r
      a=T38FaxVersion:0\r
      a=T38FaxUdpEC:t38UDPRedundancy\r
      a=t38MaxBitRate:14400\r
      a=canary:1\r
      a=T38\r
      m=video 48000 RTP/AVPF 96 97\r
      i=canary\r
      c=IN IP4 10.99.98.93\r
      b=TIAS:512000\r
      b=AS:canary\r
      b=CT:99\r
      a=rtpmap:96 H264/90000\r
      a=fmtp:96 profile-level-id=42801F\r
      a=rtpmap:97 VP8/90000\r
      a=rtcp-fb:* ccm fir\r
      a=rtcp-fb:96 nack pli\r
      a=rtcp-fb:97 \u{7}canary\r
      a=framerate:30\r
      a=label:canary\r
      a=candidate:1 1 UDP 2130706431 10.99.98.95 49999 typ host\r
      a=recvonly\r
      m=application 47002 RTP/AVP 100\r
      a=rtpmap:100 H224/4800\r
      m=text 47004 TCP/MSRP *\r\n
      """
    var lines = SDPLines()
    for i in 0..<4 { lines[i].port = 30_000 + UInt16(i) }
    #expect(
      try passedOn(text, lines: lines).hasSuffix(
        """
        t=0 0\r
        m=image 30000 udptl t38\r
        b=AS:64\r
        a=T38FaxVersion:0\r
        a=T38FaxUdpEC:t38UDPRedundancy\r
        a=t38MaxBitRate:14400\r
        m=video 30001 RTP/AVPF 96 97\r
        b=TIAS:512000\r
        a=rtcp-fb:* ccm fir\r
        a=rtcp-fb:96 nack pli\r
        a=framerate:30\r
        a=rtpmap:96 H264/90000\r
        a=fmtp:96 profile-level-id=42801F\r
        a=rtpmap:97 VP8/90000\r
        a=recvonly\r
        m=application 30002 RTP/AVP 100\r
        a=rtpmap:100 H224/4800\r
        a=sendrecv\r
        m=text 0 TCP/MSRP *\r\n
        """))
    // A fax that is held says so; a line of which no format is left is rejected.
    lines[0].direction = .inactive
    let bytes = Array(text.utf8)
    var sdp = SessionDescription()
    try SessionDescription.parse(bytes.rawSpan, into: &sdp)
    let ours = SDPSession(id: 1, version: 1, address: .loopbackV4)
    let few = written { out in
      SDPWriter.write(
        sdp, of: bytes.rawSpan, as: ours, lines: lines, others: CodecFilter(["H264"]), count: 3,
        into: &out)
    }
    #expect(few.contains("a=inactive\r\nm=video 30001 RTP/AVPF 96\r\n"))
    #expect(few.hasSuffix("m=application 0 RTP/AVP 100\r\n"))
  }

  @Test func rejectsLinesWithoutAPort() throws {
    let result = try passedOn(canaries, lines: SDPLines())
    #expect(
      result.contains("m=audio 0 RTP/AVP 0\r\nm=video 0 RTP/AVP 96\r\nm=image 0 udptl t38\r\n"))
    // Protected on one side, plain on the other: SRTP ends at each leg.
    let secure = try passedOn(canaries.replacing("RTP/AVP 0 8", with: "RTP/SAVP 0 8"))
    #expect(secure.contains("m=audio 30000 RTP/AVP 0 8 "))
  }

  @Test func directionCanBeOurs() throws {
    let result = try passedOn(
      canaries, lines: SDPLines(line: 0, port: 30_000, direction: .recvonly))
    #expect(result.contains("a=recvonly\r\n"))
    #expect(!result.contains("a=sendonly\r\n"))
  }

  @Test func addressesOfVersion6() throws {
    let result = try passedOn(canaries, address: "2001:db8::5")
    #expect(result.contains("o=- 77 3 IN IP6 2001:db8::5\r\n"))
    #expect(result.contains("\r\nc=IN IP6 2001:db8::5\r\n"))
  }

  @Test func twoAnchoredLines() throws {
    var lines = SDPLines(line: 0, port: 30_000)
    lines[1].port = 30_002
    lines[99].port = 1
    lines[-1].port = 1
    #expect(lines[99].port == 0)
    let text = """
      v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nc=IN IP4 1.2.3.4\r\nt=0 0\r
      m=audio 4 RTP/AVP 0\r\nm=audio 6 RTP/AVPF 8\r\n
      """
    let result = try passedOn(text, lines: lines)
    #expect(
      result.hasSuffix(
        "m=audio 30000 RTP/AVP 0\r\na=sendrecv\r\nm=audio 30002 RTP/AVPF 8\r\na=sendrecv\r\n"))
  }

  /// Each line has keys of its own, under a protocol with feedback where there is any; the far end's own get nowhere.
  @Test func keysOfALineBesideSpeech() throws {
    let secret = [UInt8](repeating: 7, count: 30)
    let crypto = SDPOwnCrypto(tag: 3, suite: .aesCM128HMAC80, secret: Redacted(secret))
    var lines = SDPLines(line: 0, port: 30_000)
    for line in 1...3 { lines[line].port = UInt16(30_000 + 2 * line) }
    lines.protect(1, by: SDPProtection(transport: nil, lines: [crypto]))
    lines.protect(2, by: nil, dropsFeedback: true)
    let text = """
      v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nc=IN IP4 1.2.3.4\r\nt=0 0\r
      m=audio 4 RTP/AVP 0\r\nm=video 6 RTP/AVPF 96\r\nm=video 8 UDP/TLS/RTP/SAVPF 97\r
      a=fingerprint:sha-256 canary\r\nm=video 10 RTP/SAVP 98\r
      a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:canary\r\n
      """
    let result = try passedOn(text, lines: lines)
    #expect(
      result.hasSuffix(
        """
        m=audio 30000 RTP/AVP 0\r\na=sendrecv\r
        m=video 30002 RTP/SAVPF 96\r
        a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\r\na=sendrecv\r
        m=video 30004 RTP/AVP 97\r\na=sendrecv\r\nm=video 30006 RTP/AVP 98\r\na=sendrecv\r\n
        """))
  }

  /// Parameters that aren't plain text are no SDP that we would pass on.
  @Test func opaqueParametersAreDropped() throws {
    let text = canaries.replacing("minptime=10;useinbandfec=1", with: "x=\u{7}\u{fc}")
    let result = try passedOn(text)
    #expect(!result.contains("a=fmtp:111"))
    #expect(result.contains("a=rtpmap:111"))
  }

  /// Who wants VoIP metrics gets them from the other side, or from us: one format of those that it may name.
  @Test(arguments: [
    ("m", "rcvr-rtt=all:10000 stat-summary=loss voip-metrics"), ("s", "voip-metrics"),
  ])
  func metricsAreAskedFor(level: String, value: String) throws {
    let line = "a=rtcp-xr:\(value)\r\n"
    let text =
      level == "m"
      ? canaries.replacing("a=ptime:20\r\n", with: "a=ptime:20\r\n" + line)
      : canaries.replacing("a=tool:", with: line + "a=tool:")
    let result = try passedOn(text)
    #expect(result.contains("a=rtcp-xr:voip-metrics\r\n") && !result.contains("stat-summary"))
    #expect(try !passedOn(canaries).contains("rtcp-xr"))
    #expect(
      try !passedOn(text.replacing("voip-metrics", with: "voip-metrics-x")).contains("rtcp-xr"))
  }

  // MARK: Our own applications

  private func choice(_ text: String) throws -> SDPChoice? {
    var sdp = SessionDescription()
    try SessionDescription.parse(Array(text.utf8).rawSpan, into: &sdp)
    return SDPWriter.choose(from: sdp, speaking: isSpoken)
  }

  /// Stands for an engine that has the laws and Opus.
  private func isSpoken(_ format: SDPFormat) -> Bool {
    switch format.encoding {
    case .pcmu, .pcma: format.clockRate == 8_000 && format.channels == 1
    case .opus: format.clockRate == 48_000 && format.channels == 2
    default: false
    }
  }

  @Test func choosesTheFirstCodecThatWeSpeak() throws {
    #expect(
      try choice(canaries.replacing("0 8 111 9 13 101", with: "111 9 8 0 101"))
        == SDPChoice(
          line: 0, codec: SDPSpeech.Format(.pcma, 8),
          telephoneEvent: SDPSpeech.Format(.telephoneEvent, 101)))
    #expect(
      try choice(canaries.replacing("0 8 111 9 13 101", with: "9 111"))
        == SDPChoice(
          line: 0, codec: SDPSpeech.Format(.opus, 111, clockRate: 48_000), telephoneEvent: nil))
    #expect(try choice(canaries.replacing("0 8 111 9 13 101", with: "9")) == nil)
    // A payload type of our number with another meaning.
    #expect(
      try choice(
        canaries.replacing("0 8 111 9 13 101", with: "0").replacing("PCMU/8000", with: "PCMU/16000")
      )
        == nil)
    #expect(
      try choice(canaries.replacing("0 8 111 9 13 101", with: "0"))
        == SDPChoice(line: 0, codec: SDPSpeech.Format(.pcmu, 0), telephoneEvent: nil))
  }

  @Test func offer() {
    let ours = SDPSession(id: 1, version: 2, address: .loopbackV4)
    let text = written { SDPWriter.offer(as: ours, port: 4_000, into: &$0) }
    #expect(
      text == """
        v=0\r
        o=- 1 2 IN IP4 127.0.0.1\r
        s=-\r
        c=IN IP4 127.0.0.1\r
        t=0 0\r
        m=audio 4000 RTP/AVP 0 8 101\r
        a=rtpmap:0 PCMU/8000\r
        a=rtpmap:8 PCMA/8000\r
        a=rtpmap:101 telephone-event/8000\r
        a=fmtp:101 0-15\r
        a=ptime:20\r
        a=sendrecv\r\n
        """)
  }

  @Test func answer() throws {
    let bytes = Array(canaries.replacing("telephone-event", with: "TELEPHONE-EVENT").utf8)
    var sdp = SessionDescription()
    try SessionDescription.parse(bytes.rawSpan, into: &sdp)
    let choice = try unwrap(SDPWriter.choose(from: sdp, speaking: isSpoken))
    let ours = SDPSession(id: 1, version: 2, address: .loopbackV4)
    let text = written { out in
      SDPWriter.answer(
        to: sdp, of: bytes.rawSpan, choice: choice, as: ours, port: 4_000, into: &out)
    }
    #expect(
      text == """
        v=0\r
        o=- 1 2 IN IP4 127.0.0.1\r
        s=-\r
        c=IN IP4 127.0.0.1\r
        t=0 0\r
        m=audio 4000 RTP/AVP 0 101\r
        a=rtpmap:0 PCMU/8000\r
        a=rtpmap:101 telephone-event/8000\r
        a=fmtp:101 0-15\r
        a=ptime:20\r
        a=recvonly\r
        m=video 0 RTP/AVP 96\r
        m=image 0 udptl t38\r\n
        """)
  }
}
