import Base
import MediaControl
import RTPWire

// What comes on a media port, read as RTP and as RTCP with everything counted, and what comes from another
// process as media commands and facts. Every place that a reader names lies inside its bytes; what decodes
// encodes to what was read.

private func check(_ holds: Bool, _ what: StaticString) { if !holds { fatalError("\(what)") } }

private func readMedia(_ bytes: RawSpan) {
  // The input as packets of 16 bytes of header material each, through one source's statistics.
  var statistics = ReceptionStatistics()
  var offset = 0
  while offset < bytes.byteCount {
    let packet = bytes.slice(offset, offset + 16)
    if let header = RTPHeader(packet) {
      check(header.payload.end <= packet.byteCount, "RTP payload outside of the packet")
      let arrival = bytes.word(at: offset + 8)
      statistics.receive(header, arrival: arrival, clockRate: UInt32(arrival & 0xffff))
    }
    offset += 16
  }
  check(statistics.lost <= statistics.expected, "more lost than expected")
  _ = statistics.report(clockRate: 8_000, lastSR: 0, delaySinceLastSR: 0)
  if let header = RTPHeader(bytes) {
    check(header.payload.end <= bytes.byteCount, "RTP payload outside of the packet")
    _ = TelephoneEvent(bytes.extracting(header.payload))
  }
}

private func readControl(_ bytes: RawSpan) {
  var reader = RTCPReader()
  while let packet = reader.next(in: bytes) {
    check(packet.bytes.end <= bytes.byteCount, "RTCP packet outside of the compound")
    _ = packet.sender(in: bytes)
    _ = packet.senderInfo(in: bytes)
    if packet.type == RTCPType.senderReport || packet.type == RTCPType.receiverReport {
      let head = packet.type == RTCPType.senderReport ? 28 : 8
      check(Int(packet.bytes.count) >= head + 24 * packet.count, "report blocks outside of the packet")
    }
    for index in 0...packet.count {
      if let block = packet.reportBlock(index, in: bytes) {
        _ = block.roundTrip(arrival: block.jitter)
      }
    }
  }
}

private func readFrames(_ bytes: RawSpan) {
  var offset = 0
  var start = 0
  var written: [UInt8] = []
  while let command = try? MediaCoding.command(in: bytes, at: &offset) {
    written.removeAll(keepingCapacity: true)
    MediaCoding.encode(command, into: &written)
    check(bytes.slice(start, offset).equals(written.rawSpan), "a command changed its bytes")
    start = offset
  }
  offset = 0
  start = 0
  while let fact = try? MediaCoding.fact(in: bytes, at: &offset) {
    written.removeAll(keepingCapacity: true)
    MediaCoding.encode(fact, into: &written)
    check(bytes.slice(start, offset).equals(written.rawSpan), "a fact changed its bytes")
    start = offset
  }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafeRawPointer?, _ count: Int) -> CInt {
  let bytes = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: data, count: count))
  readMedia(bytes)
  readControl(bytes)
  readFrames(bytes)
  return 0
}
