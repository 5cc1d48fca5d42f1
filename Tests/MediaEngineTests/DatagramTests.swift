import Base
import MediaControl
import MediaEngine
import Testing

/// T.38: datagrams that are nothing to us, between the two ends that were named, and nobody else.
@Suite(.serialized) struct DatagramTests {
  private func fax(_ number: Int) -> [UInt8] {
    [UInt8(number >> 8 & 0xff), UInt8(number & 0xff), 1, 6, 0, 0]
  }

  private func remote(_ address: SocketAddress, _ proto: MediaProtocol = .udptl) -> RemoteMedia {
    var remote = RemoteMedia(address, codec: .unknown)
    remote.proto = proto
    return remote
  }

  @Test func theyPassAsTheyAre() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(remote(alice.address), remote(bob.address))
    // With the version bits of RTP in the sequence number, empty, and of one octet.
    for datagram in [fax(0), fax(0x8000), fax(0xffff), [7], []] {
      alice.send(datagram, to: a.media)
      #expect(bob.receive()?.bytes == datagram)
      bob.send(datagram, to: b.media)
      #expect(alice.receive()?.bytes == datagram)
    }
    #expect(rig.measure(a)?.packets == 5)
    #expect(rig.measure(b)?.sent == 5 && rig.plane.counters.relayed == 10)
    #expect(rig.plane.counters.malformed == 0)
  }

  @Test func strangersAreRefused() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let stranger = try Peer(IPAddress(v4: 0x7f00_0009))
    let (a, b) = try rig.bridge(remote(alice.address), remote(bob.address))
    stranger.send(fax(1), to: a.media)
    alice.send(fax(2), to: a.media)
    stranger.send(fax(3), to: a.media)
    bob.send(fax(4), to: b.media)
    #expect(bob.receiveAll() == [fax(2)])
    #expect(alice.receiveAll() == [fax(4)])
    #expect(stranger.receive(within: 50) == nil)
    #expect(rig.measure(a)?.refused == 2)
  }

  /// Whoever sends first from the right host by a wrong port has the place until the named port is heard.
  @Test func theNamedPortGoesFirst() throws {
    let rig = try Rig()
    let (alice, bob, neighbour) = (try Peer(), try Peer(), try Peer())
    let (a, b) = try rig.bridge(remote(alice.address), remote(bob.address))
    neighbour.send(fax(1), to: a.media)
    bob.send(fax(2), to: b.media)
    #expect(bob.receive()?.bytes == fax(1) && neighbour.receive()?.bytes == fax(2))
    alice.send(fax(3), to: a.media)
    #expect(bob.receive()?.bytes == fax(3))
    neighbour.send(fax(4), to: a.media)
    bob.send(fax(5), to: b.media)
    #expect(bob.receiveAll() == [])
    #expect(alice.receiveAll() == [fax(5)] && neighbour.receiveAll() == [])
    #expect(rig.measure(a)?.refused == 1)
  }

  /// While the two sides change over, what is of the one protocol does not go to who speaks the other; afterwards the
  /// ports and sources are those of before.
  @Test func changingOverAndBack() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(
      remote(alice.address, .rtp), remote(bob.address, .rtp))
    func set(_ end: End, _ peer: Peer, _ proto: MediaProtocol) {
      rig.plane.submit([.remote(end.id, remote(peer.address, proto))])
      rig.measure(end)
    }
    alice.send(rtp(1), to: a.media)
    #expect(bob.receive()?.bytes == rtp(1))
    set(a, alice, .udptl)
    alice.send(fax(1), to: a.media)
    bob.send(rtp(2), to: b.media)
    #expect(bob.receiveAll() == [] && alice.receiveAll() == [])
    set(b, bob, .udptl)
    alice.send(fax(2), to: a.media)
    #expect(bob.receive()?.bytes == fax(2))
    set(a, alice, .rtp)
    set(b, bob, .rtp)
    alice.send(rtp(3), to: a.media)
    #expect(bob.receive()?.bytes == rtp(3))
    // Two of RTP, two of UDPTL.
    #expect(rig.measure(a)?.packets == 4)
  }

  /// Nothing goes in plain words to an end that has keys.
  @Test func neverToAnEndWithKeys() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    var protected = remote(bob.address)
    let secret = [UInt8](repeating: 1, count: 30)
    let key = try #require(SRTPKey(.aesCM128HMAC80, secret: secret))
    protected.security = MediaSecurity(sending: key, receiving: key)
    let (a, _) = try rig.bridge(remote(alice.address), protected)
    alice.send(fax(1), to: a.media)
    #expect(bob.receiveAll() == [])
    #expect(rig.plane.counters.unsendable == 1)
  }
}
