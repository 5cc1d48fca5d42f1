import Base
import Glibc
import MediaControl
import MediaEngine
import Testing

/// A NAT gives the far end another port in the middle of a call.
@Suite struct RebindingTests {
  /// Sends from `peer`, a packet each 20 ms, and says what of it arrived at the other side.
  private func speak(_ peer: Peer, _ numbers: Range<Int>, to end: End, heardBy bob: Peer) -> Int {
    for number in numbers {
      peer.send(rtp(number), to: end.media)
      usleep(20_000)
    }
    return bob.receiveAll().count
  }

  @Test func theFlowIsFollowedToItsNewPort() throws {
    let rig = try Rig()
    let (alice, moved, bob) = (try Peer(), try Peer(), try Peer())
    let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    #expect(speak(alice, 0..<5, to: a, heardBy: bob) == 5)
    // A fifth of a second is lost, and the rest heard; what is said to it goes there, too.
    let heard = speak(moved, 5..<35, to: a, heardBy: bob)
    #expect((15...26).contains(heard), "\(heard)")
    bob.send(rtp(0, ssrc: 9), to: b.media)
    #expect(moved.receive() != nil)
    #expect(alice.receive(within: 50) == nil)
    #expect(rig.plane.counters.moves == 1)
    #expect(
      rig.log.all.contains {
        if case .latched(a.id, moved.address, _) = $0 { true } else { false }
      })
  }

  /// RTP inject: the old address still speaks, or the flow is another, or it comes from nowhere that was named.
  @Test func nobodyElseIsFollowed() throws {
    let rig = try Rig()
    let (alice, near, bob) = (try Peer(), try Peer(), try Peer())
    let far = try Peer(IPAddress(v4: 0x7f00_0009))
    let (a, _) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    // Each packet of the stranger continues the flow, but the far end is not silent.
    for number in 0..<30 {
      alice.send(rtp(number), to: a.media)
      near.send(rtp(number + 1), to: a.media)
      usleep(20_000)
    }
    #expect(bob.receiveAll().count == 30)
    usleep(250_000)
    for number in 30..<40 {
      near.send(rtp(number, ssrc: 0x5555), to: a.media)
      near.send(rtp(number - 25), to: a.media)
      far.send(rtp(number), to: a.media)
    }
    #expect(bob.receiveAll().isEmpty)
    #expect(rig.plane.counters.moves == 0)
    #expect(speak(alice, 40..<45, to: a, heardBy: bob) == 5)
  }

  /// A trunk that is learnt widely may move to any address, by its flow alone.
  @Test func aWideLatchMayMoveAnywhere() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let moved = try Peer(IPAddress(v4: 0x7f00_0009))
    let (a, _) = try rig.bridge(
      RemoteMedia(alice.address, latch: .window), RemoteMedia(bob.address))
    #expect(speak(alice, 0..<8, to: a, heardBy: bob) == 8)
    usleep(250_000)
    #expect(speak(moved, 8..<12, to: a, heardBy: bob) == 4)
  }

  /// A phone that signals from elsewhere now is learnt anew, whatever its SDP says.
  @Test func anotherSourceOfSignallingOpensTheLatch() throws {
    let rig = try Rig()
    let behind = SocketAddress(IPAddress(v4: 0x0a00_0005), 4_000)
    let (alice, bob) = (try Peer(), try Peer())
    let moved = try Peer(IPAddress(v4: 0x7f00_0009))
    let (a, _) = try rig.bridge(
      RemoteMedia(behind, signalling: .loopbackV4), RemoteMedia(bob.address))
    #expect(speak(alice, 0..<3, to: a, heardBy: bob) == 3)
    rig.plane.submit([
      .remote(a.id, RemoteMedia(behind, signalling: IPAddress(v4: 0x7f00_0009)))
    ])
    #expect(speak(moved, 900..<903, to: a, heardBy: bob) == 3)
  }
}
