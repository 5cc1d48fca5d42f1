import Base
import Glibc
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// What is lost of Opus comes back by the packet behind it, where the sender has been told of losses.
@Suite struct OpusRecoveryTests {
  /// Something like a voice: pulses of a moving pitch through a resonance, with pauses.
  private func voice(_ seconds: Int) -> [Int16] {
    var (a1, a2, phase) = (0.0, 0.0, 0.0)
    return (0..<seconds * 8_000).map { i in
      let time = Double(i) / 8_000
      phase += (130 + 40 * sin(2 * .pi * 1.3 * time)) / 8_000
      let pulse = phase >= 1 ? 1.0 : 0
      if phase >= 1 { phase -= 1 }
      let resonance = 0.6 + 0.3 * sin(2 * .pi * 2.1 * time)
      let next = pulse + 1.8 * resonance * a1 - 0.9 * a2
      (a2, a1) = (a1, next)
      return Int16(max(-30_000, min(30_000, 6_000 * next)))
    }
  }

  /// The distance from what was sent, where packets were lost: with what a packet says of the one before, and without.
  private func distance(expected percent: Int) throws -> Double {
    let encoder = try #require(SpeechEncoder(.opus, .narrow))
    encoder.expectLoss(percent: percent)
    let (whole, broken) = (
      try #require(SpeechDecoder(.opus, .narrow)), try #require(SpeechDecoder(.opus, .narrow))
    )
    let said = voice(8)
    var payloads: [[UInt8]] = []
    var bytes = [UInt8](repeating: 0, count: SpeechEncoder.longest)
    for start in stride(from: 0, to: said.count, by: 160) {
      var elements = bytes.mutableSpan
      var packet = unsafe elements.mutableBytes
      let size = encoder.encode(
        Array(said[start..<start + 160]), count: 160, into: &packet, at: 0)
      payloads.append((0..<size).map { packet.bytes.byte(at: $0) })
    }
    var (error, power) = (0.0, 0.0)
    for (number, payload) in payloads.enumerated() {
      guard let count = whole.decode(payload.rawSpan) else { continue }
      guard number % 10 == 5, number + 1 < payloads.count else {
        _ = broken.decode(payload.rawSpan)
        continue
      }
      let behind = payloads[number + 1]
      let made = broken.recover(behind.rawSpan, milliseconds: 20)
      #expect(made == count)
      for i in 0..<count {
        let difference = Double(whole.samples[i]) - Double(broken.samples[i])
        error += difference * difference
        power += Double(whole.samples[i]) * Double(whole.samples[i])
      }
    }
    return error / power
  }

  @Test func whatThePacketBehindSays() throws {
    let (without, with) = (try distance(expected: 0), try distance(expected: 20))
    #expect(with < without / 2, "\(with) with it, \(without) without")
  }

  /// A gap in the numbers is filled by it in the converter too.
  @Test func theConverterMakesUseOfIt() throws {
    let encoder = try #require(SpeechEncoder(.opus, .narrow))
    encoder.expectLoss(percent: 20)
    var converter = try #require(
      SpeechConverter(
        from: SpeechFormats.Format(.opus, 111), to: SpeechFormats.Format(.pcmu, 0),
        packetMilliseconds: 20, timestamp: 0))
    let said = voice(2)
    var bytes = [UInt8](repeating: 0, count: SpeechEncoder.longest)
    var count = 0
    for number in 0..<100 {
      var elements = bytes.mutableSpan
      var packet = unsafe elements.mutableBytes
      let size = encoder.encode(
        Array(said[number * 160..<(number + 1) * 160]), count: 160, into: &packet, at: 0)
      guard number % 10 != 5, number % 30 != 6 else { continue }
      let header = RTPHeader(
        payloadType: 111, marker: false, sequence: UInt16(number), timestamp: UInt32(number * 960),
        ssrc: 1)
      let taken = converter.take(header, packet.bytes.extracting(0..<size))
      #expect(taken == .taken)
      while converter.next(into: &packet, at: 0) != nil { count += 1 }
    }
    #expect(count == 100)
  }
}
