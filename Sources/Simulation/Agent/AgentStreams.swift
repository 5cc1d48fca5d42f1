package import Base

/// An m-line of an agent's session beside the first.
package struct AgentLine: Hashable, Sendable {
  package enum Kind: String, Sendable, CaseIterable { case video, image }

  package var kind: Kind
  /// Nil: port 0.
  package var media: SocketAddress?
  package var profile: String
  /// The values of its a=crypto lines, and what it says of a handshake.
  package var crypto: [String] = []
  package var handshake = AgentSDP.Handshake()

  package init(_ kind: Kind, _ media: SocketAddress?) {
    self.kind = kind
    self.media = media
    profile = kind == .image ? "udptl" : "RTP/AVPF"
  }

  /// The same line with port 0, and nothing said of it.
  package var rejected: AgentLine {
    var line = AgentLine(kind, nil)
    line.profile = profile
    return line
  }

  /// A line of text below it.
  mutating func take(_ text: Substring) {
    if text.hasPrefix("a=crypto:") { crypto.append(String(text.dropFirst(9))) }
    if text.hasPrefix("a=fingerprint:") {
      handshake.fingerprints.append(String(text.dropFirst(14)))
    }
    if text.hasPrefix("a=setup:") { handshake.setup = String(text.dropFirst(8)) }
  }

  /// As an agent offers it that has keys for what stands beside speech.
  mutating func protect(_ srtp: AgentSRTP?, _ dtls: AgentDTLS?) {
    guard kind == .video else { return }
    if let srtp, !srtp.videoOffers.isEmpty {
      profile = srtp.profile + "F"
      crypto = srtp.videoOffers
    } else if let dtls, dtls.protectsVideo {
      profile = dtls.profile + "F"
      handshake = AgentSDP.Handshake(dtls, setup: dtls.setup)
    }
  }

  /// What an agent answers to this offer at an address of its own; nil: it does not take it.
  func answer(_ media: SocketAddress, _ srtp: AgentSRTP?, _ dtls: AgentDTLS?) -> AgentLine? {
    var answer = rejected
    answer.media = media
    guard profile.contains("SAVP") || !crypto.isEmpty else { return answer }
    if !handshake.fingerprints.isEmpty {
      guard let dtls else { return nil }
      answer.handshake = AgentSDP.Handshake(dtls, setup: dtls.setup(answering: handshake))
      return answer
    }
    guard let srtp, let key = srtp.answer(to: crypto) else { return nil }
    if srtp.protectsVideo { answer.crypto = [key] } else { answer.profile = "RTP/AVPF" }
    return answer
  }

  var text: [String] {
    let port = media?.port ?? 0
    return switch kind {
    case .video:
      [
        "m=video \(port) \(profile) 96", "b=AS:512", "a=rtpmap:96 VP8/90000",
        "a=rtcp-fb:96 nack pli", "a=sendrecv",
      ] + crypto.map { "a=crypto:" + $0 } + handshake.lines
    case .image: ["m=image \(port) udptl t38"] + AgentLine.faxAttributes
    }
  }

  static let faxAttributes = ["a=T38FaxVersion:0", "a=T38FaxUdpEC:t38UDPRedundancy"]
}

/// What a re-INVITE makes of the session's streams.
package enum StreamChange: Hashable, Sendable, CaseIterable {
  case none
  /// Video comes, or goes.
  case video, noVideo
  /// A fax in the place of speech, or beside the line of speech, which has port 0 then.
  case fax, faxBeside
  /// Speech again, and nothing else.
  case speech

  package var isFax: Bool { self == .fax || self == .faxBeside }
}

extension AgentCall {
  /// Everything of the session that an offer may change.
  struct Streams {
    var isFax: Bool
    var isMuted: Bool
    var beside: [AgentLine]
  }

  var streams: Streams {
    get { Streams(isFax: isFax, isMuted: isMuted, beside: beside) }
    set { (isFax, isMuted, beside) = (newValue.isFax, newValue.isMuted, newValue.beside) }
  }

  func make(_ change: StreamChange) {
    switch change {
    case .none: break
    case .video: add(.video)
    case .noVideo: drop(.video)
    case .fax: isFax = true
    case .faxBeside:
      isMuted = true
      add(.image)
    case .speech:
      (isFax, isMuted) = (false, false)
      for kind in AgentLine.Kind.allCases { drop(kind) }
    }
  }

  private func add(_ kind: AgentLine.Kind) {
    let address = world.network.newMediaAddress(of: agent)
    if let i = beside.firstIndex(where: { $0.kind == kind }) {
      beside[i].media = beside[i].media ?? address
      beside[i].protect(agent.srtp, agent.dtls)
    } else {
      var line = AgentLine(kind, address)
      line.protect(agent.srtp, agent.dtls)
      beside.append(line)
    }
  }

  private func drop(_ kind: AgentLine.Kind) {
    for i in beside.indices where beside[i].kind == kind {
      beside[i] = AgentLine(kind, nil)
    }
  }

  /// The answer to an offer of the trunk's; nil: there is nothing that this agent takes.
  func answer(to offer: AgentSDP, holding: Bool? = nil) -> String? {
    if answersSpeech {
      return AgentSDP(media: media, payloads: [0]).text(
        canary: agent.canary, version: sdpVersion)
    }
    if rejectsByPort {
      var none = offer
      none.media = SocketAddress(media.ip, 0)
      none.beside = offer.beside.map(\.rejected)
      return none.text(canary: agent.canary, version: sdpVersion)
    }
    guard
      var sdp = offer.answer(
        media: media, payloads: payloads, holding: holding ?? (direction != .sendrecv),
        srtp: agent.srtp, dtls: agent.dtls, takes: agent.takes)
    else { return nil }
    sdp.payloads = sdp.payloads.map { calleeScript.numbers[$0] ?? $0 }
    isFax = offer.isFax
    isMuted = offer.media.port == 0
    beside = offer.beside.enumerated().map { i, line in
      let own = beside.indices.contains(i) && beside[i].kind == line.kind ? beside[i].media : nil
      let isTaken = line.media != nil && agent.takes.contains(line.kind)
      guard isTaken else { return line.rejected }
      let address = own ?? world.network.newMediaAddress(of: agent)
      return line.answer(address, agent.srtp, agent.dtls) ?? line.rejected
    }
    sdp.beside = beside
    // Its next offer is of its own keys.
    for i in beside.indices where beside[i].media != nil {
      beside[i].crypto = []
      beside[i].handshake = AgentSDP.Handshake()
      beside[i].protect(agent.srtp, agent.dtls)
    }
    return sdp.text(canary: agent.canary, version: sdpVersion)
  }
}
