package import Base

/// The fixed header of an RTP packet, and where its payload lies (RFC 3550 §5.1).
///
///      0                   1                   2                   3
///      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///     |V=2|P|X|  CC   |M|     PT      |       sequence number         |
///     |                           timestamp                           |
///     |           synchronization source (SSRC) identifier            |
///     |            contributing source (CSRC) identifiers             |
///     |                             ....                              |
package struct RTPHeader: Hashable, Sendable, BitwiseCopyable {
  package static let size = 12

  package var payloadType: UInt8
  package var marker: Bool
  package var sequence: UInt16
  package var timestamp: UInt32
  package var ssrc: UInt32
  /// The payload without header, CSRCs, extension and padding.
  package var payload: ByteRange

  package init(
    payloadType: UInt8, marker: Bool, sequence: UInt16, timestamp: UInt32, ssrc: UInt32
  ) {
    self.payloadType = payloadType & 0x7f
    self.marker = marker
    self.sequence = sequence
    self.timestamp = timestamp
    self.ssrc = ssrc
    payload = ByteRange(RTPHeader.size, 0)
  }

  /// Nil unless the packet passes §A.1: version 2, not an RTCP packet that lost its way (§5.1: payload
  /// types 72...76 look like SR to APP), CSRC list, header extension and padding inside the packet.
  /// An empty payload is valid. STUN (RFC 8489), DTLS and T.38 never have version 2.
  package init?(_ packet: borrowing RawSpan) {
    let count = packet.byteCount
    guard count >= 12 else { return nil }
    let first = packet.byte(at: 0)
    let second = packet.byte(at: 1)
    guard first >> 6 == 2 else { return nil }
    guard !(200...204).contains(second) else { return nil }
    var offset = 12 &+ 4 &* Int(first & 0x0f)
    if first & 0x10 != 0 {
      guard offset &+ 4 <= count else { return nil }
      offset &+= 4 &+ 4 &* Int(packet.bigEndian16(at: offset &+ 2))
    }
    guard offset <= count else { return nil }
    var end = count
    if first & 0x20 != 0 {
      let padding = Int(packet.byte(at: count &- 1))
      guard padding > 0, padding <= count &- offset else { return nil }
      end &-= padding
    }
    self.init(
      payloadType: second & 0x7f, marker: second & 0x80 != 0,
      sequence: packet.bigEndian16(at: 2), timestamp: packet.bigEndian32(at: 4),
      ssrc: packet.bigEndian32(at: 8))
    payload = ByteRange(from: offset, to: end)
  }

  /// Writes the 12 bytes of a header without CSRCs, extension or padding to the front of `packet`;
  /// nothing when they do not fit.
  package func write(to packet: inout MutableRawSpan) {
    guard packet.byteCount >= 12 else { return }
    packet.storeBytes(of: 0x80, toByteOffset: 0, as: UInt8.self)
    packet.storeBytes(of: payloadType | (marker ? 0x80 : 0), toByteOffset: 1, as: UInt8.self)
    writeMapping(to: &packet)
  }

  /// Overwrites marker and payload type of a packet and leaves the rest as it is.
  package func writePayloadType(to packet: inout MutableRawSpan) {
    guard packet.byteCount >= 2 else { return }
    packet.storeBytes(of: payloadType | (marker ? 0x80 : 0), toByteOffset: 1, as: UInt8.self)
  }

  /// Overwrites sequence number, timestamp and SSRC of a packet and leaves the rest as it is.
  package func writeMapping(to packet: inout MutableRawSpan) {
    guard packet.byteCount >= 12 else { return }
    packet.storeBytes(of: sequence.bigEndian, toByteOffset: 2, as: UInt16.self)
    packet.storeBytes(of: timestamp.bigEndian, toByteOffset: 4, as: UInt32.self)
    packet.storeBytes(of: ssrc.bigEndian, toByteOffset: 8, as: UInt32.self)
  }
}

/// Clock rates of the static payload types (RFC 3551 §6, tables 4 and 5); 0: dynamic or reserved.
package func staticClockRate(payloadType: UInt8) -> UInt32 {
  switch payloadType {
  case 0, 3, 4, 5, 7, 8, 9, 12, 13, 15, 18: 8_000
  case 6: 16_000
  case 10, 11: 44_100
  case 16: 11_025
  case 17: 22_050
  case 14, 25, 26, 28, 31, 32, 33, 34: 90_000
  default: 0
  }
}
