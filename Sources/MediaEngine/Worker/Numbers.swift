import Base
import MediaControl
import RTPWire

// Payload types where the two sides of a call have named one format by two numbers (`PayloadNumbers`). Such a packet is
// understood by the number that its far end has named for the format, whichever it came by, and leaves by that of the
// other end. The kernel leaves these flows alone.

/// By every payload type.
final class PayloadNumbering {
  private var own = InlineArray<128, UInt8>(repeating: 0)
  private var leaving = InlineArray<128, UInt8>(repeating: 0)

  init(_ numbers: PayloadNumbers) {
    for type in own.indices {
      own[type] = UInt8(truncatingIfNeeded: type)
      leaving[type] = UInt8(truncatingIfNeeded: type)
    }
    for i in 0..<numbers.count {
      let entry = numbers[i]
      own[Int(entry.heard & 0x7f)] = entry.own
      leaving[Int(entry.own & 0x7f)] = entry.leaving
    }
  }

  func own(_ type: UInt8) -> UInt8 { own[Int(type & 0x7f)] }
  func leaving(_ type: UInt8) -> UInt8 { leaving[Int(type & 0x7f)] }
}

extension Worker {
  mutating func number(_ id: MediaTransportID, _ numbers: PayloadNumbers) -> Bool {
    guard let slot = slots[id] else { return false }
    takeBack(slot)
    endNumbers(slot)
    if !numbers.isEmpty {
      numberings[slot] = PayloadNumbering(numbers)
      transports[slot].isRenamed = true
    }
    offerPassage(slot)
    return true
  }

  mutating func endNumbers(_ slot: Int) {
    transports[slot].isRenamed = false
    numberings[slot] = nil
  }

  /// The packet of `slot` in the buffer by the number that its far end has named.
  mutating func understood(_ header: RTPHeader, _ slot: Int) -> RTPHeader {
    guard let own = numberings[slot]?.own(header.payloadType), own != header.payloadType else {
      return header
    }
    var header = header
    header.payloadType = own
    buffer.name(header)
    return header
  }

  /// The packet of `source` in the buffer is about to leave.
  mutating func rename(_ header: RTPHeader, of source: Int) {
    guard let leaving = numberings[source]?.leaving(header.payloadType),
      leaving != header.payloadType
    else { return }
    var header = header
    header.payloadType = leaving
    buffer.name(header)
  }
}

extension PacketBuffer {
  fileprivate mutating func name(_ header: RTPHeader) {
    var packet = mutableBytes(RTPHeader.size)
    header.writePayloadType(to: &packet)
  }
}
