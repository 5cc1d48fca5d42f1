import Base
import Glibc
import MediaEngine
import RTPWire
import Testing

/// The detector against the figures of ITU-T Q.24: levels, twist, deviation, durations, noise, loss; and what is none.
@Suite struct DTMFDetectorTests {
  /// All sixteen digits, some times over.
  private func found(
    rounds: Int = 3, milliseconds: Double = 50, pause: Double = 50, low: Double = -8,
    high: Double = -6, lowDeviation: Double = 0, highDeviation: Double = 0, noise: Double? = nil,
    seed: UInt64 = 1
  ) -> (share: Double, extra: Int) {
    var maker = SoundMaker(seed: seed)
    var (right, extra) = (0, 0)
    for _ in 0..<rounds {
      var samples = maker.silence(20 + maker.uniform(0..<20))
      for event in SoundMaker.keys {
        samples += maker.digit(
          event, milliseconds: milliseconds, low: low, high: high, lowDeviation: lowDeviation,
          highDeviation: highDeviation)
        samples += maker.silence(pause + maker.uniform(0..<5))
      }
      let outcome = compared(
        SoundMaker.keys, digits(in: heard(samples + maker.silence(60), noise: noise, by: &maker)))
      right += outcome.right
      extra += outcome.extra
    }
    return (Double(right) / Double(16 * rounds), extra)
  }

  @Test(arguments: [-3.0, -6, -10, -20, -30, -36])
  func levels(level: Double) {
    #expect(found(low: level, high: level) == (1, 0))
  }

  @Test(arguments: [-48.0, -55]) func tooQuiet(level: Double) {
    #expect(found(low: level, high: level) == (0, 0))
  }

  /// Q.24 table 1: the low tone up to 8 dB above the high one, the high one up to 4 above the low one.
  @Test(arguments: [8.0, 6, 4, 2, 0, -2, -4], [nil, 15.0])
  func twist(low: Double, noise: Double?) {
    let outcome = found(rounds: 6, low: -14 + max(low, 0), high: -14 - min(low, 0), noise: noise)
    #expect(outcome.share >= (noise == nil ? 0.98 : 0.96) && outcome.extra == 0)
  }

  @Test(arguments: [12.0, 14, -7, -10]) func tooMuchTwist(low: Double) {
    #expect(found(low: -20 + max(low, 0), high: -20 - min(low, 0)) == (0, 0))
  }

  /// 1.5 % is taken, 3.5 % is not, of either tone or both, together or apart.
  @Test(arguments: [(1.0, 1.0), (-1, -1), (1, -1), (-1, 1), (1, 0), (0, 1), (-1, 0), (0, -1)])
  func deviation(low: Double, high: Double) {
    #expect(found(lowDeviation: 0.015 * low, highDeviation: 0.015 * high) == (1, 0))
    let noisy = found(
      rounds: 6, lowDeviation: 0.015 * low, highDeviation: 0.015 * high, noise: 15)
    #expect(noisy.share >= 0.96 && noisy.extra == 0)
    #expect(found(lowDeviation: 0.035 * low, highDeviation: 0.035 * high) == (0, 0))
    #expect(found(lowDeviation: 0.05 * low, highDeviation: 0.05 * high) == (0, 0))
  }

  /// 40 ms of tone and of pause are enough; 23 ms of tone are nothing.
  @Test func durations() {
    #expect(found(rounds: 8, milliseconds: 40, pause: 40) == (1, 0))
    #expect(found(rounds: 8, milliseconds: 23) == (0, 0))
    #expect(found(rounds: 8, milliseconds: 15) == (0, 0))
    #expect(found(milliseconds: 400, pause: 40) == (1, 0))
  }

  /// Twice the same one is two digits; one with a hole of 10 ms is one.
  @Test func pausesAndHoles() {
    var maker = SoundMaker(seed: 3)
    for event in SoundMaker.keys {
      let tone = maker.digit(event, milliseconds: 60)
      let twice = tone + maker.silence(45) + tone + maker.silence(100)
      #expect(digits(in: heard(twice, by: &maker)) == [event, event])
      let hole = tone + maker.silence(10) + tone + maker.silence(100)
      #expect(digits(in: heard(hole, by: &maker)) == [event])
    }
  }

  @Test(arguments: [24.0, 18, 15, 12]) func noise(decibels: Double) {
    let outcome = found(rounds: 10, milliseconds: 45, pause: 45, noise: decibels, seed: 5)
    #expect(outcome.share >= 0.96 && outcome.extra == 0)
  }

  /// RELIABILITY's figure, of digits as phones make them (100 ms) and of shorter ones: at 5 % of packets lost, 96 % found,
  /// none twice and none that was not there.
  @Test(arguments: [70.0, 100, 150]) func loss(milliseconds: Double) {
    var maker = SoundMaker(seed: 7)
    var random = RandomSource(seed: 8)
    var (right, extra) = (0, 0)
    for _ in 0..<40 {
      var samples = maker.silence(20 + maker.uniform(0..<20))
      for event in SoundMaker.keys {
        samples += maker.digit(event, milliseconds: milliseconds)
        samples += maker.silence(70 + maker.uniform(0..<10))
      }
      samples += maker.silence(100)
      let outcome = compared(
        SoundMaker.keys,
        digits(in: heard(samples, by: &maker)) { random.next(below: 100) < 5 })
      right += outcome.right
      extra += outcome.extra
    }
    #expect(Double(right) / 640 >= 0.96, "\(right) of 640")
    #expect(extra == 0)
  }

  /// The length that is told is that of the tone.
  @Test(arguments: [50.0, 100, 250]) func lengths(milliseconds: Double) {
    var maker = SoundMaker(seed: 9)
    for event in SoundMaker.keys {
      let samples = maker.silence(33) + maker.digit(event, milliseconds: milliseconds)
      var detector = DTMFDetector()
      var length = 0
      for sample in heard(samples + maker.silence(100), by: &maker) {
        if case .ended(event, let samples)? = detector.take(sample) { length = samples / 8 }
      }
      #expect(abs(Double(length) - milliseconds) <= 12, "\(length) ms")
    }
  }

  @Test(arguments: ["voice", "music", "modem", "noise"]) func talkOff(sound: String) {
    for seed in UInt64(1)...4 {
      var maker = SoundMaker(seed: seed)
      let samples =
        switch sound {
        case "voice": maker.voice(seconds: 60)
        case "music": maker.music(seconds: 60)
        case "modem": maker.modem(seconds: 60)
        default: (0..<480_000).map { _ in 4_000 * maker.noise() }
        }
      #expect(samples.contains { abs($0) > 1_000 })
      #expect(digits(in: heard(samples, by: &maker)).isEmpty)
    }
  }

  /// Our own tones by our own detector; each other's independent judges are in the interop suite.
  @Test func ownTones() throws {
    for event in UInt8(0)..<16 {
      var tone = try #require(DTMFTone(event: event))
      let samples = (0..<480).map { _ in tone.next() }
      #expect(abs(Int(samples[0])) < 10)
      #expect(samples.contains { $0 > 18_000 } && !samples.contains { $0 > 21_000 })
      #expect(digits(in: samples + [Int16](repeating: 0, count: 480)) == [event])
    }
    #expect(DTMFTone(event: 16) == nil && DTMFTone(event: 255) == nil)
  }
}

/// Hours of recorded speech, where a file of it is named: raw, 8 kHz, 16 bits, little-endian.
@Suite struct RecordedSpeechTests {
  private static let path: String? =
    if let raw = unsafe getenv("DEMARC_SPEECH") { unsafe String(cString: raw) } else { nil }

  @Test(.enabled(if: path != nil)) func talkOff() throws {
    let path = try #require(Self.path)
    guard let file = unsafe fopen(path, "rb") else {
      Issue.record("cannot read \(path)")
      return
    }
    defer { unsafe fclose(file) }
    var detector = DTMFDetector()
    var block = [Int16](repeating: 0, count: 8_000)
    var seconds = 0
    while unsafe fread(&block, 2, block.count, file) == block.count {
      seconds += 1
      for sample in block {
        if case .began(let event)? = detector.take(sample) {
          Issue.record("\(event) at \(seconds) s")
        }
      }
    }
    #expect(seconds > 0)
  }
}
