/// What a peer's media may be.
package enum SRTPPolicy: String, Sendable, CaseIterable {
  /// Plain RTP alone: an offer of SRTP is refused.
  case off
  /// SRTP where the peer offers it; our own offers are of plain RTP.
  case allow
  /// SRTP alone, offered and taken.
  case require
}

/// How media with a peer is protected.
package struct SRTPRules: Hashable, Sendable {
  package var policy = SRTPPolicy.allow
  /// The keys of SDES stand in the signalling. True: they may do so where that can be read on its way.
  package var withoutTLS = false

  package init() {}
}
