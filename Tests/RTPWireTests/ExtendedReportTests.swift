import Base
import RTPWire
import Testing

/// Bursts, and the VoIP Metrics block (RFC 3611).
@Suite struct ExtendedReportTests {
  private func meter(_ pattern: String) -> BurstMeter.Figures {
    var meter = BurstMeter()
    for packet in pattern { meter.count(isLost: packet != "1") }
    return meter.figures
  }

  /// The example of §4.7.2: 64 packets of 10 ms, a burst of 120 ms, 520 ms of gaps.
  @Test func theStandardsExample() {
    let figures = meter("11110111111111111111111X111X1011110111111111111111111X111111111")
    #expect(figures.bursts == 1 && figures.burstPackets == 12)
    // The text draws 63 packets and counts 64.
    #expect((51...52).contains(Int(figures.gapPackets)))
    #expect(Int(figures.burstDensity * 256) == 85 && Int(figures.gapDensity * 256) == 10)
  }

  @Test func lossesAloneAreNoBurst() {
    let alone = String(repeating: "1", count: 16)
    #expect(meter(alone + "0" + alone + "0" + alone).bursts == 0)
    #expect(meter("0" + alone).gapDensity == 1.0 / 17)
    let near = meter(alone + "0" + alone.dropFirst() + "0" + alone)
    #expect(near.bursts == 1 && near.burstPackets == 17 && near.gapDensity == 0)
    #expect(near.burstDensity == 2.0 / 17)
    let two = meter("00" + alone + "00" + alone)
    #expect(two.bursts == 2 && two.burstDensity == 1 && two.gapPackets == 16)
    #expect(meter("").bursts == 0 && meter("").gapDensity == 0)
  }

  private func receive(_ numbers: [Int]) -> BurstMeter.Figures {
    var reception = ReceptionStatistics()
    for number in numbers {
      let header = RTPHeader(
        payloadType: 0, marker: false, sequence: UInt16(truncatingIfNeeded: number),
        timestamp: UInt32(truncatingIfNeeded: number * 160), ssrc: 1)
      reception.receive(header, arrival: UInt64(number) * 20_000_000, clockRate: 8_000)
    }
    return reception.burstFigures
  }

  /// As the reception sees them: what is late by less than 32 packets is not lost, over the end of the numbers as well.
  @Test(arguments: [0, 65_500]) func asTheyAreReceived(first: Int) {
    let whole = Array(first..<first + 200)
    #expect(receive(whole).bursts == 0 && receive(whole).gapPackets == 200)
    let hole = whole.filter { !(first + 60..<first + 64).contains($0) }
    let figures = receive(hole)
    #expect(figures.bursts == 1 && figures.burstPackets == 4 && figures.burstDensity == 1)
    #expect(figures.gapPackets == 196)
    var late = hole
    late.insert(contentsOf: first + 60..<first + 64, at: 80)
    #expect(receive(late).bursts == 0)
    // And what is still open when the report is made.
    #expect(receive(Array(hole.prefix(62))).bursts == 1)
  }

  private var metrics: VoIPMetrics {
    var metrics = VoIPMetrics(ssrc: 0x1111_2222)
    metrics.lossRate = 12
    metrics.burstDensity = 84
    metrics.gapDensity = 10
    metrics.burstDuration = 120
    metrics.gapDuration = 520
    metrics.roundTrip = 42
    metrics.endSystemDelay = 20
    metrics.rFactor = 93
    metrics.mosListening = 44
    metrics.mosConversational = 43
    return metrics
  }

  private func compound() -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 256)
    var writer = RTCPWriter()
    do {
      var elements = bytes.mutableSpan
      var packet = unsafe elements.mutableBytes
      writer.receiverReport(ssrc: 0x3333_4444, block: nil, to: &packet)
      writer.extendedReport(ssrc: 0x3333_4444, metrics, to: &packet)
    }
    return Array(bytes.prefix(writer.count))
  }

  private func metrics(of source: UInt32, in bytes: [UInt8]) -> VoIPMetrics? {
    var reader = RTCPReader()
    while let packet = reader.next(in: bytes.rawSpan) {
      if let found = packet.voipMetrics(of: source, in: bytes.rawSpan) { return found }
    }
    return nil
  }

  @Test func whatIsWrittenIsRead() {
    let bytes = compound()
    let isValid = RTCPReader.isValid(bytes.rawSpan)
    #expect(isValid)
    // Nine words behind the header of the XR: its length in words less one is 10.
    #expect(Array(bytes[8..<12]) == [0x80, 207, 0, 10])
    #expect(Array(bytes[16..<20]) == [7, 0, 0, 8] && Array(bytes[36..<40]) == [127, 127, 127, 16])
    #expect(metrics(of: 0x1111_2222, in: bytes) == metrics)
    #expect(metrics(of: 1, in: bytes) == nil)
  }

  /// A block that claims more than there is ends the walk, and one that is too short is none.
  @Test func brokenBlocksAreNotRead() {
    var bytes = compound()
    bytes[19] = 9
    #expect(metrics(of: 0x1111_2222, in: bytes) == nil)
    bytes[19] = 3
    #expect(metrics(of: 0x1111_2222, in: bytes) == nil)
    for length in 0..<bytes.count { _ = metrics(of: 0x1111_2222, in: Array(bytes.prefix(length))) }
  }

  /// Of a flow that is numbered anew on its way the report is about the flow that its sender knows.
  @Test func sourcesAreThoseThatTheReaderKnows() {
    var bytes = compound()
    let sent = RTPMapping(source: 0x3333_4444, shown: 5, sequenceOffset: 0, timestampOffset: 0)
    let heard = RTPMapping(source: 7, shown: 0x1111_2222, sequenceOffset: 100, timestampOffset: 0)
    do {
      var elements = bytes.mutableSpan
      var packet = unsafe elements.mutableBytes
      RTCPReader.renumber(in: &packet, sent: sent, heard: heard)
    }
    let sender = bytes.rawSpan.bigEndian32(at: 12)
    #expect(sender == 5 && metrics(of: 7, in: bytes)?.lossRate == 12)
  }

  /// A block with a range of numbers (§4.1): 1000 to 1010 as they were shown are 900 to 910 as they were sent.
  @Test func rangesMoveAlong() {
    var bytes: [UInt8] = [
      0x80, 207, 0, 5, 0x33, 0x33, 0x44, 0x44, 1, 0, 0, 3, 0x11, 0x11, 0x22, 0x22, 0x03, 0xe8, 0x03,
      0xf2, 0x80, 0, 0, 0,
    ]
    let heard = RTPMapping(source: 7, shown: 0x1111_2222, sequenceOffset: 100, timestampOffset: 0)
    do {
      var elements = bytes.mutableSpan
      var packet = unsafe elements.mutableBytes
      RTCPReader.renumber(in: &packet, sent: nil, heard: heard)
    }
    #expect(Array(bytes[12..<20]) == [0, 0, 0, 7, 0x03, 0x84, 0x03, 0x8e])
  }
}
