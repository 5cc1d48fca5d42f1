import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// SRTP by SDP security descriptions (RFC 4568): what a peer's description says of keys, and what ours does. Whether
// one is an offer or an answer is known by the exchange at hand. Keys by DTLS: Shard+Handshakes.

extension Shard {
  // MARK: Reading

  /// The keys that a peer's description comes to; nil: plain RTP, which is allowed.
  func security(
    _ sdp: SessionDescription, _ bytes: RawSpan, line: Int, _ leg: Leg
  ) throws(Cause) -> MediaSecurity? {
    if answers(leg) { return try securityOfOffer(sdp, bytes, line: line, leg) }
    return try securityOfAnswer(sdp, bytes, line: line, leg)
  }

  private func securityOfOffer(
    _ sdp: SessionDescription, _ bytes: RawSpan, line: Int, _ leg: Leg
  ) throws(Cause) -> MediaSecurity? {
    leg.protection.answerPlain()
    // A call for help is not refused for its lack of a key.
    let isRequired = leg.protection.rules.policy == .require && leg.session?.emergency == nil
    let transport = sdp.media[line].transport
    if leg.protection.rules.policy == .off {
      if transport.isSecureRTP || transport.isDTLS { throw .srtpRefused }
      return nil
    }
    if sdp.media[line].hasHandshake { return try handshakeOfOffer(sdp, bytes, line: line, leg) }
    let inForce = leg.media?.remote?.security
    let known = sdp.crypto(of: line).first { $0.suite.media == inForce?.sending?.suite }
    guard let chosen = known ?? sdp.crypto(of: line).first,
      let receiving = SRTPKey(chosen, bytes)
    else {
      if transport.isSecureRTP { throw .srtpUnsupported }
      if isRequired { throw .srtpRequired }
      return nil
    }
    if isRequired { try checkConfidential(leg) }
    guard let sending = known == nil ? mediaKeys.next(chosen.suite.media) : inForce?.sending else {
      throw .internalFault
    }
    leg.protection.answer(.key(LegProtection.Line(tag: chosen.tag, key: sending), transport))
    return MediaSecurity(sending: sending, receiving: receiving)
  }

  private func securityOfAnswer(
    _ sdp: SessionDescription, _ bytes: RawSpan, line: Int, _ leg: Leg
  ) throws(Cause) -> MediaSecurity? {
    if leg.protection.offersHandshake {
      return try handshakeOfAnswer(sdp, bytes, line: line, leg)
    }
    let offered = leg.protection.offered
    guard !offered.isEmpty else {
      // An answer that was not asked for.
      if !sdp.media[line].transport.isPlainRTP { throw .srtpUnsupported }
      return nil
    }
    // §5.1.3: one line of ours, with its tag and suite.
    for crypto in sdp.crypto(of: line) {
      let ours = offered.first { $0.tag == crypto.tag && $0.key.suite == crypto.suite.media }
      guard let ours, let receiving = SRTPKey(crypto, bytes) else { continue }
      return MediaSecurity(sending: ours.key, receiving: receiving)
    }
    if !sdp.media[line].transport.isPlainRTP { throw .srtpUnsupported }
    // A key beside plain RTP may be left.
    if isOptional(leg), leg.protection.rules.policy != .require { return nil }
    throw .srtpRequired
  }

  /// Why there is no line of audio that we could take.
  func refusalWithoutAudio(_ sdp: SessionDescription, _ leg: Leg) -> Cause? {
    let isSecure = sdp.media.contains {
      $0.kind == .audio && $0.port != 0 && $0.transport.isRTP && !$0.transport.isPlainRTP
    }
    guard isSecure else { return nil }
    return leg.protection.rules.policy == .off ? .srtpRefused : .srtpUnsupported
  }

  // MARK: Writing

  /// How our description for the leg's peer has its media protected; nil: not at all.
  func protection(for leg: Leg) throws(Cause) -> SDPProtection? {
    if answers(leg) {
      switch leg.protection.answer {
      case nil: return nil
      case .key(let line, let transport):
        return SDPProtection(transport: transport, lines: [SDPOwnCrypto(line)])
      case .handshake(let role, let transport):
        return ownHandshake(role == .client ? .active : .passive, transport)
      }
    }
    if let renewal = leg.protection.renewal, renewal.stage == .asking {
      return try protection(for: leg, renewal)
    }
    if offersHandshake(leg) { return try offerHandshake(leg) }
    if let inForce = leg.media?.remote?.security?.sending {
      keepOffer(of: inForce, leg)
    } else if leg.protection.rules.policy != .require {
      leg.protection.offer([])
    } else if leg.protection.offered.isEmpty {
      try makeOffer(leg)
    }
    let lines = leg.protection.offered.map { SDPOwnCrypto($0) }
    guard !lines.isEmpty else { return nil }
    return SDPProtection(
      transport: isOptional(leg) ? leg.protection.answer?.transport : nil, lines: lines)
  }

  /// Who offered plain RTP with a key beside it is asked in the same way.
  private func isOptional(_ leg: Leg) -> Bool {
    leg.protection.answer?.transport.isPlainRTP == true
  }

  /// What is agreed is offered again, under its tag.
  private func keepOffer(of key: SRTPKey, _ leg: Leg) {
    if let line = leg.protection.offered.first(where: { $0.key == key }) {
      leg.protection.offer([line])
    } else {
      let tag = leg.protection.answer?.line?.tag ?? 1
      leg.protection.offer([LegProtection.Line(tag: tag, key: key)])
    }
  }

  func makeOffer(_ leg: Leg) throws(Cause) {
    if leg.protection.rules.policy == .require { try checkConfidential(leg) }
    var lines: [LegProtection.Line] = []
    for suite in SDPCryptoSuite.offers {
      guard let key = mediaKeys.next(suite.media) else { throw .internalFault }
      lines.append(LegProtection.Line(tag: UInt32(lines.count + 1), key: key))
    }
    leg.protection.offer(lines)
  }

  /// A key that anybody on the way can read protects nothing.
  private func checkConfidential(_ leg: Leg) throws(Cause) {
    let listener =
      listeners.indices.contains(Int(leg.listener)) ? listeners[Int(leg.listener)] : nil
    guard listener?.transport.isSecure == true || leg.protection.rules.withoutTLS else {
      throw .srtpWithoutTLS
    }
  }

  /// Whether an offer of the peer's waits for our answer.
  private func answers(_ leg: Leg) -> Bool {
    leg.exchange.hasOfferOfTheirs || leg.early.contains { $0.exchange.hasOfferOfTheirs }
  }

  // MARK: The record

  /// Says in the call's record on which sides it is encrypted.
  func noteProtection(_ session: Session) {
    noteProtection(session.caller, "caller", session)
    noteProtection(session.callee, "callee", session)
  }

  private func noteProtection(_ leg: Leg?, _ side: StaticString, _ session: Session) {
    guard let suite = leg?.media?.remote?.security?.sending?.suite else { return }
    note("\(side) by SRTP, \(suite.sdp.name)", session)
  }

  /// What SRTP has kept out, at the end of the call.
  func noteRefused(_ quality: StreamQuality, from side: StaticString, _ session: Session) {
    guard session.state == .released, quality.unauthentic | quality.replayed != 0 else { return }
    note(
      "\(side): SRTP refused \(quality.unauthentic) packets that were not under its key "
        + "and \(quality.replayed) repeated ones", session)
  }

  // MARK: Rules

  func protectionRules(of caller: CallerKind, _ configuration: Configuration) -> SRTPRules {
    switch caller {
    case .phone: SRTPRules()
    case .user(let user): configuration.users[user].srtp
    case .trunk(let trunk): configuration.trunks[trunk].srtp
    }
  }
}

extension OfferAnswer {
  fileprivate var hasOfferOfTheirs: Bool {
    if case .open(by: .them, in: _) = state { return true }
    return false
  }
}

extension SRTPKey {
  fileprivate init?(_ crypto: SDPCrypto, _ bytes: RawSpan) {
    // A key of zeros is what is written down in place of one: it keeps no secret.
    guard let secret = crypto.key(in: bytes), secret.contains(where: { $0 != 0 }) else {
      return nil
    }
    self.init(
      crypto.suite.media, secret: secret, identifier: crypto.identifier,
      identifierSize: crypto.identifierSize)
  }
}
