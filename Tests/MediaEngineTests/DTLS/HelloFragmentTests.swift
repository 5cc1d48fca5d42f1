import Base
import MediaControl
import MediaEngine
import Testing

/// Messages of a handshake that no datagram has room for (RFC 6347 §4.2.3): libssl, as the far end, cuts them itself, and
/// they come as a network brings them.
@Suite(.serialized) struct HelloFragmentTests {
  enum Way: CaseIterable {
    case inOrder, reversed, twice, inOneDatagram, overlapping
    /// The second fragment of each flight is lost, until the flight is repeated.
    case lost
  }

  let rig: Rig
  let far: PeerIdentity

  init() throws {
    let identity = try #require(DTLSIdentity())
    var settings = MediaSettings()
    settings.identity = identity
    rig = try Rig(settings: settings)
    far = try #require(PeerIdentity())
  }

  private func end(_ role: MediaHandshake.Role, _ peer: Peer) throws -> End {
    let end = try rig.open()
    var remote = RemoteMedia(peer.address)
    remote.security = MediaSecurity(try #require(MediaHandshake(role, [far.fingerprint])))
    rig.plane.submit([.remote(end.id, remote), .play(end.id, .echo)])
    rig.measure(end)
    return end
  }

  private func isHello(_ datagram: [UInt8]) -> Bool {
    datagram.count > 25 && datagram[0] == 22 && datagram[3] == 0 && datagram[4] == 0
      && datagram[13] == 1
  }

  /// The same hello in pieces of 300 bytes, of which each has 100 of the one before.
  private func recut(_ flight: [[UInt8]]) -> [[UInt8]] {
    guard flight.count > 1, flight.allSatisfy(isHello) else { return flight }
    let body = flight.flatMap { $0.dropFirst(25) }
    return stride(from: 0, to: body.count, by: 200).map { offset in
      let part = body[offset..<min(offset + 300, body.count)]
      var head = Array(flight[0].prefix(25))
      head[10] = head[10] &+ UInt8(offset / 200)
      (head[11], head[12]) = (UInt8((part.count + 12) >> 8), UInt8((part.count + 12) & 0xff))
      (head[19], head[20], head[21]) = (0, UInt8(offset >> 8), UInt8(offset & 0xff))
      (head[22], head[23], head[24]) = (0, UInt8(part.count >> 8), UInt8(part.count & 0xff))
      return head + part
    }
  }

  private func order(_ way: Way, _ peer: DTLSPeer) {
    var lossesLeft = 2
    peer.ordersSent = { flight in
      switch way {
      case .inOrder: return flight
      case .reversed: return flight.reversed()
      case .twice: return flight.flatMap { [$0, $0] }
      case .inOneDatagram: return flight.count > 1 ? [flight.flatMap { $0 }] : flight
      case .overlapping: return self.recut(flight).reversed()
      case .lost:
        guard flight.count > 1, lossesLeft > 0 else { return flight }
        lossesLeft -= 1
        return [flight[0]] + flight.dropFirst(2)
      }
    }
  }

  /// What is said under the keys comes back.
  private func echoes(_ peer: DTLSPeer, _ secure: Peer, _ end: End) throws -> Bool {
    let keys = try #require(peer.keys)
    let mouth = try #require(Sender(keys.sending))
    let ear = try #require(Receiver(keys.receiving))
    secure.send(try mouth.protect(rtp(7)).get(), to: end.media)
    let packet = try #require(peer.packet())
    return try ear.unprotect(packet).get()[12...] == rtp(7)[12...]
  }

  /// A hello of 1 700 bytes, as long as one with a key share of ML-KEM is, in datagrams of 1 200 and of 256 bytes.
  @Test(arguments: Way.allCases, [1_200, 256]) func aLongHello(way: Way, mtu: Int) throws {
    let secure = try Peer()
    let end = try end(.server, secure)
    let peer = try #require(
      DTLSPeer(.client, far, on: secure, to: end.media, mtu: mtu, protocols: 8))
    order(way, peer)
    #expect(peer.shake(), "\(rig.counters)")
    let isCut = peer.lastSent.contains { isHello($0) && $0[20...21] != [0, 0] }
    #expect(way == .inOneDatagram || isCut)
    #expect(try echoes(peer, secure, end))
    #expect(rig.counters.handshakesDone == 1 && rig.counters.handshakesFailed == 0)
  }

  /// Certificates and what else a far end cuts, as the server and as the client: libssl puts that together.
  @Test(arguments: [MediaHandshake.Role.server, .client], Way.allCases)
  func otherMessages(ours: MediaHandshake.Role, way: Way) throws {
    let secure = try Peer()
    let end = try end(ours, secure)
    let peer = try #require(
      DTLSPeer(
        ours == .server ? .client : .server, far, on: secure, to: end.media, mtu: 256))
    order(way, peer)
    #expect(peer.shake(milliseconds: 5_000))
    let isCut = peer.lastSent.contains { $0[0] == 22 && $0[4] == 0 && $0[20...21] != [0, 0] }
    #expect(way == .inOneDatagram || isCut)
    #expect(try echoes(peer, secure, end))
  }

  /// Of more than is put together nothing comes, and the next one is heard.
  @Test func tooLong() throws {
    let secure = try Peer()
    let end = try end(.server, secure)
    let long = try #require(
      DTLSPeer(.client, far, on: secure, to: end.media, protocols: 24))
    #expect(!long.shake(milliseconds: 300) && rig.counters.helloCookies > 0)
    let peer = try #require(DTLSPeer(.client, far, on: secure, to: end.media, protocols: 16))
    #expect(peer.shake())
  }

  /// Strangers who begin hellos that they do not end, and fragments that come out of nowhere: the far end's own is whole
  /// at once, in whatever order its fragments come.
  @Test func strangersKeepNothing() throws {
    let secure = try Peer()
    let end = try end(.server, secure)
    let other = try #require(PeerIdentity())
    let intruders = try (0..<4).map { _ in
      try #require(
        DTLSPeer(
          .client, other, on: try Peer(IPAddress(v4: 0x7f00_0009)), to: end.media, mtu: 256,
          protocols: 8))
    }
    for intruder in intruders {
      // With a cookie of theirs, and never the last fragment.
      intruder.ordersSent = { $0.count > 1 ? Array($0.dropLast()) : $0 }
      intruder.shake(milliseconds: 20)
    }
    let peer = try #require(
      DTLSPeer(.client, far, on: secure, to: end.media, mtu: 256, protocols: 8))
    peer.ordersSent = { flight in
      for intruder in intruders {
        for datagram in intruder.lastSent.suffix(3) {
          intruder.socket.send(datagram, to: end.media)
        }
      }
      return flight.reversed()
    }
    #expect(peer.shake(milliseconds: 900))
    #expect(rig.counters.handshakesDone == 1)
  }
}
