import Base
import SIPWire

/// An INVITE with SDP as a PBX sends it, 847 bytes.
let sampleInvite: [UInt8] = {
  let sdp = """
    v=0\r
    o=- 3913247712 3913247712 IN IP4 198.51.100.21\r
    s=-\r
    c=IN IP4 198.51.100.21\r
    t=0 0\r
    m=audio 40376 RTP/AVP 0 8 101\r
    a=rtpmap:0 PCMU/8000\r
    a=rtpmap:8 PCMA/8000\r
    a=rtpmap:101 telephone-event/8000\r
    a=fmtp:101 0-16\r
    a=ptime:20\r
    a=sendrecv\r\n
    """
  let head = """
    INVITE sip:+15551230001@sbc.example.net:5060;user=phone SIP/2.0\r
    Via: SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK-524287-1---7c3f2b91a0d3e8c1;rport\r
    Max-Forwards: 70\r
    Contact: <sip:+15557654321@198.51.100.20:5060;transport=udp>\r
    To: <sip:+15551230001@sbc.example.net>\r
    From: "Alice Example" <sip:+15557654321@sip.example.com>;tag=8f2b1c7d\r
    Call-ID: 9d1e8a64c0b34a5f8f2c-1700000000@198.51.100.20\r
    CSeq: 1 INVITE\r
    Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO\r
    Content-Type: application/sdp\r
    Supported: replaces, timer, 100rel\r
    User-Agent: ExamplePBX/18.2.1\r
    Content-Length: \(sdp.utf8.count)\r
    \r\n
    """
  return Array((head + sdp).utf8)
}()

/// Parses the INVITE and decodes the six fields that a transaction needs: Via's branch, both tags,
/// Call-ID, CSeq and the Contact's URI.
@inline(never)
func parseInvite(_ bytes: RawSpan, _ index: HeaderIndex) -> Int {
  do throws(SIPParseError) {
    let message = try Message.parse(bytes, using: index)
    guard let via = message.topVia(), let from = message.from, let to = message.to,
      let cseq = message.cseq, let contact = message.contact
    else { return 0 }
    return Int(via.branch.count) &+ Int(from.tag.count) &+ Int(to.tag.count)
      &+ Int(message.callID.count) &+ Int(cseq.number) &+ Int(contact.uri.count)
  } catch {
    return 0
  }
}

@inline(never)
func parseSDP(_ bytes: RawSpan, _ body: ByteRange, _ sdp: inout SessionDescription) -> Int {
  do throws(SDPParseError) {
    try SessionDescription.parse(bytes, body, into: &sdp)
    return sdp.formats.count
  } catch {
    return 0
  }
}

/// Keeps the optimizer from dropping what nobody reads.
nonisolated(unsafe) var sink = 0

/// The workloads by name, for `demarc-bench repeat NAME COUNT` under callgrind.
func parseWorkload(_ name: String) -> ((Int) -> Void)? {
  let index = HeaderIndex()
  switch name {
  case "parse_invite":
    return { count in
      let bytes = sampleInvite.rawSpan
      for _ in 0..<count { unsafe sink &+= parseInvite(bytes, index) }
    }
  case "parse_sdp":
    var sdp = SessionDescription()
    return { count in
      let bytes = sampleInvite.rawSpan
      guard let body = try? Message.parse(bytes, using: index).body else { return }
      for _ in 0..<count { unsafe sink &+= parseSDP(bytes, body, &sdp) }
    }
  default: return nil
  }
}

func parseBench(into results: inout BenchResults) {
  for name in ["parse_invite", "parse_sdp"] {
    guard let workload = parseWorkload(name) else { continue }
    let cost = measure(iterations: 100_000, workload)
    results.record("\(name)_ns", cost.least, "ns")
    results.record("\(name)_median_ns", cost.median, "ns")
    if let mallocs = cost.mallocs { results.record("\(name)_mallocs", mallocs, "mallocs") }
  }
}
