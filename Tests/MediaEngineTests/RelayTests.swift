import Base
import Glibc
import MediaControl
import MediaEngine
import RTPWire
import Testing

private let other = IPAddress(v4: 0x7f00_0009)
private let third = IPAddress(v4: 0x7f00_0008)

private func packets(of compound: [UInt8]) -> [RTCPPacket] {
  var reader = RTCPReader()
  var found: [RTCPPacket] = []
  while let packet = reader.next(in: compound.rawSpan) { found.append(packet) }
  return found
}

@Suite(.serialized) struct RelayTests {
  /// Whoever learns of a port may send to it at once: the worker need not have had its turn.
  @Test(arguments: [IPAddress.loopbackV4, .loopbackV6])
  func aPortHearsFromTheMomentThatItIsNamed(address: IPAddress) throws {
    let rig = try Rig(address, pairs: 120)
    for round in 1...60 {
      let (alice, bob) = (try Peer(address), try Peer(address))
      let (near, far) = (try #require(rig.lease()), try #require(rig.lease()))
      let ids = (MediaTransportID(raw: UInt64(round)), MediaTransportID(raw: UInt64(round + 100)))
      rig.plane.submit([
        .open(ids.0, near), .open(ids.1, far), .remote(ids.0, RemoteMedia(alice.address)),
        .remote(ids.1, RemoteMedia(bob.address)), .bridge(ids.0, ids.1),
      ])
      alice.send(rtp(round), to: SocketAddress(address, near.port))
      #expect(bob.receive()?.bytes == rtp(round), "round \(round)")
      // The worker is asleep when the next one comes.
      usleep(2_000)
    }
  }

  @Test(arguments: [IPAddress.loopbackV4, .loopbackV6])
  func packetsPassBothWaysUnchanged(ip: IPAddress) throws {
    let rig = try Rig(ip)
    let (alice, bob) = (try Peer(ip), try Peer(ip))
    let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    for number in 0..<50 {
      alice.send(rtp(number, marker: number == 0), to: a.media)
      bob.send(rtp(1_000 + number, ssrc: 7, payloadType: 96), to: b.media)
    }
    for number in 0..<50 {
      let atBob = try #require(bob.receive())
      #expect(atBob.bytes == rtp(number, marker: number == 0))
      #expect(atBob.from == b.media)
      let atAlice = try #require(alice.receive())
      #expect(atAlice.bytes == rtp(1_000 + number, ssrc: 7, payloadType: 96))
      #expect(atAlice.from == a.media)
    }
    let quality = try #require(rig.measure(a))
    #expect(quality.packets == 50)
    #expect(quality.octets == 8_000)
    #expect(quality.lost == 0)
    #expect(quality.sent == 50)
    #expect(quality.refused == 0)
    #expect(quality.ssrc == 0x1111_2222)
    #expect(quality.payloadType == 0)
    #expect(quality.mos > 400)
    #expect(quality.first > .zero && quality.first <= quality.last)
    #expect(rig.plane.counters.relayed == 100)
    #expect(rig.plane.counters.kernelDropped == 0)
  }

  /// Bound to every address; muted and heard again by a second call on the same port.
  @Test func aWildcardAddressWorks() throws {
    let rig = try Rig(.anyV4, pairs: 2)
    let (alice, bob) = (try Peer(), try Peer())
    for _ in 0..<2 {
      let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
      alice.send(rtp(1), to: SocketAddress(.loopbackV4, a.media.port))
      #expect(bob.receive()?.bytes == rtp(1))
      rig.plane.submit([.close(a.id), .close(b.id)])
      #expect(rig.log.wait { $0 == .closed(b.id) ? true : nil } == true)
      rig.release(a, b)
    }
  }

  @Test func lossAndOrderAreCountedAsTheyPass() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    for number in [10, 11, 13, 12, 15, 15, 18] { alice.send(rtp(number), to: a.media) }
    #expect(bob.receiveAll().count == 7)
    let quality = try #require(rig.measure(a))
    #expect(quality.packets == 7)
    #expect(quality.lost == 3)
    #expect(quality.duplicates == 1)
    #expect(quality.reordered == 1)
    #expect(quality.mos < 441)
  }

  /// RTP bleed (E1) and inject (E2): strangers send first and all the time, from another address and from
  /// another port of the far end's. Nobody hears them, and they hear nobody.
  @Test func strangersNeitherHearNorAreHeard() throws {
    let rig = try Rig()
    let (alice, bob, stranger) = (try Peer(), try Peer(), try Peer(other))
    let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    for number in 0..<10 {
      stranger.send(rtp(number, ssrc: 666), to: a.media)
      stranger.send(rtp(number, ssrc: 666), to: b.media)
    }
    _ = rig.measure(a)
    alice.send(rtp(0), to: a.media)
    bob.send(rtp(0), to: b.media)
    #expect(bob.receive()?.bytes == rtp(0))
    #expect(alice.receive()?.bytes == rtp(0))
    // Now both are latched: another port of the same host is a stranger too.
    let sameHost = try Peer()
    for number in 1..<20 {
      stranger.send(rtp(number, ssrc: 0x1111_2222), to: a.media)
      sameHost.send(rtp(number, ssrc: 0x1111_2222), to: a.media)
      alice.send(rtp(number), to: a.media)
      bob.send(rtp(number), to: b.media)
    }
    let atBob = bob.receiveAll()
    #expect(atBob == (1..<20).map { rtp($0) })
    #expect(alice.receiveAll().count == 19)
    #expect(stranger.receive(within: 50) == nil)
    #expect(sameHost.receive(within: 1) == nil)
    let quality = try #require(rig.measure(a))
    #expect(quality.refused == 10 + 19 + 19)
    #expect(quality.packets == 20)
    #expect(quality.lost == 0)
  }

  /// The far end sits behind a NAT: its packets come from another port than SDP says, or from the address
  /// of its signalling.
  @Test func theRealSourceIsLearntWithinTheSignalledAddresses() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer(third))
    let (a, b) = try rig.bridge(
      RemoteMedia(SocketAddress(.loopbackV4, 9)),
      RemoteMedia(SocketAddress(IPAddress(v4: 0xc000_0201), 4_000), signalling: third))
    alice.send(rtp(1), to: a.media)
    bob.send(rtp(1), to: b.media)
    let latched = rig.log.wait { fact in
      if case .latched(a.id, let address, _) = fact { address } else { nil }
    }
    #expect(latched == alice.address)
    _ = rig.measure(b)
    alice.send(rtp(2), to: a.media)
    bob.send(rtp(2), to: b.media)
    #expect(bob.receiveAll().last == rtp(2))
    #expect(alice.receiveAll().last == rtp(2))
  }

  @Test func aNewAddressInSDPOpensTheLatchAndTheSameOneDoesNot() throws {
    let rig = try Rig()
    let (alice, bob, moved) = (try Peer(), try Peer(), try Peer(other))
    let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    alice.send(rtp(1), to: a.media)
    #expect(bob.receive() != nil)
    // A re-offer that changes nothing: the other port stays a stranger.
    let sameHost = try Peer()
    rig.plane.submit([.remote(a.id, RemoteMedia(alice.address, packetTime: 30))])
    _ = rig.measure(a)
    sameHost.send(rtp(2), to: a.media)
    #expect(bob.receive(within: 50) == nil)
    // The far end moves: at once we send there, and hear it.
    rig.plane.submit([.remote(a.id, RemoteMedia(moved.address))])
    _ = rig.measure(a)
    bob.send(rtp(3), to: b.media)
    #expect(moved.receive()?.bytes == rtp(3))
    alice.send(rtp(4), to: a.media)
    moved.send(rtp(5), to: a.media)
    #expect(bob.receive()?.bytes == rtp(5))
    let quality = try #require(rig.measure(a))
    #expect(quality.refused == 2)
  }

  /// The wide policy: a stranger may be taken for the far end for a few packets, no longer.
  @Test func theWindowIsFivePackets() throws {
    let rig = try Rig()
    let (bob, real, stranger) = (try Peer(), try Peer(third), try Peer(other))
    let unreachable = SocketAddress(IPAddress(v4: 0x7f00_0055), 9)
    let (a, b) = try rig.bridge(
      RemoteMedia(unreachable, latch: .window), RemoteMedia(bob.address))
    stranger.send(rtp(1, ssrc: 666), to: a.media)
    #expect(bob.receive()?.bytes == rtp(1, ssrc: 666))
    for number in 1...20 {
      real.send(rtp(number), to: a.media)
      if number > 4 { stranger.send(rtp(number, ssrc: 666), to: a.media) }
      bob.send(rtp(number, ssrc: 5), to: b.media)
      usleep(2_000)
    }
    let heard = bob.receiveAll().compactMap { parse($0)?.header.ssrc }
    #expect(heard == [UInt32](repeating: 0x1111_2222, count: 20))
    #expect(stranger.receiveAll(quiet: 20).count <= 5)
    #expect(real.receiveAll(quiet: 20).count >= 15)
  }

  @Test func directionsAreObeyed() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(
      RemoteMedia(alice.address, weReceive: false), RemoteMedia(bob.address))
    alice.send(rtp(1), to: a.media)
    #expect(bob.receive(within: 50) == nil)
    bob.send(rtp(2), to: b.media)
    #expect(alice.receive()?.bytes == rtp(2))
    rig.plane.submit([.remote(a.id, RemoteMedia(alice.address, weSend: false))])
    _ = rig.measure(a)
    alice.send(rtp(3), to: a.media)
    #expect(bob.receive()?.bytes == rtp(3))
    bob.send(rtp(4), to: b.media)
    #expect(alice.receive(within: 50) == nil)
    #expect(rig.plane.counters.unwanted == 1)
    #expect(rig.plane.counters.unsendable == 1)
  }

  @Test func whatIsNoRTPIsDroppedAndTheNextPacketPasses() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    let stun: [UInt8] = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42] + Array(repeating: 1, count: 12)
    let lying: [UInt8] = [0x9f] + Array(rtp(1).dropFirst().prefix(30))
    for garbage in [[], [0x80], stun, lying, Array(repeating: 0xff, count: 1_400)] {
      alice.send(garbage, to: a.media)
      alice.send(garbage, to: a.control)
    }
    alice.send(rtp(1), to: a.media)
    #expect(bob.receive()?.bytes == rtp(1))
    let quality = try #require(rig.measure(a))
    #expect(quality.malformed == 10)
    #expect(quality.packets == 1)
  }

  @Test func rtcpIsRelayedReadAndGuarded() throws {
    let rig = try Rig()
    let (alice, bob, stranger) = (try Peer(), try Peer(), try Peer(other))
    let (aliceControl, bobControl) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(
      RemoteMedia(alice.address, rtcp: aliceControl.address),
      RemoteMedia(bob.address, rtcp: bobControl.address))
    bob.send(rtp(1, ssrc: 5), to: b.media)
    #expect(alice.receive() != nil)
    let senderReport = rtcp { writer, packet in
      writer.senderReport(
        ssrc: 5,
        info: RTCPSenderInfo(ntp: 0x1234_5678_9abc_def0, timestamp: 1, packets: 1, octets: 1),
        block: nil, to: &packet)
      writer.canonicalName(ssrc: 5, name: 1, to: &packet)
    }
    stranger.send(senderReport, to: b.control)
    bobControl.send(senderReport, to: b.control)
    // All of it but the name, which is the sender's own business.
    let passed = try #require(aliceControl.receive()).bytes
    #expect(passed.count == senderReport.count)
    #expect(passed.prefix(38) == senderReport.prefix(38))
    #expect(passed.dropFirst(38) != senderReport.dropFirst(38))
    #expect(aliceControl.receive(within: 30) == nil)
    usleep(30_000)
    let receiverReport = rtcp { writer, packet in
      let block = RTCPReportBlock(
        ssrc: 5, fractionLost: 26, cumulativeLost: 3, highestSequence: 1, jitter: 80,
        lastSR: 0x5678_9abc, delaySinceLastSR: 655)  // 10 ms
      writer.receiverReport(ssrc: 9, block: block, to: &packet)
    }
    aliceControl.send(receiverReport, to: a.control)
    #expect(bobControl.receive()?.bytes == receiverReport)
    let quality = try #require(rig.measure(a))
    #expect(quality.rtcpPackets == 1)
    #expect(quality.remoteFractionLost == 26)
    #expect(quality.remoteJitter == 10_000)
    #expect((20_000...400_000).contains(quality.roundTrip))
    #expect(try #require(rig.measure(b)).refused == 1)
    #expect(rig.plane.counters.controlRelayed == 2)
    #expect(stranger.receive(within: 1) == nil)
  }

  /// Alice's far end changes from bob to carol, whose numbers are lower: for alice one flow goes on. There are
  /// phones that play nothing of another one.
  @Test func whoeverIsHeardTheFlowGoesOn() throws {
    let rig = try Rig()
    let (alice, bob, carol) = (try Peer(), try Peer(), try Peer())
    let (aliceControl, carolControl) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(
      RemoteMedia(alice.address, rtcp: aliceControl.address), RemoteMedia(bob.address))
    for number in 65_530..<65_534 { bob.send(rtp(number, ssrc: 5), to: b.media) }
    #expect(alice.receiveAll().last == rtp(65_533, ssrc: 5))

    let c = try rig.open()
    rig.plane.submit([
      .remote(c.id, RemoteMedia(carol.address, rtcp: carolControl.address)),
      .bridge(a.id, c.id),
    ])
    _ = rig.measure(c)
    for number in [100, 101, 103] { carol.send(rtp(number, ssrc: 77), to: c.media) }
    let heard = alice.receiveAll().compactMap { parse($0) }
    #expect(heard.map(\.header.ssrc) == [5, 5, 5])
    #expect(heard.map(\.header.sequence) == [65_534, 65_535, 1])
    #expect(heard.map { $0.payload.first } == [100, 101, 103])
    let first = try #require(heard.first).header.timestamp
    // As long as nothing was heard, and at least a packet.
    #expect((65_533 * 160 + 160..<65_533 * 160 + 80_000).contains(Int(first)))
    #expect(heard.map { $0.header.timestamp &- first } == [0, 160, 480])
    // Carol has heard nobody before: what alice says comes as it is.
    alice.send(rtp(7, ssrc: 9), to: a.media)
    #expect(carol.receive()?.bytes == rtp(7, ssrc: 9))
    // Bob hears no more of them.
    #expect(bob.receive(within: 1) == nil)

    let senderReport = rtcp { writer, packet in
      writer.senderReport(
        ssrc: 77,
        info: RTCPSenderInfo(ntp: 0x1234_5678_9abc_def0, timestamp: 16_000, packets: 3, octets: 3),
        block: nil, to: &packet)
      writer.canonicalName(ssrc: 77, name: 1, to: &packet)
    }
    carolControl.send(senderReport, to: c.control)
    let shown = try #require(aliceControl.receive()).bytes
    #expect(packets(of: shown).map { $0.sender(in: shown.rawSpan) } == [5, 5])
    #expect(packets(of: shown).first?.senderInfo(in: shown.rawSpan)?.timestamp == first)

    let receiverReport = rtcp { writer, packet in
      let block = RTCPReportBlock(
        ssrc: 5, fractionLost: 26, cumulativeLost: 1, highestSequence: 0x3_0001, jitter: 80,
        lastSR: 0x5678_9abc, delaySinceLastSR: 655)
      writer.receiverReport(ssrc: 9, block: block, to: &packet)
    }
    aliceControl.send(receiverReport, to: a.control)
    let told = try #require(carolControl.receive()).bytes
    let back = packets(of: told).first?.reportBlock(0, in: told.rawSpan)
    #expect(back?.ssrc == 77 && back?.highestSequence == 0x3_0067)
    let quality = try #require(rig.measure(a))
    #expect(quality.remoteFractionLost == 26)
  }

  /// What an application said before goes on as well.
  @Test func aFlowOutlivesItsApplication() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = (try rig.open(), try rig.open())
    rig.plane.submit([.remote(a.id, RemoteMedia(alice.address)), .play(a.id, .milliwatt)])
    let before = try #require(alice.packet()).header
    rig.plane.submit([.remote(b.id, RemoteMedia(bob.address)), .bridge(a.id, b.id)])
    _ = rig.measure(b)
    let last = alice.receiveAll().compactMap { parse($0) }.last?.header ?? before
    bob.send(rtp(20, ssrc: 3), to: b.media)
    let after = try #require(alice.packet()).header
    #expect(after.ssrc == last.ssrc && after.sequence == last.sequence &+ 1)
  }

  @Test func closedMeansSilentAndMeasured() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    alice.send(rtp(1), to: a.media)
    #expect(bob.receive() != nil)
    rig.plane.submit([.close(a.id)])
    #expect(rig.log.wait { $0 == .closed(a.id) ? true : nil } == true)
    let tail = rig.log.all.suffix(2)
    guard case .quality(a.id, let last) = tail.first else {
      Issue.record("no quality before .closed")
      return
    }
    #expect(last.packets == 1)
    for number in 2..<10 {
      alice.send(rtp(number), to: a.media)
      bob.send(rtp(number), to: b.media)
    }
    #expect(bob.receive(within: 60) == nil)
    #expect(alice.receive(within: 1) == nil)
    // What came while the port was closed is not heard by the next call on it.
    let again = MediaTransportID(raw: 999)
    rig.plane.submit([.open(again, a.lease), .remote(again, RemoteMedia(alice.address))])
    rig.plane.submit([.measure(again)])
    let quality = rig.log.wait { fact in
      if case .quality(again, let quality) = fact { quality } else { nil }
    }
    #expect(quality?.packets == 0)
    #expect(rig.plane.counters.openTransports == 2)
  }

  @Test func silenceIsReportedOncePerPeriod() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    rig.plane.submit([.watch(a.id, silenceMilliseconds: 300)])
    func silences() -> Int {
      rig.log.all.count { if case .silent(a.id, _) = $0 { true } else { false } }
    }
    for number in 0..<15 {
      alice.send(rtp(number), to: a.media)
      usleep(30_000)
    }
    #expect(silences() == 0)
    usleep(420_000)
    #expect(silences() == 1)
    let last = rig.log.wait { if case .silent(a.id, let last) = $0 { last } else { nil } }
    #expect(last == rig.measure(a)?.last)
    usleep(300_000)
    #expect(silences() == 2)
    rig.plane.submit([.watch(a.id, silenceMilliseconds: 0)])
    usleep(350_000)
    #expect(silences() == 2)
  }

  /// E9: many, nowhere and a port itself are no destinations.
  @Test func nothingIsSentToNowhereOrToItself() throws {
    let rig = try Rig()
    let alice = try Peer()
    for address in [SocketAddress(.anyV4, 4_000), SocketAddress(.loopbackV4, 0)] {
      let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(address))
      for number in 0..<3 { alice.send(rtp(number), to: a.media) }
      usleep(20_000)
      #expect(rig.measure(b)?.sent == 0)
      rig.plane.submit([.close(a.id), .close(b.id)])
    }
    let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(alice.address))
    rig.plane.submit([.remote(b.id, RemoteMedia(b.media))])
    for number in 0..<3 { alice.send(rtp(number), to: a.media) }
    usleep(20_000)
    #expect(rig.measure(b)?.sent == 0)
    #expect(rig.plane.counters.unsendable == 9)
  }

  @Test func manyStreamsUnderTheTickLoseNothing() throws {
    var settings = MediaSettings()
    settings.busyPacketsPerSecond = 200
    let rig = try Rig(pairs: 16, settings: settings)
    let (alice, bob) = (try Peer(), try Peer())
    var pairs: [(End, End)] = []
    for _ in 0..<8 {
      pairs.append(try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address)))
    }
    var arrived = 0
    for number in 0..<60 {
      for (index, pair) in pairs.enumerated() {
        alice.send(rtp(number, ssrc: UInt32(index)), to: pair.0.media)
      }
      usleep(5_000)
      while bob.receive(within: 0) != nil { arrived += 1 }
    }
    arrived += bob.receiveAll().count
    #expect(arrived == 480)
    #expect(rig.plane.counters.ticks > 50)
    // The tick is no jitter: the kernel stamps packets when they come.
    let quality = try #require(rig.measure(pairs[0].0))
    #expect(quality.lost == 0)
    usleep(250_000)
    let before = rig.plane.counters.wakeups
    usleep(100_000)
    #expect(rig.plane.counters.wakeups - before < 5)
  }
}
