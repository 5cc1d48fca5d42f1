import Base
import Glibc
import MediaControl
import MediaEngine
import RTPWire
import Testing

/// Codecs by themselves: bands, concealment, and rates.
@Suite struct SpeechCodecTests {
  private func tone(_ hertz: Double, rate: Double, _ count: Int) -> [Int16] {
    (0..<count).map { Int16(8_000 * sin(2 * .pi * hertz * Double($0) / rate)) }
  }

  private func level(_ samples: ArraySlice<Int16>) -> Double {
    let power = samples.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(max(samples.count, 1))
    return 10 * log10(max(power, 1e-3) / (8_000.0 * 8_000 / 2))
  }

  /// What speech has passes, what would fold back does not, and no seam is heard between packets.
  @Test(arguments: [(300.0, 0.0), (1_000, 0), (3_400, 0)]) func halving(
    hertz: Double, decibels: Double
  )
    throws
  {
    var (filter, made) = (HalfBand(.halving, longest: 320), [Int16]())
    let wide = tone(hertz, rate: 16_000, 6_400)
    for start in stride(from: 0, to: wide.count, by: 320) {
      var samples = Array(wide[start..<start + 320])
      let count = filter.convert(&samples, 320)
      made += samples[0..<count]
    }
    #expect(made.count == 3_200 && abs(level(made[200...]) - decibels) < 0.1)
    // The pure tone, 24 samples late; the rest is rounding.
    let late = tone(hertz, rate: 16_000, 6_400)
    for i in stride(from: 100, to: 3_100, by: 7) {
      #expect(abs(Int(made[i + 12]) - Int(late[2 * i])) < 40)
    }
  }

  @Test func whatWouldFoldBackIsGone() {
    for hertz in [4_700.0, 6_000, 7_500] {
      var filter = HalfBand(.halving, longest: 6_400)
      var samples = tone(hertz, rate: 16_000, 6_400)
      let count = filter.convert(&samples, 6_400)
      #expect(level(samples[100..<count]) < -50, "\(hertz)")
    }
  }

  @Test func doublingAddsNothing() {
    var filter = HalfBand(.doubling, longest: 3_200)
    var samples = tone(1_000, rate: 8_000, 3_200) + [Int16](repeating: 0, count: 3_200)
    #expect(filter.convert(&samples, 3_200) == 6_400)
    let pure = tone(1_000, rate: 16_000, 6_400)
    for i in 200..<6_000 { #expect(abs(Int(samples[i + 24]) - Int(pure[i])) < 40) }
  }

  /// Where both ends have a wide band a tone above the telephone's comes through; where one has not, it does not.
  @Test(arguments: [AudioCodec.g722, .opus, .l16Wide], [AudioCodec.g722, .opus, .l16Wide, .pcmu])
  func theWideBandStaysWide(from: AudioCodec, to: AudioCodec) throws {
    let near = try #require(SpeechEncoder(from, .wide))
    let (first, second) = (SpeechFormats.Format(from, 96), SpeechFormats.Format(to, 97))
    var converter = try #require(
      SpeechConverter(from: first, to: second, packetMilliseconds: 20, timestamp: 0))
    let far = try #require(SpeechDecoder(to, .wide))
    var bytes = [UInt8](repeating: 0, count: SpeechEncoder.longest)
    var heard: [Int16] = []
    let said = tone(5_000, rate: 16_000, 320 * 50)
    for number in 0..<50 {
      var elements = bytes.mutableSpan
      var packet = unsafe elements.mutableBytes
      let size = near.encode(
        Array(said[number * 320..<(number + 1) * 320]), count: 320, into: &packet, at: 0)
      let header = RTPHeader(
        payloadType: 96, marker: false, sequence: UInt16(number),
        timestamp: UInt32(number) * from.clockRate / 50, ssrc: 1)
      let taken = converter.take(header, packet.bytes.extracting(0..<size))
      #expect(taken == .taken)
      while let made = converter.next(into: &packet, at: 0) {
        let count = far.decode(packet.bytes.extracting(0..<made.size)) ?? 0
        heard += far.samples[0..<count]
      }
    }
    #expect(heard.count == 320 * 50)
    let loudness = level(heard[8_000...])
    if to == .pcmu {
      #expect(loudness < -30, "\(loudness)")
    } else {
      #expect(loudness > -6, "\(loudness)")
    }
  }

  /// Of a tone that is lost for 20 ms something is heard that goes on; nothing of it traps, however long it is.
  @Test(arguments: AudioCodec.allCases.filter { $0 != .unknown })
  func whatIsLostIsConcealed(codec: AudioCodec) throws {
    for band in [SpeechBand.narrow, .wide] {
      let encoder = try #require(SpeechEncoder(codec, band))
      let decoder = try #require(SpeechDecoder(codec, band))
      let size = 20 * band.perMillisecond
      let said = tone(300, rate: Double(band.rawValue), 20 * size)
      var bytes = [UInt8](repeating: 0, count: SpeechEncoder.longest)
      for number in 0..<20 {
        var elements = bytes.mutableSpan
        var packet = unsafe elements.mutableBytes
        let length = encoder.encode(
          Array(said[number * size..<(number + 1) * size]), count: size, into: &packet, at: 0)
        #expect(decoder.decode(packet.bytes.extracting(0..<length)) == size)
      }
      #expect(decoder.conceal(milliseconds: 20) == size)
      #expect(level(decoder.samples[0..<size]) > -12, "\(codec) \(band)")
      for milliseconds in [10, 60, 1_000] {
        let count = decoder.conceal(milliseconds: milliseconds)
        #expect(
          count <= SpeechDecoder.longest && count >= min(milliseconds, 60) * band.perMillisecond / 2
        )
      }
    }
  }
}
