import Base
import Glibc
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// Digits through sockets, from each kind to each other, over a link that loses 5 %.
@Suite(.serialized) struct DigitConversionTests {
  private static let typed: [UInt8] = [5, 5, 0, 1, 11, 10, 15, 9, 9]

  private func remote(
    _ peer: Peer, _ kind: DigitKind, _ codec: AudioCodec = .pcmu, security: MediaSecurity? = nil
  ) -> RemoteMedia {
    var remote = RemoteMedia(peer.address, codec: codec)
    remote.payloadType = codec == .g722 ? 9 : codec == .pcma ? 8 : 0
    remote.speech = SpeechFormats(SpeechFormats.Format(codec, remote.payloadType))
    remote.events = kind == .tones ? EventFormats() : EventFormats(EventFormats.Format(101))
    remote.digits = kind
    remote.security = security
    return remote
  }

  private func packet(
    _ sequence: Int, _ timestamp: UInt32, _ payload: [UInt8], type: UInt8 = 0, ssrc: UInt32 = 77
  ) -> [UInt8] {
    var packet: [UInt8] = [0x80, type]
    packet += [UInt8(truncatingIfNeeded: sequence >> 8), UInt8(truncatingIfNeeded: sequence)]
    for shift in [24, 16, 8, 0] { packet.append(UInt8(truncatingIfNeeded: timestamp >> shift)) }
    for shift in [24, 16, 8, 0] { packet.append(UInt8(truncatingIfNeeded: ssrc >> shift)) }
    return packet + payload
  }

  /// Speech before and behind, and in between what a phone says while keys are pressed: events, and no speech.
  private func events(_ typed: [UInt8]) -> [[UInt8]] {
    var packets: [[UInt8]] = []
    var timestamp: UInt32 = 4_000
    func speak(_ count: Int) {
      for _ in 0..<count {
        packets.append(packet(packets.count, timestamp, [UInt8](repeating: 0x5a, count: 160)))
        timestamp &+= 160
      }
    }
    speak(10)
    for event in typed {
      for step in 1...7 {
        let duration = UInt16(min(step, 5) * 160)
        packets.append(
          packet(
            packets.count, timestamp,
            [event, step >= 5 ? 0x8a : 0x0a, UInt8(duration >> 8), UInt8(duration & 0xff)],
            type: 101))
      }
      timestamp &+= 7 * 160
      speak(3)
    }
    speak(10)
    return packets
  }

  /// The same in the speech.
  private func tones(_ typed: [UInt8], alaw: Bool = false) -> [[UInt8]] {
    var maker = SoundMaker(seed: 11)
    var samples = maker.silence(100)
    for event in typed {
      samples += maker.digit(event, milliseconds: 100) + maker.silence(90)
    }
    samples += maker.silence(400)
    let linear = heard(samples, by: &maker)
    return stride(from: 0, to: linear.count - 159, by: 160).enumerated().map { number, start in
      let payload = linear[start..<start + 160].map {
        alaw ? G711.alaw(linear: $0) : G711.ulaw(linear: $0)
      }
      return packet(number, UInt32(start), payload, type: alaw ? 8 : 0)
    }
  }

  private func opened(_ packets: [[UInt8]]) -> [(header: RTPHeader, payload: [UInt8])] {
    packets.compactMap { parse($0) }
  }

  /// What the far end makes of them: one flow, in which a number comes twice only with the very packet that was sent
  /// twice.
  private func expectOneFlow(
    _ packets: [(header: RTPHeader, payload: [UInt8])],
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    for (number, group) in Dictionary(grouping: packets, by: \.header.sequence) {
      #expect(
        Set(group.map(\.payload)).count == 1 && Set(group.map(\.header)).count == 1,
        "\(number)", sourceLocation: sourceLocation)
    }
    #expect(Set(packets.map(\.header.ssrc)).count == 1, sourceLocation: sourceLocation)
  }

  private func read(_ packets: [(header: RTPHeader, payload: [UInt8])]) -> [UInt8] {
    var receiver = EventReceiver()
    var found: [UInt8] = []
    for (header, payload) in packets where header.payloadType == 101 {
      guard let event = TelephoneEvent(payload.rawSpan) else { continue }
      if let began = receiver.take(header, event).began { found.append(began) }
    }
    return found
  }

  private func listen(_ packets: [(header: RTPHeader, payload: [UInt8])]) -> [UInt8] {
    var samples: [Int16] = []
    for (header, payload) in packets where header.payloadType != 101 {
      samples += payload.map {
        header.payloadType == 8 ? G711.linear(alaw: $0) : G711.linear(ulaw: $0)
      }
    }
    return digits(in: samples + [Int16](repeating: 0, count: 800))
  }

  private func facts(_ rig: Rig, _ end: End) -> [UInt8] {
    rig.log.all.compactMap {
      if case .digit(end.id, let digit) = $0 { digit.event.exposed } else { nil }
    }
  }

  // MARK: Each kind to each other

  @Test(arguments: [AudioCodec.pcmu, .pcma]) func eventsToTones(codec: AudioCodec) throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(remote(alice, .events), remote(bob, .tones, codec))
    var link = LossyLink(seed: 21)
    let sent = link.carry(events(Self.typed))
    let heard = opened(exchange(sent, by: alice, to: a.media, heardBy: bob))
    #expect(listen(heard) == Self.typed)
    #expect(!heard.contains { $0.header.payloadType == 101 })
    expectOneFlow(heard)
    #expect(facts(rig, a) == Self.typed)
    #expect(rig.counters.digitsConverted == 9 && rig.counters.digitsRefused == 0)
  }

  @Test func tonesToEvents() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(remote(alice, .tones), remote(bob, .events))
    var link = LossyLink(seed: 22, repetition: 0.01, delay: 0.01)
    let heard = opened(
      exchange(link.carry(tones(Self.typed)), by: alice, to: a.media, heardBy: bob))
    #expect(read(heard) == Self.typed)
    // Nothing of the tones that a listener could take for a digit once more.
    #expect(listen(heard).isEmpty)
    expectOneFlow(heard)
    let events = heard.filter { $0.header.payloadType == 101 }
    for (header, group) in Dictionary(grouping: events, by: \.header.timestamp) {
      let reports = group.compactMap { TelephoneEvent($0.payload.rawSpan) }
      #expect(reports.map(\.duration) == reports.map(\.duration).sorted(), "\(header)")
      #expect(reports.filter(\.end).count == 3 && group.filter(\.header.marker).count == 1)
      #expect(group.first?.header.marker == true)
      #expect((80 * 8...140 * 8).contains(Int(reports.last?.duration ?? 0)))
    }
    #expect(facts(rig, a) == Self.typed)
  }

  @Test(arguments: [DigitKind.events, .tones]) func toInfo(kind: DigitKind) throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(remote(alice, kind), remote(bob, .info))
    var link = LossyLink(seed: 23, repetition: 0.01, delay: 0.01)
    let packets = kind == .events ? events(Self.typed) : tones(Self.typed)
    let heard = opened(exchange(link.carry(packets), by: alice, to: a.media, heardBy: bob))
    #expect(facts(rig, a) == Self.typed)
    #expect(read(heard).isEmpty && listen(heard).isEmpty)
    for case .digit(_, let digit) in rig.log.all {
      #expect(digit.kind == kind && (70...130).contains(digit.milliseconds))
    }
  }

  /// Digits that somebody heeds come to nobody but that one, who says again what is meant for the other side. The other
  /// direction is as it was.
  @Test(arguments: [DigitKind.events, .tones]) func heeded(kind: DigitKind) throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(remote(alice, kind), remote(bob, kind))
    rig.plane.submit([.heed(a.id)])
    rig.measure(a)
    func typed(_ digits: [UInt8]) -> [[UInt8]] {
      kind == .events ? events(digits) : tones(digits)
    }
    let heard = opened(exchange(typed([10, 1, 7]), by: alice, to: a.media, heardBy: bob))
    #expect(facts(rig, a) == [10, 1, 7])
    #expect(read(heard).isEmpty && listen(heard).isEmpty)
    rig.plane.submit([.digit(b.id, MediaDigit(event: 7, milliseconds: 100, kind: .info))])
    let said = opened(exchange([], by: alice, to: a.media, heardBy: bob))
    #expect((kind == .events ? read(said) : listen(said)) == [7])
    let back = opened(exchange(typed([10, 1]), by: bob, to: b.media, heardBy: alice))
    #expect((kind == .events ? read(back) : listen(back)) == [10, 1])
    #expect(facts(rig, b).isEmpty)
  }

  /// What came by the signalling, in a flow of speech and in one of nothing.
  @Test(arguments: [DigitKind.events, .tones], [true, false])
  func fromInfo(kind: DigitKind, isTalking: Bool) throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(remote(alice, .info), remote(bob, kind))
    let speech = (0..<120).map {
      packet($0, UInt32($0 * 160), [UInt8](repeating: 0xff, count: 160))
    }
    let typed = Array(Self.typed.prefix(6))
    rig.plane.submit(
      typed.map { .digit(b.id, MediaDigit(event: $0, milliseconds: 80, kind: .info)) })
    let heard = opened(
      exchange(isTalking ? speech : [], by: alice, to: a.media, heardBy: bob))
    #expect((kind == .events ? read(heard) : listen(heard)) == typed)
    expectOneFlow(heard)
    if isTalking {
      // The speech goes on behind the last digit, in numbers and in time.
      let numbers = heard.map(\.header.sequence)
      #expect(zip(numbers, numbers.dropFirst()).allSatisfy { $1 == $0 &+ 1 })
      let last = heard.suffix(5)
      #expect(
        zip(last, last.dropFirst()).allSatisfy {
          $1.header.timestamp &- $0.header.timestamp == 160
        })
      #expect(heard.last?.header.payloadType == 0)
    }
    #expect(facts(rig, a).isEmpty)
  }

  /// More than can wait: as many as can, in order, and the rest is counted.
  @Test func tooManyAtOnce() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (_, b) = try rig.bridge(remote(alice, .info), remote(bob, .events))
    rig.plane.submit(
      (0..<30).map {
        .digit(b.id, MediaDigit(event: UInt8($0 % 10), milliseconds: 50, kind: .info))
      })
    let said = read(opened(exchange([], by: alice, to: b.media, heardBy: bob)))
    #expect(said == (0..<16).map { UInt8($0 % 10) })
    #expect(rig.counters.digitsRefused == 14)
  }

  // MARK: What stays as it is

  /// Both say events: relayed byte for byte. Both have tones: nobody listens.
  @Test func theSameKindIsRelayed() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    for kind in [DigitKind.events, .tones, .unknown] {
      let (a, b) = try rig.bridge(remote(alice, kind), remote(bob, kind))
      for packet in kind == .tones ? tones([5]) : events([5]) {
        alice.send(packet, to: a.media)
        #expect(bob.receive()?.bytes == packet)
      }
      rig.plane.submit([.close(a.id), .close(b.id)])
    }
    #expect(rig.counters.digitsConverted == 0 && rig.counters.replacedByDigits == 0)
  }

  /// A phone that says each key by events and in INFO is heard once.
  @Test func twoWaysAreOneDigit() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(remote(alice, .events), remote(bob, .events))
    alice.send(events([5])[12], to: a.media)
    #expect(bob.receive() != nil)
    rig.plane.submit([.digit(b.id, MediaDigit(event: 5, milliseconds: 100, kind: .info))])
    #expect(bob.receive(within: 200) == nil)
    // And with another phone, after a re-offer, it is open again.
    let other = try Peer()
    rig.plane.submit([
      .remote(a.id, remote(other, .events)),
      .digit(b.id, MediaDigit(event: 5, milliseconds: 60, kind: .info)),
    ])
    #expect(read(opened(bob.receiveAll(quiet: 300))) == [5])
  }

  /// Our own tones come back as an echo: that is no digit of the far end's.
  @Test func anEchoIsNoDigit() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(remote(alice, .events), remote(bob, .tones))
    var number = 0
    func returnWhatComes(within milliseconds: Int32) {
      while let heard = bob.receive(within: milliseconds), let (_, payload) = parse(heard.bytes) {
        bob.send(packet(number, UInt32(number * 160), payload, ssrc: 5), to: b.media)
        number += 1
      }
    }
    for packet in events([1, 2, 3]) {
      alice.send(packet, to: a.media)
      returnWhatComes(within: 15)
    }
    returnWhatComes(within: 300)
    #expect(number > 30)
    #expect(facts(rig, a) == [1, 2, 3] && facts(rig, b).isEmpty)
    #expect(!opened(alice.receiveAll()).contains { $0.header.payloadType == 101 })
  }

  /// An application hears digits of either kind.
  @Test(arguments: [DigitKind.events, .tones]) func applicationsHear(kind: DigitKind) throws {
    let rig = try Rig()
    let alice = try Peer()
    let end = try rig.open()
    rig.plane.submit([.remote(end.id, remote(alice, kind)), .play(end.id, .milliwatt)])
    rig.measure(end)
    for packet in kind == .events ? events([3, 4]) : tones([3, 4]) {
      alice.send(packet, to: end.media)
      usleep(5_000)
    }
    _ = rig.log.wait {
      if case .digit(end.id, let d) = $0, d.event.exposed == 4 { true } else { nil }
    }
    #expect(facts(rig, end) == [3, 4])
  }

  /// The ends of an event are lost: it is over when nothing comes any more.
  @Test func theEndIsLost() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(remote(alice, .events), remote(bob, .tones))
    let heard = exchange(
      Array(events([6]).prefix(13)), by: alice, to: a.media, heardBy: bob)
    #expect(rig.log.wait { if case .digit(a.id, _) = $0 { true } else { nil } } == true)
    #expect(listen(opened(heard)) == [6])
  }

  /// Digits under a key of ours: no place of the key stream comes twice, whatever order the speech around them comes in.
  @Test func protectedDigits() throws {
    let suite = SRTPSuite.aesCM128HMAC80
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let keys = MediaSecurity(
      sending: try #require(testKey(suite, 1)), receiving: try #require(testKey(suite, 2)))
    let (a, _) = try rig.bridge(remote(alice, .events), remote(bob, .tones, security: keys))
    let ear = try #require(Receiver(keys.sending))
    var link = LossyLink(seed: 31, loss: 0.03, repetition: 0, delay: 0.2)
    let sent = link.carry(events([1, 2, 3, 4]))
    var heard: [(header: RTPHeader, payload: [UInt8])] = []
    for packet in exchange(sent, by: alice, to: a.media, heardBy: bob) {
      // A number that came before is a repetition for SRTP, and would be refused.
      if let packet = parse(try ear.unprotect(packet).get()) { heard.append(packet) }
    }
    #expect(listen(heard) == [1, 2, 3, 4])
    expectOneFlow(heard)
  }

  /// Malformed and hostile: short payloads, events that are none, and a flood of them.
  @Test func hostileEvents() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(remote(alice, .events), remote(bob, .info))
    for count in 0..<4 {
      alice.send(packet(count, 0, [UInt8](repeating: 1, count: count), type: 101), to: a.media)
    }
    for number in 0..<400 {
      alice.send(
        packet(10 + number, UInt32(number * 160), [UInt8(number % 16), 0x8a, 0, 160], type: 101),
        to: a.media)
      if number % 20 == 0 { usleep(1_000) }
    }
    rig.measure(a)
    #expect(rig.measure(a)?.malformed == 4)
    #expect(facts(rig, a).count <= 40)
    #expect(bob.receiveAll().isEmpty)
    #expect(rig.counters.digitsRefused > 300)
  }
}
