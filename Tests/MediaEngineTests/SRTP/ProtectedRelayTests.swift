import Base
import Glibc
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// A plain far end on one side, and one with keys on the other: through sockets.
@Suite(.serialized) struct ProtectedRelayTests {
  let suite = SRTPSuite.aesCM128HMAC80

  private func security(_ suite: SRTPSuite, ours: UInt8 = 1, theirs: UInt8 = 2) throws
    -> MediaSecurity
  {
    MediaSecurity(
      sending: try #require(testKey(suite, ours)), receiving: try #require(testKey(suite, theirs)))
  }

  private func protected(_ address: SocketAddress, _ security: MediaSecurity) -> RemoteMedia {
    var remote = RemoteMedia(address)
    remote.security = security
    return remote
  }

  @Test(arguments: SRTPSuite.allCases)
  func plainBecomesProtectedAndBack(suite: SRTPSuite) throws {
    let rig = try Rig()
    let (plain, secure) = (try Peer(), try Peer())
    let keys = try security(suite)
    let (a, b) = try rig.bridge(RemoteMedia(plain.address), protected(secure.address, keys))
    let phone = try #require(Sender(keys.receiving))
    let ear = try #require(Receiver(keys.sending))
    var numbers: [UInt16] = []
    for number in 0..<20 {
      plain.send(rtp(number), to: a.media)
      let heard = try #require(secure.receive())
      #expect(heard.bytes.count == 172 + suite.tagSize)
      let opened = try ear.unprotect(heard.bytes).get()
      #expect(opened[12...] == rtp(number)[12...])
      numbers.append(UInt16(opened[2]) << 8 | UInt16(opened[3]))
      secure.send(try phone.protect(rtp(500 + number, ssrc: 9)).get(), to: b.media)
      #expect(plain.receive()?.bytes == rtp(500 + number, ssrc: 9))
    }
    // In a flow of our own, gaps and order as they came, from a number below 2^15.
    let first = try #require(numbers.first)
    #expect(first <= 0x8000)
    #expect(numbers == (0..<20).map { first + $0 })
    let quality = try #require(rig.measure(b))
    #expect(quality.packets == 20 && quality.unauthentic == 0 && quality.replayed == 0)
    #expect(quality.malformed == 0 && quality.refused == 0)
  }

  @Test func bothSidesWithKeysOfTheirOwn() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (first, second) = (
      try security(.aesCM128HMAC80), try security(.aeadAES256GCM, ours: 3, theirs: 4)
    )
    let (a, b) = try rig.bridge(protected(alice.address, first), protected(bob.address, second))
    let (mouth, ear) = (
      try #require(Sender(first.receiving)), try #require(Receiver(second.sending))
    )
    alice.send(try mouth.protect(rtp(1)).get(), to: a.media)
    let heard = try #require(bob.receive())
    #expect(try ear.unprotect(heard.bytes).get()[12...] == rtp(1)[12...])
    let back = (try #require(Sender(second.receiving)), try #require(Receiver(first.sending)))
    bob.send(try back.0.protect(rtp(7)).get(), to: b.media)
    let returned = try #require(alice.receive())
    #expect(try back.1.unprotect(returned.bytes).get()[12...] == rtp(7)[12...])
  }

  /// Plain, forged and repeated packets on a protected leg: nothing of them gets through, teaches an address or
  /// keeps the right ones out (RELIABILITY E3, E4, E6).
  @Test func nothingUnprotectedComesIn() throws {
    let rig = try Rig()
    let (plain, secure, stranger) = (try Peer(), try Peer(), try Peer())
    let keys = try security(suite)
    let (_, b) = try rig.bridge(RemoteMedia(plain.address), protected(secure.address, keys))
    let phone = try #require(Sender(keys.receiving))
    let wrong = try #require(testKey(suite, 99).flatMap(Sender.init))
    for number in 0..<40 {
      stranger.send(rtp(number), to: b.media)
      secure.send(rtp(number), to: b.media)
      secure.send(try wrong.protect(rtp(number)).get(), to: b.media)
    }
    #expect(plain.receiveAll() == [])
    #expect(rig.log.all.allSatisfy { if case .latched = $0 { false } else { true } })
    let kept = try phone.protect(rtp(1)).get()
    secure.send(kept, to: b.media)
    #expect(plain.receive()?.bytes == rtp(1))
    for _ in 0..<5 { secure.send(kept, to: b.media) }
    secure.send(try phone.protect(rtp(2)).get(), to: b.media)
    #expect(plain.receiveAll() == [rtp(2)])
    let quality = try #require(rig.measure(b))
    #expect(quality.packets == 2)
    #expect(quality.unauthentic == 120)
    #expect(quality.replayed == 5)
    #expect(rig.plane.counters.unauthentic == 120 && rig.plane.counters.replayed == 5)
  }

  /// A repeated packet of the plain side leaves once; one whose numbers begin anew leaves in a new place.
  @Test func noPlaceOfTheKeyStreamTwice() throws {
    let rig = try Rig()
    let (plain, secure) = (try Peer(), try Peer())
    let keys = try security(.aeadAES128GCM)
    let (a, _) = try rig.bridge(RemoteMedia(plain.address), protected(secure.address, keys))
    for number in [1, 2, 3, 3, 2, 4, 5, 5] { plain.send(rtp(number), to: a.media) }
    var heard = secure.receiveAll()
    #expect(heard.count == 5)
    #expect(rig.plane.counters.unprotectable == 3)
    // The same source starts again, and another one with the numbers of the first.
    for number in 1_000...1_010 { plain.send(rtp(number), to: a.media) }
    for number in 1...10 { plain.send(rtp(number), to: a.media) }
    for number in 1...10 { plain.send(rtp(number, ssrc: 5), to: a.media) }
    heard += secure.receiveAll()
    #expect(heard.count == 5 + 31)
    let ear = try #require(Receiver(keys.sending))
    for packet in heard { #expect(try ear.unprotect(packet).get().count == 172) }
    #expect(Set(heard.map { Array($0[0..<12]) }).count == heard.count)
  }

  /// RFC 3711 §3.3.1 and RFC 4568 §7.1.4: what an offer with the same keys leaves alone, and what new ones begin.
  @Test func theSameKeyKeepsItsContextAndANewOneBegins() throws {
    let rig = try Rig()
    let (plain, secure) = (try Peer(), try Peer())
    let keys = try security(suite)
    let remote = protected(secure.address, keys)
    let (_, b) = try rig.bridge(RemoteMedia(plain.address), remote)
    let phone = try #require(Sender(keys.receiving))
    // Over a rollover, in steps that a receiver can follow.
    for number in [20_000, 45_000, 65_535, 65_536, 70_000] {
      secure.send(try phone.protect(rtp(number)).get(), to: b.media)
      #expect(plain.receive() != nil)
    }
    let kept = try phone.protect(rtp(70_001)).get()
    secure.send(kept, to: b.media)
    #expect(plain.receive() != nil)
    var held = remote
    held.weSend = false
    rig.plane.submit([.remote(b.id, held), .remote(b.id, remote)])
    rig.measure(b)
    secure.send(kept, to: b.media)
    secure.send(try phone.protect(rtp(70_002)).get(), to: b.media)
    #expect(plain.receiveAll().count == 1)
    #expect(rig.measure(b)?.replayed == 1)

    let next = try security(suite, theirs: 50)
    rig.plane.submit([.remote(b.id, protected(secure.address, next))])
    rig.measure(b)
    let again = try #require(Sender(next.receiving))
    secure.send(try phone.protect(rtp(70_003)).get(), to: b.media)
    secure.send(try again.protect(rtp(70_004)).get(), to: b.media)
    #expect(plain.receiveAll().count == 1)
    #expect(rig.measure(b)?.unauthentic == 1)
  }

  /// Dialogs of a forked call may answer one offer with the same key, with another in between: what was used under it stays
  /// used.
  @Test func aKeyThatComesBackGoesOn() throws {
    let rig = try Rig()
    let (plain, secure) = (try Peer(), try Peer())
    let (first, second) = (try security(suite), try security(suite, ours: 70))
    var remote = protected(secure.address, first)
    remote.proto = .rtpAsSent
    var far = RemoteMedia(plain.address)
    far.proto = .rtpAsSent
    let (a, b) = try rig.bridge(far, remote)
    let ear = try #require(Receiver(first.sending))
    plain.send(rtp(10), to: a.media)
    let before = try #require(secure.receive())
    #expect(try ear.unprotect(before.bytes).get() == rtp(10))
    for keys in [second, first] {
      remote.security = keys
      rig.plane.submit([.remote(b.id, remote)])
    }
    rig.measure(b)
    plain.send(rtp(10), to: a.media)
    #expect(secure.receiveAll() == [])
    plain.send(rtp(11), to: a.media)
    let after = try #require(secure.receive())
    #expect(try ear.unprotect(after.bytes).get() == rtp(11))
  }

  /// Keys that come in the middle of a call, and go again: the flow goes on.
  @Test func fromPlainToProtectedAndBack() throws {
    let rig = try Rig()
    let (plain, other) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(RemoteMedia(plain.address), RemoteMedia(other.address))
    plain.send(rtp(100), to: a.media)
    let before = try #require(other.packet())
    let keys = try security(suite)
    rig.plane.submit([.remote(b.id, protected(other.address, keys))])
    rig.measure(b)
    plain.send(rtp(101), to: a.media)
    let ear = try #require(Receiver(keys.sending))
    let sealed = try #require(other.receive())
    let opened = try ear.unprotect(sealed.bytes).get()
    let during = try #require(parse(opened))
    #expect(during.header.ssrc == before.header.ssrc)
    #expect(during.header.sequence == before.header.sequence + 1)
    rig.plane.submit([.remote(b.id, RemoteMedia(other.address))])
    rig.measure(b)
    plain.send(rtp(102), to: a.media)
    #expect(other.packet()?.header.sequence == before.header.sequence + 2)
  }

  @Test func applicationsSpeakUnderTheKey() throws {
    let rig = try Rig()
    let secure = try Peer()
    let keys = try security(suite)
    let end = try rig.open()
    rig.plane.submit([.remote(end.id, protected(secure.address, keys)), .play(end.id, .milliwatt)])
    let ear = try #require(Receiver(keys.sending))
    var last: UInt16?
    for _ in 0..<20 {
      let sealed = try #require(secure.receive())
      let packet = try #require(parse(try ear.unprotect(sealed.bytes).get()))
      if let last { #expect(packet.header.sequence == last &+ 1) }
      last = packet.header.sequence
      #expect(packet.payload.count == 160)
    }
    rig.plane.submit([.play(end.id, .echo)])
    rig.measure(end)
    _ = secure.receiveAll(quiet: 40)
    let mouth = try #require(Sender(keys.receiving))
    secure.send(rtp(4), to: end.media)
    secure.send(try mouth.protect(rtp(5)).get(), to: end.media)
    let echoed = secure.receiveAll()
    #expect(echoed.count == 1)
    let returned = try #require(echoed.first)
    #expect(try ear.unprotect(returned).get()[12...] == rtp(5)[12...])
  }

  @Test func reportsAreProtectedToo() throws {
    let rig = try Rig()
    let (plain, secure) = (try Peer(), try Peer())
    let (plainControl, secureControl) = (try Peer(), try Peer())
    let keys = try security(.aesCM128HMAC32)
    var protectedRemote = RemoteMedia(secure.address, rtcp: secureControl.address)
    protectedRemote.security = keys
    let (a, b) = try rig.bridge(
      RemoteMedia(plain.address, rtcp: plainControl.address), protectedRemote)
    let phone = try #require(Sender(keys.receiving))
    let ear = try #require(Receiver(keys.sending))
    plainControl.send(report(ssrc: 5), to: a.control)
    let heard = try #require(secureControl.receive())
    let opened = try ear.unprotectControl(heard.bytes).get()
    let isValid = RTCPReader.isValid(opened.rawSpan)
    #expect(isValid)
    let sealed = try phone.protectControl(report(ssrc: 6)).get()
    secureControl.send(report(ssrc: 6), to: b.control)
    secureControl.send(sealed, to: b.control)
    secureControl.send(sealed, to: b.control)
    let back = plainControl.receiveAll()
    #expect(back.count == 1)
    let first = try #require(back.first)
    let isWhole = RTCPReader.isValid(first.rawSpan)
    #expect(isWhole)
    let quality = try #require(rig.measure(b))
    #expect(quality.replayed == 1 && quality.rtcpPackets == 1)
    #expect(quality.unauthentic + quality.malformed == 1)
  }

  /// Whoever has the key is the far end, wherever it is; and stays it.
  @Test func theKeyIsProofOfTheFarEnd() throws {
    let rig = try Rig()
    let (plain, elsewhere, other) = (try Peer(), try Peer(IPAddress(v4: 0x7f00_0009)), try Peer())
    let keys = try security(suite)
    var remote = protected(SocketAddress(IPAddress(v4: 0x7f00_0005), 4_000), keys)
    remote.signallingSource = IPAddress(v4: 0x7f00_0005)
    let (a, b) = try rig.bridge(RemoteMedia(plain.address), remote)
    let phone = try #require(Sender(keys.receiving))
    elsewhere.send(try phone.protect(rtp(1)).get(), to: b.media)
    #expect(plain.receive()?.bytes == rtp(1))
    plain.send(rtp(1), to: a.media)
    #expect(elsewhere.receive() != nil)
    other.send(try phone.protect(rtp(2)).get(), to: b.media)
    #expect(plain.receiveAll() == [])
    #expect(rig.measure(b)?.refused == 1)
  }
}
