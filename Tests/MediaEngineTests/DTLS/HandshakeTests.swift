import Base
import Glibc
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// DTLS-SRTP with a far end of libssl's, through sockets: a plain far end on one side, and on the other one with whom
/// keys are agreed on.
@Suite(.serialized) struct HandshakeTests {
  let identity: DTLSIdentity
  let rig: Rig
  let plain: Peer
  let secure: Peer

  init() throws {
    identity = try #require(DTLSIdentity())
    var settings = MediaSettings()
    settings.identity = identity
    rig = try Rig(settings: settings)
    plain = try Peer()
    secure = try Peer()
  }

  private func remote(
    _ role: MediaHandshake.Role, _ fingerprints: CertificateFingerprint..., at address: Peer? = nil
  ) throws -> RemoteMedia {
    var remote = RemoteMedia((address ?? secure).address)
    remote.security = MediaSecurity(try #require(MediaHandshake(role, fingerprints)))
    return remote
  }

  private func outcomes(_ end: End) -> [HandshakeOutcome] {
    rig.log.all.compactMap {
      if case .handshake(end.id, let outcome) = $0 { outcome } else { nil }
    }
  }

  /// Speech passes both ways under the keys that the far end has.
  private func talk(
    _ peer: DTLSPeer, _ a: End, _ b: End, from number: Int = 1,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let keys = try #require(peer.keys, sourceLocation: sourceLocation)
    let mouth = try #require(Sender(keys.sending))
    let ear = try #require(Receiver(keys.receiving))
    for number in number..<number + 5 {
      peer.socket.send(try mouth.protect(rtp(number, ssrc: 9)).get(), to: b.media)
      #expect(plain.receive()?.bytes == rtp(number, ssrc: 9), sourceLocation: sourceLocation)
      plain.send(rtp(number), to: a.media)
      let heard = try #require(peer.packet(), sourceLocation: sourceLocation)
      let opened = try ear.unprotect(heard).get()
      #expect(opened[12...] == rtp(number)[12...], sourceLocation: sourceLocation)
    }
  }

  @Test(arguments: [
    ("SRTP_AES128_CM_SHA1_80", SRTPSuite.aesCM128HMAC80),
    ("SRTP_AES128_CM_SHA1_32", .aesCM128HMAC32), ("SRTP_AEAD_AES_128_GCM", .aeadAES128GCM),
    ("SRTP_AEAD_AES_256_GCM", .aeadAES256GCM),
  ])
  func theFarEndBegins(profile: String, suite: SRTPSuite) throws {
    let far = try #require(PeerIdentity(profiles: profile))
    let (a, b) = try rig.bridge(
      RemoteMedia(plain.address), try remote(.server, far.fingerprint))
    let peer = try #require(DTLSPeer(.client, far, on: secure, to: b.media))
    #expect(peer.shake())
    #expect(peer.shows(identity.fingerprint))
    #expect(peer.largest <= 1_200)
    try talk(peer, a, b)
    #expect(outcomes(b) == [.agreed(suite)])
    // RFC 6347 §4.2.1: nothing was begun before the cookie came back.
    #expect(rig.counters.helloCookies == 1 && rig.counters.handshakesDone == 1)
  }

  @Test(arguments: [
    ("SRTP_AES128_CM_SHA1_80", SRTPSuite.aesCM128HMAC80),
    ("SRTP_AES128_CM_SHA1_32:SRTP_AEAD_AES_128_GCM", .aesCM128HMAC32),
    ("SRTP_AEAD_AES_256_GCM", .aeadAES256GCM),
  ])
  func weBegin(profile: String, suite: SRTPSuite) throws {
    let far = try #require(PeerIdentity(profiles: profile))
    let (a, b) = try rig.bridge(
      RemoteMedia(plain.address), try remote(.client, far.fingerprint))
    let peer = try #require(DTLSPeer(.server, far, on: secure, to: b.media))
    #expect(peer.shake())
    #expect(peer.shows(identity.fingerprint))
    #expect(peer.largest <= 1_200)
    try talk(peer, a, b)
    #expect(outcomes(b) == [.agreed(suite)])
  }

  /// The first line of several that names it is enough.
  @Test func oneOfSeveralFingerprints() throws {
    let far = try #require(PeerIdentity())
    let other = try #require(
      CertificateFingerprint(.sha512, [UInt8](repeating: 1, count: 64)))
    let (a, b) = try rig.bridge(
      RemoteMedia(plain.address), try remote(.server, other, far.fingerprint))
    let peer = try #require(DTLSPeer(.client, far, on: secure, to: b.media))
    #expect(peer.shake())
    try talk(peer, a, b)
  }

  /// A far end without a profile of SRTP has no keys for us.
  @Test func nothingPassesBeforeThereAreKeys() throws {
    let far = try #require(PeerIdentity())
    let (a, b) = try rig.bridge(
      RemoteMedia(plain.address), try remote(.server, far.fingerprint))
    for number in 1...10 {
      plain.send(rtp(number), to: a.media)
      secure.send(rtp(number), to: b.media)
    }
    #expect(secure.receiveAll() == [] && plain.receiveAll() == [])
    #expect(rig.counters.unkeyed == 20)
    rig.plane.submit([.examine(b.id, afterMilliseconds: 20)])
    let evidence = rig.log.wait {
      if case .evidence(b.id, let evidence) = $0 { evidence } else { nil }
    }
    #expect(evidence?.handshake == .unfinished)
    let peer = try #require(DTLSPeer(.client, far, on: secure, to: b.media))
    #expect(peer.shake())
    try talk(peer, a, b, from: 20)
    // Plain packets are refused as ever. At first they may be those of a far end that has no keys yet.
    secure.send(rtp(40), to: b.media)
    #expect(plain.receiveAll() == [])
    #expect(rig.measure(b)?.unauthentic == 0 && rig.counters.unkeyed == 21)
    usleep(1_000_000)
    secure.send(rtp(41), to: b.media)
    #expect(plain.receiveAll() == [])
    #expect(rig.measure(b)?.unauthentic == 1)
  }

  @Test(arguments: [MediaHandshake.Role.client, .server])
  func anotherCertificateEndsOnlyItsOwnHandshake(role: MediaHandshake.Role) throws {
    let (far, other) = (try #require(PeerIdentity()), try #require(PeerIdentity()))
    let (a, b) = try rig.bridge(RemoteMedia(plain.address), try remote(role, far.fingerprint))
    let theirs: MediaHandshake.Role = role == .client ? .server : .client
    for _ in 0..<2 {
      let wrong = try #require(DTLSPeer(theirs, other, on: secure, to: b.media))
      // It thinks that all is well until it is told otherwise.
      wrong.shake()
      let keys = try #require(wrong.keys)
      let mouth = try #require(Sender(keys.sending))
      secure.send(try mouth.protect(rtp(1)).get(), to: b.media)
      plain.send(rtp(1), to: a.media)
      #expect(plain.receiveAll() == [])
      #expect(secure.receiveAll().allSatisfy { (20...63).contains($0[0]) })
    }
    #expect(outcomes(b) == [.wrongFingerprint])
    #expect(rig.counters.handshakesOfOthers == 2)
    rig.plane.submit([.examine(b.id, afterMilliseconds: 20)])
    let evidence = rig.log.wait {
      if case .evidence(b.id, let evidence) = $0 { evidence } else { nil }
    }
    #expect(evidence?.handshake == .wrongFingerprint)
    let right = try #require(DTLSPeer(theirs, far, on: secure, to: b.media))
    #expect(right.shake(milliseconds: 4_000))
    try talk(right, a, b)
    #expect(outcomes(b).count == 2)
  }

  /// Every datagram of either side is lost once.
  @Test(arguments: [MediaHandshake.Role.client, .server], 0..<6)
  func lostDatagrams(role: MediaHandshake.Role, lost: Int) throws {
    let far = try #require(PeerIdentity())
    let (a, b) = try rig.bridge(RemoteMedia(plain.address), try remote(role, far.fingerprint))
    let peer = try #require(
      DTLSPeer(role == .client ? .server : .client, far, on: secure, to: b.media))
    peer.losesSent = [lost]
    peer.losesHeard = [lost]
    #expect(peer.shake(milliseconds: 6_000))
    // The last flight of whoever ends may have been the one that was lost: it is asked for again.
    for _ in 0..<100 where outcomes(b).isEmpty { peer.listen(20) }
    try talk(peer, a, b)
  }

  /// Datagrams twice and in the wrong order.
  @Test func repeatedHandshake() throws {
    let far = try #require(PeerIdentity())
    let (a, b) = try rig.bridge(
      RemoteMedia(plain.address), try remote(.server, far.fingerprint))
    let peer = try #require(DTLSPeer(.client, far, on: secure, to: b.media))
    #expect(peer.shake())
    for datagram in peer.lastSent + peer.lastSent.reversed() { secure.send(datagram, to: b.media) }
    rig.measure(b)
    while let packet = secure.receive(within: 50) { peer.take(packet.bytes) }
    #expect(peer.others == [] && !peer.isClosed)
    try talk(peer, a, b)
    #expect(outcomes(b).count == 1)
  }

  /// The call's answer comes behind the far end's first message (RFC 5763 §5).
  @Test func aHelloBeforeTheAnswer() throws {
    let far = try #require(PeerIdentity())
    let end = try rig.open()
    let peer = try #require(DTLSPeer(.client, far, on: secure, to: end.media))
    peer.shake(milliseconds: 40)
    rig.plane.submit([
      .remote(end.id, try remote(.server, far.fingerprint)), .play(end.id, .echo),
    ])
    // No repetition is needed, which would come after 250 ms.
    #expect(peer.shake(milliseconds: 200))
    #expect(rig.measure(end)?.malformed == 0)
  }

  /// Before there is another side nobody listens: we begin when there is, and at the latest with the watch.
  @Test func weBeginWhenThereIsAnotherSide() throws {
    let far = try #require(PeerIdentity())
    let end = try rig.open()
    rig.plane.submit([.remote(end.id, try remote(.client, far.fingerprint))])
    rig.measure(end)
    #expect(secure.receiveAll() == [])
    rig.plane.submit([.play(end.id, .echo)])
    #expect(secure.receive() != nil)
    // Three repetitions later the next is a second away.
    usleep(2_000_000)
    _ = secure.receiveAll(quiet: 10)
    rig.plane.submit([.watch(end.id, silenceMilliseconds: 60_000)])
    let peer = try #require(DTLSPeer(.server, far, on: secure, to: end.media))
    #expect(peer.shake(milliseconds: 400))
    for _ in 0..<100 where outcomes(end).isEmpty { peer.listen(20) }
    #expect(outcomes(end).count == 1)
  }

  /// Said again at the moment of the answer, to somebody who has heard it: that is no second handshake.
  @Test func hasteDisturbsNoHandshake() throws {
    let far = try #require(PeerIdentity())
    let end = try rig.open()
    rig.plane.submit([
      .remote(end.id, try remote(.client, far.fingerprint)), .play(end.id, .echo),
      .watch(end.id, silenceMilliseconds: 60_000),
    ])
    usleep(500_000)
    let peer = try #require(DTLSPeer(.server, far, on: secure, to: end.media))
    #expect(peer.shake(milliseconds: 400))
    for _ in 0..<100 where outcomes(end).isEmpty { peer.listen(20) }
    #expect(outcomes(end).count == 1 && rig.counters.handshakesFailed == 0)
  }

  /// RFC 8842 §3.1: the same description keeps the association and the contexts; another certificate begins anew.
  @Test func aReofferKeepsTheAssociationAndAnotherCertificateBeginsOne() throws {
    let (far, other) = (try #require(PeerIdentity()), try #require(PeerIdentity()))
    let described = try remote(.server, far.fingerprint)
    let (a, b) = try rig.bridge(RemoteMedia(plain.address), described)
    let peer = try #require(DTLSPeer(.client, far, on: secure, to: b.media))
    #expect(peer.shake())
    let keys = try #require(peer.keys)
    let mouth = try #require(Sender(keys.sending))
    // Over a rollover, in steps that a receiver can follow.
    for number in [20_000, 45_000, 65_535, 65_536, 70_000] {
      secure.send(try mouth.protect(rtp(number)).get(), to: b.media)
      #expect(plain.receive() != nil)
    }
    let kept = try mouth.protect(rtp(70_001)).get()
    secure.send(kept, to: b.media)
    #expect(plain.receive() != nil)
    var held = described
    held.weSend = false
    rig.plane.submit([.remote(b.id, held), .remote(b.id, described)])
    rig.measure(b)
    secure.send(kept, to: b.media)
    secure.send(try mouth.protect(rtp(70_002)).get(), to: b.media)
    #expect(plain.receiveAll().count == 1)
    #expect(rig.measure(b)?.replayed == 1)

    rig.plane.submit([.remote(b.id, try remote(.server, other.fingerprint))])
    rig.measure(b)
    secure.send(try mouth.protect(rtp(70_003)).get(), to: b.media)
    plain.send(rtp(9), to: a.media)
    #expect(plain.receiveAll() == [])
    // The old association is closed, and nothing else comes of it.
    while let packet = secure.receive(within: 50) { peer.take(packet.bytes) }
    #expect(peer.isClosed && peer.others == [])
    let next = try #require(DTLSPeer(.client, other, on: secure, to: b.media))
    #expect(next.shake())
    try talk(next, a, b, from: 70_100)
    #expect(outcomes(b).count == 2)
  }

  /// A far end that has begun anew without saying so: its old keys hold until the new ones are there.
  @Test func aNewHandshakeOfTheSameFarEnd() throws {
    let far = try #require(PeerIdentity())
    let (a, b) = try rig.bridge(
      RemoteMedia(plain.address), try remote(.server, far.fingerprint))
    let first = try #require(DTLSPeer(.client, far, on: secure, to: b.media))
    #expect(first.shake())
    try talk(first, a, b)
    let second = try #require(DTLSPeer(.client, far, on: secure, to: b.media))
    second.shake(milliseconds: 0)
    usleep(30_000)
    // It has a cookie now, and no more.
    #expect(second.shake())
    try talk(second, a, b, from: 100)
  }

  /// Another role with the same certificate: a new handshake, and speech meanwhile.
  @Test func aChangeOfRoles() throws {
    let far = try #require(PeerIdentity())
    let (a, b) = try rig.bridge(
      RemoteMedia(plain.address), try remote(.server, far.fingerprint))
    let first = try #require(DTLSPeer(.client, far, on: secure, to: b.media))
    #expect(first.shake())
    try talk(first, a, b)
    rig.plane.submit([.remote(b.id, try remote(.client, far.fingerprint))])
    rig.measure(b)
    let keys = try #require(first.keys)
    let mouth = try #require(Sender(keys.sending))
    secure.send(try mouth.protect(rtp(50)).get(), to: b.media)
    #expect(plain.receive()?.bytes == rtp(50))
    let second = try #require(DTLSPeer(.server, far, on: secure, to: b.media))
    #expect(second.shake())
    try talk(second, a, b, from: 100)
  }

  @Test func reportsHaveAnAssociationOfTheirOwn() throws {
    let far = try #require(PeerIdentity())
    let (plainControl, secureControl) = (try Peer(), try Peer())
    var described = RemoteMedia(secure.address, rtcp: secureControl.address)
    described.security = MediaSecurity(
      try #require(MediaHandshake(.server, [far.fingerprint])))
    let (a, b) = try rig.bridge(
      RemoteMedia(plain.address, rtcp: plainControl.address), described)
    let peer = try #require(DTLSPeer(.client, far, on: secureControl, to: b.control))
    plainControl.send(report(ssrc: 5), to: a.control)
    #expect(secureControl.receive(within: 60) == nil)
    #expect(peer.shake())
    #expect(outcomes(b) == [])
    let keys = try #require(peer.keys)
    plainControl.send(report(ssrc: 5), to: a.control)
    let heard = try #require(secureControl.receive())
    let ear = try #require(Receiver(keys.receiving))
    let opened = try ear.unprotectControl(heard.bytes).get()
    let isValid = RTCPReader.isValid(opened.rawSpan)
    #expect(isValid)
    let mouth = try #require(Sender(keys.sending))
    secureControl.send(try mouth.protectControl(report(ssrc: 6)).get(), to: b.control)
    #expect(plainControl.receive() != nil)
  }

  @Test func theEndIsSaid() throws {
    let far = try #require(PeerIdentity())
    let (_, b) = try rig.bridge(
      RemoteMedia(plain.address), try remote(.server, far.fingerprint))
    let peer = try #require(DTLSPeer(.client, far, on: secure, to: b.media))
    #expect(peer.shake())
    rig.plane.submit([.close(b.id)])
    for _ in 0..<20 where !peer.isClosed { peer.listen(50) }
    #expect(peer.isClosed)
  }

  /// From keys in SDP to a handshake and back, in one call.
  @Test func fromKeysToAHandshakeAndBack() throws {
    let far = try #require(PeerIdentity())
    let keys = MediaSecurity(
      sending: try #require(testKey(.aesCM128HMAC80, 1)),
      receiving: try #require(testKey(.aesCM128HMAC80, 2)))
    var given = RemoteMedia(secure.address)
    given.security = keys
    let (a, b) = try rig.bridge(RemoteMedia(plain.address), given)
    let mouth = try #require(Sender(keys.receiving))
    secure.send(try mouth.protect(rtp(1)).get(), to: b.media)
    #expect(plain.receive()?.bytes == rtp(1))
    rig.plane.submit([.remote(b.id, try remote(.server, far.fingerprint))])
    rig.measure(b)
    secure.send(try mouth.protect(rtp(2)).get(), to: b.media)
    #expect(plain.receiveAll() == [])
    let peer = try #require(DTLSPeer(.client, far, on: secure, to: b.media))
    #expect(peer.shake())
    try talk(peer, a, b, from: 10)
    rig.plane.submit([.remote(b.id, given)])
    rig.measure(b)
    _ = secure.receiveAll(quiet: 20)
    let again = try #require(Sender(keys.receiving))
    secure.send(try again.protect(rtp(30)).get(), to: b.media)
    #expect(plain.receive()?.bytes == rtp(30))
  }

  @Test func withoutACertificateAHandshakeIsRefused() throws {
    let far = try #require(PeerIdentity())
    let rig = try Rig()
    let end = try rig.open()
    rig.plane.submit([.remote(end.id, try remote(.server, far.fingerprint))])
    #expect(rig.log.wait { $0 == .refused(end.id) ? true : nil } == true)
  }
}
