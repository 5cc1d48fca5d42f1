import Base
import CallCore
import Simulation
import Testing

/// RELIABILITY A10: what well-known devices write against the grammar, or at its edge, is taken, and passed on in
/// clean form.
@Suite struct QuirkTests {
  private static let offer = """
    v=0\r
    o=- 1 1 IN IP4 198.51.100.10\r
    s=-\r
    c=IN IP4 198.51.100.10\r
    t=0 0\r
    m=audio 20000 RTP/AVP 8\r
    \r\n
    """

  private static var length: Int { offer.utf8.count }

  /// The head of an INVITE from the carrier `north`, each as one device writes it.
  static let heads: [(name: String, head: String)] = [
    (
      "two equal Content-Length (Twilio)",
      """
      INVITE sip:+493010@trunk.example SIP/2.0\r
      Via: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bK.twice\r
      Max-Forwards: 70\r
      From: <sip:+441000@198.51.100.10>;tag=q1\r
      To: <sip:+493010@trunk.example>\r
      Call-ID: quirk-1@198.51.100.10\r
      CSeq: 1 INVITE\r
      Contact: <sip:+441000@198.51.100.10:5060>\r
      Content-Type: application/sdp\r
      Content-Length: \(length)\r
      Content-Length: \(length)\r
      \r\n
      """
    ),
    (
      "upper case everywhere (Microsoft Teams)",
      """
      INVITE SIP:+493010@TRUNK.EXAMPLE SIP/2.0\r
      VIA: SIP/2.0/UDP 198.51.100.10:5060;BRANCH=z9hG4bK.upper\r
      MAX-FORWARDS: 70\r
      FROM: <SIP:+441000@198.51.100.10>;TAG=q2\r
      TO: <SIP:+493010@TRUNK.EXAMPLE>\r
      CALL-ID: quirk-2@198.51.100.10\r
      CSEQ: 1 INVITE\r
      CONTACT: <SIP:+441000@198.51.100.10:5060;TRANSPORT=UDP>\r
      CONTENT-TYPE: APPLICATION/SDP\r
      CONTENT-LENGTH: \(length)\r
      \r\n
      """
    ),
    (
      "no branch (IOS 12)",
      """
      INVITE sip:+493010@trunk.example:5060 SIP/2.0\r
      Via: SIP/2.0/UDP 198.51.100.10:5060\r
      Max-Forwards: 6\r
      From: "north" <sip:+441000@198.51.100.10>;tag=q3\r
      To: <sip:+493010@trunk.example>\r
      Call-ID: quirk-3@198.51.100.10\r
      CSeq: 101 INVITE\r
      Contact: <sip:+441000@198.51.100.10:5060>\r
      Content-Type: application/sdp\r
      Content-Length: \(length)\r
      \r\n
      """
    ),
    (
      "quoted parameters in Via",
      """
      INVITE sip:+493010@trunk.example SIP/2.0\r
      Via: SIP/2.0/UDP 198.51.100.10:5060;note="a;branch=b, \\"c\\"";branch="z9hG4bK.quoted";rport\r
      Max-Forwards: 70\r
      From: <sip:+441000@198.51.100.10>;tag=q4\r
      To: <sip:+493010@trunk.example>\r
      Call-ID: quirk-4@198.51.100.10\r
      CSeq: 1 INVITE\r
      Contact: <sip:+441000@198.51.100.10:5060>\r
      Content-Type: application/sdp\r
      Content-Length: \(length)\r
      \r\n
      """
    ),
  ]

  @Test(arguments: heads.indices)
  func isTakenAndPassedOnClean(index: Int) throws {
    let (name, head) = Self.heads[index]
    let scene = try Scene()
    scene.register(scene.alice)
    scene.north.sendRaw(Array((head + Self.offer).utf8))
    scene.world.run(for: .seconds(5))
    let sent = scene.world.trace.entries
    let answers = sent.filter { $0.to == scene.north.address }
      .map { String(decoding: $0.bytes, as: UTF8.self) }
    #expect(answers.contains { $0.hasPrefix("SIP/2.0 200") }, "\(name): \(answers)")
    // The Via comes back as it was, or nobody finds the answer; where it was seen may be added.
    let via = try #require(
      head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("via:") })
    let value = via.dropFirst(5).replacing(";rport", with: "")
    #expect(answers.allSatisfy { $0.contains(value) }, "\(name)")
    let invite = try #require(
      sent.first {
        $0.to == scene.alice.address && $0.bytes.starts(with: Array("INVITE".utf8))
      })
    let text = String(decoding: invite.bytes, as: UTF8.self)
    #expect(text.lowercased().components(of: "content-length:") == 1, "\(name)")
    #expect(text.contains(";branch=z9hG4bK") && !text.contains("\""), "\(name): \(text)")
    #expect(text.contains("\r\nFrom: ") && text.contains("\r\nContent-Type: application/sdp\r\n"))
    #expect(!scene.world.violations.contains { $0.rule == .wellFormed }, "\(name)")
  }
}

extension String {
  fileprivate func components(of text: String) -> Int { split(separator: text).count - 1 }
}
