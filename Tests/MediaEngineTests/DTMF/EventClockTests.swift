import Base
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// telephone-event with the clock of a wide-band codec: read, said, and turned into that of another clock.
@Suite(.serialized) struct EventClockTests {
  private static let full = EventFormats.Format(96, .full)

  private func remote(_ peer: Peer, _ events: EventFormats.Format...) -> RemoteMedia {
    var remote = RemoteMedia(peer.address)
    remote.speech = SpeechFormats(SpeechFormats.Format(.pcmu, 0))
    remote.events = EventFormats()
    var named = EventFormats()
    for event in events { named.append(event) }
    remote.events = named
    remote.digits = .events
    return remote
  }

  private func packet(_ header: RTPHeader, _ event: TelephoneEvent) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: RTPHeader.size + 4)
    var elements = bytes.mutableSpan
    var raw = unsafe elements.mutableBytes
    header.write(to: &raw)
    event.write(to: &raw, at: RTPHeader.size)
    return bytes
  }

  /// A key that is held for so long, a report every 20 ms, in segments where it has to be (RFC 4733 §2.5.1.3).
  private func key(
    _ event: UInt8, milliseconds: Int, type: UInt8, clock: EventClock, first: UInt16 = 0
  ) -> [[UInt8]] {
    let perPacket = Int(clock.rate) / 50
    let count = milliseconds / 20
    var packets: [[UInt8]] = []
    var (begin, timestamp) = (0, UInt32(9_000))
    func add(_ duration: Int, _ isEnd: Bool) {
      packets.append(
        packet(
          RTPHeader(
            payloadType: type, marker: packets.isEmpty,
            sequence: first &+ UInt16(truncatingIfNeeded: packets.count), timestamp: timestamp,
            ssrc: 5),
          TelephoneEvent(event: event, end: isEnd, volume: 10, duration: UInt16(duration))))
    }
    for i in 1...count {
      while i * perPacket - begin > 0xffff {
        add(0xffff, false)
        begin += 0xffff
        timestamp &+= 0xffff
      }
      add(i * perPacket - begin, i == count)
    }
    packets += [packets[packets.count - 1], packets[packets.count - 1]]
    return packets
  }

  private func read(_ packets: [[UInt8]], type: UInt8, clock: EventClock) -> [HeardDigit] {
    var receiver = EventReceiver()
    var heard: [HeardDigit] = []
    for bytes in packets {
      guard let (header, payload) = parse(bytes), header.payloadType == type,
        let event = TelephoneEvent(payload.rawSpan)
      else { continue }
      let steps = receiver.take(header, event, clockRate: clock.rate)
      if let digit = steps.ended { heard.append(digit) }
      if let digit = steps.endedAtOnce { heard.append(digit) }
    }
    if let digit = receiver.end() { heard.append(digit) }
    return heard
  }

  @Test(arguments: EventClock.allCases, [100, 1_400, 9_000])
  func lengthsAreRead(clock: EventClock, milliseconds: Int) {
    #expect(
      read(key(7, milliseconds: milliseconds, type: 96, clock: clock), type: 96, clock: clock)
        == [HeardDigit(event: 7, duration: milliseconds * 8)])
  }

  @Test func whichGoesBesideACodec() {
    let both = EventFormats(.init(101), .init(96, .full))
    #expect(both.beside(clockRate: 48_000) == EventFormats.Format(96, .full))
    #expect(both.beside(clockRate: 8_000) == EventFormats.Format(101))
    #expect(both.beside(clockRate: 16_000) == EventFormats.Format(101))
    #expect(EventFormats(.init(96, .full)).beside(clockRate: 8_000)?.payloadType == 96)
    #expect(EventFormats().beside(clockRate: 8_000) == nil)
    #expect(both.clock(of: 96) == .full && both.clock(of: 101) == .narrow)
    #expect(both.clock(of: 97) == nil && EventFormats().clock(of: 255) == nil)
  }

  /// One has 48 kHz and the other 8: each gets what it has named, as long as the key was held.
  @Test(arguments: [100, 3_000]) func fromClockToClock(milliseconds: Int) throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(remote(alice, Self.full), remote(bob, EventFormats.Format(101)))
    for (mouth, end, ear, from, to) in [
      (alice, a, bob, Self.full, EventFormats.Format(101)),
      (bob, b, alice, EventFormats.Format(101), Self.full),
    ] {
      let sent = key(
        3, milliseconds: milliseconds, type: from.payloadType, clock: from.clock)
      let packets = exchange(sent, by: mouth, to: end.media, heardBy: ear)
      let heard = read(packets, type: to.payloadType, clock: to.clock)
      try #require(heard.count == 1 && heard[0].event == 3)
      #expect(abs(heard[0].duration / 8 - milliseconds) <= 60)
      let numbers = Set(packets.compactMap { parse($0)?.header.payloadType })
      #expect(numbers == [to.payloadType])
      // Only the first packet of a key has the marker, and only its last three say that it is over.
      #expect(packets.filter { parse($0)?.header.marker == true }.count == 1)
      let ends = packets.compactMap { parse($0).flatMap { TelephoneEvent($0.payload.rawSpan) } }
      #expect(ends.map(\.end).suffix(3).allSatisfy { $0 } && ends.filter(\.end).count == 3)
    }
    #expect(rig.counters.digitsConverted == 2)
  }

  /// Both have named 48 kHz: nothing is said anew.
  @Test func theSameClockIsRelayed() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let both = [EventFormats.Format(101), Self.full]
    var (near, far) = (remote(alice, both[0], both[1]), remote(bob, both[1]))
    (near.clockRate, far.clockRate) = (48_000, 48_000)
    let (a, _) = try rig.bridge(near, far)
    for packet in key(4, milliseconds: 100, type: 96, clock: .full) {
      alice.send(packet, to: a.media)
      #expect(bob.receive()?.bytes == packet)
    }
    #expect(rig.counters.digitsConverted == 0)
  }
}
