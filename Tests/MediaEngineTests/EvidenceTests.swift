import Base
import Glibc
import MediaControl
import MediaEngine
import Testing

/// What the media plane says of a side that is not heard, some time after it was asked.
@Suite struct EvidenceTests {
  /// The evidence on `end`, after `body` had a tenth of a second; nil: it is innocent.
  private func evidence(
    _ rig: Rig, _ end: End, _ body: () throws -> Void
  ) rethrows -> MediaEvidence? {
    rig.plane.submit([.examine(end.id, afterMilliseconds: 100)])
    rig.measure(end)
    try body()
    usleep(150_000)
    rig.measure(end)
    return rig.log.all.compactMap {
      if case .evidence(end.id, let evidence) = $0 { evidence } else { nil }
    }.last
  }

  @Test func whoeverIsHeardIsInnocent() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    let found = evidence(rig, a) { for n in 0..<5 { alice.send(rtp(n), to: a.media) } }
    #expect(found == nil)
    // Digits alone are something, too.
    let digits = evidence(rig, a) {
      for n in 5..<8 { alice.send(rtp(n, payloadType: 101), to: a.media) }
    }
    #expect(digits == nil)
  }

  @Test func silenceIsOfTheTimeAskedForAlone() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    for n in 0..<5 { alice.send(rtp(n), to: a.media) }
    rig.measure(a)
    let found = try #require(
      evidence(rig, a) { for n in 0..<7 { bob.send(rtp(n), to: b.media) } })
    #expect(found.packets == 0 && found.sent == 7 && found.isAimed && found.refused == 0)
  }

  @Test func whatCameInsteadIsTold() throws {
    let rig = try Rig()
    let (alice, bob, stranger) = (try Peer(), try Peer(), try Peer(IPAddress(v4: 0x7f00_0009)))
    let (a, _) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(bob.address))
    let found = try #require(
      evidence(rig, a) {
        for n in 0..<4 { stranger.send(rtp(n), to: a.media) }
        alice.send([1, 2, 3], to: a.media)
      })
    #expect(found.refused == 4 && found.refusedSource == stranger.address)
    #expect(found.malformed == 1 && found.packets == 0)
    let odd = try #require(
      evidence(rig, a) { for n in 0..<3 { alice.send(rtp(n, payloadType: 18), to: a.media) } })
    #expect(odd.packets == 3 && odd.payloadType == 18)
  }

  @Test func anAddressThatMayNotBeSentTo() throws {
    let rig = try Rig()
    let alice = try Peer()
    let (a, _) = try rig.bridge(
      RemoteMedia(SocketAddress(IPAddress(v4: 0xe000_0001), 4_000), signalling: .loopbackV4),
      RemoteMedia(alice.address))
    let found = try #require(evidence(rig, a) {})
    #expect(!found.isAimed && found.packets == 0)
  }

  @Test func calledOff() throws {
    let rig = try Rig()
    let alice = try Peer()
    let (a, _) = try rig.bridge(RemoteMedia(alice.address), RemoteMedia(alice.address))
    let found = evidence(rig, a) { rig.plane.submit([.examine(a.id, afterMilliseconds: 0)]) }
    #expect(found == nil)
  }
}
