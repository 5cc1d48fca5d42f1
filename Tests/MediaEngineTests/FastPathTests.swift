import Base
import CKernelPath
import Glibc
import MediaControl
import MediaEngine
import RTPWire
import Testing

private func kernelSettings(_ mode: FastPathMode = .auto) -> MediaSettings {
  var settings = MediaSettings()
  settings.fastPath = mode
  return settings
}

extension Rig {
  fileprivate static func inKernel(
    _ bound: IPAddress = .loopbackV4, mode: FastPathMode = .auto
  ) throws -> Rig {
    let rig = try Rig(bound, settings: kernelSettings(mode))
    guard case .on(_, let links) = rig.plane.fastPath else {
      Issue.record("the fast path is not there: \(rig.plane.fastPath)")
      throw PeerError(code: 0)
    }
    #expect(links == (mode == .auto))
    return rig
  }

  fileprivate var relayedByKernel: Int { Int(plane.counters.relayedByKernel) }
}

/// The program that is committed is the one of the committed source.
@Test func theProgramIsWhatItsSourceGives() {
  let folder = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
  let status = shell("/usr/bin/env python3 /\(folder)/Sources/CKernelPath/regenerate.py --check")
  if status == 77 {
    print("NOT TESTED: whether the kernel's program is that of its source; no clang that knows BPF")
  } else {
    #expect(status == 0)
  }
}

/// A program that never lets go of an entry, as on a CPU that has been taken away, holds nobody up.
@Test func theWaitForTheProgramHasAnEnd() {
  let order = UInt64(7) << 32 | 9 << 16
  var armed = order
  #expect(unsafe ckp_take_back(&armed) == 1)
  #expect(armed == 0)
  armed = order | UInt64(CKP_HELD)
  let duration = ContinuousClock().measure { #expect(unsafe ckp_take_back(&armed) == 0) }
  #expect(armed == UInt64(CKP_HELD))
  #expect(duration < .seconds(2))
}

@Test func offMeansOff() throws {
  let rig = try Rig()
  #expect(rig.plane.fastPath == .off)
  #expect(rig.plane.counters.relayedByKernel == 0)
}

@Suite(.serialized, .enabled(if: Namespace.isPossible)) struct FastPathTests {
  /// The far end is found at its new port, from what the kernel knew of its flow, and the kernel relays on.
  @Test func aFlowThatMovedIsFollowed() throws {
    try Namespace().enter {
      let rig = try Rig.inKernel()
      let (alice, moved, bob) = (try Peer(), try Peer(), try Peer())
      let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
      bob.send(rtp(0, ssrc: 7), to: b.media)
      for number in 0..<20 {
        alice.send(rtp(number), to: a.media)
        usleep(5_000)
      }
      #expect(bob.receiveAll().count == 20)
      // The worker has not heard of alice for longer than that, but the kernel has.
      moved.send(rtp(21), to: a.media)
      #expect(bob.receive(within: 50) == nil)
      usleep(250_000)
      let before = rig.relayedByKernel
      for number in 21..<41 {
        moved.send(rtp(number), to: a.media)
        usleep(5_000)
      }
      #expect(bob.receiveAll().count == 20)
      #expect(rig.relayedByKernel - before >= 15)
      #expect(rig.measure(a)?.lost == 1)
    }
  }

  /// Packets pass unchanged and from the right port; the first one of each side goes by the socket, the next
  /// too, and from then on the kernel relays.
  @Test(arguments: [IPAddress.loopbackV4, .loopbackV6], [FastPathMode.auto, .filter])
  func theKernelRelaysOnLoopback(ip: IPAddress, mode: FastPathMode) throws {
    try Namespace().enter {
      let rig = try Rig.inKernel(ip, mode: mode)
      let (alice, bob) = (try Peer(ip), try Peer(ip))
      let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
      for number in 0..<50 {
        alice.send(rtp(number, marker: number == 0), to: a.media)
        let atBob = try #require(bob.receive())
        #expect(atBob.bytes == rtp(number, marker: number == 0))
        #expect(atBob.from == b.media)
        bob.send(rtp(60_000 + number, ssrc: 7, payloadType: 8), to: b.media)
        let atAlice = try #require(alice.receive())
        #expect(atAlice.bytes == rtp(60_000 + number, ssrc: 7, payloadType: 8))
        #expect(atAlice.from == a.media)
        usleep(2_000)  // until the worker has caught up
      }
      let quality = try #require(rig.measure(a))
      #expect(quality.packets == 50)
      #expect(quality.octets == 8_000)
      #expect(quality.lost == 0)
      #expect(quality.sent == 50)
      #expect(quality.refused == 0)
      #expect(quality.ssrc == 0x1111_2222)
      #expect(quality.payloadType == 0)
      #expect(quality.first < quality.last)
      #expect(rig.relayedByKernel >= 80)
      #expect(rig.relayedByKernel + Int(rig.plane.counters.relayed) == 100)
      #expect(rig.plane.counters.kernelFlows == 2)
      rig.plane.submit([.close(a.id), .close(b.id)])
      #expect(rig.log.wait { $0 == .closed(b.id) ? true : nil } == true)
      #expect(rig.plane.counters.kernelFlows == 0)
      // E15: nothing passes once the call is over.
      alice.send(rtp(50), to: a.media)
      #expect(bob.receive(within: 60) == nil)
    }
  }

  /// Between two Ethernets, as between two networks: neighbours are found, checksums are right for a receiver
  /// that checks them.
  @Test(arguments: [4, 6], [true, false])
  func theKernelRelaysBetweenInterfaces(version: Int, offloaded: Bool) throws {
    let triangle = try Triangle()
    // Without offload the checksum is in the packet when it comes, and must be when it goes.
    for (space, link) in [
      (triangle.caller, "far"), (triangle.callee, "far"), (triangle.ours, "v1"),
      (triangle.ours, "v2"),
    ]
    where !offloaded {
      try space.run("ethtool -K \(link) tx off rx off >/dev/null")
    }
    func address(_ network: UInt64, _ host: UInt64) -> IPAddress {
      version == 4
        ? IPAddress(v4: UInt32(0x0a47_0000 + network << 8 + host))
        : IPAddress(v6High: 0xfd71_0000_0000_0000 + network << 32, low: host)
    }
    let alice = try triangle.caller.enter { try Peer(address(1, 1)) }
    let bob = try triangle.callee.enter { try Peer(address(2, 1)) }
    try triangle.ours.enter {
      let rig = try Rig.inKernel(version == 4 ? .anyV4 : .anyV6)
      let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
      let (near, far) = (
        SocketAddress(address(1, 2), a.media.port), SocketAddress(address(2, 2), b.media.port)
      )
      for number in 0..<40 {
        alice.send(rtp(number), to: near)
        let atBob = try #require(bob.receive())
        #expect(atBob.bytes == rtp(number))
        #expect(atBob.from == far)
        bob.send(rtp(number, ssrc: 9), to: far)
        let atAlice = try #require(alice.receive())
        #expect(atAlice.bytes == rtp(number, ssrc: 9))
        #expect(atAlice.from == near)
        usleep(2_000)
      }
      #expect(rig.relayedByKernel >= 60)
      // In fragments: by the socket.
      let long = rtp(40) + [UInt8](repeating: 1, count: 1_400)
      alice.send(long, to: near)
      #expect(bob.receive()?.bytes == long)
      #expect(rig.measure(a)?.lost == 0)
    }
  }

  /// RTP bleed and injection (E1, E2): once the kernel relays, as before.
  @Test func strangersNeitherHearNorAreHeard() throws {
    try Namespace().enter {
      let rig = try Rig.inKernel()
      let (alice, bob) = (try Peer(), try Peer())
      let (stranger, sameHost) = (try Peer(IPAddress(v4: 0x7f00_0009)), try Peer())
      let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
      try establish(rig, alice, a, bob, b)
      for number in 10..<60 {
        for attacker in [stranger, sameHost] {
          attacker.send(rtp(number), to: a.media)
          attacker.send(rtp(number, ssrc: 666), to: b.media)
        }
        alice.send(rtp(number), to: a.media)
      }
      #expect(bob.receiveAll() == (10..<60).map { rtp($0) })
      #expect(alice.receiveAll().isEmpty)
      #expect(stranger.receive(within: 20) == nil)
      #expect(sameHost.receive(within: 1) == nil)
      let quality = try #require(rig.measure(a))
      #expect(quality.refused == 100)
      #expect(quality.packets == 60)
      #expect(quality.lost == 0)
      #expect(rig.plane.counters.kernelFlows == 2)
    }
  }

  /// What the program does not carry goes by the socket, in its place in the flow: telephone-event, a header
  /// with an extension, another SSRC, a jump, something that is no RTP.
  @Test func whatIsUnusualGoesByTheSocket() throws {
    try Namespace().enter {
      let rig = try Rig.inKernel()
      let (alice, bob) = (try Peer(), try Peer())
      let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
      try establish(rig, alice, a, bob, b)
      var extended = rtp(30)
      extended[0] |= 0x10
      extended.replaceSubrange(12..<16, with: [0xbe, 0xde, 0, 1])
      let unusual = [rtp(20, payloadType: 101), extended, rtp(200), rtp(1, ssrc: 5)]
      var number = 10
      var expected: [[UInt8]] = []
      for (index, packet) in unusual.enumerated() {
        // The number that fits, but for the jump and the new source.
        var packet = packet
        if index < 2 { packet[3] = UInt8(number) }
        let before = rig.relayedByKernel
        alice.send(packet, to: a.media)
        expected.append(packet)
        number = index < 2 ? number + 1 : index == 2 ? 201 : 2
        let source: UInt32 = index == 3 ? 5 : 0x1111_2222
        for _ in 0..<4 {
          alice.send(rtp(number, ssrc: source), to: a.media)
          expected.append(rtp(number, ssrc: source))
          number += 1
          usleep(3_000)
        }
        #expect(rig.relayedByKernel - before >= 1, "after \(index)")
        #expect(rig.relayedByKernel - before < 5, "after \(index)")
      }
      alice.send([1, 2, 3], to: a.media)
      #expect(bob.receiveAll() == expected)
      let quality = try #require(rig.measure(a))
      #expect(quality.malformed == 1)
      #expect(quality.packets == UInt64(10 + expected.count))
      #expect(quality.payloadType == 0)
    }
  }

  /// The same packets with losses, duplicates and disorder, once in the kernel and once in user space: the
  /// same figures, and the same packets out.
  @Test func figuresAreThoseOfUserSpace() throws {
    let order = [
      0, 1, 2, 3, 5, 4, 6, 6, 7, 9, 11, 10, 8, 30, 29, 28, 27, 31, 90, 60, 61, 91, 91, 60, 100,
      163, 101, 100, 164, 165, 228, 164, 165, 166, 300, 299, 201, 301, 302,
    ]
    var seen: [StreamQuality] = []
    for mode in [FastPathMode.off, .auto] {
      try Namespace().enter {
        let rig = mode == .off ? try Rig() : try Rig.inKernel()
        let (alice, bob) = (try Peer(), try Peer())
        let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
        try establish(rig, alice, a, bob, b)
        // Over the turn of the sequence number too.
        for first in [10, 65_400] {
          if first == 65_400 {
            for number in stride(from: 312, through: first, by: 90) {
              alice.send(rtp(number), to: a.media)
              usleep(500)
            }
            _ = bob.receiveAll()
          }
          for offset in order {
            alice.send(rtp(first + offset), to: a.media)
            usleep(1_000)
          }
          #expect(bob.receiveAll() == order.map { rtp(first + $0) })
        }
        var quality = try #require(rig.measure(a))
        if mode == .auto { #expect(rig.relayedByKernel > 400) }
        #expect(quality.jitter > 0 && quality.jitter <= quality.maxJitter)
        (quality.jitter, quality.maxJitter, quality.first, quality.last) = (0, 0, .zero, .zero)
        seen.append(quality)
      }
    }
    #expect(seen[0].lost > 0 && seen[0].duplicates > 0 && seen[0].reordered > 0)
    #expect(seen[0] == seen[1])
  }

  /// A flow that goes on from an application's: SSRC and numbers are those that the far end knows.
  @Test func renumberedFlowsGoOnInTheKernel() throws {
    try Namespace().enter {
      let rig = try Rig.inKernel()
      let (alice, bob) = (try Peer(), try Peer())
      let (a, b) = (try rig.open(), try rig.open())
      rig.plane.submit([
        .remote(a.id, RemoteMedia(alice.address)), .remote(b.id, RemoteMedia(bob.address)),
        .play(b.id, .milliwatt),
      ])
      var last = try #require(bob.packet()).header
      for _ in 0..<3 { last = try #require(bob.packet()).header }
      rig.plane.submit([.bridge(a.id, b.id)])
      while let packet = bob.receive(within: 60).flatMap({ parse($0.bytes) }) {
        last = packet.header
      }
      bob.send(rtp(1, ssrc: 9), to: b.media)
      var stamps: [UInt32] = []
      for number in 500..<560 {
        alice.send(rtp(number), to: a.media)
        let packet = try #require(bob.packet())
        #expect(packet.header.ssrc == last.ssrc)
        #expect(packet.header.sequence == last.sequence &+ 1)
        #expect(packet.payload == Array(rtp(number).dropFirst(12)))
        stamps.append(packet.header.timestamp)
        last = packet.header
        usleep(1_500)
      }
      #expect(zip(stamps.dropFirst(), stamps).allSatisfy { $0 &- $1 == 160 })
      #expect(rig.relayedByKernel >= 30)
      // And on from there, when something else feeds it again.
      rig.plane.submit([.play(b.id, .milliwatt)])
      let next = try #require(bob.packet()).header
      #expect(next.ssrc == last.ssrc)
      #expect(next.sequence == last.sequence &+ 1)
    }
  }

  /// In and out all the time, at a telephone's rate and far above it: every packet once and in order.
  @Test(arguments: [(50, 3), (2_000, 2)])
  func nothingIsLostOnTheWayInAndOut(rate: Int, seconds: Int) throws {
    try Namespace().enter {
      let rig = try Rig.inKernel()
      let (alice, bob) = (try Peer(), try Peer())
      let (remoteA, remoteB) = (RemoteMedia(alice.address), RemoteMedia(bob.address))
      let (a, b) = try rig.bridge(remoteA, remoteB)
      try establish(rig, alice, a, bob, b)
      let total = rate * seconds
      let pause = UInt32(1_000_000 / rate)
      var received: [Int] = []
      for number in 10..<10 + total {
        // Re-offers, measurements and DTMF, at odd places.
        if number % (rate / 10) == 3 { rig.plane.submit([.remote(a.id, remoteA)]) }
        if number % (rate / 8) == 5 { rig.plane.submit([.remote(b.id, remoteB)]) }
        if number % (rate / 10) == 1 { rig.plane.submit([.measure(a.id)]) }
        let type: UInt8 = number % (rate / 5) == 7 ? 101 : 0
        alice.send(rtp(number, payloadType: type), to: a.media)
        usleep(pause)
        while let packet = bob.receive(within: 0).flatMap({ parse($0.bytes) }) {
          received.append(Int(packet.header.sequence))
        }
      }
      received += bob.receiveAll().compactMap { parse($0).map { Int($0.header.sequence) } }
      #expect(received == Array(10..<10 + total))
      let quality = try #require(rig.measure(a))
      #expect(Int(quality.packets) == 10 + total)
      #expect(quality.lost == 0)
      #expect(quality.reordered == 0)
      #expect(quality.duplicates == 0)
      let both = rig.relayedByKernel + Int(rig.plane.counters.relayed)
      #expect(both == 10 + total + 10)
      #expect(rig.relayedByKernel > total / 3)
      print("\(rate) packets/s: \(rig.relayedByKernel) of \(total) by the kernel")
    }
  }

  /// Taken back again and again while the program is busy with the flow on another CPU: what was relayed is
  /// counted, by one of the two and once, however much finds a socket full.
  @Test func whatIsRelayedIsCountedOnce() throws {
    try Namespace().enter {
      let rig = try Rig.inKernel()
      let (alice, bob) = (try Peer(), try Peer())
      let (remoteA, remoteB) = (RemoteMedia(alice.address), RemoteMedia(bob.address))
      let (a, b) = try rig.bridge(remoteA, remoteB)
      try establish(rig, alice, a, bob, b)
      var number = 10
      func send() {
        alice.send(rtp(number), to: a.media)
        number += 1
      }
      for _ in 0..<1_000 {
        for _ in 0..<100 where rig.plane.counters.kernelFlows < 2 {
          bob.send(rtp(number, ssrc: 9), to: b.media)
          send()
          usleep(200)
        }
        rig.plane.submit([.remote(a.id, remoteA)])
        for _ in 0..<30 { send() }
      }
      usleep(50_000)
      let (near, far) = (try #require(rig.measure(a)), try #require(rig.measure(b)))
      let relayed = rig.relayedByKernel + Int(rig.plane.counters.relayed)
      #expect(Int(near.packets + far.packets) == relayed)
      #expect(near.packets == far.sent)
      #expect(far.packets == near.sent)
      #expect(rig.relayedByKernel > 1_000)
      print("\(relayed) packets, \(rig.relayedByKernel) by the kernel")
    }
  }

  /// More than user space can take in time: it catches up with one flow after the other, and the kernel takes
  /// them over in order.
  @Test func aBacklogIsCaughtUpWith() throws {
    try Namespace().enter {
      let rig = try Rig.inKernel()
      let (alice, bob) = (try Peer(), try Peer())
      let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
      try establish(rig, alice, a, bob, b)
      var sent = 10
      for _ in 0..<20 {
        // A digit, and a burst behind it.
        alice.send(rtp(sent, payloadType: 101), to: a.media)
        sent += 1
        for _ in 0..<50 {
          alice.send(rtp(sent), to: a.media)
          sent += 1
        }
        usleep(3_000)
        let received = bob.receiveAll(quiet: 5).compactMap {
          parse($0).map { Int($0.header.sequence) }
        }
        #expect(received == Array(sent - 51..<sent))
      }
      #expect(rig.measure(a)?.packets == UInt64(sent))
      #expect(rig.measure(a)?.lost == 0)
      #expect(rig.plane.counters.kernelFlows == 2)
    }
  }

  /// The watch for silence sees what the kernel relays.
  @Test func silenceIsSeenThroughTheKernel() throws {
    try Namespace().enter {
      let rig = try Rig.inKernel()
      let (alice, bob) = (try Peer(), try Peer())
      let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
      try establish(rig, alice, a, bob, b)
      rig.plane.submit([.watch(a.id, silenceMilliseconds: 200)])
      for number in 10..<60 {
        alice.send(rtp(number), to: a.media)
        usleep(10_000)
      }
      let early = rig.log.all.contains { if case .silent = $0 { true } else { false } }
      #expect(!early)
      let silent = rig.log.wait { if case .silent(a.id, let last) = $0 { last } else { nil } }
      #expect(silent == rig.measure(a)?.last)
    }
  }

  /// On hold nothing passes, and after it the kernel relays again.
  @Test func holdTakesTheFlowBack() throws {
    try Namespace().enter {
      let rig = try Rig.inKernel()
      let (alice, bob) = (try Peer(), try Peer())
      let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
      try establish(rig, alice, a, bob, b)
      rig.plane.submit([.remote(b.id, RemoteMedia(bob.address, weSend: false))])
      _ = rig.measure(b)
      #expect(rig.plane.counters.kernelFlows == 0)
      for number in 10..<20 { alice.send(rtp(number), to: a.media) }
      #expect(bob.receive(within: 60) == nil)
      rig.plane.submit([.remote(b.id, RemoteMedia(bob.address))])
      let before = rig.relayedByKernel
      for number in 20..<40 {
        alice.send(rtp(number), to: a.media)
        #expect(bob.receive()?.bytes == rtp(number))
        usleep(1_500)
      }
      #expect(rig.relayedByKernel - before >= 10)
    }
  }

  /// For music on hold the flow is taken back, and the resume gives it to the kernel again; who hears it knows one flow.
  @Test func musicTakesTheFlowBack() throws {
    try Namespace().enter {
      let rig = try Rig(
        announcements: [AnnouncementSource(name: "own", path: "")], settings: kernelSettings())
      let (alice, bob) = (try Peer(), try Peer())
      let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
      try establish(rig, alice, a, bob, b)
      rig.plane.submit([
        .remote(a.id, RemoteMedia(alice.address, weSend: false, weReceive: false)),
        .remote(b.id, RemoteMedia(bob.address, weReceive: false)), .interpose(b.id, .music(0)),
      ])
      _ = rig.measure(b)
      #expect(rig.plane.counters.kernelFlows == 0)
      let before = rig.relayedByKernel
      var last = try #require(bob.packet()).header
      #expect(last.ssrc == 0x1111_2222 && last.marker)
      func next() throws {
        let header = try #require(bob.packet()).header
        #expect(header.ssrc == last.ssrc && header.sequence == last.sequence &+ 1)
        last = header
      }
      for _ in 0..<10 { try next() }
      #expect(rig.relayedByKernel == before)
      rig.plane.submit([
        .remote(a.id, RemoteMedia(alice.address)), .remote(b.id, RemoteMedia(bob.address)),
        .interpose(b.id, nil),
      ])
      _ = rig.measure(b)
      for packet in bob.receiveAll() { last = try #require(parse(packet)).header }
      for number in 200..<240 {
        alice.send(rtp(number), to: a.media)
        try next()
        usleep(1_500)
      }
      #expect(rig.relayedByKernel - before >= 10)
    }
  }

  /// What the kernel relays nobody can write down: a recorded call goes by the sockets, and back when that is over.
  @Test func aRecordedCallIsTakenBack() throws {
    try Namespace().enter {
      let folder = "/tmp/demarc-recordings-\(UInt64.random(in: .min ... .max))"
      defer { _ = shell("rm -rf \(folder)") }
      var settings = kernelSettings()
      settings.recording = RecordingSettings(folder: RecordingFolder(folder))
      settings.recording?.minimumFree = 0
      let rig = try Rig(settings: settings)
      let (alice, bob) = (try Peer(), try Peer())
      let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
      bob.send(rtp(0, ssrc: 7), to: b.media)
      var number = 0
      func speak() {
        for _ in 0..<20 {
          number += 1
          alice.send(rtp(number), to: a.media)
          usleep(5_000)
        }
        #expect(bob.receiveAll().count == 20)
      }
      speak()
      #expect(rig.relayedByKernel > 0)
      let id = RecordingID(raw: 1)
      rig.plane.submit([
        .record(a.id, RecordingOrder(id: id, format: .wav, channel: .left, name: "a-1-1"))
      ])
      _ = rig.measure(a)
      let before = rig.relayedByKernel
      speak()
      #expect(rig.relayedByKernel == before)
      rig.plane.submit([.stopRecording(id, .stopped)])
      _ = rig.measure(a)
      speak()
      #expect(rig.relayedByKernel > before)
    }
  }

  /// What would go through ourselves never gets an entry: the other port is one of our own.
  @Test func ourOwnPortsHaveNoLane() throws {
    try Namespace().enter {
      let rig = try Rig.inKernel()
      let alice = try Peer()
      let (a, b, c) = (try rig.open(), try rig.open(), try rig.open())
      rig.plane.submit([
        .remote(a.id, RemoteMedia(alice.address)), .remote(b.id, RemoteMedia(c.media)),
        .bridge(a.id, b.id),
      ])
      for number in 0..<20 {
        alice.send(rtp(number), to: a.media)
        usleep(1_000)
      }
      _ = rig.measure(a)
      #expect(rig.relayedByKernel == 0)
      #expect(rig.plane.counters.kernelFlows == 0)
    }
  }

  /// The program would send past IPsec: a policy that comes takes everything back at once.
  @Test func policiesOfIPsecAreHeeded() throws {
    let space = try Namespace()
    try space.enter {
      let rig = try Rig.inKernel()
      let (alice, bob) = (try Peer(), try Peer())
      let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
      try establish(rig, alice, a, bob, b)
      let policy = "src 10.9.0.0/16 dst 10.8.0.0/16 dir out"
      try space.run(
        "ip xfrm policy add \(policy) tmpl src 10.9.0.1 dst 10.8.0.1 proto esp mode tunnel")
      usleep(20_000)
      _ = rig.measure(a)
      #expect(rig.plane.counters.kernelFlows == 0)
      let before = rig.relayedByKernel
      for number in 10..<20 {
        alice.send(rtp(number), to: a.media)
        #expect(bob.receive()?.bytes == rtp(number))
      }
      #expect(rig.relayedByKernel == before)
      try space.run("ip xfrm policy delete \(policy)")
      usleep(20_000)
      for number in 20..<40 {
        alice.send(rtp(number), to: a.media)
        #expect(bob.receive()?.bytes == rtp(number))
        usleep(1_500)
      }
      #expect(rig.relayedByKernel - before >= 10)
      #expect(rig.measure(a)?.lost == 0)
    }
  }

  /// A route that moves to another interface is followed.
  @Test func routesAreFollowed() throws {
    let triangle = try Triangle()
    let alice = try triangle.caller.enter { try Peer(IPAddress(v4: 0x0a47_0101)) }
    // Reached by whoever has a route to it: first by the callee's Ethernet, then by the caller's.
    let moving = IPAddress(v4: 0x0a63_0001)
    for space in [triangle.caller, triangle.callee] {
      try space.run("ip addr add 10.99.0.1/32 dev lo")
    }
    try triangle.ours.run("ip route add 10.99.0.1 via 10.71.2.1")
    let bob = try triangle.callee.enter { try Peer(moving, port: 7_000) }
    let other = try triangle.caller.enter { try Peer(moving, port: 7_000) }
    try triangle.ours.enter {
      let rig = try Rig.inKernel(.anyV4)
      var (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
      a.media.ip = IPAddress(v4: 0x0a47_0102)
      b.media.ip = IPAddress(v4: 0x0a47_0202)
      try establish(rig, alice, a, bob, b)
      try triangle.ours.run("ip route replace 10.99.0.1 via 10.71.1.1")
      usleep(500_000)
      let before = rig.relayedByKernel
      for number in 10..<30 {
        alice.send(rtp(number), to: a.media)
        #expect(other.receive()?.bytes == rtp(number))
        usleep(1_500)
      }
      #expect(rig.relayedByKernel - before >= 10)
      #expect(bob.receive(within: 20) == nil)
    }
  }

  /// Ten packets from alice and from bob, after which the kernel relays both ways.
  private func establish(_ rig: Rig, _ alice: Peer, _ a: End, _ bob: Peer, _ b: End) throws {
    for number in 0..<10 {
      alice.send(rtp(number), to: a.media)
      try #require(bob.receive() != nil)
      bob.send(rtp(number, ssrc: 9), to: b.media)
      try #require(alice.receive() != nil)
      usleep(2_000)
    }
    _ = rig.measure(a)
    if rig.plane.fastPath != .off {
      try #require(rig.plane.counters.kernelFlows == 2)
    }
  }
}
