internal import Base

/// The 48 bits that a packet is counted by: rollover counter and sequence number (RFC 3711 §3.3.1).
package enum SRTPIndex {
  /// RTP: 2^48 packets for a key; RTCP: 2^31 (§9.2).
  package static let mediaLimit: UInt64 = 1 << 48
  package static let controlLimit: UInt64 = 1 << 31

  /// Appendix A: the index nearest to the highest one that has this sequence number; nil where that would lie
  /// before the beginning. May be `mediaLimit` or more, which no key lasts for.
  package static func estimate(sequence: UInt16, highest: UInt64) -> UInt64? {
    let known = Int(highest & 0xffff)
    let rollovers = highest >> 16
    let sequence = Int(sequence)
    if known < 32_768 {
      if sequence - known > 32_768 {
        return rollovers == 0 ? nil : (rollovers &- 1) << 16 | UInt64(sequence)
      }
    } else if known - 32_768 > sequence {
      return (rollovers &+ 1) << 16 | UInt64(sequence)
    }
    return rollovers << 16 | UInt64(sequence)
  }
}

/// What stays readable of a protected RTP packet (§3.1): the header with its CSRCs and its extension. What would
/// need the payload, the padding that is, is left alone.
package struct SRTPHeader: Hashable, Sendable, BitwiseCopyable {
  /// Where the encrypted part begins.
  package var size: Int
  package var sequence: UInt16
  package var ssrc: UInt32

  /// Nil for what cannot be RTP, as in `RTPHeader`.
  package init?(_ packet: borrowing RawSpan) {
    let count = packet.byteCount
    guard count >= RTPHeader.size else { return nil }
    let first = packet.byte(at: 0)
    guard first >> 6 == 2, !(200...204).contains(packet.byte(at: 1)) else { return nil }
    var offset = RTPHeader.size &+ 4 &* Int(first & 0x0f)
    if first & 0x10 != 0 {
      guard offset &+ 4 <= count else { return nil }
      offset &+= 4 &+ 4 &* Int(packet.bigEndian16(at: offset &+ 2))
    }
    guard offset <= count else { return nil }
    size = offset
    sequence = packet.bigEndian16(at: 2)
    ssrc = packet.bigEndian32(at: 8)
  }
}
