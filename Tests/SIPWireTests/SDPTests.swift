import Base
import SIPWire
import Testing

private func parse(_ text: String) throws(SDPParseError) -> (
  bytes: [UInt8], sdp: SessionDescription
) {
  let bytes = Array(text.utf8)
  var sdp = SessionDescription()
  try SessionDescription.parse(bytes.rawSpan, into: &sdp)
  return (bytes, sdp)
}

private func string(_ bytes: [UInt8], _ range: ByteRange) -> String {
  String(decoding: bytes.rawSpan.array(range), as: UTF8.self)
}

/// The least that a description needs, then `rest`.
private func session(_ rest: String = "", address: String? = "IN IP4 192.0.2.1") -> String {
  let connection = address.map { "c=\($0)\r\n" } ?? ""
  return "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\n\(connection)t=0 0\r\n\(rest)"
}

@Suite struct SDPTests {
  @Test func everythingThatIsRead() throws {
    let text = session(
      """
      b=AS:64\r
      a=sendonly\r
      m=audio 49170/2 RTP/AVP 0 8 96 101\r
      i=title\r
      c=IN IP4 198.51.100.7\r
      b=TIAS:64000\r
      a=rtpmap:0 PCMU/8000\r
      a=rtpmap:96 opus/48000/2\r
      a=fmtp:96 useinbandfec=1; stereo=0\r
      a=rtpmap:101 telephone-event/8000\r
      a=fmtp:101 0-16\r
      a=ptime:20\r
      a=maxptime:40\r
      a=rtcp:53020 IN IP4 198.51.100.8\r
      a=rtcp-mux\r
      a=recvonly\r
      a=candidate:1 1 UDP 2130706431 10.0.0.1 8998 typ host\r
      m=video 0 RTP/AVP 31\r
      m=image 5004 udptl t38\r
      a=inactive\r
      m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n
      """)
    let (bytes, sdp) = try parse(text)
    #expect(string(bytes, sdp.sessionID) == "1")
    #expect(string(bytes, sdp.sessionVersion) == "2")
    #expect(sdp.media.map(\.kind) == [.audio, .video, .image, .application])
    #expect(sdp.media.map(\.transport) == [.rtpAVP, .rtpAVP, .udptl, .other])
    #expect(sdp.media.map(\.port) == [49170, 0, 5004, 9])
    #expect(sdp.media.map(\.direction) == [.recvonly, .sendonly, .inactive, .sendonly])
    let audio = sdp.media[0]
    #expect(audio.portCount == 2)
    #expect(audio.packetTime == 20)
    #expect(audio.maxPacketTime == 40)
    #expect(audio.hasRTCPMux)
    #expect(sdp.rtpAddress(of: 0) == SocketAddress("198.51.100.7:49170"))
    #expect(sdp.rtcpAddress(of: 0) == SocketAddress("198.51.100.8:53020"))
    #expect(sdp.rtpAddress(of: 1) == nil)
    #expect(sdp.rtpAddress(of: 2) == SocketAddress("192.0.2.1:5004"))
    #expect(sdp.rtpAddress(of: 4) == nil)
    #expect(sdp.rtpAddress(of: -1) == nil)
    #expect(sdp.firstAudio == 0)
    let formats = Array(sdp.formats(of: 0))
    #expect(formats.map(\.payloadType) == [0, 8, 96, 101])
    #expect(formats.map(\.encoding) == [.pcmu, .pcma, .opus, .telephoneEvent])
    #expect(formats.map(\.clockRate) == [8_000, 8_000, 48_000, 8_000])
    #expect(formats.map(\.channels) == [1, 1, 2, 1])
    #expect(formats.map(\.hasRTPMap) == [true, false, true, true])
    #expect(
      formats.map { string(bytes, $0.parameters) } == ["", "", "useinbandfec=1; stereo=0", "0-16"])
    #expect(sdp.formats(of: 2).map { string(bytes, $0.token) } == ["t38"])
    #expect(sdp.formats(of: 9).isEmpty)
  }

  /// One of several parameters, whole, in any case and with any space around it; not a part of one.
  @Test(arguments: [
    ("useinbandfec=1", true), ("stereo=0; UseInbandFEC=1", true), ("a=1;useinbandfec=1;b=2", true),
    ("useinbandfec=10", false), ("xuseinbandfec=1", false), ("useinbandfec=0", false),
    ("maxplaybackrate=16000;", false), (";;;", false),
  ])
  func parametersOfAFormat(text: String, isThere: Bool) throws {
    let (bytes, sdp) = try parse(
      session("m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 \(text)\r\n"))
    let found = sdp.formats(of: 0).first?.hasParameter("useinbandfec=1", in: bytes.rawSpan)
    #expect(found == isThere)
  }

  @Test func rtcpByDefaultAndMultiplexed() throws {
    #expect(
      try parse(session("m=audio 4000 RTP/AVP 0\r\n")).sdp.rtcpAddress(of: 0)
        == SocketAddress("192.0.2.1:4001"))
    #expect(
      try parse(session("m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\n")).sdp.rtcpAddress(of: 0)
        == SocketAddress("192.0.2.1:4000"))
    #expect(
      try parse(session("m=audio 4000 RTP/AVP 0\r\na=rtcp:5000\r\n")).sdp.rtcpAddress(of: 0)
        == SocketAddress("192.0.2.1:5000"))
    #expect(
      try parse(session("m=audio 65535 RTP/AVP 0\r\n")).sdp.rtcpAddress(of: 0) == nil)
  }

  @Test func hold() throws {
    let old = try parse(session("m=audio 4000 RTP/AVP 0\r\n", address: "IN IP4 0.0.0.0")).sdp
    #expect(old.media[0].isHold)
    #expect(try parse(session("m=audio 4 RTP/AVP 0\r\na=sendonly\r\n")).sdp.media[0].isHold)
    #expect(try parse(session("m=audio 4 RTP/AVP 0\r\na=inactive\r\n")).sdp.media[0].isHold)
    #expect(try !parse(session("m=audio 4 RTP/AVP 0\r\n")).sdp.media[0].isHold)
    #expect(try !parse(session("m=audio 4 RTP/AVP 0\r\na=recvonly\r\n")).sdp.media[0].isHold)
  }

  @Test func directions() {
    for direction in SDPDirection.allCases {
      #expect(direction.reversed.reversed == direction)
      #expect(SDPDirection(sends: direction.sends, receives: direction.receives) == direction)
    }
    #expect(SDPDirection.sendonly.reversed == .recvonly)
    #expect(SDPDirection.inactive.reversed == .inactive)
  }

  /// Tolerated: LF alone, no line break at the end, an empty line at the end, lines in another order,
  /// s= and t= missing, more spaces than one, encodings in any case, a multicast address.
  @Test(arguments: [
    session("m=audio 4 RTP/AVP 0\r\n").replacing("\r\n", with: "\n"),
    session("m=audio 4 RTP/AVP 0"),
    session("m=audio 4 RTP/AVP 0\r\n\r\n"),
    "v=0\r\no=- 1 2 IN IP4 h\r\nc=IN IP4 192.0.2.1\r\nm=audio 4 RTP/AVP 0\r\n",
    session("a=x\r\nb=AS:1\r\nk=prompt\r\nm=audio 4 RTP/AVP 0\r\na=b\r\nb=AS:1\r\n"),
    session("m=AUDIO  4  rtp/avp  0 \r\na=rtpmap:0  pcmu/8000 \r\n"),
    session("m=audio 4 RTP/AVP 0\r\n", address: "IN IP4 192.0.2.1/127/3"),
    session("m=audio 4 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\nc=IN IP4 192.0.2.2\r\n", address: nil),
    session("m=audio 4 RTP/AVP 0\r\ni=\t\r\na=rtpmap:99 X/1\r\na=fmtp:99 x\r\n"),
    session("a=rtpmap:0 nonsense\r\na=ptime:x\r\nm=audio 4 RTP/AVP 0\r\na=ptime:20.5\r\n"),
  ])
  func tolerated(text: String) throws {
    let (_, sdp) = try parse(text)
    #expect(sdp.rtpAddress(of: 0) == SocketAddress("192.0.2.1:4"))
    #expect(sdp.formats(of: 0).first?.encoding == .pcmu)
  }

  @Test func firstMappingOfATypeWins() throws {
    let (bytes, sdp) = try parse(
      session(
        "m=audio 4 RTP/AVP 96 96 97\r\na=rtpmap:96 A/1\r\na=rtpmap:96 B/2\r\na=fmtp:96 x\r\n"
          + "a=fmtp:96 y\r\nm=audio 6 RTP/AVP 96\r\na=rtpmap:96 C/3\r\n"))
    #expect(sdp.formats(of: 0).map(\.payloadType) == [96, 97])
    #expect(sdp.formats(of: 0).map { string(bytes, $0.name) } == ["A", ""])
    #expect(sdp.formats(of: 0).map { string(bytes, $0.parameters) } == ["x", ""])
    #expect(sdp.formats(of: 1).map { string(bytes, $0.name) } == ["C"])
  }

  @Test func rejectedLinesNeedNoAddress() throws {
    let (_, sdp) = try parse(session("m=audio 0 RTP/AVP 0\r\n", address: nil))
    #expect(sdp.rtpAddress(of: 0) == nil)
    #expect(sdp.firstAudio == nil)
  }

  @Test func secureAudioIsNotPlain() throws {
    for transport in ["RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"] {
      let (_, sdp) = try parse(session("m=audio 4 \(transport) 0\r\n"))
      #expect(sdp.media[0].transport.isRTP)
      #expect(sdp.firstAudio == nil)
    }
  }

  @Test func readAgainIntoTheSame() throws {
    let first = Array(session("m=audio 4 RTP/AVP 0 8\r\nm=video 6 RTP/AVP 31\r\n").utf8)
    let second = Array(session("m=audio 8 RTP/AVP 9\r\n").utf8)
    var sdp = SessionDescription()
    try SessionDescription.parse(first.rawSpan, into: &sdp)
    try SessionDescription.parse(second.rawSpan, into: &sdp)
    #expect(sdp.media.count == 1)
    #expect(sdp.formats.map(\.encoding) == [.g722])
    #expect(throws: SDPParseError.self) {
      try SessionDescription.parse(Array("v=1".utf8).rawSpan, into: &sdp)
    }
    #expect(sdp.media.isEmpty)
    #expect(sdp.formats.isEmpty)
  }

  @Test func partOfABuffer() throws {
    let text = session("m=audio 4 RTP/AVP 0\r\n")
    let bytes = Array("junk".utf8) + Array(text.utf8) + Array("junk".utf8)
    var sdp = SessionDescription()
    try SessionDescription.parse(bytes.rawSpan, ByteRange(4, text.utf8.count), into: &sdp)
    #expect(string(bytes, sdp.media[0].kindToken) == "audio")
    #expect(throws: SDPParseError.self) {
      try SessionDescription.parse(bytes.rawSpan, ByteRange(4, 0), into: &sdp)
    }
    #expect(throws: SDPParseError.self) {
      try SessionDescription.parse(bytes.rawSpan, ByteRange(1_000, 5), into: &sdp)
    }
  }

  static let refusals: [(String, SDPParseError.Reason)] = [
    ("", .empty),
    ("v", .line), ("v=1\r\n", .version), ("v=00\r\n", .version), ("o=- 1 2 IN IP4 h\r\n", .version),
    ("v=0\r\n", .order), ("v=0\r\ns=-\r\n", .order), ("v=0\r\n\r\n", .order),
    ("v=0\r\no=- 1 2 IN IP4\r\n", .origin), ("v=0\r\no=- x 2 IN IP4 h\r\n", .origin),
    ("v=0\r\no=- 1 -2 IN IP4 h\r\n", .origin), ("v=0\r\no=- 1 2 IN IP4 h x\r\n", .origin),
    ("v=0\r\no=1 2 IN IP4 h\r\n", .origin),
    (session("v=0\r\n"), .order), (session("o=- 1 2 IN IP4 h\r\n"), .order),
    (session("s=x\r\n"), .order), (session("c=IN IP4 1.2.3.4\r\n"), .order),
    (session("x=y\r\n"), .line), (session("a\r\n"), .line), (session("A=b\r\n"), .line),
    (session("a=b\rc\r\n"), .line), (session("a=b\0\r\n"), .line), (session("\r\na=b\r\n"), .line),
    (session(" a=b\r\n"), .line), (session("a=\r\n"), .attribute),
    (session("a=:x\r\n"), .attribute),
    (session("a=b c\r\n"), .attribute),
    (session("m=audio 4 RTP/AVP 0\r\ns=x\r\n"), .order),
    (session("m=audio 4 RTP/AVP 0\r\nt=0 0\r\n"), .order),
    (session("m=audio 4 RTP/AVP 0\r\ni=a\r\ni=b\r\n"), .order),
    (session(address: "IN IP4"), .connection), (session(address: "IN IP4 1.2.3.4 x"), .connection),
    (session(address: "IN IP4 host.example.com"), .unsupportedAddress),
    (session(address: "IN IP4 ::1"), .unsupportedAddress),
    (session(address: "IN IP6 192.0.2.1"), .unsupportedAddress),
    (session(address: "ATM NSAP 47"), .unsupportedAddress),
    (session(address: "TN IP4 192.0.2.1"), .unsupportedAddress),
    (session(address: "IN IP4 192.0.2.256"), .unsupportedAddress),
    (session("m=audio 4 RTP/AVP 0\r\n", address: nil), .missingConnection),
    (
      session("m=audio 4 RTP/AVP 0\r\nm=video 4 RTP/AVP 9\r\nc=IN IP4 1.2.3.4\r\n", address: nil),
      .missingConnection
    ),
    (session("m=audio\r\n"), .media), (session("m=audio 4\r\n"), .media),
    (session("m=audio 4 RTP/AVP\r\n"), .media), (session("m=audio 4 RTP/AVP \r\n"), .media),
    (session("m=audio x RTP/AVP 0\r\n"), .media), (session("m=audio 65536 RTP/AVP 0\r\n"), .media),
    (session("m=audio -4 RTP/AVP 0\r\n"), .media), (session("m=audio 4/0 RTP/AVP 0\r\n"), .media),
    (session("m=audio 4/x RTP/AVP 0\r\n"), .media), (session("m=audio 4/ RTP/AVP 0\r\n"), .media),
    (session("m=audio 4 RTP/AVP 128\r\n"), .media), (session("m=audio 4 RTP/AVP x\r\n"), .media),
    (session("m=au(dio 4 RTP/AVP 0\r\n"), .media), (session("m=audio 4 RTP@AVP 0\r\n"), .media),
    (session("m=audio 4 RTP/AVP 0\r\na=rtpmap:0\r\n"), .attribute),
    (session("m=audio 4 RTP/AVP 0\r\na=rtpmap:0 PCMU\r\n"), .attribute),
    (session("m=audio 4 RTP/AVP 0\r\na=rtpmap:0 PCMU/0\r\n"), .attribute),
    (session("m=audio 4 RTP/AVP 0\r\na=rtpmap:0 PCMU/x\r\n"), .attribute),
    (session("m=audio 4 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000/256\r\n"), .attribute),
    (session("m=audio 4 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000/\r\n"), .attribute),
    (session("m=audio 4 RTP/AVP 0\r\na=rtpmap:0 /8000\r\n"), .attribute),
    (session("m=audio 4 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000 x\r\n"), .attribute),
    (session("m=audio 4 RTP/AVP 0\r\na=rtpmap:200 PCMU/8000\r\n"), .attribute),
    (session("m=audio 4 RTP/AVP 0\r\na=rtpmap:0 P@CM/8000\r\n"), .attribute),
    (session("m=audio 4 RTP/AVP 0\r\na=fmtp:x y\r\n"), .attribute),
    (session("m=audio 4 RTP/AVP 0\r\na=rtcp:0\r\n"), .attribute),
    (session("m=audio 4 RTP/AVP 0\r\na=rtcp:x\r\n"), .attribute),
    (session("m=audio 4 RTP/AVP 0\r\na=rtcp:5 IN IP4\r\n"), .attribute),
    (session("m=audio 4 RTP/AVP 0\r\na=rtcp:5 IN IP4 host\r\n"), .unsupportedAddress),
    (session("a=" + String(repeating: "x", count: 4_095) + "\r\n"), .lineTooLong),
    (session(String(repeating: "m=audio 0 RTP/AVP 0\r\n", count: 17)), .tooManyMedia),
    (session(String(repeating: "a=x\r\n", count: 1_025)), .tooManyAttributes),
    (
      session("m=audio 4 RTP/AVP" + String(repeating: " 0", count: 65) + "\r\n"), .tooManyFormats
    ),
    (session(String(repeating: "a=xxxxxxxxx\r\n", count: 5_500)), .tooLong),
  ]

  @Test(arguments: refusals)
  func refused(text: String, reason: SDPParseError.Reason) {
    do throws(SDPParseError) {
      _ = try parse(text)
      Issue.record("accepted")
    } catch {
      #expect(error.reason == reason)
      #expect(error.offset >= 0 && error.offset <= text.utf8.count)
    }
  }

  @Test func limitsAreReached() throws {
    let text = session(
      String(repeating: "m=audio 0 RTP/AVP 0\r\n", count: 16)
        + "a=" + String(repeating: "x", count: 4_094) + "\r\n"
        + String(repeating: "a=x\r\n", count: 1_023))
    let (_, sdp) = try parse(text)
    #expect(sdp.media.count == 16)
    let many = (0..<64).map { " \($0)" }.joined()
    #expect(try parse(session("m=audio 4 RTP/AVP\(many)\r\n")).sdp.formats.count == 64)
  }
}
