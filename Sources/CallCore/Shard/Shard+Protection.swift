import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// SRTP by SDP security descriptions (RFC 4568): what a peer's description says of keys, and what ours does. Whether
// one is an offer or an answer is known by the exchange at hand. Keys by DTLS: Shard+Handshakes. Lines beside speech:
// Shard+StreamProtection.

extension Shard {
  // MARK: Reading

  /// The keys that a peer's description comes to for its speech; nil: plain RTP, which is allowed.
  func security(
    _ sdp: SessionDescription, _ bytes: RawSpan, line: Int, _ leg: Leg
  ) throws(Cause) -> MediaSecurity? {
    var agreed = leg.protection.speech
    defer { leg.protection.speech = agreed }
    return try security(
      sdp, bytes, line: line, leg, &agreed, inForce: leg.media?.remote?.security)
  }

  /// The same for any line, of which `agreed` is what has been agreed on before.
  func security(
    _ sdp: SessionDescription, _ bytes: RawSpan, line: Int, _ leg: Leg,
    _ agreed: inout LineProtection, inForce: MediaSecurity?
  ) throws(Cause) -> MediaSecurity? {
    if answers(leg) {
      return try securityOfOffer(sdp, bytes, line: line, leg, &agreed, inForce)
    }
    return try securityOfAnswer(sdp, bytes, line: line, leg, agreed, inForce)
  }

  private func securityOfOffer(
    _ sdp: SessionDescription, _ bytes: RawSpan, line: Int, _ leg: Leg,
    _ agreed: inout LineProtection, _ inForce: MediaSecurity?
  ) throws(Cause) -> MediaSecurity? {
    agreed.answerPlain()
    let isRequired = requiresProtection(leg)
    let transport = sdp.media[line].transport
    if leg.protection.rules.policy == .off {
      if transport.isSecureRTP || transport.isDTLS { throw .srtpRefused }
      return nil
    }
    if sdp.media[line].hasHandshake {
      return try handshakeOfOffer(sdp, bytes, line: line, leg, &agreed, inForce)
    }
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
    agreed.answer(.key(LineProtection.Key(tag: chosen.tag, key: sending), transport))
    return MediaSecurity(sending: sending, receiving: receiving)
  }

  private func securityOfAnswer(
    _ sdp: SessionDescription, _ bytes: RawSpan, line: Int, _ leg: Leg, _ agreed: LineProtection,
    _ inForce: MediaSecurity?
  ) throws(Cause) -> MediaSecurity? {
    if agreed.offersHandshake { return try handshakeOfAnswer(sdp, bytes, line: line, inForce) }
    let offered = agreed.offered
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
    if agreed.isOptional, leg.protection.rules.policy != .require { return nil }
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

  /// How our description for the leg's peer has its speech protected; nil: not at all.
  func protection(for leg: Leg) throws(Cause) -> SDPProtection? {
    // Most legs have never had anything but plain RTP.
    if leg.protection.speech.isNone, leg.protection.rules.policy != .require { return nil }
    var agreed = leg.protection.speech
    defer { leg.protection.speech = agreed }
    if answers(leg) { return ownAnswer(agreed) }
    if let renewal = agreed.renewal, renewal.stage == .asking {
      return try protection(for: leg, renewal, &agreed)
    }
    if offersHandshake(leg) { return try offerHandshake(&agreed, like: agreed.answer?.transport) }
    if let inForce = leg.media?.remote?.security?.sending {
      keepOffer(of: inForce, &agreed)
    } else if leg.protection.rules.policy != .require {
      agreed.offer([])
    } else if agreed.offered.isEmpty {
      try makeOffer(leg, &agreed)
    }
    guard !agreed.offered.isEmpty else { return nil }
    return ownOffer(agreed, like: agreed.isOptional ? agreed.answer?.transport : nil)
  }

  /// Nil: plain RTP.
  func ownAnswer(_ agreed: LineProtection) -> SDPProtection? {
    switch agreed.answer {
    case nil: nil
    case .key(let key, let transport):
      SDPProtection(transport: transport, lines: [SDPOwnCrypto(key)])
    case .handshake(let role, let transport):
      ownHandshake(role == .client ? .active : .passive, transport)
    }
  }

  func ownOffer(_ agreed: LineProtection, like transport: SDPMedia.Transport?) -> SDPProtection {
    SDPProtection(transport: transport, lines: agreed.offered.map { SDPOwnCrypto($0) })
  }

  /// What is agreed is offered again, under its tag.
  func keepOffer(of key: SRTPKey, _ agreed: inout LineProtection) {
    if let known = agreed.offered.first(where: { $0.key == key }) {
      agreed.offer([known])
    } else {
      agreed.offer([LineProtection.Key(tag: agreed.answer?.key?.tag ?? 1, key: key)])
    }
  }

  func makeOffer(_ leg: Leg, _ agreed: inout LineProtection) throws(Cause) {
    if leg.protection.rules.policy == .require { try checkConfidential(leg) }
    var keys: [LineProtection.Key] = []
    for suite in SDPCryptoSuite.offers {
      guard let key = mediaKeys.next(suite.media) else { throw .internalFault }
      keys.append(LineProtection.Key(tag: UInt32(keys.count + 1), key: key))
    }
    agreed.offer(keys)
  }

  /// A call for help is not refused for its lack of a key.
  func requiresProtection(_ leg: Leg) -> Bool {
    leg.protection.rules.policy == .require && leg.session?.emergency == nil
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
  func answers(_ leg: Leg) -> Bool {
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
