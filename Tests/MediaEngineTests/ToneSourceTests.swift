import Foundation
import MediaControl
import MediaEngine
import Testing

/// Frequencies, cadence and edges of the tones of the network.
@Suite struct ToneSourceTests {
  private func samples(_ tone: CadencedTone, _ count: Int) -> [Double] {
    var source = ToneSource(tone)
    return (0..<count).map { _ in Double(source.next()) }
  }

  /// Amplitude of a frequency among them (Goertzel).
  private func amplitude(_ samples: ArraySlice<Double>, _ hertz: Double) -> Double {
    let step = 2 * Double.pi * hertz / 8_000
    var (cosine, sine) = (0.0, 0.0)
    for (index, sample) in samples.enumerated() {
      cosine += sample * cos(step * Double(index))
      sine += sample * sin(step * Double(index))
    }
    return 2 * (cosine * cosine + sine * sine).squareRoot() / Double(samples.count)
  }

  @Test func twoFrequencies() throws {
    let tone = try #require(CadencedTone(400, 450, cadence: [400, 200, 400, 2_000]))
    let heard = samples(tone, 24_000)
    let steady = heard[40..<2_600]
    #expect((3_300...3_600).contains(amplitude(steady, 400)))
    #expect((3_300...3_600).contains(amplitude(steady, 450)))
    #expect(amplitude(steady, 425) < 150 && amplitude(steady, 350) < 150)
    // 400 ms, 200 ms of silence, 400 ms, 2 s of silence; to the sample.
    for (range, sounds) in [
      (0..<3_200, true), (3_200..<4_800, false), (4_800..<8_000, true), (8_000..<24_000, false),
    ] {
      #expect(heard[range].contains { $0 != 0 } == sounds)
      if sounds {
        #expect(abs(heard[range.upperBound - 2]) > 0 || abs(heard[range.upperBound - 3]) > 0)
      }
    }
  }

  /// It swells to nothing 16 times a second: the tone itself and both sides of it.
  @Test func modulated() throws {
    let tone = try #require(CadencedTone(400, modulation: 16, cadence: [1_000, 2_000]))
    let heard = samples(tone, 24_000)
    let steady = heard[0..<8_000]
    #expect((3_300...3_600).contains(amplitude(steady, 400)))
    #expect((1_600...1_850).contains(amplitude(steady, 416)))
    #expect((1_600...1_850).contains(amplitude(steady, 384)))
    #expect(heard[8_000...].allSatisfy { $0 == 0 })
    #expect(samples(tone, 48_000).suffix(24_000) == heard[...])
  }

  /// No sample is further from the one before it than the tone itself ever is: nothing clicks at an edge.
  @Test func edges() throws {
    for tone in [
      CadencedTone(425, cadence: [1_000, 4_000]), CadencedTone(440, 480, cadence: [333, 667]),
      CadencedTone(400, modulation: 25, cadence: [400, 200, 400, 2_000]),
    ] {
      let heard = samples(try #require(tone), 16_000)
      let steps = zip(heard, heard.dropFirst()).map { abs($1 - $0) }
      let steady = steps[100..<2_000].max() ?? 0
      #expect((steps.max() ?? 0) <= steady * 1.05)
      #expect(heard[0] == 0)
    }
  }

  @Test func endless() throws {
    let heard = samples(try #require(CadencedTone(425)), 40_000)
    #expect(abs(amplitude(heard[39_000..<39_800], 425) - 7_000) < 100)
    let steps = zip(heard, heard.dropFirst()).map { abs($1 - $0) }
    #expect((steps.max() ?? 0) < 2_400)
  }

  @Test func whatCannotBePlayed() {
    #expect(CadencedTone(0) == nil && CadencedTone(150) == nil && CadencedTone(3_500) == nil)
    #expect(CadencedTone(425, 100) == nil && CadencedTone(425, modulation: 5) == nil)
    #expect(CadencedTone(425, cadence: [0, 100]) == nil)
    #expect(CadencedTone(425, cadence: [100, 0, 100]) == nil)
    #expect(CadencedTone(425, cadence: [1, 1, 1, 1, 1]) == nil)
    #expect(CadencedTone(425, cadence: [10_000, 10_001]) == nil)
    #expect(
      CadencedTone(425, cadence: [100, 100, 0, 0]) == CadencedTone(425, cadence: [100, 100]))
  }
}
