import Base
import Glibc
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// Two ends that have no codec in common hear each other; the flow is the one that came.
@Suite(.serialized) struct SpeechConversionTests {
  private static let types: [AudioCodec: UInt8] = [.pcmu: 0, .gsm: 3, .pcma: 8, .g722: 9]

  private func remote(_ peer: Peer, _ codecs: AudioCodec...) -> RemoteMedia {
    var remote = RemoteMedia(peer.address, codec: codecs[0])
    remote.payloadType = Self.types[codecs[0]] ?? 255
    for codec in codecs {
      remote.speech.append(SpeechFormats.Format(codec, Self.types[codec] ?? 255))
    }
    return remote
  }

  private func packet(
    _ number: Int, type: UInt8, _ payload: [UInt8], first: UInt8 = 0x80, tail: [UInt8] = []
  ) -> [UInt8] {
    var packet = rtp(number, payloadType: type, marker: number == 1)
    packet[0] = first
    return packet.prefix(RTPHeader.size) + payload + tail
  }

  /// A tone of 400 Hz, 20 ms of it.
  private func tone(_ block: Int) -> [Int16] {
    let cycle: [Int16] = [
      0, 2_472, 4_702, 6_472, 7_608, 8_000, 7_608, 6_472, 4_702, 2_472, 0, -2_472, -4_702, -6_472,
      -7_608, -8_000, -7_608, -6_472, -4_702, -2_472,
    ]
    return (0..<160).map { cycle[(block * 160 + $0) % 20] }
  }

  private func payload(_ packet: [UInt8]) -> [UInt8] { Array(packet.dropFirst(RTPHeader.size)) }

  /// G.711 needs no memory: each packet for itself, bit for bit.
  @Test func lawsBothWays() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(remote(alice, .pcmu), remote(bob, .pcma))
    for number in 1...3 {
      let samples = tone(number)
      alice.send(packet(number, type: 0, samples.map(G711.ulaw)), to: a.media)
      let heard = try #require(bob.receive()?.bytes)
      let sent = packet(
        number, type: 8, samples.map { G711.alaw(linear: G711.linear(ulaw: G711.ulaw(linear: $0))) }
      )
      #expect(heard == sent)
      bob.send(packet(number, type: 8, samples.map(G711.alaw)), to: b.media)
      let back = try #require(alice.receive()?.bytes)
      #expect(back.count == 172 && back[1] & 0x7f == 0)
    }
    #expect(rig.plane.counters.converted == 6 && rig.plane.counters.unconvertible == 0)
    #expect(rig.measure(a)?.packets == 3 && rig.measure(b)?.sent == 3)
  }

  /// CSRCs stay in front of the payload; padding does not stay behind it; digits pass as they are.
  @Test func whatIsNoSpeechStays() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(remote(alice, .pcmu), remote(bob, .pcma))
    let speech = tone(0).map(G711.ulaw)
    let source: [UInt8] = [1, 2, 3, 4]
    alice.send(packet(1, type: 0, source + speech, first: 0xa1, tail: [0, 0, 3]), to: a.media)
    let heard = try #require(bob.receive()?.bytes)
    #expect(heard.count == 12 + 4 + 160 && heard[0] == 0x81 && Array(heard[12..<16]) == source)
    let digits = packet(2, type: 101, [5, 10, 0, 160])
    alice.send(digits, to: a.media)
    #expect(bob.receive()?.bytes == digits)
  }

  /// What both have named is not touched, whatever else they have; and it changes with what they say.
  @Test func onlyWhereItIsNeeded() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, b) = try rig.bridge(remote(alice, .pcmu), remote(bob, .pcma, .pcmu))
    let speech = tone(0)
    alice.send(packet(1, type: 0, speech.map(G711.ulaw)), to: a.media)
    #expect(bob.receive()?.bytes == packet(1, type: 0, speech.map(G711.ulaw)))
    bob.send(packet(1, type: 8, speech.map(G711.alaw)), to: b.media)
    #expect(alice.receive()?.bytes[1] == 0x80)
    rig.plane.submit([.remote(a.id, remote(alice, .pcma))])
    rig.measure(a)
    bob.send(packet(2, type: 8, speech.map(G711.alaw)), to: b.media)
    #expect(alice.receive()?.bytes == packet(2, type: 8, speech.map(G711.alaw)))
    alice.send(packet(2, type: 8, speech.map(G711.alaw)), to: a.media)
    #expect(bob.receive()?.bytes[1] == 8)
    #expect(rig.plane.counters.converted == 1)
  }

  /// A payload that is no speech of its codec goes nowhere, and nothing is harmed.
  @Test func badPayloads() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(remote(alice, .gsm, .pcmu), remote(bob, .pcma))
    for size in [1, 32, 34, 1_400] {
      alice.send(packet(size, type: 3, [UInt8](repeating: 0xd0, count: size)), to: a.media)
    }
    alice.send(packet(2, type: 0, [UInt8](repeating: 1, count: 9_000)), to: a.media)
    #expect(bob.receiveAll() == [])
    #expect(rig.plane.counters.unconvertible == 5)
    alice.send(packet(3, type: 0, []), to: a.media)
    #expect(bob.receive()?.bytes == packet(3, type: 8, []))
  }

  /// A tone that goes from µ-law through each pair and back to µ-law is the tone, some samples later. Of a tone GSM
  /// keeps little more than the pitch, as it does of speech.
  @Test(
    arguments: [
      ([AudioCodec.pcma], 30.0), ([.g722], 20), ([.gsm], 7), ([.pcma, .g722], 20),
      ([.pcma, .gsm], 7), ([.g722, .gsm], 7), ([.gsm, .g722], 7), ([.g722, .pcma], 20),
    ])
  func aToneComesThrough(codecs: [AudioCodec], decibels: Double) throws {
    let rig = try Rig(pairs: 8)
    let path = [.pcmu] + codecs + [.pcmu]
    let hops = try zip(path, path.dropFirst()).map { from, to in
      let (near, far) = (try Peer(), try Peer())
      return (near, far, try rig.bridge(remote(near, from), remote(far, to)).a)
    }
    var heard: [Int16] = []
    for number in 0..<25 {
      var passed = packet(number, type: 0, tone(number).map(G711.ulaw))
      for (near, far, end) in hops {
        near.send(passed, to: end.media)
        passed = try #require(far.receive()?.bytes)
      }
      heard += payload(passed).map { G711.linear(ulaw: $0) }
    }
    let said = (0..<25).flatMap(tone)
    let best = (0..<60).map { signalToNoise(said, heard, shift: $0) }.max() ?? 0
    #expect(best > decibels, "\(best) dB")
  }

  /// Of the last half, when the codecs have settled; `heard` comes `shift` samples late.
  private func signalToNoise(_ said: [Int16], _ heard: [Int16], shift: Int) -> Double {
    var (signal, noise) = (0.0, 0.0)
    for i in said.count / 2..<said.count where i - shift >= 0 {
      let (wanted, got) = (Double(said[i - shift]), Double(heard[i]))
      signal += wanted * wanted
      noise += (wanted - got) * (wanted - got)
    }
    return 10 * log10(signal / max(noise, 1))
  }
}
