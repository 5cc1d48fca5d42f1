import Base

extension RTCPReader {
  /// Takes out of a valid compound, in place, what its sender wrote as text: a canonical name is often
  /// `user@host` with an inner address, and the far end is to see nothing of it.
  ///
  /// Lengths stay, so nothing moves. Texts of SDES (RFC 3550 §6.5) become hexadecimal digits that follow
  /// from the SSRC alone, so a source keeps one name for as long as it lives (RFC 7022 §4.2); the reason of
  /// a BYE and the data of an APP become zeros. Reports, feedback and XR are figures and stay.
  package static func hideTexts(in compound: inout MutableRawSpan) {
    var reader = RTCPReader()
    while let packet = reader.next(in: compound.bytes) {
      switch packet.type {
      case RTCPType.sourceDescription: hideItems(of: packet, in: &compound)
      case RTCPType.bye: zero(from: packet.bytes.start + 4 + 4 * packet.count, packet, &compound)
      case RTCPType.application: zero(from: packet.bytes.start + 12, packet, &compound)
      default: break
      }
    }
  }

  private static func hideItems(of packet: RTCPPacket, in compound: inout MutableRawSpan) {
    var at = packet.bytes.start + 4
    for _ in 0..<packet.count {
      guard at + 4 <= packet.bytes.end else { return }
      let ssrc = compound.bytes.bigEndian32(at: at)
      at += 4
      while at + 2 <= packet.bytes.end, compound.bytes.byte(at: at) != 0 {
        // A PRIV item has a structure inside, which digits would break: it becomes a NOTE.
        if compound.bytes.byte(at: at) == SDESItem.priv { put(SDESItem.note, at, &compound) }
        let end = min(at + 2 + Int(compound.bytes.byte(at: at + 1)), packet.bytes.end)
        for (place, index) in zip((at + 2)..<max(end, at + 2), 0...) {
          put(digit(index, of: ssrc), place, &compound)
        }
        at = end
      }
      at = (at - packet.bytes.start) / 4 * 4 + 4 + packet.bytes.start
    }
  }

  /// Digit `index` of the name that stands for a source; 16 of them, then the same again.
  private static func digit(_ index: Int, of ssrc: UInt32) -> UInt8 {
    // The finaliser of SplitMix64: each bit of the SSRC moves half of the name's.
    var name = UInt64(ssrc) &+ 0x9e37_79b9_7f4a_7c15
    name = (name ^ name >> 30) &* 0xbf58_476d_1ce4_e5b9
    name = (name ^ name >> 27) &* 0x94d0_49bb_1331_11eb
    name ^= name >> 31
    return UInt8.hexDigit(UInt8(truncatingIfNeeded: name >> UInt64(60 - 4 * (index % 16))) & 15)
  }

  private static func zero(
    from start: Int, _ packet: RTCPPacket, _ compound: inout MutableRawSpan
  ) {
    var at = start
    while at < packet.bytes.end {
      put(0, at, &compound)
      at += 1
    }
  }

  private static func put(_ byte: UInt8, _ at: Int, _ compound: inout MutableRawSpan) {
    guard at >= 0, at < compound.byteCount else { return }
    compound.storeBytes(of: byte, toByteOffset: at, as: UInt8.self)
  }
}

private enum SDESItem {
  static let note: UInt8 = 7
  static let priv: UInt8 = 8
}
