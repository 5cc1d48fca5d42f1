/// What a peer's media may be.
package enum SRTPPolicy: String, Sendable, CaseIterable {
  /// Plain RTP alone: an offer of SRTP is refused.
  case off
  /// SRTP where the peer offers it; our own offers are of plain RTP.
  case allow
  /// SRTP alone, offered and taken.
  case require
}

/// Where the keys of SRTP come from that our offers ask for. Offers to us are taken with either.
package enum SRTPKeying: String, Sendable, CaseIterable {
  /// They stand in the signalling (a=crypto, RFC 4568).
  case sdes
  /// Both ends agree on them where the media goes, and the signalling says by which certificates (RFC 5763).
  case dtls
}

/// How media with a peer is protected.
package struct SRTPRules: Hashable, Sendable {
  package var policy = SRTPPolicy.allow
  package var keys = SRTPKeying.sdes
  /// The keys of SDES stand in the signalling. True: they may do so where that can be read on its way.
  package var withoutTLS = false

  package init() {}

  /// Our offers have keys in them that must not be read, whatever they go by.
  var showsKeys: Bool { policy == .require && keys == .sdes && !withoutTLS }
}
