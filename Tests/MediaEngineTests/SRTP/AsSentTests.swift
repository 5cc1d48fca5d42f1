import Base
import Glibc
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// Lines beside speech under keys: what leaves has the sources and numbers that it came with, so that feedback means the
/// same packets on both sides, and no place of a key stream is used twice.
@Suite(.serialized) struct AsSentTests {
  private func security(
    _ suite: SRTPSuite = .aesCM128HMAC80, ours: UInt8 = 1, theirs: UInt8 = 2
  ) throws -> MediaSecurity {
    MediaSecurity(
      sending: try #require(testKey(suite, ours)), receiving: try #require(testKey(suite, theirs)))
  }

  private func remote(
    _ peer: Peer, _ security: MediaSecurity? = nil, control: Peer? = nil
  ) -> RemoteMedia {
    var remote = RemoteMedia(
      peer.address, rtcp: control?.address, codec: .unknown)
    remote.payloadType = 96
    remote.clockRate = 90_000
    remote.proto = .rtpAsSent
    remote.security = security
    return remote
  }

  /// Generic NACK (RFC 4585 §6.2.1) and FIR (RFC 5104 §4.3.1) behind an empty receiver report.
  private func feedback(media: UInt32, packet: UInt16) -> [UInt8] {
    func word(_ value: UInt32) -> [UInt8] {
      [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }
    let own: UInt32 = 0x0b0b_0b0b
    let lost = [UInt8(packet >> 8), UInt8(packet & 0xff), 0, 3]
    return [0x80, 201, 0, 1] + word(own)
      + [0x81, 205, 0, 3] + word(own) + word(media) + lost
      + [0x84, 206, 0, 4] + word(own) + word(0) + word(media) + [7, 0, 0, 0]
  }

  @Test(arguments: [SRTPSuite.aesCM128HMAC80, .aeadAES256GCM])
  func sourcesAndNumbersStay(suite: SRTPSuite) throws {
    let rig = try Rig()
    let (plain, secure) = (try Peer(), try Peer())
    let keys = try security(suite)
    let (a, b) = try rig.bridge(remote(plain), remote(secure, keys))
    let (phone, ear) = (
      try #require(Sender(keys.receiving)), try #require(Receiver(keys.sending))
    )
    // Pictures and their retransmissions, each with a source and numbers of its own, over a rollover.
    for number in 65_530..<65_545 {
      for (ssrc, type) in [(UInt32(7), UInt8(96)), (9, 97)] {
        let number = ssrc == 9 ? number - 40_000 : number
        let sent = rtp(number, ssrc: ssrc, payloadType: type)
        plain.send(sent, to: a.media)
        let heard = try #require(secure.receive())
        #expect(heard.bytes != sent)
        #expect(try ear.unprotect(heard.bytes).get() == sent)
        let back = rtp(number, ssrc: ssrc + 1, payloadType: type)
        secure.send(try phone.protect(back).get(), to: b.media)
        #expect(plain.receive()?.bytes == back)
      }
    }
    #expect(rig.counters.unprotectable == 0)
  }

  @Test func feedbackMeansTheSamePackets() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (aliceControl, bobControl) = (try Peer(), try Peer())
    let (first, second) = (
      try security(), try security(.aeadAES128GCM, ours: 3, theirs: 4)
    )
    let (a, b) = try rig.bridge(
      remote(alice, first, control: aliceControl), remote(bob, second, control: bobControl))
    let (mouth, ear) = (
      try #require(Sender(first.receiving)), try #require(Receiver(second.sending))
    )
    alice.send(try mouth.protect(rtp(40_000, ssrc: 7)).get(), to: a.media)
    let heard = try #require(bob.receive())
    #expect(try ear.unprotect(heard.bytes).get() == rtp(40_000, ssrc: 7))
    let (asker, asked) = (
      try #require(Sender(second.receiving)), try #require(Receiver(first.sending))
    )
    let request = feedback(media: 7, packet: 40_001)
    bobControl.send(try asker.protectControl(request).get(), to: b.control)
    let asks = try #require(aliceControl.receive())
    #expect(asks.bytes != request)
    #expect(try asked.unprotectControl(asks.bytes).get() == request)
  }

  /// Whatever a plain far end repeats: no two packets leave in one place of the key stream, and nothing leaves plain.
  @Test func noPlaceOfTheKeyStreamTwice() throws {
    let rig = try Rig()
    let (plain, secure) = (try Peer(), try Peer())
    let keys = try security(.aeadAES128GCM)
    let (a, _) = try rig.bridge(remote(plain), remote(secure, keys))
    for number in [1_000, 1_001, 1_001, 1_000, 1_002] { plain.send(rtp(number), to: a.media) }
    // The same place with another text, and numbers that begin anew under the same source.
    var other = rtp(1_002)
    other[12] ^= 0xff
    plain.send(other, to: a.media)
    for number in 1...5 { plain.send(rtp(number), to: a.media) }
    var heard = secure.receiveAll()
    #expect(heard.count == 3 && rig.counters.unprotectable == 8)
    // A source of its own may begin anywhere, and the old one goes on where it was.
    for number in 1...5 { plain.send(rtp(number, ssrc: 5), to: a.media) }
    plain.send(rtp(1_003), to: a.media)
    heard += secure.receiveAll()
    let ear = try #require(Receiver(keys.sending))
    #expect(heard.count == 9)
    for packet in heard { #expect(try ear.unprotect(packet).get().count == 172) }
    #expect(Set(heard.map { Array($0[0..<12]) }).count == heard.count)
  }

  /// RFC 3711 §3.3.1, RFC 4568 §7.1.4: the same key keeps its count, a new one begins a new one, wherever the numbers are.
  @Test func theSameKeyKeepsItsContextAndANewOneBegins() throws {
    let rig = try Rig()
    let (plain, secure) = (try Peer(), try Peer())
    let keys = try security()
    let (a, b) = try rig.bridge(remote(plain), remote(secure, keys))
    let ear = try #require(Receiver(keys.sending))
    for number in [30_000, 60_000, 65_535, 65_536, 65_540] {
      plain.send(rtp(number), to: a.media)
      let heard = try #require(secure.receive())
      #expect(try ear.unprotect(heard.bytes).get() == rtp(number))
    }
    // A hold and its end.
    var held = remote(secure, keys)
    held.weReceive = false
    rig.plane.submit([.remote(b.id, held), .remote(b.id, remote(secure, keys))])
    rig.measure(b)
    plain.send(rtp(65_540), to: a.media)
    #expect(secure.receiveAll() == [])
    plain.send(rtp(65_541), to: a.media)
    let kept = try #require(secure.receive())
    #expect(try ear.unprotect(kept.bytes).get() == rtp(65_541))

    let next = try security(ours: 60, theirs: 61)
    rig.plane.submit([.remote(b.id, remote(secure, next))])
    rig.measure(b)
    let again = try #require(Receiver(next.sending))
    for number in [65_541, 65_542] {
      plain.send(rtp(number), to: a.media)
      let heard = try #require(secure.receive())
      #expect((try? ear.unprotect(heard.bytes).get()) == nil)
      #expect(try again.unprotect(heard.bytes).get() == rtp(number))
    }
  }

  /// Somebody else behind the same key: with sources of its own it is seen as it is, and with those of the one before in
  /// no place that has been used. Plain lines keep their numbers as well.
  @Test func anotherFarEnd() throws {
    let rig = try Rig()
    let (first, second, secure) = (try Peer(), try Peer(), try Peer())
    let keys = try security()
    let (a, b) = try rig.bridge(remote(first), remote(secure, keys))
    let ear = try #require(Receiver(keys.sending))
    for number in 100..<105 {
      first.send(rtp(number), to: a.media)
      let heard = try #require(secure.receive())
      #expect(try ear.unprotect(heard.bytes).get() == rtp(number))
    }
    let c = try rig.open()
    rig.plane.submit([.remote(c.id, remote(second)), .bridge(c.id, b.id)])
    rig.measure(c)
    second.send(rtp(104), to: c.media)
    #expect(secure.receiveAll() == [])
    for (number, ssrc) in [(105, UInt32(0x1111_2222)), (9, 77)] {
      second.send(rtp(number, ssrc: ssrc), to: c.media)
      let heard = try #require(secure.receive())
      #expect(try ear.unprotect(heard.bytes).get() == rtp(number, ssrc: ssrc))
    }
    rig.plane.submit([.remote(b.id, remote(secure)), .bridge(a.id, b.id)])
    rig.measure(b)
    first.send(rtp(300, ssrc: 5), to: a.media)
    #expect(secure.receive()?.bytes == rtp(300, ssrc: 5))
  }

  /// Nothing plain comes in or goes out where there are keys, nor before a handshake has brought them.
  @Test func nothingPlainPasses() throws {
    let rig = try Rig()
    let (plain, secure) = (try Peer(), try Peer())
    let keys = try security()
    let (_, b) = try rig.bridge(remote(plain), remote(secure, keys))
    for number in 0..<20 { secure.send(rtp(number), to: b.media) }
    #expect(plain.receiveAll() == [] && rig.measure(b)?.unauthentic == 20)

    var settings = MediaSettings()
    let identity = try #require(DTLSIdentity())
    settings.identity = identity
    let other = try Rig(settings: settings)
    let nobody = try #require(CertificateFingerprint(.sha256, Array(repeating: 1, count: 32)))
    let handshake = try #require(MediaHandshake(.server, [nobody]))
    let (c, d) = try other.bridge(remote(plain), remote(secure, MediaSecurity(handshake)))
    for number in 0..<20 {
      plain.send(rtp(number), to: c.media)
      secure.send(rtp(number), to: d.media)
    }
    #expect(secure.receiveAll() == [] && plain.receiveAll() == [])
    #expect(other.counters.unkeyed >= 20)
  }
}
