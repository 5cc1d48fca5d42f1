import Base
import MediaControl
import MediaEngine
import Testing

/// Strangers beside a handshake (RELIABILITY E5): whatever they send, the far end's own is over in time and stays.
@Suite(.serialized) struct HandshakeAttackTests {
  let identity: DTLSIdentity
  let rig: Rig
  let far: PeerIdentity

  init() throws {
    identity = try #require(DTLSIdentity())
    var settings = MediaSettings()
    settings.identity = identity
    rig = try Rig(settings: settings)
    far = try #require(PeerIdentity())
  }

  private func remote(_ role: MediaHandshake.Role, _ peer: Peer) throws -> RemoteMedia {
    var remote = RemoteMedia(peer.address)
    remote.security = MediaSecurity(try #require(MediaHandshake(role, [far.fingerprint])))
    return remote
  }

  /// Hellos without cookies, hellos with cookies of somebody else's, two handshakes that stop half-way, alerts without
  /// protection and garbage, before, during and after: 200 of 200 are over within a second.
  @Test(arguments: [MediaHandshake.Role.server, .client])
  func strangersChangeNothing(role: MediaHandshake.Role) throws {
    let hello = try #require(strayHello())
    let other = try #require(PeerIdentity())
    let alert: [UInt8] = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 40]
    let garbage: [UInt8] = [22, 0xfe, 0xfd]
    let rounds = 200
    var slowest = 0
    for round in 0..<rounds {
      let secure = try Peer()
      let stranger = try Peer(IPAddress(v4: 0x7f00_0009))
      let end = try rig.open()
      rig.plane.submit([.remote(end.id, try remote(role, secure)), .play(end.id, .echo)])
      rig.measure(end)
      func disturb() {
        stranger.send(hello, to: end.media)
        stranger.send(alert, to: end.media)
        stranger.send(garbage + [UInt8](repeating: UInt8(round), count: 60), to: end.media)
        // From the far end's own address, as whoever can forge that sends it.
        secure.send(hello, to: end.media)
        secure.send(alert, to: end.media)
      }
      disturb()
      let intruders = try (0..<3).compactMap { _ in
        DTLSPeer(
          .client, other, on: try Peer(IPAddress(v4: 0x7f00_0009)), to: end.media)
      }
      for intruder in intruders { intruder.shake(milliseconds: 4) }
      let peer = try #require(
        DTLSPeer(role == .server ? .client : .server, far, on: secure, to: end.media))
      let begin = monotonicMilliseconds()
      peer.shake(milliseconds: 1)
      disturb()
      #expect(peer.shake(milliseconds: 1_000), "round \(round)")
      slowest = max(slowest, monotonicMilliseconds() - begin)
      disturb()
      for intruder in intruders { intruder.shake(milliseconds: 1) }
      let keys = try #require(peer.keys, "round \(round)")
      let mouth = try #require(Sender(keys.sending))
      let ear = try #require(Receiver(keys.receiving))
      secure.send(try mouth.protect(rtp(round)).get(), to: end.media)
      var echoed = false
      for _ in 0..<50 where !echoed {
        guard let packet = secure.receive(within: 200) else { break }
        if packet.bytes[0] >> 6 == 2 {
          let opened = try ear.unprotect(packet.bytes).get()
          echoed = opened[12...] == rtp(round)[12...]
        } else {
          peer.take(packet.bytes)
        }
      }
      #expect(echoed && !peer.isClosed, "round \(round)")
      rig.plane.submit([.close(end.id)])
      #expect(rig.log.wait { $0 == .closed(end.id) ? true : nil } == true)
      rig.log.removeAll()
      rig.release(end)
    }
    #expect(slowest < 1_000)
    #expect(rig.counters.handshakesDone == UInt64(rounds))
  }

  /// Two strangers with addresses of their own hold both places: the far end's takes one of them.
  @Test func theFarEndHasAPlace() throws {
    let secure = try Peer()
    let end = try rig.open()
    rig.plane.submit([.remote(end.id, try remote(.server, secure)), .play(end.id, .echo)])
    rig.measure(end)
    let other = try #require(PeerIdentity())
    let intruders = try (0..<4).compactMap { _ in
      DTLSPeer(.client, other, on: try Peer(IPAddress(v4: 0x7f00_0009)), to: end.media)
    }
    for intruder in intruders {
      // The cookie comes back, and the server's flight is lost.
      intruder.losesHeard = Set(1..<100)
      intruder.shake(milliseconds: 30)
    }
    #expect(rig.counters.handshakesRefused == 2)
    let peer = try #require(DTLSPeer(.client, far, on: secure, to: end.media))
    #expect(peer.shake(milliseconds: 1_000))
  }

  /// A hello costs an answer that is no longer than itself, and keeps nothing.
  @Test func aCookieIsShorterThanItsHello() throws {
    let (secure, hello) = (try Peer(), try #require(strayHello()))
    let end = try rig.open()
    rig.plane.submit([.remote(end.id, try remote(.server, secure)), .play(end.id, .echo)])
    rig.measure(end)
    secure.send(hello, to: end.media)
    let request = try #require(secure.receive())
    #expect(request.bytes.count == 48 && request.bytes.count < hello.count)
    #expect(request.bytes[0] == 22 && request.bytes[13] == 3)
    // Cut anywhere, it asks for nothing and hurts nobody.
    for count in 1..<hello.count { secure.send(Array(hello.prefix(count)), to: end.media) }
    #expect(secure.receiveAll().count == 0)
    // A cookie is good at the socket and from the address that it was given to.
    #expect(rig.counters.handshakesDone == 0 && rig.counters.handshakesFailed == 0)
  }

  /// Datagrams of real handshakes with any byte of theirs changed, from an address that has shown a cookie: libssl gets
  /// to see them, and whatever it makes of them, the next handshake is a good one.
  @Test func changedDatagrams() throws {
    let secure = try Peer()
    let ends = try (0..<6).map { _ in try rig.open() }
    for end in ends {
      rig.plane.submit([.remote(end.id, try remote(.server, secure)), .play(end.id, .echo)])
    }
    rig.measure(ends[0])
    var random = SystemRandomNumberGenerator()
    for round in 0..<60 {
      let end = ends[round % 6]
      let peer = try #require(DTLSPeer(.client, far, on: secure, to: end.media))
      peer.changesSent = { datagram in
        var changed = datagram
        for _ in 0..<Int.random(in: 1...3, using: &random) where changed.count > 13 {
          // Behind the type, which would make it none of DTLS.
          let place = Int.random(in: 1..<changed.count, using: &random)
          changed[place] = UInt8.random(in: 0...255, using: &random)
        }
        return round % 3 == 0 || datagram.count < 200 ? changed : datagram
      }
      peer.shake(milliseconds: 20)
    }
    _ = secure.receiveAll(quiet: 10)
    for end in ends {
      let peer = try #require(DTLSPeer(.client, far, on: secure, to: end.media))
      #expect(peer.shake(milliseconds: 2_000))
    }
  }

  /// More handshakes with good cookies than are begun at once: the rest is refused and counted, and the far end's own
  /// comes through.
  @Test func thereAreSoManyAtOnce() throws {
    let other = try #require(PeerIdentity())
    var settings = MediaSettings()
    settings.identity = identity
    settings.handshakesPerSecond = 20
    let rig = try Rig(settings: settings)
    let (secure, hello) = (try Peer(), try #require(strayHello()))
    let end = try rig.open()
    rig.plane.submit([.remote(end.id, try remote(.server, secure)), .play(end.id, .echo)])
    rig.measure(end)
    let socket = try Peer(IPAddress(v4: 0x7f00_0009))
    socket.send(hello, to: end.media)
    let request = try #require(socket.receive())
    // One cookie is good for all hellos of an address, and each of them takes the place of the one before.
    var hellos: [[UInt8]] = []
    for _ in 0..<120 {
      let stranger = try #require(DTLSPeer(.client, other, on: socket, to: end.media))
      stranger.losesSent = Set(0..<10)
      stranger.shake(milliseconds: 0)
      stranger.take(request.bytes)
      hellos.append(try #require(stranger.lastSent.last))
    }
    for hello in hellos { socket.send(hello, to: end.media) }
    _ = socket.receiveAll(quiet: 50)
    #expect(rig.counters.handshakesRefused >= 110)
    let peer = try #require(DTLSPeer(.client, far, on: secure, to: end.media))
    #expect(peer.shake(milliseconds: 3_000))
    #expect(rig.counters.handshakesDone == 1)
  }
}
