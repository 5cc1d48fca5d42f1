import Base
import Glibc
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// Two ends that have no codec in common hear each other, in a flow of our own.
@Suite(.serialized) struct SpeechConversionTests {
  private static let types: [AudioCodec: UInt8] = [
    .pcmu: 0, .gsm: 3, .pcma: 8, .g722: 9, .g729: 18, .l16: 96, .l16Wide: 97, .opus: 111,
  ]

  private func remote(_ peer: Peer, _ codecs: AudioCodec...) -> RemoteMedia {
    var remote = RemoteMedia(peer.address, codec: codecs[0])
    remote.payloadType = Self.types[codecs[0]] ?? 255
    remote.clockRate = codecs[0].clockRate
    for codec in codecs {
      remote.speech.append(SpeechFormats.Format(codec, Self.types[codec] ?? 255))
    }
    return remote
  }

  private func packet(
    _ number: Int, type: UInt8, _ payload: [UInt8], first: UInt8 = 0x80, tail: [UInt8] = []
  ) -> [UInt8] {
    var packet = rtp(number, payloadType: type, marker: number == 1)
    packet[0] = first
    return packet.prefix(RTPHeader.size) + payload + tail
  }

  /// A tone of 400 Hz, 20 ms of it.
  private func tone(_ block: Int) -> [Int16] {
    let cycle: [Int16] = [
      0, 2_472, 4_702, 6_472, 7_608, 8_000, 7_608, 6_472, 4_702, 2_472, 0, -2_472, -4_702, -6_472,
      -7_608, -8_000, -7_608, -6_472, -4_702, -2_472,
    ]
    return (0..<160).map { cycle[(block * 160 + $0) % 20] }
  }

  private func payload(_ packet: [UInt8]) -> [UInt8] { Array(packet.dropFirst(RTPHeader.size)) }

  /// The counters, once all that was sent has been counted.
  private func counters(
    _ rig: Rig, until isDone: (MediaCounters) -> Bool
  ) -> MediaCounters {
    for _ in 0..<200 where !isDone(rig.plane.counters) { usleep(5_000) }
    return rig.plane.counters
  }

  /// G.711 needs no memory: each packet for itself, bit for bit. The flow is one of ours, in the time of the one that came.
  @Test func lawsBothWays() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(remote(alice, .pcmu), remote(bob, .pcma))
    var before: RTPHeader?
    for number in 1...3 {
      let samples = tone(number)
      alice.send(packet(number, type: 0, samples.map(G711.ulaw)), to: a.media)
      let heard = try #require(bob.packet())
      let law = samples.map { G711.alaw(linear: G711.linear(ulaw: G711.ulaw(linear: $0))) }
      #expect(heard.payload == law && heard.header.payloadType == 8)
      #expect(heard.header.marker == (number == 1) && heard.header.ssrc != 0x1111_2222)
      if let before {
        #expect(heard.header.sequence == before.sequence &+ 1)
        #expect(heard.header.timestamp == before.timestamp &+ 160)
        #expect(heard.header.ssrc == before.ssrc)
      }
      before = heard.header
      bob.send(packet(number, type: 8, samples.map(G711.alaw)), to: b.media)
      let back = try #require(alice.packet())
      #expect(back.payload.count == 160 && back.header.payloadType == 0)
    }
    let counted = counters(rig) { $0.converted == 6 }
    #expect(counted.converted == 6 && counted.unconvertible == 0)
    #expect(rig.measure(a)?.packets == 3 && rig.measure(b)?.sent == 3)
  }

  /// CSRCs and padding do not come along; digits do, at their place in the time of the new flow.
  @Test func whatIsNoSpeechKeepsItsPlace() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(remote(alice, .pcmu), remote(bob, .opus))
    let speech = tone(0).map(G711.ulaw)
    let source: [UInt8] = [1, 2, 3, 4]
    alice.send(packet(1, type: 0, source + speech, first: 0xa1, tail: [0, 0, 3]), to: a.media)
    let heard = try #require(bob.receive()?.bytes)
    #expect(heard[0] == 0x80 && heard[1] == 0x80 | 111)
    let first = try #require(parse(heard)).header
    // A digit that began with packet 2 and is told of in 2 and 3.
    for number in [2, 3] {
      var digit = packet(number, type: 101, [5, 10, 0, 160])
      digit.replaceSubrange(4..<8, with: [0, 0, 1, 64])
      alice.send(digit, to: a.media)
      let told = try #require(bob.packet())
      #expect(told.payload == [5, 10, 0, 160] && told.header.ssrc == first.ssrc)
      #expect(told.header.timestamp == first.timestamp &+ 960)
      #expect(told.header.sequence == first.sequence &+ UInt16(number - 1))
    }
    // And the speech behind it stands where it would have without.
    alice.send(packet(4, type: 0, speech), to: a.media)
    let next = try #require(bob.packet()).header
    #expect(next.timestamp == first.timestamp &+ 3 * 960 && next.sequence == first.sequence &+ 3)
    // Comfort noise of another clock says nothing to it, so noise is made in its own codec, until there is speech.
    alice.send(packet(5, type: 13, [60]), to: a.media)
    for number in 4...8 {
      let noise = try #require(bob.packet()).header
      #expect(noise.payloadType == 111 && noise.sequence == first.sequence &+ UInt16(number))
      #expect(noise.timestamp == first.timestamp &+ UInt32(number) * 960)
    }
    alice.send(packet(40, type: 0, speech), to: a.media)
    _ = bob.receiveAll(quiet: 100)
    usleep(50_000)
    #expect(bob.receive(within: 60) == nil)
  }

  /// What both have named is not touched, whatever else they have; and it changes with what they say.
  @Test func onlyWhereItIsNeeded() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(remote(alice, .pcmu), remote(bob, .pcma, .pcmu))
    let speech = tone(0)
    alice.send(packet(1, type: 0, speech.map(G711.ulaw)), to: a.media)
    #expect(bob.receive()?.bytes == packet(1, type: 0, speech.map(G711.ulaw)))
    bob.send(packet(1, type: 8, speech.map(G711.alaw)), to: b.media)
    let first = try #require(alice.packet())
    #expect(first.header.payloadType == 0)
    rig.plane.submit([.remote(a.id, remote(alice, .pcma))])
    rig.measure(a)
    // The same flow goes on for who has heard it.
    bob.send(packet(2, type: 8, speech.map(G711.alaw)), to: b.media)
    let second = try #require(alice.packet())
    #expect(second.header.ssrc == first.header.ssrc && second.payload == speech.map(G711.alaw))
    #expect(second.header.sequence == first.header.sequence &+ 1)
    #expect(second.header.payloadType == 8)
    alice.send(packet(2, type: 8, speech.map(G711.alaw)), to: a.media)
    #expect(bob.receive()?.bytes[1] == 8)
    #expect(counters(rig) { $0.converted == 1 }.converted == 1)
  }

  /// A payload that is no speech of its codec goes nowhere, and nothing is harmed.
  @Test func badPayloads() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(
      remote(alice, .gsm, .pcmu, .opus, .l16, .g729), remote(bob, .pcma))
    for size in [1, 32, 34, 1_400] {
      alice.send(packet(size, type: 3, [UInt8](repeating: 0xd0, count: size)), to: a.media)
    }
    alice.send(packet(2, type: 0, [UInt8](repeating: 1, count: 9_000)), to: a.media)
    // Opus: a frame count of none, and frames that are not there. L16: half a sample. G.729: half a frame.
    alice.send(packet(3, type: 111, [0xff, 0x00]), to: a.media)
    alice.send(packet(4, type: 111, [0x03, 0x3f]), to: a.media)
    alice.send(packet(5, type: 96, [1, 2, 3]), to: a.media)
    alice.send(packet(6, type: 18, [1, 2, 3, 4, 5]), to: a.media)
    #expect(bob.receiveAll() == [])
    #expect(counters(rig) { $0.unconvertible == 9 }.unconvertible == 9)
    alice.send(packet(7, type: 0, tone(0).map(G711.ulaw)), to: a.media)
    #expect(bob.packet()?.payload.count == 160)
  }

  /// Packets of the length that the far end wants, and no longer than it takes, whatever comes.
  @Test(arguments: [
    (AudioCodec.pcma, 30, 0, 240), (.pcma, 10, 0, 80), (.pcma, 60, 0, 480), (.pcma, 60, 40, 320),
    (.pcma, 200, 0, 480), (.gsm, 30, 0, 33), (.gsm, 60, 0, 99), (.g722, 30, 0, 240),
    (.l16, 20, 0, 320),
    (.l16, 0, 10, 160),
  ])
  func packetTimes(codec: AudioCodec, wanted: Int, longest: Int, size: Int) throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    var far = remote(bob, codec)
    far.packetTime = UInt16(wanted)
    far.maxPacketTime = UInt8(longest)
    let (a, _) = try rig.bridge(remote(alice, .pcmu), far)
    for number in 0..<6 {
      alice.send(packet(number, type: 0, tone(number).map(G711.ulaw)), to: a.media)
    }
    let made = bob.receiveAll().compactMap { parse($0) }
    let milliseconds = codec.packetMilliseconds(ofBytes: size)
    #expect(made.count == 120 / milliseconds && made.allSatisfy { $0.payload.count == size })
    for (first, second) in zip(made, made.dropFirst()) {
      #expect(second.header.sequence == first.header.sequence &+ 1)
      #expect(second.header.timestamp == first.header.timestamp &+ UInt32(8 * milliseconds))
    }
  }

  /// The same codec in packets that are too long for the far end is cut anew; what is short enough is not touched.
  @Test func tooLongForTheFarEnd() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    var far = remote(bob, .pcma)
    far.maxPacketTime = 20
    let (a, b) = try rig.bridge(remote(alice, .pcma), far)
    let long = (tone(0) + tone(1)).map(G711.alaw)
    alice.send(packet(1, type: 8, tone(0).map(G711.alaw)), to: a.media)
    #expect(bob.receive()?.bytes == packet(1, type: 8, tone(0).map(G711.alaw)))
    alice.send(packet(3, type: 8, long), to: a.media)
    let made = bob.receiveAll().compactMap { parse($0) }
    #expect(made.map(\.payload) == [Array(long.prefix(160)), Array(long.suffix(160))])
    bob.send(packet(1, type: 8, tone(0).map(G711.alaw)), to: b.media)
    #expect(alice.packet()?.payload == tone(0).map(G711.alaw))
  }

  /// A packet or two that are missing are concealed and the flow goes on; longer ones are a pause in the time stamps; what
  /// comes late is dropped.
  @Test func gaps() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(remote(alice, .pcmu), remote(bob, .opus))
    func say(_ numbers: Int...) -> [RTPHeader] {
      for number in numbers {
        alice.send(packet(number, type: 0, tone(number).map(G711.ulaw)), to: a.media)
      }
      return bob.receiveAll().compactMap { parse($0)?.header }
    }
    let first = try #require(say(1, 2).last)
    let concealed = say(4, 3, 7, 8)
    #expect(concealed.count == 6, "\(concealed)")
    for (i, header) in concealed.enumerated() {
      #expect(header.sequence == first.sequence &+ UInt16(i + 1) && !header.marker)
      #expect(header.timestamp == first.timestamp &+ UInt32(960 * (i + 1)))
    }
    #expect(counters(rig) { $0.convertedLate == 1 }.convertedLate == 1)
    let last = try #require(concealed.last)
    let after = try #require(say(19).first)
    #expect(after.sequence == last.sequence &+ 1 && after.marker)
    #expect(after.timestamp == last.timestamp &+ 11 * 960)
  }

  /// Silence that is not sent shows as a pause, also where it begins in the middle of a packet that is being made.
  @Test func pausesInTheMiddleOfAPacket() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    var far = remote(bob, .pcma)
    far.packetTime = 60
    let (a, _) = try rig.bridge(remote(alice, .pcmu), far)
    func say(_ number: Int, at block: Int) {
      var speech = packet(number, type: 0, tone(block).map(G711.ulaw))
      let time = UInt32(block * 160)
      speech.replaceSubrange(4..<8, with: (0..<4).map { UInt8(time >> UInt32(24 - 8 * $0) & 0xff) })
      alice.send(speech, to: a.media)
    }
    // 20 ms of speech, 180 of nothing with no number missing, and 60 more.
    say(1, at: 0)
    for i in 0..<3 { say(2 + i, at: 10 + i) }
    let made = bob.receiveAll().compactMap { parse($0) }
    #expect(made.count == 2)
    guard made.count == 2 else { return }
    #expect(made[0].payload.suffix(320).allSatisfy { $0 == G711.alaw(linear: 0) })
    #expect(made[1].header.timestamp == made[0].header.timestamp &+ 1_600 && made[1].header.marker)
    #expect(made[1].header.sequence == made[0].header.sequence &+ 1)
  }

  private func firstPacket(of compound: [UInt8]) -> RTCPPacket? {
    var reader = RTCPReader()
    return reader.next(in: compound.rawSpan)
  }

  private func voipMetrics(of source: UInt32, in compound: [UInt8]) -> VoIPMetrics? {
    var reader = RTCPReader()
    while let packet = reader.next(in: compound.rawSpan) {
      if let found = packet.voipMetrics(of: source, in: compound.rawSpan) { return found }
    }
    return nil
  }

  /// Nobody else can report of flows that begin and end here.
  @Test func reportsAreOurs() throws {
    var settings = MediaSettings()
    settings.reportInterval = .milliseconds(120)
    let rig = try Rig(settings: settings)
    let (alice, bob) = (try Peer(), try Peer())
    let (ears, mouth) = (try Peer(), try Peer())
    var near = remote(alice, .pcmu)
    near.rtcp = ears.address
    var far = remote(bob, .opus)
    far.rtcp = mouth.address
    near.wantsMetrics = true
    let (a, b) = try rig.bridge(near, far)
    for number in 1...5 where number != 3 {
      alice.send(packet(number, type: 0, tone(number).map(G711.ulaw)), to: a.media)
    }
    let made = try #require(bob.packet()).header
    let theirs = rtcp { writer, packet in
      writer.receiverReport(ssrc: 0x1111_2222, block: nil, to: &packet)
      writer.canonicalName(ssrc: 0x1111_2222, name: 1, to: &packet)
    }
    ears.send(theirs, to: a.control)
    // Bob hears of the flow that he gets, and Alice of the one that she sends.
    let report = try #require(mouth.receive()?.bytes)
    let sender = try #require(firstPacket(of: report))
    #expect(sender.type == RTCPType.senderReport && report.count != theirs.count)
    let info = sender.senderInfo(in: report.rawSpan)
    let name = report.rawSpan.bigEndian32(at: 4)
    // What is missing was concealed.
    #expect(info?.packets == 5 && name == made.ssrc)
    let back = try #require(ears.receive()?.bytes)
    let receiver = try #require(firstPacket(of: back))
    let block = receiver.reportBlock(0, in: back.rawSpan)
    #expect(receiver.type == RTCPType.receiverReport && block?.ssrc == 0x1111_2222)
    // Who asks for it hears more of what came (RFC 3611): one of five was lost.
    let metrics = voipMetrics(of: 0x1111_2222, in: back)
    #expect(metrics?.lossRate == 51 && metrics?.gapDensity == 51 && metrics?.burstDuration == 0)
    #expect(metrics?.gapDuration == 100 && (20...30).contains(metrics?.mosConversational ?? 0))
    #expect(voipMetrics(of: 0x1111_2222, in: report) == nil)
    // And what Bob says of our flow is told.
    var said = VoIPMetrics(ssrc: made.ssrc)
    said.mosConversational = 41
    mouth.send(
      rtcp { writer, packet in
        writer.receiverReport(ssrc: 9, block: nil, to: &packet)
        writer.extendedReport(ssrc: 9, said, to: &packet)
      }, to: b.control)
    for _ in 0..<100 where rig.measure(b)?.remoteMOS != 410 { usleep(5_000) }
    #expect(rig.measure(b)?.remoteMOS == 410)
    rig.plane.submit([.close(b.id)])
    var types: [UInt8] = []
    while let last = mouth.receive()?.bytes {
      var reader = RTCPReader()
      while let packet = reader.next(in: last.rawSpan) { types.append(packet.type) }
    }
    #expect(types.last == RTCPType.bye)
  }

  /// A tone that goes from µ-law through each pair and back to µ-law is the tone, some samples later. Of a tone GSM
  /// keeps little more than the pitch, as it does of speech.
  private static let paths: [([AudioCodec], Double)] = [
    ([.pcma], 30), ([.g722], 20), ([.gsm], 7), ([.pcma, .g722], 20), ([.pcma, .gsm], 7),
    ([.g722, .gsm], 7), ([.gsm, .g722], 7), ([.g722, .pcma], 20), ([.l16], 30), ([.l16Wide], 30),
    ([.opus], 7), ([.g729], 5), ([.opus, .g722], 7), ([.l16Wide, .opus], 7),
    ([.l16Wide, .g722, .l16], 20), ([.opus, .g729], 5),
  ]

  @Test(arguments: paths)
  func aToneComesThrough(codecs: [AudioCodec], decibels: Double) throws {
    let rig = try Rig(pairs: 8)
    let path = [.pcmu] + codecs + [.pcmu]
    let hops = try zip(path, path.dropFirst()).map { from, to in
      let (near, far) = (try Peer(), try Peer())
      return (near, far, try rig.bridge(remote(near, from), remote(far, to)).a)
    }
    var heard: [Int16] = []
    for number in 0..<25 {
      var passed = packet(number, type: 0, tone(number).map(G711.ulaw))
      for (near, far, end) in hops {
        near.send(passed, to: end.media)
        passed = try #require(far.receive()?.bytes)
      }
      heard += payload(passed).map { G711.linear(ulaw: $0) }
    }
    let said = (0..<25).flatMap(tone)
    let best = (0..<160).map { signalToNoise(said, heard, shift: $0) }.max() ?? 0
    #expect(best > decibels, "\(best) dB")
  }

  /// Of the last half, when the codecs have settled; `heard` comes `shift` samples late.
  private func signalToNoise(_ said: [Int16], _ heard: [Int16], shift: Int) -> Double {
    var (signal, noise) = (0.0, 0.0)
    for i in said.count / 2..<said.count where i - shift >= 0 {
      let (wanted, got) = (Double(said[i - shift]), Double(heard[i]))
      signal += wanted * wanted
      noise += (wanted - got) * (wanted - got)
    }
    return 10 * log10(signal / max(noise, 1))
  }
}

extension AudioCodec {
  fileprivate func packetMilliseconds(ofBytes count: Int) -> Int {
    switch self {
    case .gsm: count / 33 * 20
    case .l16: count / 16
    default: count / 8
    }
  }
}
