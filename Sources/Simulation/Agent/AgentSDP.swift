package import Base

/// A session description as the agents see it: a first line, of speech or a fax, and others beside it.
package struct AgentSDP: Hashable, Sendable {
  package enum Direction: String, Sendable {
    case sendrecv, sendonly, recvonly, inactive

    /// What the answer to this offer may be at most (RFC 3264 §6.1).
    package var mirrored: Direction {
      switch self {
      case .sendrecv: .sendrecv
      case .sendonly: .recvonly
      case .recvonly: .sendonly
      case .inactive: .inactive
      }
    }

    /// The same from one who does not want to hear anything.
    var held: Direction {
      switch self {
      case .sendrecv, .sendonly: .sendonly
      case .recvonly, .inactive: .inactive
      }
    }
  }

  package var media: SocketAddress
  package var payloads: [Int]
  package var direction = Direction.sendrecv
  package var streams = 1
  package var profile = "RTP/AVP"
  /// The first line is of T.38.
  package var isFax = false
  package var beside: [AgentLine] = []
  /// The values of its a=crypto lines.
  package var crypto: [String] = []
  package var handshake = Handshake()

  package init(media: SocketAddress, payloads: [Int], direction: Direction = .sendrecv) {
    self.media = media
    self.payloads = payloads
    self.direction = direction
  }

  /// Nil where it is none, or names no address for its audio.
  package init?(_ text: String) {
    var ip: IPAddress?
    var port: UInt16?
    var payloads: [Int] = []
    var direction = Direction.sendrecv
    var streams = 0
    var profile = ""
    var crypto: [String] = []
    var handshake = Handshake()
    var isFax = false
    var beside: [(line: AgentLine, port: UInt16)] = []
    guard text.hasPrefix("v=0\r\n"), text.hasSuffix("\r\n") else { return nil }
    for line in text.split(separator: "\r\n") {
      if line.hasPrefix("c=IN IP") { ip = line.split(separator: " ").last.flatMap(AgentText.ip) }
      if line.hasPrefix("m=") {
        streams += 1
        let words = line.split(separator: " ")
        guard words.count >= 4 else { return nil }
        guard streams == 1 else {
          if let kind = AgentLine.Kind(rawValue: String(words[0].dropFirst(2))) {
            var found = AgentLine(kind, nil)
            found.profile = String(words[2])
            beside.append((found, UInt16(words[1]) ?? 0))
          }
          continue
        }
        isFax = words[0] == "m=image"
        port = UInt16(words[1])
        profile = String(words[2])
        payloads = words[3...].compactMap { Int($0) }
      }
      if streams > 1, let last = beside.indices.last {
        beside[last].line.take(line)
        continue
      }
      if line.hasPrefix("a=crypto:") { crypto.append(String(line.dropFirst(9))) }
      if line.hasPrefix("a=fingerprint:") {
        handshake.fingerprints.append(String(line.dropFirst(14)))
      }
      if line.hasPrefix("a=setup:") { handshake.setup = String(line.dropFirst(8)) }
      if streams < 2, line.hasPrefix("a="),
        let found = Direction(rawValue: String(line.dropFirst(2)))
      {
        direction = found
      }
    }
    guard let ip, let port else { return nil }
    self.init(media: SocketAddress(ip, port), payloads: payloads, direction: direction)
    self.streams = streams
    self.profile = profile
    self.crypto = crypto
    self.handshake = handshake
    self.isFax = isFax
    self.beside = beside.map { found, port in
      var line = found
      line.media = port == 0 ? nil : SocketAddress(ip, port)
      return line
    }
  }

  private static let names = [
    0: "PCMU/8000", 8: "PCMA/8000", 9: "G722/8000", 18: "G729/8000", 101: "telephone-event/8000",
    96: "telephone-event/8000", 105: "telephone-event/16000", 106: "telephone-event/48000",
    107: "opus/48000/2", 108: "iLBC/8000", 109: "iLBC/8000", 3: "GSM/8000", 120: "opus/48000/2",
    121: "L16/16000", 122: "L16/8000",
  ]

  /// Formats with much to say about them: ten make a message that is too long for a datagram.
  package static let wordy = 110...119

  /// `canary` stands where nothing may pass to the other side: user, session name and host of o=.
  package func text(canary: String, version: Int) -> String {
    let family = media.ip.family == .v4 ? "IP4" : "IP6"
    var lines = [
      "v=0", "o=\(canary) 1 \(version) IN \(family) \(canary).invalid", "s=\(canary)",
      "c=IN \(family) \(AgentText.host(media.ip))", "t=0 0",
    ]
    if isFax {
      lines.append("m=image \(media.port) udptl t38")
      lines += AgentLine.faxAttributes
      lines += beside.flatMap(\.text)
      return lines.joined(separator: "\r\n") + "\r\n"
    }
    lines.append(
      "m=audio \(media.port) \(profile) " + payloads.map(String.init).joined(separator: " "))
    for payload in payloads {
      let isWordy = AgentSDP.wordy.contains(payload)
      guard let name = AgentSDP.names[payload] ?? (isWordy ? "X-WORDY/8000" : nil) else { continue }
      lines.append("a=rtpmap:\(payload) \(name)")
      if isWordy { lines.append("a=fmtp:\(payload) mode=" + String(repeating: "x", count: 120)) }
      if payload == 101 { lines.append("a=fmtp:101 0-15") }
    }
    lines += crypto.map { "a=crypto:" + $0 }
    lines += handshake.lines
    lines.append("a=ptime:20")
    lines.append("a=\(direction.rawValue)")
    lines += beside.flatMap(\.text)
    return lines.joined(separator: "\r\n") + "\r\n"
  }

  /// The answer of an agent that speaks `payloads`; nil where nothing is common.
  package func answer(
    media: SocketAddress, payloads own: [Int], holding: Bool, srtp: AgentSRTP?,
    dtls: AgentDTLS? = nil, takes: Set<AgentLine.Kind>
  ) -> AgentSDP? {
    let media = self.media.port == 0 ? SocketAddress(media.ip, 0) : media
    if isFax {
      guard takes.contains(.image) else { return nil }
      var answer = AgentSDP(media: media, payloads: [])
      answer.isFax = true
      return answer
    }
    // A line that is off says nothing of payloads.
    let common = self.media.port == 0 ? payloads : payloads.filter { own.contains($0) }
    guard self.media.port == 0 || common.contains(where: { $0 < 96 }) else { return nil }
    let mirrored = direction.mirrored
    let key = srtp?.answersPlain == true ? nil : srtp?.answer(to: crypto)
    let isSecure = profile.contains("SAVP")
    if !handshake.fingerprints.isEmpty, let dtls, !dtls.answersPlain {
      return answer(media, common, holding, dtls)
    }
    let answersPlain = srtp?.answersPlain == true || dtls?.answersPlain == true
    guard key != nil || !isSecure || answersPlain else { return nil }
    var answer = AgentSDP(
      media: media, payloads: common, direction: holding ? mirrored.held : mirrored)
    answer.profile = isSecure && key == nil ? "RTP/AVP" : profile
    answer.crypto = key.map { [$0] } ?? []
    return answer
  }

  private func answer(
    _ media: SocketAddress, _ payloads: [Int], _ holding: Bool, _ dtls: AgentDTLS
  ) -> AgentSDP {
    let mirrored = direction.mirrored
    var answer = AgentSDP(
      media: media, payloads: payloads, direction: holding ? mirrored.held : mirrored)
    answer.profile = profile
    answer.handshake = Handshake(dtls, setup: dtls.setup(answering: handshake))
    return answer
  }
}
