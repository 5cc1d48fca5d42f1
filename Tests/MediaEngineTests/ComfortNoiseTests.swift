import Base
import Glibc
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// Noise in the place of silence: as loud as was said, coloured as was said, and only as long as nobody speaks.
@Suite(.serialized) struct ComfortNoiseTests {
  private func noise(_ payload: [UInt8], isWide: Bool = false) -> [Double] {
    var noise = ComfortNoise()
    noise.take(payload.rawSpan, isWide: isWide)
    return (0..<32_000).map { _ in Double(noise.next()) }
  }

  private func level(_ samples: [Double]) -> Double {
    let power = samples.reduce(0) { $0 + $1 * $1 } / Double(samples.count)
    return 20 * log10(max(power.squareRoot(), 1e-3) / 32_768)
  }

  /// RFC 3389 §3.1: -dBov, whatever the filter is.
  @Test(arguments: [[UInt8(30)], [40, 127, 127], [50, 200], [50, 30, 180, 90], [60, 250, 20]])
  func asLoudAsWasSaid(payload: [UInt8]) {
    let made = level(noise(payload))
    #expect(abs(made + Double(payload[0])) < 1, "\(made)")
  }

  /// Neighbouring samples resemble each other as the first coefficient says: it is minus their correlation.
  @Test(arguments: [UInt8(40), 80, 127, 190, 230]) func colouredAsWasSaid(word: UInt8) {
    let samples = noise([30, word])
    let power = samples.reduce(0) { $0 + $1 * $1 }
    let both = zip(samples, samples.dropFirst()).reduce(0) { $0 + $1.0 * $1.1 }
    let told = -(Double(word) - 127) / 128
    #expect(abs(both / power - told) < 0.03, "\(both / power) and \(told)")
  }

  /// Whatever a peer writes, what comes is finite.
  @Test func anythingAtAll() {
    var random = RandomSource(seed: 3)
    for _ in 0..<300 {
      let payload = (0..<random.next(below: 20)).map { _ in UInt8(random.next(below: 256)) }
      var noise = ComfortNoise()
      noise.take(payload.rawSpan, isWide: random.next(below: 2) == 0)
      for _ in 0..<500 { _ = noise.next() }
    }
    #expect(noise([127, 255, 0, 255, 0]).allSatisfy { abs($0) <= 32_768 })
  }

  private func remote(_ peer: Peer, _ codec: AudioCodec, _ type: UInt8) -> RemoteMedia {
    var remote = RemoteMedia(peer.address, codec: codec)
    remote.payloadType = type
    remote.clockRate = codec.clockRate
    remote.speech = SpeechFormats(SpeechFormats.Format(codec, type))
    return remote
  }

  private func told(_ number: Int, _ payload: [UInt8]) -> [UInt8] {
    rtp(number, payloadType: 13).prefix(RTPHeader.size) + payload
  }

  /// Who has named it gets the packet; who has not gets noise of that level, without a gap in numbers or time.
  @Test(arguments: [true, false]) func byWhatTheFarEndTakes(isNamed: Bool) throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    var far = remote(bob, .pcma, 8)
    if isNamed { far.treatment = .comfortNoise }
    let (a, _) = try rig.bridge(remote(alice, .pcmu, 0), far)
    alice.send(rtp(1), to: a.media)
    let first = try #require(bob.packet()).header
    alice.send(told(2, [40]), to: a.media)
    if isNamed {
      let heard = try #require(bob.packet())
      #expect(heard.header.payloadType == 13 && heard.payload == [40])
      #expect(bob.receive(within: 100) == nil)
      return
    }
    var samples: [Double] = []
    for number in 1...15 {
      let heard = try #require(bob.packet())
      #expect(heard.header.payloadType == 8 && heard.payload.count == 160)
      #expect(heard.header.sequence == first.sequence &+ UInt16(number))
      #expect(heard.header.timestamp == first.timestamp &+ UInt32(number) * 160)
      samples += heard.payload.map { Double(G711.linear(alaw: $0)) }
    }
    #expect(abs(level(samples) + 40) < 1.5, "\(level(samples))")
    // Speech goes on behind it, however long the time stamps say that the silence was.
    alice.send(rtp(18), to: a.media)
    var speech: (header: RTPHeader, payload: [UInt8])?
    for _ in 0..<4 where speech == nil {
      let heard = try #require(bob.packet())
      if Set(heard.payload).count == 1 { speech = heard }
    }
    let behind = try #require(speech).header.timestamp &- first.timestamp
    #expect((16...18).contains(Int(behind) / 160), "\(behind)")
    #expect(bob.receive(within: 60) == nil)
  }

  /// The silence of Opus: its decoder knows what that sounds like, and packets go on.
  @Test func discontinuousOpus() throws {
    let rig = try Rig()
    let (alice, bob) = (try Peer(), try Peer())
    let (a, _) = try rig.bridge(remote(alice, .opus, 111), remote(bob, .pcmu, 0))
    let header = rtp(1, payloadType: 111).prefix(RTPHeader.size)
    // A frame of 20 ms of the narrow band of which nothing is said (RFC 6716 §3.1, §3.2.1).
    alice.send(header + [0x08], to: a.media)
    for _ in 0..<5 { #expect(bob.packet()?.payload.count == 160) }
  }
}
