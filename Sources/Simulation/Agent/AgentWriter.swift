import Base
import SIPWire

/// Builds an agent's messages. Each holds the agent's canary wherever nothing may cross the trunk.
enum AgentWriter {
  struct Request {
    var method: AgentMethod
    var uri: String
    var branch: String
    var from: String
    var to: String
    var callID: String
    var cseq: UInt32
    var headers: [String] = []
    var sdp: String?
    var maxForwards = 70
    /// What stands in place of the method where that is `.other`.
    var methodText: String?
  }

  static func request(_ request: Request, agent: Agent) -> [UInt8] {
    let method = request.methodText ?? request.method.rawValue
    var text =
      "\(method) \(request.uri) SIP/2.0\r\n"
      + "Via: SIP/2.0/\(agent.transport.token) \(agent.canary).invalid:\(agent.address.port);branch=\(request.branch);rport\(agent.viaParameters)\r\n"
      + "Max-Forwards: \(request.maxForwards)\r\nFrom: \(request.from)\r\nTo: \(request.to)\r\n"
      + "Call-ID: \(request.callID)\r\nCSeq: \(request.cseq) \(method)\r\n"
      + "User-Agent: \(agent.canary)/1.0\r\n"
    for header in request.headers { text += header + "\r\n" }
    return finish(text + agent.adornedFields(), sdp: request.sdp.map(agent.adornedDescription))
  }

  static func response(
    to request: AgentMessage, status: Int, tag: String, agent: Agent, headers: [String],
    sdp: String?
  ) -> [UInt8] {
    var text = "SIP/2.0 \(status) \(agent.adornedPhrase(phrase(status)))\r\n"
    for (i, via) in request.values(.via).enumerated() {
      text += "Via: \(i == 0 ? answered(via, agent) : via)\r\n"
    }
    text += "From: \(request.value(.from) ?? "")\r\n"
    let to = request.value(.to) ?? ""
    text += status == 100 || !request.toTag.isEmpty ? "To: \(to)\r\n" : "To: \(to);tag=\(tag)\r\n"
    text += "Call-ID: \(request.callID)\r\nCSeq: \(request.cseq) \(request.methodText)\r\n"
    if status > 100 { text += "Server: \(agent.canary)/1.0\r\nX-Inside: \(agent.canary)\r\n" }
    for header in headers { text += header + "\r\n" }
    return finish(text + agent.adornedFields(), sdp: sdp.map(agent.adornedDescription))
  }

  /// RFC 7339 §5.2: whoever says `oc` is given a value, where the agent has one.
  private static func answered(_ via: String, _ agent: Agent) -> String {
    guard let answer = agent.viaAnswer, via.hasSuffix(";oc;oc-algo=\"loss\"") else { return via }
    return via.dropLast(";oc;oc-algo=\"loss\"".count) + answer
  }

  /// The ACK of a negative final response: the INVITE's Via, URI and CSeq number, the response's To
  /// (RFC 3261 §17.1.1.3).
  static func ack(of invite: [UInt8], answered response: AgentMessage) -> [UInt8]? {
    guard let sent = try? AgentMessage(invite) else { return nil }
    let text =
      "ACK \(sent.requestURI) SIP/2.0\r\nVia: \(sent.value(.via) ?? "")\r\nMax-Forwards: 70\r\n"
      + "From: \(sent.value(.from) ?? "")\r\nTo: \(response.value(.to) ?? "")\r\n"
      + "Call-ID: \(sent.callID)\r\nCSeq: \(sent.cseq) ACK\r\n"
    return finish(text, sdp: nil)
  }

  private static func finish(_ head: String, sdp: String?) -> [UInt8] {
    var bytes = Array(head.utf8)
    if let sdp {
      bytes += "Content-Type: application/sdp\r\nContent-Length: \(sdp.utf8.count)\r\n\r\n".utf8
      bytes += sdp.utf8
    } else {
      bytes += "Content-Length: 0\r\n\r\n".utf8
    }
    return bytes
  }

  static func phrase(_ status: Int) -> String {
    switch status {
    case 100: "Trying"
    case 180: "Ringing"
    case 181: "Call Is Being Forwarded"
    case 183: "Session Progress"
    case 200: "OK"
    case 302: "Moved Temporarily"
    case 401: "Unauthorized"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 407: "Proxy Authentication Required"
    case 480: "Temporarily Unavailable"
    case 481: "Call/Transaction Does Not Exist"
    case 486: "Busy Here"
    case 487: "Request Terminated"
    case 488: "Not Acceptable Here"
    case 491: "Request Pending"
    case 500: "Server Internal Error"
    case 503: "Service Unavailable"
    case 600: "Busy Everywhere"
    case 603: "Decline"
    default: "Unnamed"
    }
  }
}
