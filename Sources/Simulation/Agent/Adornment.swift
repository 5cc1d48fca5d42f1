/// What an agent may write beside what it must: its canary in every header field, parameter and line of SDP that is its
/// own affair. None of it may reach another (RFC 7092 §3; the auditor looks).
///
/// Left alone are the fields that a call is made of, and what is passed on because of what it means: numbers, the
/// parameters of a codec, a Q.850 code.
struct Adornment {
  var random: SeededRandom

  private static let fields = [
    "Accept: application/sdp, application/%", "Accept-Encoding: %", "Accept-Language: %",
    "Alert-Info: <http://%.invalid/a>", "Call-Info: <http://%.invalid/c>;purpose=%",
    "Content-Disposition: session;x=%", "Content-Language: %", "Date: %",
    "Error-Info: <sip:%@%.invalid>", "Geolocation: <cid:%@%.invalid>",
    "Identity: e30.e30.%;info=<https://%.invalid/c>;alg=ES256;ppt=shaken",
    "In-Reply-To: %@%.invalid",
    "MIME-Version: 1.0 (%)", "Organization: %", "P-Access-Network-Info: %;dsl=%",
    "P-Asserted-Service: urn:urn-7:%", "P-Associated-URI: <sip:%@%.invalid>",
    "P-Called-Party-ID: <sip:%@%.invalid>", "P-Charging-Vector: icid-value=%;icid-generated-at=%",
    "P-Visited-Network-ID: %", "Path: <sip:%.invalid;lr>", "Priority: %",
    "Referred-By: <sip:%@%.invalid>",
    "Reply-To: \"%\" <sip:%@%.invalid>", "Reason: SIP;cause=480;text=\"%\"",
    "Reason: Q.850;cause=16;text=\"%\"", "Service-Route: <sip:%.invalid;lr>", "Subject: %", "s: %",
    "Timestamp: 1 (%)", "User-to-User: 00%;encoding=%", "Warning: 399 %.invalid \"%\"", "X-%: 1",
    "X-Inside: <sip:%@%>;%=%",
  ]

  private static let sessionLines = [
    "i=%\r\n", "u=http://%.invalid/\r\n", "e=%@%.invalid\r\n", "p=%\r\n",
  ]

  private static let attributes = [
    "a=%\r\n", "a=%:1\r\n", "a=x-own:%\r\n", "a=tool:%\r\n", "a=cat:%\r\n", "a=keywds:%\r\n",
    "a=label:%\r\n", "a=mid:%\r\n", "a=msid:% %\r\n", "a=ssrc:7 cname:%@%.invalid\r\n",
    "a=ice-ufrag:%\r\n", "a=ice-pwd:%\r\n", "a=ice-options:%\r\n",
    "a=candidate:% 1 UDP 2130706431 10.9.8.7 9 typ host\r\n", "a=group:BUNDLE %\r\n",
    "a=rtpmap:127 %/8000\r\n", "a=fmtp:127 %=1\r\n", "a=extmap:1 urn:%\r\n", "a=lang:%\r\n",
    "a=content:%\r\n", "a=tls-id:%\r\n", "a=rtcp-fb:127 %\r\n", "a=identity:%\r\n",
    "a=charset:%\r\n",
  ]

  private mutating func some(of choices: [String], _ canary: String) -> String {
    var text = ""
    for choice in choices where random.chance(0.3) {
      text += choice.replacing("%", with: canary)
    }
    return text
  }

  /// More header fields, to stand behind those that there are.
  mutating func fields(_ canary: String) -> String {
    some(of: Self.fields.map { $0 + "\r\n" }, canary)
  }

  /// A reason phrase of its own, now and then (RFC 3261 §7.2: it is for people alone).
  mutating func phrase(_ usual: String, _ canary: String) -> String {
    random.chance(0.5) ? canary : usual
  }

  /// A description with lines of the session and attributes of the session and of each stream besides.
  mutating func description(_ sdp: String, _ canary: String) -> String {
    var text = ""
    var isInStream = false
    for line in sdp.split(separator: "\r\n") {
      if line.hasPrefix("m=") {
        if !isInStream { text += some(of: Self.attributes, canary) }
        isInStream = true
      }
      text += line.hasPrefix("s=") ? "s=\(canary)\r\n" : line + "\r\n"
      if line.hasPrefix("s=") { text += some(of: Self.sessionLines, canary) }
      if line.hasPrefix("m=") { text += random.chance(0.5) ? "i=\(canary)\r\n" : "" }
    }
    return text + some(of: Self.attributes, canary)
  }
}
