import Base
import RTPWire
import Testing

private func parse(_ bytes: [UInt8]) -> RTPHeader? { RTPHeader(bytes.rawSpan) }
private func isValidRTCP(_ bytes: [UInt8]) -> Bool { RTCPReader.isValid(bytes.rawSpan) }

private func write(_ size: Int, _ body: (inout MutableRawSpan) -> Int) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: size)
  var count = 0
  do {
    var elements = bytes.mutableSpan
    var raw = unsafe elements.mutableBytes
    count = body(&raw)
  }
  return Array(bytes.prefix(count))
}

@Suite struct RTPPacketTests {
  let plain: [UInt8] = [0x80, 0x88, 0x12, 0x34, 0, 0, 0, 160, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4]

  @Test func theFixedHeaderIsRead() throws {
    let header = try #require(parse(plain))
    #expect(header.payloadType == 8)
    #expect(header.marker)
    #expect(header.sequence == 0x1234)
    #expect(header.timestamp == 160)
    #expect(header.ssrc == 0xdead_beef)
    #expect(header.payload == ByteRange(12, 4))
  }

  @Test func contributorsExtensionAndPaddingAreLeftOut() throws {
    var packet = plain
    packet[0] = 0xb2
    packet.insert(contentsOf: [1, 1, 1, 1, 2, 2, 2, 2, 0xbe, 0xde, 0, 1, 9, 9, 9, 9], at: 12)
    packet += [0, 0, 3]
    let header = try #require(parse(packet))
    #expect(header.payload == ByteRange(28, 4))
  }

  @Test func whatIsNoRTPIsRefused() {
    #expect(parse([]) == nil)
    #expect(parse(Array(plain.prefix(11))) == nil)
    #expect(parse(Array(plain.prefix(12))) != nil)
    for first: UInt8 in [0x00, 0x01, 0x16, 0x40, 0xc0] {  // STUN, DTLS, old versions
      var packet = plain
      packet[0] = first
      #expect(parse(packet) == nil)
    }
    for second: UInt8 in 200...204 {
      var packet = plain
      packet[1] = second
      #expect(parse(packet) == nil)
    }
    for (flags, last): (UInt8, UInt8) in [(0x82, 4), (0x90, 4), (0xa0, 0), (0xa0, 5), (0xa0, 255)] {
      var packet = plain
      packet[0] = flags
      packet[15] = last
      #expect(parse(packet) == nil)
    }
  }

  /// No cut or flipped byte traps or yields a payload outside of the packet.
  @Test func mutationsStayInside() {
    var packet = plain
    packet[0] = 0xb2
    packet.insert(contentsOf: [1, 1, 1, 1, 2, 2, 2, 2, 0xbe, 0xde, 0, 1, 9, 9, 9, 9], at: 12)
    for length in 0...packet.count {
      for index in 0..<length {
        for value in [0x00, 0x7f, 0x80, 0xff] as [UInt8] {
          var bad = Array(packet.prefix(length))
          bad[index] = value
          if let header = parse(bad) { #expect(header.payload.end <= length) }
          _ = isValidRTCP(bad)
        }
      }
    }
  }

  @Test func aWrittenHeaderReadsBack() {
    let header = RTPHeader(
      payloadType: 101, marker: true, sequence: 65_535, timestamp: 0xffff_fff0, ssrc: 3)
    let bytes = write(12) {
      header.write(to: &$0)
      return 12
    }
    #expect(parse(bytes) == header)
    let short = write(8) {
      header.write(to: &$0)
      return 8
    }
    #expect(short == [UInt8](repeating: 0, count: 8))
  }

  @Test func telephoneEvents() throws {
    let event = TelephoneEvent(event: 11, end: true, volume: 10, duration: 0x0320)
    let bytes = write(4) {
      event.write(to: &$0)
      return 4
    }
    #expect(bytes == [11, 0x8a, 0x03, 0x20])
    let read = TelephoneEvent(bytes.rawSpan)
    #expect(read == event)
    let short = TelephoneEvent([11, 0x8a, 3].rawSpan)
    #expect(short == nil)
    let digits = (0...16).map {
      TelephoneEvent(event: $0, end: false, volume: 0, duration: 0).digit
    }
    #expect(String(digits.compactMap { $0 }) == "0123456789*#ABCD")
  }
}

@Suite struct RTCPTests {
  let block = RTCPReportBlock(
    ssrc: 9, fractionLost: 64, cumulativeLost: -3, highestSequence: 0x1_0002, jitter: 160,
    lastSR: 0xb705_2000, delaySinceLastSR: 0x0005_4000)
  let info = RTCPSenderInfo(
    ntp: 0xb44d_b705_2000_0000, timestamp: 1, packets: 2, octets: 3)

  private var compound: [UInt8] {
    write(200) {
      var writer = RTCPWriter()
      writer.senderReport(ssrc: 5, info: info, block: block, to: &$0)
      writer.canonicalName(ssrc: 5, name: 0x0123_4567_89ab_cdef, to: &$0)
      writer.bye(ssrc: 5, to: &$0)
      return writer.count
    }
  }

  @Test func aCompoundReadsBack() throws {
    let bytes = compound
    var reader = RTCPReader()
    var packets: [RTCPPacket] = []
    while let packet = reader.next(in: bytes.rawSpan) { packets.append(packet) }
    #expect(!reader.failed)
    #expect(
      packets.map(\.type) == [
        RTCPType.senderReport, RTCPType.sourceDescription, RTCPType.bye,
      ])
    let report = try #require(packets.first)
    let sender = report.sender(in: bytes.rawSpan)
    let readInfo = report.senderInfo(in: bytes.rawSpan)
    let blocks = (0...1).map { report.reportBlock($0, in: bytes.rawSpan) }
    #expect(sender == 5)
    #expect(readInfo == info)
    #expect(blocks == [block, nil])
    #expect(Array(bytes[62..<78]) == Array("0123456789abcdef".utf8))
  }

  @Test func whatDoesNotFitIsLeftOutWhole() {
    let bytes = write(60) {
      var writer = RTCPWriter()
      writer.senderReport(ssrc: 5, info: info, block: block, to: &$0)
      writer.canonicalName(ssrc: 5, name: 1, to: &$0)
      writer.bye(ssrc: 5, to: &$0)
      return writer.count
    }
    #expect(bytes.count == 60)
    #expect(isValidRTCP(bytes))
  }

  /// The example of RFC 3550, figure 2.
  @Test func roundTripOfTheStandardsExample() {
    #expect(info.middle == 0xb705_2000)
    #expect(block.roundTrip(arrival: 0xb710_8000) == 0x0006_2000)
    #expect(block.roundTrip(arrival: 0xb705_2000) == nil)
    var never = block
    never.lastSR = 0
    #expect(never.roundTrip(arrival: 0xb710_8000) == nil)
  }

  @Test func lengthsAreChecked() {
    let bytes = compound
    #expect(!isValidRTCP([]))
    for length in 1..<bytes.count {
      // A cut is valid only where a packet ends.
      #expect(isValidRTCP(Array(bytes.prefix(length))) == [52, 80].contains(length))
    }
    var lying = bytes
    lying[0] = 0x82  // two blocks where one is
    #expect(!isValidRTCP(lying))
    #expect(!isValidRTCP([0x81, 203, 0, 0]))  // a BYE without its source
    #expect(!isValidRTCP([0x80, 100, 0, 0]))
    #expect(isValidRTCP([0x80, 205, 0, 0]))
    // SDES whose item runs over the end.
    #expect(!isValidRTCP([0x81, 202, 0, 2, 0, 0, 0, 1, 1, 9, 65, 65]))
    #expect(isValidRTCP([0x81, 202, 0, 2, 0, 0, 0, 1, 1, 1, 65, 0]))
    #expect(!isValidRTCP([0x82, 202, 0, 2, 0, 0, 0, 1, 1, 1, 65, 0]))
  }

  @Test func paddingBelongsToTheLastPacket() {
    let report: [UInt8] = [0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4]
    #expect(isValidRTCP(report))
    #expect(!isValidRTCP(report + [0x80, 201, 0, 1, 0, 0, 0, 1]))
    #expect(!isValidRTCP([0xa0, 201, 0, 1, 0, 0, 0, 4]))
    #expect(!isValidRTCP([0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3]))
  }

  @Test func ntpTimeOfTheStandardsExample() {
    // 10 Nov 1995 11:33:25.125 UTC
    #expect(ntpTime(unixNanoseconds: 816_003_205_125_000_000) == 0xb44d_b705_2000_0000)
  }
}

@Suite struct G711Tests {
  /// Ends of each segment, from the tables of G.711 (scaled by 4 and by 8).
  @Test func publishedValues() {
    let ulaw: [(UInt8, Int16)] = [
      (0x00, -32_124), (0x80, 32_124), (0x7f, 0), (0xff, 0), (0xef, 132), (0xdf, 396),
      (0xcf, 924), (0xbf, 1_980), (0xaf, 4_092), (0x9f, 8_316), (0x8f, 16_764), (0x0f, -16_764),
      (0xfe, 8), (0x7e, -8),
    ]
    for (code, sample) in ulaw { #expect(G711.linear(ulaw: code) == sample) }
    let alaw: [(UInt8, Int16)] = [
      (0xd5, 8), (0x55, -8), (0xaa, 32_256), (0x2a, -32_256), (0xc5, 264), (0xf5, 528),
      (0xe5, 1_056), (0x95, 2_112), (0x85, 4_224), (0xb5, 8_448), (0xa5, 16_896),
    ]
    for (code, sample) in alaw { #expect(G711.linear(alaw: code) == sample) }
  }

  @Test func encodingIsNearestAndMonotonic() {
    var lastU = Int16.min
    var lastA = Int16.min
    for value in Int(Int16.min)...Int(Int16.max) {
      let sample = Int16(value)
      let u = G711.linear(ulaw: G711.ulaw(linear: sample))
      let a = G711.linear(alaw: G711.alaw(linear: sample))
      if u < lastU || a < lastA { Issue.record("not monotonic at \(value)") }
      // Half a step of the segment, and what lies beyond full scale.
      let allowed = max(Int(sample.magnitude) / 32 + 8, 8)
      let clipped = min(max(value, -32_124), 32_124)
      if abs(Int(u) - clipped) > allowed { Issue.record("µ-law \(value) became \(u)") }
      if abs(Int(a) - value) > allowed + 504 { Issue.record("A-law \(value) became \(a)") }
      lastU = u
      lastA = a
    }
    for code in UInt8.min...UInt8.max {
      if code != 0x7f { #expect(G711.ulaw(linear: G711.linear(ulaw: code)) == code) }
      #expect(G711.alaw(linear: G711.linear(alaw: code)) == code)
    }
  }

  /// 0 dBm0 lies 3.17 dB (µ-law) and 3.14 dB (A-law) below the sine that just overloads.
  @Test func theMilliwattHasItsPower() {
    func power(_ samples: [Int16]) -> Double {
      samples.reduce(0) { $0 + Double($1) * Double($1) } / Double(samples.count)
    }
    let ulaw = power(G711.ulawMilliwatt.map(G711.linear(ulaw:)))
    let alaw = power(G711.alawMilliwatt.map(G711.linear(alaw:)))
    // Squares of the amplitude of a 0 dBm0 sine, halved; within 0.2 dB.
    #expect(abs(ulaw / (22_656.0 * 22_656.0 / 2) - 1) < 0.045)
    #expect(abs(alaw / (22_827.0 * 22_827.0 / 2) - 1) < 0.045)
  }
}

@Suite struct RTCPTextTests {
  private func hidden(_ compound: [UInt8]) -> [UInt8] {
    var bytes = compound
    do {
      var elements = bytes.mutableSpan
      var raw = unsafe elements.mutableBytes
      RTCPReader.hideTexts(in: &raw)
    }
    return bytes
  }

  /// SDES of one source with items (type, text).
  private func description(_ ssrc: UInt32, _ items: [(UInt8, String)]) -> [UInt8] {
    var chunk = (0..<4).map { UInt8(truncatingIfNeeded: ssrc >> UInt32(24 - 8 * $0)) }
    for (type, text) in items { chunk += [type, UInt8(text.utf8.count)] + Array(text.utf8) }
    chunk += [UInt8](repeating: 0, count: 4 - chunk.count % 4)
    return [0x81, 202, 0, UInt8(chunk.count / 4)] + chunk
  }

  private let report: [UInt8] = [0x80, 201, 0, 1, 1, 2, 3, 4]

  @Test func namesBecomeDigitsAndKeepTheirPlace() {
    let compound = report + description(7, [(1, "alice@10.9.8.7"), (6, "baresip v1")])
    let result = hidden(compound)
    #expect(result.count == compound.count)
    #expect(isValidRTCP(result))
    #expect(Array(result.prefix(16)) == Array(compound.prefix(16)))
    let name = result[18..<32]
    #expect(name.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "f") ~= $0 })
    #expect(!String(decoding: result, as: UTF8.self).contains("alice"))
    #expect(!String(decoding: result, as: UTF8.self).contains("baresip"))
    #expect(Array(result[32..<34]) == [6, 10])
  }

  @Test func aSourceKeepsItsNameAndOthersHaveOthers() {
    let long = String(repeating: "x", count: 16)
    #expect(hidden(description(7, [(1, long)])) == hidden(description(7, [(1, long)])))
    let (one, other) = (hidden(description(7, [(1, long)])), hidden(description(8, [(1, long)])))
    #expect(one[10...] != other[10...])
  }

  @Test func reasonsAndApplicationDataBecomeZeros() {
    let bye: [UInt8] = [0x81, 203, 0, 3, 0, 0, 0, 7, 5] + Array("alice".utf8) + [0, 0]
    let application: [UInt8] = [0x80, 204, 0, 3, 0, 0, 0, 7] + Array("NAMEdata".utf8)
    let result = hidden(report + bye + application)
    #expect(isValidRTCP(result))
    #expect(Array(result[16..<24]) == [UInt8](repeating: 0, count: 8))
    #expect(Array(result[36..<40]) == [0, 0, 0, 0])
    #expect(Array(result.prefix(16)) == report + bye.prefix(8))
  }

  @Test func aPrivateItemBecomesANote() {
    let result = hidden(description(7, [(8, "\u{3}keyvalue")]))
    #expect(result[8] == 7)
    #expect(isValidRTCP(result))
  }

  @Test func damagedCompoundsAreLeftAndDoNoHarm() {
    var random = RandomSource(seed: 11)
    let whole =
      report + description(7, [(1, "alice@10.9.8.7"), (8, "\u{3}keyvalue"), (2, "Alice")])
    for _ in 0..<20_000 {
      var bytes = whole
      for _ in 0..<3 {
        bytes[Int(random.next(below: bytes.count))] = UInt8(truncatingIfNeeded: random.next())
      }
      bytes = Array(bytes.prefix(Int(random.next(below: bytes.count + 1))))
      let wasValid = isValidRTCP(bytes)
      #expect(isValidRTCP(hidden(bytes)) == wasValid)
    }
  }
}

@Suite struct RTCPMappingTests {
  private func renumbered(
    _ compound: [UInt8], sent: RTPMapping?, heard: RTPMapping?
  ) -> [UInt8] {
    var bytes = compound
    do {
      var elements = bytes.mutableSpan
      var raw = unsafe elements.mutableBytes
      RTCPReader.renumber(in: &raw, sent: sent, heard: heard)
    }
    return bytes
  }

  private let sent = RTPMapping(
    source: 0x0102_0304, shown: 0x0a0b_0c0d, sequenceOffset: 9, timestampOffset: 0x10)
  private let heard = RTPMapping(
    source: 0x1111_1111, shown: 0x2222_2222, sequenceOffset: 2, timestampOffset: 7)

  @Test func eachKindOfPacket() {
    let old: [UInt8] = [1, 2, 3, 4]
    let new: [UInt8] = [0x0a, 0x0b, 0x0c, 0x0d]
    let theirs = [UInt8](repeating: 0x22, count: 4)
    let ours = [UInt8](repeating: 0x11, count: 4)
    func block(_ ssrc: [UInt8], _ number: [UInt8]) -> [UInt8] {
      ssrc + [0, 0, 0, 0, 0, 1] + number + [UInt8](repeating: 0, count: 12)
    }
    let stamp: [UInt8] = [0, 0, 0, 1]
    func compound(_ source: [UInt8], _ stamp: [UInt8], _ far: [UInt8], _ number: [UInt8]) -> [UInt8]
    {
      [0x81, 200, 0, 12] + source + [UInt8](repeating: 9, count: 8) + stamp
        + [UInt8](repeating: 0, count: 8) + block(far, number)
        + [0x81, 202, 0, 2] + source + [0, 0, 0, 0] + [0x81, 203, 0, 1] + source
        + [0x81, 205, 0, 2] + source + far
    }
    let before = compound(old, stamp, theirs, [0, 1])
    #expect(
      renumbered(before, sent: sent, heard: heard)
        == compound(new, [0, 0, 0, 0x11], ours, [0xff, 0xff]))
    #expect(renumbered(before, sent: nil, heard: nil) == before)
    // Sources that nobody maps stay as they are.
    let foreign = compound([9, 9, 9, 9], stamp, [8, 8, 8, 8], [0, 1])
    #expect(renumbered(foreign, sent: sent, heard: heard) == foreign)
  }

  /// Whatever a stranger sends, what was a compound stays one, and what was none stays as it is.
  @Test func anyBytes() {
    var random = RandomSource(seed: 20_261_128)
    var valid = 0
    for _ in 0..<20_000 {
      var bytes: [UInt8] = []
      for _ in 0...random.next(below: 3) {
        let words = random.next(below: 14)
        bytes += [
          0x80 | UInt8(random.next(below: 4)), 200 + UInt8(random.next(below: 8)), 0, UInt8(words),
        ]
        // Few values, so that sources are met and items have lengths that lead astray.
        bytes += (0..<4 * words).map { _ in [1, 2, 3, 4, 0, 0x22][random.next(below: 6)] }
      }
      let result = renumbered(
        bytes,
        sent: RTPMapping(
          source: 0x0102_0304, shown: 0x2222_2222, sequenceOffset: 1, timestampOffset: 1),
        heard: RTPMapping(
          source: 0x0303_0303, shown: 0x2222_2222, sequenceOffset: 1, timestampOffset: 1))
      #expect(result.count == bytes.count)
      if isValidRTCP(bytes) {
        valid += 1
        #expect(isValidRTCP(result))
      }
    }
    #expect(valid > 1_000)
  }

  /// Nothing is written outside of it.
  @Test func cutShort() {
    let whole: [UInt8] = [0x80, 200, 0, 6, 1, 2, 3, 4] + [UInt8](repeating: 0, count: 20)
    for count in 0..<whole.count {
      let part = Array(whole.prefix(count))
      #expect(renumbered(part, sent: sent, heard: heard) == part)
    }
  }
}
