import Base
import Glibc
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// E9: our own media addresses in SDP. Two calls may be joined through them, and nothing goes round.
@Suite struct FacingOurselvesTests {
  /// Alice | a b | c d | Bob: each of b and c has been told the other's address.
  @Test func twoCallsThatNameEachOtherAreJoined() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    let (c, d) = try rig.bridge(RemoteMedia(b.media), RemoteMedia(bob.address))
    rig.plane.submit([.remote(b.id, RemoteMedia(c.media))])
    _ = rig.measure(b)
    for number in 0..<50 {
      alice.send(rtp(number), to: a.media)
      bob.send(rtp(number, ssrc: 7), to: d.media)
      usleep(1_000)
    }
    #expect(bob.receiveAll().count == 50)
    #expect(alice.receiveAll().count == 50)
    #expect(rig.measure(c)?.packets == 50)
    #expect(rig.measure(b)?.packets == 50)
    #expect(rig.plane.counters.looped == 0)
  }

  /// A stranger's call that names the port of another gets nothing in: that one did not name it.
  @Test func onlyWhoeverWasNamedIsHeard() throws {
    let rig = try Rig()
    let (alice, bob, mallory) = (try Peer(), try Peer(), try Peer())
    let (_, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    let (m, n) = try rig.bridge(RemoteMedia(mallory.address), RemoteMedia(b.media))
    for number in 0..<20 { mallory.send(rtp(number), to: m.media) }
    usleep(50_000)
    #expect(rig.measure(n)?.sent == 20)
    #expect(rig.measure(b)?.refused == 20)
    #expect(alice.receiveAll().isEmpty)
  }

  /// Alice | a b | c d | e f | Bob: d and c both face us, as they would in a ring.
  @Test func aSecondTimeIsTooOften() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    let (c, d) = try rig.bridge(RemoteMedia(b.media), RemoteMedia(bob.address))
    let (e, _) = try rig.bridge(RemoteMedia(d.media), RemoteMedia(bob.address))
    rig.plane.submit([
      .remote(b.id, RemoteMedia(c.media)), .remote(d.id, RemoteMedia(e.media)),
    ])
    _ = rig.measure(d)
    for number in 0..<20 { alice.send(rtp(number), to: a.media) }
    usleep(50_000)
    #expect(rig.measure(c)?.packets == 20)
    #expect(rig.measure(d)?.sent == 0)
    #expect(bob.receiveAll().isEmpty)
    #expect(rig.plane.counters.looped == 20)
  }

  /// Alice | a b | c, an echo: heard, and no faster than an allowance, or two such echoes were a ring of their own.
  @Test func anEchoThatFacesUsKeepsToItsAllowance() throws {
    let rig = try Rig()
    let alice = try Peer()
    let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(alice.address))
    let c = try rig.open()
    rig.plane.submit([
      .remote(c.id, RemoteMedia(b.media)), .play(c.id, .echo), .remote(b.id, RemoteMedia(c.media)),
    ])
    _ = rig.measure(b)
    for number in 0..<EchoAllowance.packetsPerSecond + 50 {
      alice.send(rtp(number), to: a.media)
      if number % 16 == 0 { usleep(1_000) }
    }
    #expect(alice.receiveAll().count == EchoAllowance.packetsPerSecond)
    #expect(rig.measure(c)?.packets == UInt64(EchoAllowance.packetsPerSecond + 50))
    #expect(rig.plane.counters.looped == 50)
  }
}
