/// What a SIP message is called on the arrow of a ladder: `INVITE (SDP)`, `180 Ringing`,
/// `200 OK (BYE)`.
///
/// Made for people, from messages that may be broken: whatever is there is shown, nothing is judged.
/// The parser proper is SIPWire's; this reads the start line and two headers of kept bytes, so that a
/// message which no parser accepts still has its place in the ladder.
package enum LadderLabel {
  /// Headers after this many are not looked at.
  private static let headerLimit = 256
  private static let labelLimit = 60

  package static func of(_ message: [UInt8]) -> String {
    var rest = message[...]
    while rest.first == 13 || rest.first == 10 { rest.removeFirst() }
    guard let start = takeLine(&rest), !start.isEmpty else { return "(empty)" }
    let (method, hasSDP) = headers(&rest)
    let suffix: [String]
    let title: String
    if start.starts(with: Array("SIP/2.0 ".utf8)) {
      title = text(start.dropFirst(8))
      suffix = (method.map { $0 == "INVITE" ? [] : [$0] } ?? []) + (hasSDP ? ["SDP"] : [])
    } else {
      title = text(start.prefix { $0 != 32 })
      suffix = hasSDP ? ["SDP"] : []
    }
    return suffix.isEmpty ? title : "\(title) (\(suffix.joined(separator: ", ")))"
  }

  /// The method of CSeq, and whether a body of SDP follows.
  private static func headers(_ rest: inout ArraySlice<UInt8>) -> (method: String?, hasSDP: Bool) {
    var method: String?
    var saysSDP = false
    for _ in 0..<headerLimit {
      guard let line = takeLine(&rest) else { return (method, false) }
      if line.isEmpty { return (method, saysSDP && !rest.isEmpty) }
      guard let colon = line.firstIndex(of: 58) else { continue }
      let name = lowercased(line[..<colon].filter { $0 != 32 && $0 != 9 })
      let value = line[(colon + 1)...].drop { $0 == 32 || $0 == 9 }
      if name == "cseq" {
        method = text(value.drop { $0 != 32 && $0 != 9 }.drop { $0 == 32 || $0 == 9 })
      } else if name == "content-type" || name == "c" {
        saysSDP = lowercased(value.prefix(15)) == "application/sdp"
      }
    }
    return (method, false)
  }

  private static func takeLine(_ rest: inout ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    guard !rest.isEmpty else { return nil }
    let end = rest.firstIndex(of: 10) ?? rest.endIndex
    var line = rest[..<end]
    rest = end == rest.endIndex ? [] : rest[(end + 1)...]
    if line.last == 13 { line.removeLast() }
    return line
  }

  private static func text(_ bytes: ArraySlice<UInt8>) -> String {
    String(decoding: bytes.prefix(labelLimit), as: UTF8.self)
  }

  private static func lowercased(_ bytes: some Sequence<UInt8>) -> String {
    String(decoding: bytes.map { $0 >= 65 && $0 <= 90 ? $0 | 32 : $0 }, as: UTF8.self)
  }
}
