import Base
import MediaControl
import Policy
import SIPCore
import SIPWire

// SRTP with keys by DTLS (RFC 5763, RFC 8842): what a peer's description says of its certificate and of who begins, and
// what ours does. The handshake itself is media's, which says what it has come to.
//
//     we offer     actpass ──active──▶ we are the server         they offer    actpass ──▶ active: we are the client
//                          ──passive─▶ we are the client                       active ───▶ passive
//                                                                              passive ──▶ active
//
// Roles stay while the association does: an offer of the same certificate, ours or theirs, changes nothing (RFC 8842
// §5.3), another certificate or role means a new handshake (§3.1). a=tls-id is passed over, and so none is written (§5.3).

extension Shard {
  // MARK: Reading

  func handshakeOfOffer(
    _ sdp: SessionDescription, _ bytes: RawSpan, line: Int, _ leg: Leg,
    _ agreed: inout LineProtection, _ inForce: MediaSecurity?
  ) throws(Cause) -> MediaSecurity {
    let description = sdp.media[line]
    let known = inForce?.handshake?.role
    let role: MediaHandshake.Role?
    // RFC 4145 §4: who says nothing in an offer is active.
    switch description.setup ?? .active {
    case .active: role = .server
    case .passive: role = .client
    case .actpass: role = known ?? (isBehindNAT(sdp, line, leg) ? .server : .client)
    case .holdconn: role = known
    }
    guard !settings.certificateFingerprint.isEmpty, let role,
      let handshake = MediaHandshake(role, fingerprints(sdp, bytes, line))
    else { throw .srtpUnsupported }
    agreed.answer(.handshake(role, description.transport))
    return MediaSecurity(handshake)
  }

  /// RFC 5763 §5 would have us begin. Where the peer names an address that only its own network knows, it has to: its
  /// first datagram is what opens the way.
  private func isBehindNAT(_ sdp: SessionDescription, _ line: Int, _ leg: Leg) -> Bool {
    guard let ip = sdp.rtpAddress(of: line)?.ip else { return false }
    return ip.isPrivate && ip != leg.source.ip
  }

  func handshakeOfAnswer(
    _ sdp: SessionDescription, _ bytes: RawSpan, line: Int, _ inForce: MediaSecurity?
  ) throws(Cause) -> MediaSecurity {
    let description = sdp.media[line]
    if description.transport.isPlainRTP { throw .srtpRequired }
    let role: MediaHandshake.Role?
    // RFC 4145 §4: who says nothing in an answer is passive. Actpass is no answer, but whoever says it can be that.
    switch description.setup ?? .passive {
    case .active: role = .server
    case .passive, .actpass: role = .client
    case .holdconn: role = inForce?.handshake?.role
    }
    guard description.hasHandshake, let role,
      let handshake = MediaHandshake(role, fingerprints(sdp, bytes, line))
    else { throw .srtpUnsupported }
    return MediaSecurity(handshake)
  }

  private func fingerprints(
    _ sdp: SessionDescription, _ bytes: RawSpan, _ line: Int
  ) -> [CertificateFingerprint] {
    sdp.fingerprints(of: line).compactMap { found in
      found.digest(in: bytes).flatMap { CertificateFingerprint(found.algorithm.media, $0) }
    }
  }

  // MARK: Writing

  /// Whether our next offer is of a handshake.
  func offersHandshake(_ leg: Leg) -> Bool {
    if let inForce = leg.media?.remote?.security { return inForce.handshake != nil }
    return leg.protection.rules.policy == .require && leg.protection.rules.keys == .dtls
  }

  /// RFC 8842 §5.2 and §5.5: actpass, in the first offer and in those that change nothing.
  func offerHandshake(
    _ agreed: inout LineProtection, like transport: SDPMedia.Transport?
  ) throws(Cause) -> SDPProtection {
    guard !settings.certificateFingerprint.isEmpty else { throw .srtpUnsupported }
    agreed.offerHandshake()
    return ownHandshake(.actpass, transport)
  }

  func ownHandshake(_ setup: SDPSetup, _ transport: SDPMedia.Transport?) -> SDPProtection {
    SDPProtection(
      transport: transport,
      handshake: SDPOwnHandshake(fingerprint: settings.certificateFingerprint, setup: setup))
  }

  // MARK: What media says

  func handshakeEnded(_ leg: Leg, _ outcome: HandshakeOutcome) {
    guard let session = leg.session else { return }
    let side: StaticString = leg.side == .a ? "caller" : "callee"
    switch outcome {
    case .agreed(let suite):
      endRenewal(leg)
      noteOnce("\(side): keys agreed by DTLS, \(suite.profile ?? suite.sdp.name)", session)
    case .wrongFingerprint:
      noteOnce(
        "\(side): wrong fingerprint: whoever answered the DTLS handshake has another certificate"
          + " than its SDP names", session)
    }
  }
}

extension SDPFingerprint.Algorithm {
  fileprivate var media: CertificateFingerprint.Algorithm {
    switch self {
    case .sha256: .sha256
    case .sha384: .sha384
    case .sha512: .sha512
    }
  }
}
