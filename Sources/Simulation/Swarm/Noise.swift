import Base

/// What arrives besides calls: broken messages, answers to nothing, requests for dialogs that never were.
enum Noise {
  static func send(from agent: Agent, random: inout SeededRandom) {
    switch random.below(8) {
    case 0: agent.sendRaw(random.bytes(random.below(600)))
    case 1: agent.sendRaw(truncated(valid(agent), &random))
    case 2: agent.sendRaw(flipped(valid(agent), &random))
    case 3: agent.sendRaw([])
    case 4:
      agent.sendRaw(Array("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKnobody\r\n\r\n".utf8))
    case 5: agent.request("noise", method: "OPTIONS")
    case 6: agent.request("noise", method: "BYE", toTag: "nobody")
    default: agent.sendRaw(Array("\r\n\r\n".utf8))
    }
  }

  /// An ACK for nothing: whole, and without an answer of its own. It has no canary, which a damaged copy
  /// would make another's.
  private static func valid(_ agent: Agent) -> [UInt8] {
    let number = agent.unique()
    return Array(
      ("ACK sip:nobody@trunk.example SIP/2.0\r\n"
        + "Via: SIP/2.0/UDP \(AgentText.hostPort(agent.address));branch=z9hG4bKnoise\(number)\r\n"
        + "Max-Forwards: 70\r\nFrom: <sip:x@trunk.example>;tag=1\r\n"
        + "To: <sip:y@trunk.example>;tag=2\r\nCall-ID: noise\(agent.index)-\(number)\r\n"
        + "CSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n").utf8)
  }

  private static func truncated(_ bytes: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
    Array(bytes.prefix(random.below(bytes.count)))
  }

  private static func flipped(_ bytes: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<random.within(1...6) where !bytes.isEmpty {
      bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
    }
    return bytes
  }
}
