import Base
import Glibc
import MediaControl
import MediaEngine
import RTPWire

/// Sounds to listen to, all from a seed; none of it is made by the code under test.
struct SoundMaker {
  static let keys: [UInt8] = [1, 2, 3, 12, 4, 5, 6, 13, 7, 8, 9, 14, 10, 0, 11, 15]
  private static let low = [697.0, 770, 852, 941]
  private static let high = [1_209.0, 1_336, 1_477, 1_633]

  var random: RandomSource

  init(seed: UInt64) { random = RandomSource(seed: seed) }

  mutating func uniform(_ range: Range<Double>) -> Double {
    range.lowerBound + (range.upperBound - range.lowerBound) * Double(random.next() >> 11) / 0x1p53
  }

  mutating func noise() -> Double {
    sqrt(-2 * log(uniform(1e-12..<1))) * cos(2 * Double.pi * uniform(0..<1))
  }

  /// A pair of tones; levels in dBm0, deviations as fractions.
  mutating func digit(
    _ event: UInt8, milliseconds: Double, low: Double = -8, high: Double = -6,
    lowDeviation: Double = 0, highDeviation: Double = 0
  ) -> [Double] {
    guard let key = Self.keys.firstIndex(of: event) else { return [] }
    return sum(
      [
        (Self.low[key / 4] * (1 + lowDeviation), low),
        (Self.high[key % 4] * (1 + highDeviation), high),
      ], milliseconds: milliseconds)
  }

  /// Sines of so many Hz and dBm0, in any phase.
  mutating func sum(_ tones: [(Double, Double)], milliseconds: Double) -> [Double] {
    var samples = [Double](repeating: 0, count: Int(milliseconds * 8))
    for (frequency, level) in tones {
      let phase = uniform(0..<2 * Double.pi)
      let peak = 22_656 * pow(10, level / 20)
      for i in samples.indices {
        samples[i] += peak * sin(2 * Double.pi * frequency * Double(i) / 8_000 + phase)
      }
    }
    return samples
  }

  func silence(_ milliseconds: Double) -> [Double] {
    [Double](repeating: 0, count: Int(milliseconds * 8))
  }

  /// Voiced speech as a source of pulses through three resonances, whose pitch and vowels wander: what is nearest to
  /// two tones in the sounds of people. As of people, no period is quite as long as the next (1 %), and some breath
  /// goes with it.
  mutating func voice(seconds: Double) -> [Double] {
    var samples: [Double] = []
    samples.reserveCapacity(Int(seconds * 8_000))
    var pitch = uniform(80..<260)
    while samples.count < Int(seconds * 8_000) {
      let target = min(max(pitch * uniform(0.8..<1.25), 70), 400)
      let formants = [
        (uniform(250..<900), 60.0), (uniform(800..<2_400), 90.0), (uniform(2_200..<3_200), 140.0),
      ]
      let count = Int(uniform(400..<3_000))
      var states = [SIMD2<Double>](repeating: SIMD2(0, 0), count: 3)
      var phase = 0.0
      for i in 0..<count {
        let now = pitch + (target - pitch) * Double(i) / Double(count)
        phase += now / 8_000
        var sample = 0.0
        if phase >= 1 {
          phase -= 1 + 0.01 * noise()
          sample = 9_000
        }
        for (f, (frequency, width)) in formants.enumerated() {
          let radius = exp(-Double.pi * width / 8_000)
          let turn = 2 * radius * cos(2 * Double.pi * frequency / 8_000)
          let next = sample * (1 - radius) * 4 + turn * states[f].x - radius * radius * states[f].y
          states[f] = SIMD2(next, states[f].x)
          sample = next
        }
        samples.append(sample + 60 * noise())
      }
      pitch = target
      if random.next(below: 3) == 0 { samples += silence(uniform(20..<200)) }
    }
    let peak = samples.map(abs).max() ?? 1
    return samples.map { $0 * 14_000 / peak }
  }

  /// Chords of three to five notes with harmonics, equally tempered, a quarter of a second each.
  mutating func music(seconds: Double) -> [Double] {
    var samples: [Double] = []
    while samples.count < Int(seconds * 8_000) {
      var tones: [(Double, Double)] = []
      for _ in 0..<3 + random.next(below: 3) {
        let note = 110 * pow(2, Double(random.next(below: 48)) / 12)
        for harmonic in 1...4 where note * Double(harmonic) < 3_600 {
          tones.append((note * Double(harmonic), -14 - 5 * Double(harmonic - 1)))
        }
      }
      samples += sum(tones, milliseconds: 250)
    }
    return samples
  }

  /// V.21 of a fax or modem: 300 bit/s between 980 and 1180, or 1650 and 1850 Hz; and a carrier of 1800 Hz with random
  /// phases, as those of V.29 and V.32 have.
  mutating func modem(seconds: Double) -> [Double] {
    var samples: [Double] = []
    while samples.count < Int(seconds * 8_000) {
      let pairs = [(980.0, 1_180.0), (1_650, 1_850), (1_800, 1_800)]
      let (mark, space) = pairs[random.next(below: 3)]
      var phase = 0.0
      for _ in 0..<150 {
        let frequency = random.next(below: 2) == 0 ? mark : space
        if mark == space { phase += Double.pi / 4 * Double(random.next(below: 8)) }
        for _ in 0..<(mark == space ? 3 : 27) {
          phase += 2 * Double.pi * frequency / 8_000
          samples.append(6_000 * sin(phase))
        }
      }
    }
    return samples
  }
}

/// As µ-law would bring it, with noise of this many decibels less.
func heard(
  _ samples: [Double], noise decibels: Double? = nil, by maker: inout SoundMaker
) -> [Int16] {
  var deviation = 0.0
  if let decibels {
    let sounding = samples.filter { $0 != 0 }
    let power = sounding.reduce(0) { $0 + $1 * $1 } / Double(max(sounding.count, 1))
    deviation = sqrt(power / pow(10, decibels / 10))
  }
  return samples.map { sample in
    let value = sample + (deviation > 0 ? deviation * maker.noise() : 0)
    let clipped = Int16(max(-32_768, min(32_767, value.rounded())))
    return G711.linear(ulaw: G711.ulaw(linear: clipped))
  }
}

/// The digits that begin in it; packets of 20 ms are lost where `loses` says so.
func digits(in samples: [Int16], loses: () -> Bool = { false }) -> [UInt8] {
  var detector = DTMFDetector()
  var found: [UInt8] = []
  for start in stride(from: 0, to: samples.count, by: 160) {
    let end = min(start + 160, samples.count)
    if loses() {
      if case .began(let event)? = detector.skip(end - start) { found.append(event) }
      continue
    }
    for sample in samples[start..<end] {
      if case .began(let event)? = detector.take(sample) { found.append(event) }
    }
  }
  return found
}

/// How many of `said` are in `found` in their order; and how many of `found` are no part of that.
func compared(_ said: [UInt8], _ found: [UInt8]) -> (right: Int, extra: Int) {
  var table = [[Int]](
    repeating: [Int](repeating: 0, count: found.count + 1), count: said.count + 1)
  for i in said.indices {
    for j in found.indices {
      table[i + 1][j + 1] =
        said[i] == found[j] ? table[i][j] + 1 : max(table[i][j + 1], table[i + 1][j])
    }
  }
  let right = table[said.count][found.count]
  return (right, found.count - right)
}

/// A network that loses, repeats and delays packets by a place or two, from a seed.
struct LossyLink {
  var random: RandomSource
  let loss: Double
  let repetition: Double
  let delay: Double

  init(seed: UInt64, loss: Double = 0.05, repetition: Double = 0.02, delay: Double = 0.03) {
    random = RandomSource(seed: seed)
    self.loss = loss
    self.repetition = repetition
    self.delay = delay
  }

  private mutating func happens(_ probability: Double) -> Bool {
    Double(random.next(below: 1_000_000)) < probability * 1_000_000
  }

  mutating func carry<Packet>(_ packets: [Packet]) -> [Packet] {
    var arrivals: [(Double, Packet)] = []
    for (i, packet) in packets.enumerated() where !happens(loss) {
      let late = happens(delay) ? 1.5 + Double(random.next(below: 2)) : 0
      arrivals.append((Double(i) + late, packet))
      if happens(repetition) { arrivals.append((Double(i) + 0.5 + late, packet)) }
    }
    return arrivals.sorted { $0.0 < $1.0 }.map(\.1)
  }
}

/// A packet every 20 ms, and all that comes meanwhile and until nothing does any more.
func exchange(
  _ packets: [[UInt8]], by mouth: Peer, to media: SocketAddress, heardBy ear: Peer
) -> [[UInt8]] {
  var heard: [[UInt8]] = []
  var next = ContinuousClock.now
  for packet in packets {
    mouth.send(packet, to: media)
    next += .milliseconds(20)
    while true {
      let left = (next - ContinuousClock.now) / .milliseconds(1)
      guard left >= 1, let packet = ear.receive(within: Int32(left)) else { break }
      heard.append(packet.bytes)
    }
  }
  return heard + ear.receiveAll(quiet: 300)
}
