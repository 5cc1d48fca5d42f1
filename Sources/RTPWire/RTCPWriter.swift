import Base

/// Builds a compound RTCP packet in somebody's buffer. What does not fit is left out whole.
package struct RTCPWriter: Sendable {
  /// Bytes written so far.
  package private(set) var count = 0

  package init() {}

  /// An SR with at most one report block (§6.4.1).
  package mutating func senderReport(
    ssrc: UInt32, info: RTCPSenderInfo, block: RTCPReportBlock?, to packet: inout MutableRawSpan
  ) {
    let size = 28 + (block == nil ? 0 : RTCPReportBlock.size)
    guard begin(RTCPType.senderReport, block == nil ? 0 : 1, size, &packet) else { return }
    put(ssrc, &packet)
    put(UInt32(truncatingIfNeeded: info.ntp >> 32), &packet)
    put(UInt32(truncatingIfNeeded: info.ntp), &packet)
    put(info.timestamp, &packet)
    put(info.packets, &packet)
    put(info.octets, &packet)
    if let block { put(block, &packet) }
  }

  /// An RR with at most one report block (§6.4.2).
  package mutating func receiverReport(
    ssrc: UInt32, block: RTCPReportBlock?, to packet: inout MutableRawSpan
  ) {
    let size = 8 + (block == nil ? 0 : RTCPReportBlock.size)
    guard begin(RTCPType.receiverReport, block == nil ? 0 : 1, size, &packet) else { return }
    put(ssrc, &packet)
    if let block { put(block, &packet) }
  }

  /// SDES with one CNAME of 16 hexadecimal digits (§6.5.1; RFC 7022 §4.2: random, of one session).
  package mutating func canonicalName(
    ssrc: UInt32, name: UInt64, to packet: inout MutableRawSpan
  ) {
    guard begin(RTCPType.sourceDescription, 1, 28, &packet) else { return }
    put(ssrc, &packet)
    put(byte: 1, &packet)
    put(byte: 16, &packet)
    for digit in 0..<16 {
      put(byte: UInt8.hexDigit(UInt8(truncatingIfNeeded: name >> UInt64(60 - 4 * digit))), &packet)
    }
    put(byte: 0, &packet)
    put(byte: 0, &packet)
  }

  /// An XR with one VoIP Metrics block (RFC 3611 §2, §4.7).
  package mutating func extendedReport(
    ssrc: UInt32, _ metrics: VoIPMetrics, to packet: inout MutableRawSpan
  ) {
    guard begin(RTCPType.extendedReport, 0, 8 + VoIPMetrics.size, &packet) else { return }
    put(ssrc, &packet)
    let words = metrics.words
    for i in words.indices { put(words[i], &packet) }
  }

  package mutating func bye(ssrc: UInt32, to packet: inout MutableRawSpan) {
    guard begin(RTCPType.bye, 1, 8, &packet) else { return }
    put(ssrc, &packet)
  }

  private mutating func begin(
    _ type: UInt8, _ items: UInt8, _ size: Int, _ packet: inout MutableRawSpan
  ) -> Bool {
    guard count + size <= packet.byteCount else { return false }
    put(UInt32(0x80 | items) << 24 | UInt32(type) << 16 | UInt32(size / 4 - 1), &packet)
    return true
  }

  private mutating func put(_ block: RTCPReportBlock, _ packet: inout MutableRawSpan) {
    put(block.ssrc, &packet)
    let lost = UInt32(bitPattern: block.cumulativeLost) & 0xff_ffff
    put(UInt32(block.fractionLost) << 24 | lost, &packet)
    put(block.highestSequence, &packet)
    put(block.jitter, &packet)
    put(block.lastSR, &packet)
    put(block.delaySinceLastSR, &packet)
  }

  private mutating func put(_ value: UInt32, _ packet: inout MutableRawSpan) {
    packet.storeBytes(of: value.bigEndian, toByteOffset: count, as: UInt32.self)
    count += 4
  }

  private mutating func put(byte: UInt8, _ packet: inout MutableRawSpan) {
    packet.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
    count += 1
  }
}
