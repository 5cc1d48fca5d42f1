import Base

/// What a receiver of speech says of it: the VoIP Metrics block of RFC 3611 §4.7.
///
///      0                   1                   2                   3
///      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///     |     BT=7      |   reserved    |       block length = 8        |
///     |                        SSRC of source                         |
///     |   loss rate   | discard rate  | burst density |  gap density  |
///     |       burst duration          |         gap duration          |
///     |     round trip delay          |       end system delay        |
///     | signal level  |  noise level  |     RERL      |     Gmin      |
///     |   R factor    | ext. R factor |    MOS-LQ     |    MOS-CQ     |
///     |   RX config   |   reserved    |          JB nominal           |
///     |          JB maximum           |          JB abs max           |
package struct VoIPMetrics: Hashable, Sendable, BitwiseCopyable {
  package static let blockType: UInt8 = 7
  /// Of the block with its header.
  package static let size = 36
  /// Of levels, R factors and MOS: not known.
  package static let unavailable: UInt8 = 127

  package var ssrc: UInt32
  /// Since the beginning, in 1/256.
  package var lossRate: UInt8 = 0
  package var discardRate: UInt8 = 0
  package var burstDensity: UInt8 = 0
  package var gapDensity: UInt8 = 0
  /// Milliseconds.
  package var burstDuration: UInt16 = 0
  package var gapDuration: UInt16 = 0
  package var roundTrip: UInt16 = 0
  package var endSystemDelay: UInt16 = 0
  package var rFactor = unavailable
  /// Times ten: 10...50.
  package var mosListening = unavailable
  package var mosConversational = unavailable
  /// Milliseconds.
  package var bufferNominal: UInt16 = 0
  package var bufferMaximum: UInt16 = 0
  package var bufferAbsoluteMaximum: UInt16 = 0

  package init(ssrc: UInt32) { self.ssrc = ssrc }

  init(_ compound: borrowing RawSpan, at offset: Int) {
    ssrc = compound.bigEndian32(at: offset &+ 4)
    lossRate = compound.byte(at: offset &+ 8)
    discardRate = compound.byte(at: offset &+ 9)
    burstDensity = compound.byte(at: offset &+ 10)
    gapDensity = compound.byte(at: offset &+ 11)
    burstDuration = compound.bigEndian16(at: offset &+ 12)
    gapDuration = compound.bigEndian16(at: offset &+ 14)
    roundTrip = compound.bigEndian16(at: offset &+ 16)
    endSystemDelay = compound.bigEndian16(at: offset &+ 18)
    rFactor = compound.byte(at: offset &+ 24)
    mosListening = compound.byte(at: offset &+ 26)
    mosConversational = compound.byte(at: offset &+ 27)
    bufferNominal = compound.bigEndian16(at: offset &+ 30)
    bufferMaximum = compound.bigEndian16(at: offset &+ 32)
    bufferAbsoluteMaximum = compound.bigEndian16(at: offset &+ 34)
  }

  /// Nine words, of which levels and echo are not known to us.
  var words: InlineArray<9, UInt32> {
    let rates =
      UInt32(lossRate) << 24 | UInt32(discardRate) << 16 | UInt32(burstDensity) << 8
      | UInt32(gapDensity)
    let quality =
      UInt32(rFactor) << 24 | UInt32(Self.unavailable) << 16 | UInt32(mosListening) << 8
      | UInt32(mosConversational)
    return [
      UInt32(Self.blockType) << 24 | 8, ssrc, rates,
      UInt32(burstDuration) << 16 | UInt32(gapDuration),
      UInt32(roundTrip) << 16 | UInt32(endSystemDelay),
      0x7f7f_7f00 | BurstMeter.gmin, quality, UInt32(bufferNominal),
      UInt32(bufferMaximum) << 16 | UInt32(bufferAbsoluteMaximum),
    ]
  }
}

extension RTCPPacket {
  /// The first VoIP Metrics block of an XR on `source`; nil where there is none.
  package func voipMetrics(of source: UInt32, in compound: borrowing RawSpan) -> VoIPMetrics? {
    var walk = XRBlocks(of: self)
    while let block = walk.next(in: compound) {
      guard block.type == VoIPMetrics.blockType, block.bytes.count >= VoIPMetrics.size else {
        continue
      }
      let metrics = VoIPMetrics(compound, at: block.bytes.start)
      if metrics.ssrc == source { return metrics }
    }
    return nil
  }
}

/// Walks the report blocks of an XR packet (RFC 3611 §3); what goes beyond the packet ends the walk.
struct XRBlocks {
  struct Block {
    var type: UInt8
    /// With its header.
    var bytes: ByteRange
  }

  private var offset: Int
  private let end: Int

  init(of packet: RTCPPacket) {
    let isReport = packet.type == RTCPType.extendedReport
    offset = packet.bytes.start + 8
    end = isReport ? packet.bytes.end : 0
  }

  mutating func next(in compound: borrowing RawSpan) -> Block? {
    guard offset + 4 <= end else { return nil }
    let size = 4 + 4 * Int(compound.bigEndian16(at: offset + 2))
    guard offset + size <= end else { return nil }
    defer { offset += size }
    return Block(type: compound.byte(at: offset), bytes: ByteRange(offset, size))
  }
}
