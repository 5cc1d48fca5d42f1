import Base

/// How a flow is numbered anew on its way: what its source is called by whoever sends it and by whoever hears it, and
/// what is added to its sequence numbers and timestamps.
package struct RTPMapping: Hashable, Sendable, BitwiseCopyable {
  package var source: UInt32
  package var shown: UInt32
  package var sequenceOffset: UInt16
  package var timestampOffset: UInt32

  package init(source: UInt32, shown: UInt32, sequenceOffset: UInt16, timestampOffset: UInt32) {
    self.source = source
    self.shown = shown
    self.sequenceOffset = sequenceOffset
    self.timestampOffset = timestampOffset
  }
}

extension RTCPReader {
  /// Makes a valid compound, in place, speak of flows as its receiver knows them. Lengths stay.
  ///
  /// Sources in SR, RR, SDES, BYE and APP (RFC 3550 §6) and the two of a feedback message (RFC 4585 §6.1) change;
  /// what a feedback message says further stays. Of an XR (RFC 3611) its sender's source and those that its blocks are about.
  ///
  /// - Parameters:
  ///   - sent: how the flow of the compound's sender is mapped for its receiver; nil: it is not.
  ///   - heard: how the flow of its receiver is mapped for its sender.
  package static func renumber(
    in compound: inout MutableRawSpan, sent: RTPMapping?, heard: RTPMapping?
  ) {
    var reader = RTCPReader()
    while let packet = reader.next(in: compound.bytes) {
      let start = packet.bytes.start
      switch packet.type {
      case RTCPType.senderReport, RTCPType.receiverReport:
        let isSender = packet.type == RTCPType.senderReport
        if replace(sent?.source, by: sent?.shown, start + 4, packet, &compound), isSender, let sent
        {
          add(sent.timestampOffset, at: start + 16, &compound)
        }
        for index in 0..<packet.count {
          let block = start + (isSender ? 28 : 8) + RTCPReportBlock.size * index
          if replace(heard?.shown, by: heard?.source, block, packet, &compound), let heard {
            // Only the 16 bits of the number itself are ours to move; the cycles above are counted by the receiver.
            let number = UInt16(truncatingIfNeeded: compound.bytes.bigEndian32(at: block + 8))
            let moved = number &- heard.sequenceOffset
            compound.storeBytes(of: moved.bigEndian, toByteOffset: block + 10, as: UInt16.self)
          }
        }
      case RTCPType.sourceDescription: replaceInChunks(of: packet, sent, &compound)
      case RTCPType.bye:
        for index in 0..<packet.count {
          replace(sent?.source, by: sent?.shown, start + 4 + 4 * index, packet, &compound)
        }
      case RTCPType.transportFeedback, RTCPType.payloadFeedback:
        replace(sent?.source, by: sent?.shown, start + 4, packet, &compound)
        replace(heard?.shown, by: heard?.source, start + 8, packet, &compound)
      case RTCPType.extendedReport:
        replace(sent?.source, by: sent?.shown, start + 4, packet, &compound)
        if let heard { replaceInBlocks(of: packet, heard, &compound) }
      default: replace(sent?.source, by: sent?.shown, start + 4, packet, &compound)
      }
    }
  }

  /// Of an XR: the source that a block is about, and the range of its numbers where it has one (RFC 3611 §4.1 to §4.7).
  private static func replaceInBlocks(
    of packet: RTCPPacket, _ heard: RTPMapping, _ compound: inout MutableRawSpan
  ) {
    var walk = XRBlocks(of: packet)
    while let block = walk.next(in: compound.bytes) {
      let start = block.bytes.start
      switch block.type {
      // Losses, duplicates and times of receipt by number, and the summary of them.
      case 1, 2, 3, 6:
        guard block.bytes.count >= 12,
          replace(heard.shown, by: heard.source, start + 4, packet, &compound)
        else { continue }
        for at in [start + 8, start + 10] {
          let number = compound.bytes.bigEndian16(at: at) &- heard.sequenceOffset
          compound.storeBytes(of: number.bigEndian, toByteOffset: at, as: UInt16.self)
        }
      case VoIPMetrics.blockType:
        replace(heard.shown, by: heard.source, start + 4, packet, &compound)
      // Delays since the reports of receivers, twelve bytes for each.
      case 5:
        for at in stride(from: start + 4, to: block.bytes.end - 11, by: 12) {
          replace(heard.shown, by: heard.source, at, packet, &compound)
        }
      default: continue
      }
    }
  }

  private static func replaceInChunks(
    of packet: RTCPPacket, _ sent: RTPMapping?, _ compound: inout MutableRawSpan
  ) {
    var at = packet.bytes.start + 4
    for _ in 0..<packet.count {
      guard at + 4 <= packet.bytes.end else { return }
      replace(sent?.source, by: sent?.shown, at, packet, &compound)
      at += 4
      while at + 2 <= packet.bytes.end, compound.bytes.byte(at: at) != 0 {
        at += 2 + Int(compound.bytes.byte(at: at + 1))
      }
      at = (at - packet.bytes.start) / 4 * 4 + 4 + packet.bytes.start
    }
  }

  /// Nothing where there is no mapping, or another source stands there.
  @discardableResult
  private static func replace(
    _ old: UInt32?, by new: UInt32?, _ at: Int, _ packet: RTCPPacket,
    _ compound: inout MutableRawSpan
  ) -> Bool {
    guard let old, let new, at + 4 <= packet.bytes.end, compound.bytes.bigEndian32(at: at) == old
    else {
      return false
    }
    compound.storeBytes(of: new.bigEndian, toByteOffset: at, as: UInt32.self)
    return true
  }

  private static func add(_ offset: UInt32, at: Int, _ compound: inout MutableRawSpan) {
    let sum = compound.bytes.bigEndian32(at: at) &+ offset
    compound.storeBytes(of: sum.bigEndian, toByteOffset: at, as: UInt32.self)
  }
}
