package import Base

/// Packet types of RFC 3550 §12.1.
package enum RTCPType {
  package static let senderReport: UInt8 = 200
  package static let receiverReport: UInt8 = 201
  package static let sourceDescription: UInt8 = 202
  package static let bye: UInt8 = 203
  package static let application: UInt8 = 204
  /// RFC 4585 §6.1.
  package static let transportFeedback: UInt8 = 205
  package static let payloadFeedback: UInt8 = 206
  /// RFC 3611 §2.
  package static let extendedReport: UInt8 = 207
}

/// One packet of a compound, as a place in it. Everything it says of lengths has been checked.
package struct RTCPPacket: Hashable, Sendable, BitwiseCopyable {
  package var type: UInt8
  /// Report blocks, chunks or sources, depending on the type (RC, SC).
  package var count: Int
  /// From the packet's first byte, without padding at its end.
  package var bytes: ByteRange

  init(type: UInt8, count: Int, bytes: ByteRange) {
    self.type = type
    self.count = count
    self.bytes = bytes
  }
}

/// Walks a compound RTCP packet (RFC 3550 §6.1), allocating nothing.
///
/// §A.2 wants SR or RR first; a compound without them is taken too, because RFC 5506 peers send such
/// without asking and nothing here depends on it. Every other rule of §A.2 holds.
package struct RTCPReader: Sendable, BitwiseCopyable {
  var offset = 0
  /// What stopped the walk before the end; the compound is then malformed.
  package var failed = false

  package init() {}

  package mutating func next(in compound: borrowing RawSpan) -> RTCPPacket? {
    guard !failed, offset < compound.byteCount else { return nil }
    guard let packet = Self.parse(compound, at: offset) else {
      failed = true
      return nil
    }
    offset &+= 4 &+ 4 &* Int(compound.bigEndian16(at: offset &+ 2))
    return packet
  }

  static func parse(_ compound: borrowing RawSpan, at offset: Int) -> RTCPPacket? {
    guard offset &+ 4 <= compound.byteCount else { return nil }
    let first = compound.byte(at: offset)
    let type = compound.byte(at: offset &+ 1)
    let end = offset &+ 4 &+ 4 &* Int(compound.bigEndian16(at: offset &+ 2))
    guard first >> 6 == 2, (192...223).contains(type), end <= compound.byteCount else { return nil }
    var size = end &- offset
    if first & 0x20 != 0 {
      // Padding belongs to the last packet alone, in whole words (§6.4.1).
      let padding = Int(compound.byte(at: end &- 1))
      guard end == compound.byteCount, padding > 0, padding % 4 == 0, padding <= size &- 4 else {
        return nil
      }
      size &-= padding
    }
    let count = Int(first & 0x1f)
    let packet = RTCPPacket(type: type, count: count, bytes: ByteRange(offset, size))
    return packet.holdsItsCount(in: compound) ? packet : nil
  }

  /// Whether every packet of the compound is well-formed and their lengths add up. An empty one is not.
  package static func isValid(_ compound: borrowing RawSpan) -> Bool {
    var reader = RTCPReader()
    var packets = 0
    while reader.next(in: compound) != nil { packets &+= 1 }
    return packets > 0 && !reader.failed
  }
}

extension RTCPPacket {
  func holdsItsCount(in compound: borrowing RawSpan) -> Bool {
    let size = Int(bytes.count)
    switch type {
    case RTCPType.senderReport: return size >= 28 &+ RTCPReportBlock.size &* count
    case RTCPType.receiverReport: return size >= 8 &+ RTCPReportBlock.size &* count
    case RTCPType.sourceDescription: return holdsItsChunks(in: compound)
    case RTCPType.bye: return size >= 4 &+ 4 &* count
    default: return true
    }
  }

  /// SDES (§6.5): each chunk is an SSRC and items (type, length, text), ended by a zero and filled up
  /// with zeros to a whole word.
  private func holdsItsChunks(in compound: borrowing RawSpan) -> Bool {
    var at = bytes.start + 4
    for _ in 0..<count {
      guard at + 4 <= bytes.end else { return false }
      at += 4
      while at < bytes.end, compound.byte(at: at) != 0 {
        guard at + 2 <= bytes.end else { return false }
        at += 2 + Int(compound.byte(at: at + 1))
      }
      guard at < bytes.end else { return false }
      at = (at - bytes.start) / 4 * 4 + 4 + bytes.start
    }
    return at <= bytes.end
  }

  /// The SSRC of whoever sent the packet (of its first source for SDES and BYE); 0 where there is none.
  package func sender(in compound: borrowing RawSpan) -> UInt32 {
    bytes.count >= 8 ? compound.bigEndian32(at: bytes.start &+ 4) : 0
  }

  /// The sender info of an SR; nil for other types.
  package func senderInfo(in compound: borrowing RawSpan) -> RTCPSenderInfo? {
    guard type == RTCPType.senderReport else { return nil }
    return RTCPSenderInfo(compound, at: bytes.start &+ 8)
  }

  /// Report block `index` of an SR or RR; nil beyond the last and for other types.
  package func reportBlock(_ index: Int, in compound: borrowing RawSpan) -> RTCPReportBlock? {
    guard index >= 0, index < count else { return nil }
    switch type {
    case RTCPType.senderReport:
      return RTCPReportBlock(compound, at: bytes.start &+ 28 &+ index &* RTCPReportBlock.size)
    case RTCPType.receiverReport:
      return RTCPReportBlock(compound, at: bytes.start &+ 8 &+ index &* RTCPReportBlock.size)
    default: return nil
    }
  }
}

/// The second section of an SR (§6.4.1).
package struct RTCPSenderInfo: Hashable, Sendable, BitwiseCopyable {
  package var ntp: UInt64
  package var timestamp: UInt32
  package var packets: UInt32
  package var octets: UInt32

  package init(ntp: UInt64, timestamp: UInt32, packets: UInt32, octets: UInt32) {
    self.ntp = ntp
    self.timestamp = timestamp
    self.packets = packets
    self.octets = octets
  }

  init(_ compound: borrowing RawSpan, at offset: Int) {
    ntp =
      UInt64(compound.bigEndian32(at: offset)) << 32
      | UInt64(compound.bigEndian32(at: offset &+ 4))
    timestamp = compound.bigEndian32(at: offset &+ 8)
    packets = compound.bigEndian32(at: offset &+ 12)
    octets = compound.bigEndian32(at: offset &+ 16)
  }

  /// What a report block calls this SR: the middle half of its NTP time.
  package var middle: UInt32 { UInt32(truncatingIfNeeded: ntp >> 16) }
}

/// A report on one source (§6.4.1).
package struct RTCPReportBlock: Hashable, Sendable, BitwiseCopyable {
  package static let size = 24

  package var ssrc: UInt32
  /// Of the last interval, in 1/256.
  package var fractionLost: UInt8
  /// Since the beginning: 24 bits with sign, negative when there were duplicates.
  package var cumulativeLost: Int32
  package var highestSequence: UInt32
  /// In timestamp units.
  package var jitter: UInt32
  /// Which SR was heard last, and how long ago in 1/65536 s; 0 and 0 before the first.
  package var lastSR: UInt32
  package var delaySinceLastSR: UInt32

  package init(
    ssrc: UInt32, fractionLost: UInt8, cumulativeLost: Int32, highestSequence: UInt32,
    jitter: UInt32, lastSR: UInt32, delaySinceLastSR: UInt32
  ) {
    self.ssrc = ssrc
    self.fractionLost = fractionLost
    self.cumulativeLost = min(max(cumulativeLost, -0x80_0000), 0x7f_ffff)
    self.highestSequence = highestSequence
    self.jitter = jitter
    self.lastSR = lastSR
    self.delaySinceLastSR = delaySinceLastSR
  }

  init(_ compound: borrowing RawSpan, at offset: Int) {
    ssrc = compound.bigEndian32(at: offset)
    fractionLost = compound.byte(at: offset &+ 4)
    let lost = compound.bigEndian32(at: offset &+ 4) << 8
    cumulativeLost = Int32(bitPattern: lost) >> 8
    highestSequence = compound.bigEndian32(at: offset &+ 8)
    jitter = compound.bigEndian32(at: offset &+ 12)
    lastSR = compound.bigEndian32(at: offset &+ 16)
    delaySinceLastSR = compound.bigEndian32(at: offset &+ 20)
  }

  /// The round trip to whoever sent this block, in 1/65536 s, when its SR was sent by us: A - LSR - DLSR
  /// with A the middle half of the NTP time of arrival. Nil when no SR was heard or the peer's figures
  /// cannot be (a negative trip, or one above 60 s).
  package func roundTrip(arrival: UInt32) -> UInt32? {
    guard lastSR != 0 else { return nil }
    let trip = Int32(bitPattern: arrival &- lastSR &- delaySinceLastSR)
    return trip >= 0 && trip <= 60 << 16 ? UInt32(trip) : nil
  }
}

/// NTP time (RFC 3550 §4): seconds since 1900 and a 32-bit fraction.
package func ntpTime(unixNanoseconds time: UInt64) -> UInt64 {
  let seconds = time / 1_000_000_000 &+ 2_208_988_800
  let fraction = (time % 1_000_000_000) << 32 / 1_000_000_000
  return seconds << 32 | fraction
}
