import Base
import CLinux
import Glibc
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// A far end that wants speech evenly gets it so, whatever the network has made of it.
///
/// The limits are what five runs on two busy cores (load 9) have measured, which stands beside each, and some room for a
/// machine that stands still for a moment.
@Suite(.serialized) struct PlayoutTests {
  private func even(_ peer: Peer, _ codec: AudioCodec, _ type: UInt8) -> RemoteMedia {
    var remote = RemoteMedia(peer.address, codec: codec)
    remote.payloadType = type
    remote.clockRate = codec.clockRate
    remote.speech = SpeechFormats(SpeechFormats.Format(codec, type))
    remote.treatment = .even
    return remote
  }

  private func plain(_ peer: Peer, _ codec: AudioCodec, _ type: UInt8) -> RemoteMedia {
    var remote = even(peer, codec, type)
    remote.treatment = []
    return remote
  }

  private var now: Instant { Instant(nanoseconds: clmedia_monotonic()) }

  private struct Heard {
    var header: RTPHeader
    var payload: [UInt8]
    var at: Instant
  }

  /// Plays the script: what to send, and how many milliseconds after the first; what the other hears meanwhile.
  private func run(
    _ script: [(at: Int, packet: [UInt8])], from alice: Peer, to a: End, hearing bob: Peer
  ) -> [Heard] {
    let start = now
    var heard: [Heard] = []
    func listen(until end: Instant) {
      while true {
        let rest = (end - now).milliseconds
        guard rest > 0 else { return }
        if let packet = bob.receive(within: Int32(rest)), let parsed = parse(packet.bytes) {
          heard.append(Heard(header: parsed.header, payload: parsed.payload, at: now))
        }
      }
    }
    for (at, packet) in script.sorted(by: { $0.at < $1.at }) {
      listen(until: start + .milliseconds(at))
      alice.send(packet, to: a.media)
    }
    listen(until: now + .milliseconds(250))
    return heard
  }

  /// Late, out of order, twice and never: what leaves is numbered without a gap, and so is its time.
  @Test func evenlyAndInOrder() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(plain(alice, .pcmu, 0), even(bob, .pcmu, 0))
    var random = RandomSource(seed: 11)
    var script: [(at: Int, packet: [UInt8])] = []
    let lost = [17, 40, 41]
    for number in 1...80 where !lost.contains(number) {
      let at = 20 * number + random.next(below: 40)
      script.append((at, rtp(number)))
      if number % 9 == 0 { script.append((at + 3, rtp(number))) }
    }
    let heard = run(script, from: alice, to: a, hearing: bob)
    // 83.
    #expect((79...87).contains(heard.count), "\(heard.count) packets")
    for (before, next) in zip(heard, heard.dropFirst()) {
      #expect(next.header.sequence == before.header.sequence &+ 1)
      // Where the machine stood still for longer than is caught up with there is a pause, and it is marked.
      let step = Int32(bitPattern: next.header.timestamp &- before.header.timestamp)
      #expect(next.header.marker ? step > 160 : step == 160)
      #expect(next.header.ssrc == before.header.ssrc && next.payload.count == 160)
    }
    // 1.
    #expect(heard.first?.header.marker == true && heard.count { $0.header.marker } <= 2)
    // What came is there bit for bit, once and in order; between it stands what was concealed.
    let whole = heard.compactMap { one in
      Set(one.payload).count == 1 ? one.payload[0] : nil
    }.filter { (1...80).contains($0) }
    // 75 of 77.
    #expect(whole.count >= 72 && zip(whole, whole.dropFirst()).allSatisfy { $0 < $1 })
    #expect(!whole.contains { lost.contains(Int($0)) })
    // By our clock: half of the distances are those of a packet even on a machine that has much else to do.
    let gaps = zip(heard, heard.dropFirst()).map { ($1.at - $0.at).nanoseconds / 1_000 }.sorted()
    // 19 988 to 20 001 µs; four fifths of them 16.1 to 23.8 ms where the machine is busiest, else 19.9 to 20.2.
    try #require(gaps.count > 60)
    #expect((19_700...20_300).contains(gaps[gaps.count / 2]), "\(gaps)")
    #expect(gaps[gaps.count / 10] > 12_000 && gaps[gaps.count * 9 / 10] < 28_000, "\(gaps)")
    let counters = rig.counters
    // 6.
    #expect((3...10).contains(counters.playoutConcealed), "\(counters.playoutConcealed)")
    // And the other way nothing waits.
    #expect(rig.measure(a)?.lost == 3)
  }

  /// Another codec and packets of another length on the way, and a pause that the time stamps tell.
  @Test func convertedEvenly() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    var far = even(bob, .pcma, 8)
    far.packetTime = 30
    let (a, _) = try rig.bridge(plain(alice, .pcmu, 0), far)
    var script: [(at: Int, packet: [UInt8])] = []
    for number in 1...20 { script.append((20 * number, rtp(number))) }
    for number in 1...20 {
      var packet = rtp(20 + number, marker: number == 1)
      let timestamp = UInt32((20 + 25 + number) * 160)
      for i in 0..<4 { packet[4 + i] = UInt8(truncatingIfNeeded: timestamp >> UInt32(24 - 8 * i)) }
      script.append((20 * (20 + 25 + number), packet))
    }
    let heard = run(script, from: alice, to: a, hearing: bob)
    #expect(heard.allSatisfy { $0.payload.count == 240 && $0.header.payloadType == 8 })
    let marks = heard.indices.filter { heard[$0].header.marker }
    // 32 packets, of which the first and the 17th begin a spurt.
    #expect((31...34).contains(heard.count), "\(heard.count) packets")
    #expect((2...3).contains(marks.count) && marks.first == 0, "\(marks)")
    for (before, next) in zip(heard, heard.dropFirst()) where !next.header.marker {
      #expect(next.header.timestamp == before.header.timestamp &+ 240)
      #expect(next.header.sequence == before.header.sequence &+ 1)
    }
    // The longest one, should the machine have stood still besides.
    let steps = marks.dropFirst().map {
      ($0, heard[$0].header.timestamp &- heard[$0 - 1].header.timestamp)
    }
    guard let mark = steps.max(by: { $0.1 < $1.1 })?.0 else { return }
    // 500 ms, less what was concealed before it was known, and within a packet of its place.
    let pause = Int(heard[mark].header.timestamp &- heard[mark - 1].header.timestamp) / 8
    // 450.
    #expect((420...480).contains(pause), "\(pause) ms")
    let waited = (heard[mark].at - heard[mark - 1].at).milliseconds
    // 0 to 2.
    #expect(abs(pause - waited) <= 15, "\(pause) and \(waited) ms")
  }

  /// All packets of a digit have one time stamp, and go at once.
  @Test func digitsDoNotWait() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(plain(alice, .pcmu, 0), even(bob, .pcmu, 0))
    var script: [(at: Int, packet: [UInt8])] = []
    for number in 1...10 { script.append((20 * number, rtp(number))) }
    for number in 11...16 {
      var digit = rtp(number, payloadType: 101, marker: number == 11)
      digit = digit.prefix(4) + rtp(11)[4..<12] + [5, number > 13 ? 0x8a : 10, 0, 160]
      script.append((20 * number, digit))
    }
    for number in 17...30 { script.append((20 * number, rtp(number))) }
    let heard = run(script, from: alice, to: a, hearing: bob)
    let digits = heard.filter { $0.header.payloadType == 101 }
    #expect(digits.count == 6 && Set(digits.map(\.header.timestamp)).count == 1)
    for (before, next) in zip(heard, heard.dropFirst()) {
      #expect(next.header.sequence == before.header.sequence &+ 1)
    }
    let speech = heard.filter { $0.header.payloadType == 0 }
    // 27.
    #expect((25...30).contains(speech.count), "\(speech.count) packets")
    for (before, next) in zip(speech, speech.dropFirst()) {
      #expect(Int32(bitPattern: next.header.timestamp &- before.header.timestamp) >= 160)
    }
  }

  /// Codecs that would lose by it pass as they come; and it ends with what asked for it.
  @Test func onlyWhereNothingIsLostByIt() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(plain(alice, .gsm, 3), even(bob, .gsm, 3))
    let frame = rtp(1, payloadType: 3).prefix(12 + 33)
    alice.send(Array(frame), to: a.media)
    #expect(bob.receive()?.bytes == Array(frame))
    rig.plane.submit([.remote(a.id, plain(alice, .pcmu, 0)), .remote(b.id, even(bob, .pcmu, 0))])
    rig.measure(b)
    alice.send(rtp(2), to: a.media)
    #expect(bob.packet()?.header.payloadType == 0)
    rig.plane.submit([.remote(b.id, plain(bob, .pcmu, 0))])
    rig.measure(b)
    _ = bob.receiveAll()
    alice.send(rtp(9), to: a.media)
    #expect(bob.packet()?.payload == [UInt8](repeating: 9, count: 160))
  }
}
