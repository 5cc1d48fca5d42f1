import Base
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// Music in the place of a side that holds: whole flows, nothing of the holder lost, and the same again afterwards.
@Suite(.serialized) struct HoldMusicTests {
  /// Music that is no speech of the tests' own: a square of 500 Hz.
  private func rig(settings: MediaSettings = MediaSettings()) throws -> (Rig, WAVFile) {
    let file = try WAVFile((0..<800).map { $0 % 16 < 8 ? 6_000 : -6_000 }, rate: 8_000, channels: 1)
    let source = AnnouncementSource(name: "music", path: file.path)
    return (try Rig(announcements: [source], settings: settings), file)
  }

  private func isMusic(_ payload: [UInt8]) -> Bool {
    payload.allSatisfy { abs(abs(Int(G711.linear(ulaw: $0))) - 6_000) < 300 }
  }

  private typealias Packet = (header: RTPHeader, payload: [UInt8])

  private func packets(_ peer: Peer, _ count: Int, within milliseconds: Int32 = 1_000) throws
    -> [Packet]
  {
    try (0..<count).map { _ in
      try #require(peer.receive(within: milliseconds).flatMap { parse($0.bytes) })
    }
  }

  /// One flow: its source stays, its numbers go up by one, its time never back.
  private func expectOneFlow(_ flow: [Packet], sourceLocation: SourceLocation = #_sourceLocation) {
    for (before, next) in zip(flow, flow.dropFirst()) {
      #expect(next.header.ssrc == before.header.ssrc, sourceLocation: sourceLocation)
      #expect(
        next.header.sequence == before.header.sequence &+ 1, sourceLocation: sourceLocation)
      let step = Int32(bitPattern: next.header.timestamp &- before.header.timestamp)
      #expect(step >= 160 && step < 80_000, sourceLocation: sourceLocation)
    }
  }

  @Test(arguments: [false, true]) func holdAndResume(inactive: Bool) throws {
    let (rig, file) = try rig()
    defer { withExtendedLifetime(file) {} }
    let (alice, bob) = (try Peer(), try Peer())
    let (near, far) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    var heard: [Packet] = []
    for number in 1...5 {
      alice.send(rtp(number), to: near.media)
      heard += try packets(bob, 1)
    }
    #expect(heard.map { $0.payload[0] } == [1, 2, 3, 4, 5])
    // Alice holds, and says nothing.
    rig.plane.submit([
      .remote(near.id, RemoteMedia(alice.address, weSend: false, weReceive: !inactive)),
      .remote(far.id, RemoteMedia(bob.address, weReceive: false)),
      .interpose(far.id, .music(0)),
    ])
    let begin = ContinuousClock.now
    heard += try packets(bob, 1)
    let waited = ContinuousClock.now - begin
    #expect(inactive ? waited < .milliseconds(200) : waited > .milliseconds(350))
    heard += try packets(bob, 24)
    #expect(heard[5...].allSatisfy { isMusic($0.payload) })
    #expect(heard[5].header.marker && heard[6...].allSatisfy { !$0.header.marker })
    #expect(alice.receive(within: 50) == nil)
    // Back: the last of the music is behind us when the next of Alice's comes.
    rig.plane.submit([
      .remote(near.id, RemoteMedia(alice.address)), .remote(far.id, RemoteMedia(bob.address)),
      .interpose(far.id, nil),
    ])
    rig.measure(far)
    heard += bob.receiveAll(quiet: 60).compactMap { parse($0) }
    for number in 100...104 {
      alice.send(rtp(number), to: near.media)
      heard += try packets(bob, 1)
    }
    #expect(heard.suffix(5).map { $0.payload[0] } == [100, 101, 102, 103, 104])
    expectOneFlow(heard)
    // The other way as ever.
    bob.send(rtp(9), to: far.media)
    #expect(try packets(alice, 1)[0].payload[0] == 9)
  }

  /// Music that begins at once, to one whose speech waits for its time: what still waits is not heard into it.
  @Test func whatWaitsIsNotHeardIntoIt() throws {
    let (rig, file) = try rig()
    defer { withExtendedLifetime(file) {} }
    let (alice, bob) = (try Peer(), try Peer())
    var (one, other) = (RemoteMedia(alice.address), RemoteMedia(bob.address))
    one.speech = SpeechFormats(SpeechFormats.Format(.pcmu, 0))
    other.speech = one.speech
    other.treatment = .even
    let (near, far) = try rig.bridge(one, other)
    for number in 1...30 {
      alice.send(rtp(number), to: near.media)
    }
    _ = try packets(bob, 2)
    one.weSend = false
    one.weReceive = false
    other.weReceive = false
    rig.plane.submit([
      .remote(near.id, one), .remote(far.id, other), .interpose(far.id, .music(0)),
    ])
    let heard = try packets(bob, 40)
    let music = try #require(heard.firstIndex { isMusic($0.payload) })
    #expect(heard[music...].allSatisfy { isMusic($0.payload) })
    expectOneFlow(heard)
  }

  /// The time that nobody spoke shows in the time stamps.
  @Test func timeGoesOn() throws {
    let (rig, file) = try rig()
    defer { withExtendedLifetime(file) {} }
    let (alice, bob) = (try Peer(), try Peer())
    let (near, far) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    alice.send(rtp(1), to: near.media)
    let last = try packets(bob, 1)[0]
    let begin = ContinuousClock.now
    rig.plane.submit([
      .remote(near.id, RemoteMedia(alice.address, weSend: false)),
      .interpose(far.id, .music(0)),
    ])
    let first = try packets(bob, 1)[0]
    let elapsed = (ContinuousClock.now - begin) / .milliseconds(1)
    let step = Double(first.header.timestamp &- last.header.timestamp) / 8
    #expect(abs(step - elapsed) < 40)
  }

  /// A holder with music of its own: each packet of it passes, once, and ours steps back; when that ends ours goes on.
  @Test func theHolderHasItsOwn() throws {
    let (rig, file) = try rig()
    defer { withExtendedLifetime(file) {} }
    let (alice, bob) = (try Peer(), try Peer())
    let (near, far) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    alice.send(rtp(1), to: near.media)
    var heard = try packets(bob, 1)
    rig.plane.submit([
      .remote(near.id, RemoteMedia(alice.address, weSend: false)),
      .interpose(far.id, .music(0)),
    ])
    heard += try packets(bob, 3)
    #expect(heard.suffix(3).allSatisfy { isMusic($0.payload) })
    for number in 50..<60 {
      alice.send(rtp(number), to: near.media)
      heard += try packets(bob, 1)
      // What was on its way already.
      while let last = heard.last, isMusic(last.payload) { heard += try packets(bob, 1) }
    }
    heard += try packets(bob, 2)
    let own = heard.filter { !isMusic($0.payload) }.map { $0.payload[0] }
    #expect(own == [1] + (50..<60).map { UInt8($0) })
    #expect(isMusic(heard[heard.count - 1].payload))
    // Late, behind the music that has taken its number: it has no place any more.
    expectOneFlow(heard)
  }

  /// In the codec of who is held, through its encoder.
  @Test func inAnotherCodec() throws {
    let (rig, file) = try rig()
    defer { withExtendedLifetime(file) {} }
    let (alice, bob) = (try Peer(), try Peer())
    func remote(_ peer: Peer, _ codec: AudioCodec, _ type: UInt8, holds: Bool = false)
      -> RemoteMedia
    {
      RemoteMedia(
        rtp: peer.address, rtcp: SocketAddress(peer.address.ip, peer.address.port &+ 1),
        signallingSource: peer.address.ip, latch: .signalled, weSend: !holds, weReceive: !holds,
        codec: codec, payloadType: type, clockRate: 8_000, packetTime: 20, telephoneEvent: 255,
        speech: SpeechFormats(SpeechFormats.Format(codec, type)))
    }
    let (near, far) = try rig.bridge(remote(alice, .pcmu, 0), remote(bob, .g722, 9))
    var heard: [Packet] = []
    for number in 1...3 {
      alice.send(rtp(number), to: near.media)
      heard += try packets(bob, 1)
    }
    rig.plane.submit([
      .remote(near.id, remote(alice, .pcmu, 0, holds: true)), .interpose(far.id, .music(0)),
    ])
    heard += try packets(bob, 10)
    #expect(heard.allSatisfy { $0.header.payloadType == 9 && $0.payload.count == 160 })
    rig.plane.submit([.remote(near.id, remote(alice, .pcmu, 0)), .interpose(far.id, nil)])
    rig.measure(far)
    heard += bob.receiveAll(quiet: 60).compactMap { parse($0) }
    for number in 1_000...1_003 {
      alice.send(rtp(number), to: near.media)
      heard += try packets(bob, 1)
    }
    expectOneFlow(heard)
  }

  /// What each says of the flow that is made here goes nowhere, and both have reports of ours; afterwards it passes again.
  @Test func reportsEndHere() throws {
    var settings = MediaSettings()
    settings.reportInterval = .milliseconds(100)
    let (rig, file) = try rig(settings: settings)
    defer { withExtendedLifetime(file) {} }
    let (alice, bob) = (try Peer(), try Peer())
    let (aliceControl, bobControl) = (try Peer(), try Peer())
    let (near, far) = try rig.bridge(
      RemoteMedia(alice.address, rtcp: aliceControl.address),
      RemoteMedia(bob.address, rtcp: bobControl.address))
    alice.send(rtp(1), to: near.media)
    _ = try packets(bob, 1)
    rig.plane.submit([
      .remote(
        near.id, RemoteMedia(alice.address, rtcp: aliceControl.address, weSend: false)),
      .interpose(far.id, .music(0)),
    ])
    let music = try packets(bob, 20)
    var types: [UInt8] = []
    for _ in 0..<10 where types.last != RTCPType.senderReport {
      let report = try #require(bobControl.receive())
      var reader = RTCPReader()
      types.append(try #require(nextPacket(&reader, report.bytes)).type)
      #expect(firstSource(report.bytes) == music[0].header.ssrc)
    }
    #expect(types.last == RTCPType.senderReport)
    let theirs = rtcp { $0.receiverReport(ssrc: 77, block: nil, to: &$1) }
    bobControl.send(theirs, to: far.control)
    for _ in 0..<3 {
      let report = try #require(aliceControl.receive())
      #expect(firstSource(report.bytes) != 77)
    }
    rig.plane.submit([
      .remote(near.id, RemoteMedia(alice.address, rtcp: aliceControl.address)),
      .interpose(far.id, nil),
    ])
    rig.measure(far)
    _ = aliceControl.receiveAll(quiet: 60)
    bobControl.send(theirs, to: far.control)
    #expect(aliceControl.receive().map { firstSource($0.bytes) } == 77)
    #expect(aliceControl.receive(within: 300) == nil)
  }

  /// Who speaks in the first packet of a compound.
  private func firstSource(_ bytes: [UInt8]) -> UInt32? {
    guard bytes.count >= 8 else { return nil }
    return bytes[4..<8].reduce(0) { $0 << 8 | UInt32($1) }
  }

  /// An end of the bridge is an end of the music; without one, of what is not there, and beside an application there is
  /// none.
  @Test func whereThereIsNone() throws {
    let (rig, file) = try rig()
    defer { withExtendedLifetime(file) {} }
    let (alice, bob) = (try Peer(), try Peer())
    let lone = try rig.open()
    rig.plane.submit([
      .remote(lone.id, RemoteMedia(alice.address)), .interpose(lone.id, .music(0)),
    ])
    #expect(alice.receive(within: 100) == nil)
    let (near, far) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    rig.plane.submit([.interpose(far.id, .music(9)), .interpose(near.id, nil)])
    #expect(bob.receive(within: 700) == nil)
    rig.plane.submit([
      .remote(near.id, RemoteMedia(alice.address, weSend: false, weReceive: false)),
      .interpose(far.id, .music(0)),
    ])
    _ = try packets(bob, 2)
    rig.plane.submit([.close(near.id)])
    rig.measure(far)
    _ = bob.receiveAll(quiet: 40)
    #expect(bob.receive(within: 100) == nil)
    #expect(!rig.log.all.contains { if case .refused = $0 { true } else { false } })
  }

  /// Our own: it has no gap in it, nothing is cut, and it goes on at its end.
  @Test func ownMusic() throws {
    let rig = try Rig(announcements: [AnnouncementSource(name: "own", path: "")])
    let (alice, bob) = (try Peer(), try Peer())
    let (near, far) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    rig.plane.submit([
      .remote(near.id, RemoteMedia(alice.address, weSend: false, weReceive: false)),
      .interpose(far.id, .music(0)),
    ])
    for packet in try packets(bob, 100) {
      let samples = packet.payload.map { Double(G711.linear(ulaw: $0)) }
      let energy = samples.reduce(0) { $0 + $1 * $1 } / 160
      #expect(energy > 100 * 100 && samples.allSatisfy { abs($0) <= 8_600 })
    }
  }
}
