/// Finds the sixteen pairs of tones of ITU-T Q.23 in speech of 8 kHz, about as ITU-T Q.24 wants it.
///
///     samples ──▶ 8 Goertzel filters over steps of 5 ms ──▶ windows of 4 steps, one each step ──▶ digit or not
///                                                                                    3 in a row │
///                                                              nothing ──began──▶ digit ──ended─┘ 8 without
///
/// A step keeps the phase of each filter, so that a window is the sum of four steps turned by what their tone has gone
/// on; how much more it has gone on from one window to the next says how far it is from its nominal frequency. That
/// tells 1.5 % from 3.5 %, which filters of 20 ms alone could not at the lower end, and lets a tone that is off by 1.5 %
/// keep its energy in the sum.
///
/// Speech is kept out by what is left beside the two tones (their energy against that of everything in the window, so a
/// harmonic counts wherever it lies), by how unequal they may be, and by their number: a window needs both, steady, for
/// 20 ms, and a digit three windows.
package struct DTMFDetector: Sendable {
  package enum Change: Hashable, Sendable {
    /// The event of RFC 4733 §3.2.
    case began(UInt8)
    /// How long it was heard, in samples.
    case ended(UInt8, samples: Int)
  }

  /// Samples of a step.
  static let step = 40
  static let stepsOfWindow = 4
  /// Three clean windows with the same digit make one: 30 ms of tone. ITU-T Q.24: 40 ms must be found, and of AT&T's
  /// figures there is that 23 may not.
  static let scoreToBegin = 60
  /// Windows without it until it is over. A window is lost for 20 ms more than the tone is, so an interruption of
  /// 10 ms passes, and a pause of 40 ms ends it (ITU-T Q.24 table 1).
  static let windowsToEnd = 8
  /// Steps that may be unknown within a digit (lost packets): 100 ms.
  static let longestGap = 20

  /// 2 cos ω, cos ω, sin ω and 40 ω's, of the four low tones and the four high ones.
  private static let twoCosine = SIMD8<Float>(
    1.7077378, 1.6452810, 1.5686870, 1.4782046, 1.1641040, 0.9963702, 0.7986184, 0.5685327)
  private static let cosine = SIMD8<Float>(
    0.8538689, 0.8226405, 0.7843435, 0.7391023, 0.5820520, 0.4981851, 0.3993092, 0.2842664)
  private static let sine = SIMD8<Float>(
    0.5204881, 0.5685619, 0.6203268, 0.6735932, 0.8131516, 0.8670707, 0.9168163, 0.9587453)
  private static let stepCosine = SIMD8<Float>(
    -0.9955620, 0.5877853, -0.0627905, -0.2789911, 0.9602937, -0.4257793, -0.7501111, 0.5090414)
  private static let stepSine = SIMD8<Float>(
    0.0941083, -0.8090170, 0.9980267, -0.9602937, 0.2789911, -0.9048271, 0.6613119, 0.8607420)
  /// Tangent of what a tone that is off by 2.4 % goes on too far in a step.
  private static let tangents = SIMD8<Float>(
    0.5799, 0.6560, 0.7483, 0.8587, 1.2905, 1.5828, 2.0328, 2.8311)

  /// The same of 1 percent: how steady a tone is from window to window. A voice glides faster.
  private static let steadyTangents = SIMD8<Float>(
    0.2225, 0.2467, 0.2742, 0.3045, 0.3992, 0.4462, 0.5005, 0.5633)

  /// Of a tone's energy in a window, twice: -40 dBm0.
  private static let leastEnergy: Float = 4.1e6
  /// Of the two tones against everything.
  private static let leastShare: Float = 0.86
  /// The less of it they are, the more windows it takes: 3, 4 or 5.
  private static let cleanShare: Float = 0.94
  private static let fairShare: Float = 0.90
  /// The low tone may be stronger by 8 dB, the high one by 4 (ITU-T Q.24 table 1), and by as much as they are misread.
  private static let normalTwist: Float = 9
  private static let reverseTwist: Float = 3.3

  private var first = SIMD8<Float>(repeating: 0)
  private var second = SIMD8<Float>(repeating: 0)
  private var energy: Float = 0
  private var samples = 0

  /// The last steps, the newest last.
  private var real = InlineArray<4, SIMD8<Float>>(repeating: SIMD8(repeating: 0))
  private var imaginary = InlineArray<4, SIMD8<Float>>(repeating: SIMD8(repeating: 0))
  private var energies = SIMD4<Float>(repeating: 0)
  private var known = 0
  /// The window before.
  private var lastReal = SIMD8<Float>(repeating: 0)
  private var lastImaginary = SIMD8<Float>(repeating: 0)

  /// The first of the windows in a row that agree, how many they are, and how much that is.
  private var candidate: Window?
  private var hits = 0
  private var score = 0
  private var misses = 0
  private var unknown = 0
  /// The digit that is heard.
  package private(set) var digit: UInt8?
  /// Steps since it began.
  private var steps = 0
  private var lastHit = 0

  package init() {}

  /// At least one window of a digit is there: what comes now may be a tone.
  package var isSuspicious: Bool { digit != nil || hits > 0 }

  package mutating func take(_ sample: Int16) -> Change? {
    let value = Float(sample)
    let next = Self.twoCosine * first - second + value
    second = first
    first = next
    energy += value * value
    samples += 1
    guard samples == Self.step else { return nil }
    return endStep()
  }

  /// Samples are missing: a packet is lost. The digit that is heard goes on for a while.
  package mutating func skip(_ count: Int) -> Change? {
    restart()
    let missing = max(count, 0) / Self.step + 1
    unknown += missing
    steps += missing
    guard unknown > Self.longestGap else { return nil }
    return forget()
  }

  /// Nothing comes any more: the digit that was heard is over.
  package mutating func forget() -> Change? {
    let ended = end()
    self = DTMFDetector()
    return ended
  }

  private mutating func restart() {
    first = SIMD8(repeating: 0)
    second = SIMD8(repeating: 0)
    energy = 0
    samples = 0
    known = 0
  }

  private mutating func endStep() -> Change? {
    for i in 0..<3 {
      real[i] = real[i + 1]
      imaginary[i] = imaginary[i + 1]
    }
    energies = SIMD4(energies[1], energies[2], energies[3], energy)
    real[3] = first - second * Self.cosine
    imaginary[3] = second * Self.sine
    first = SIMD8(repeating: 0)
    second = SIMD8(repeating: 0)
    energy = 0
    samples = 0
    steps += 1
    known += 1
    guard known >= Self.stepsOfWindow else { return nil }
    return judge(window())
  }

  /// What the window that ends with this step holds; nil: no digit.
  private mutating func window() -> Window? {
    var (re, im) = (real[3], imaginary[3])
    for i in [2, 1, 0] {
      // Horner: each step turned by one less than the one before it.
      let turned = re * Self.stepCosine + im * Self.stepSine
      im = im * Self.stepCosine - re * Self.stepSine + imaginary[i]
      re = turned + real[i]
    }
    let (beforeReal, beforeImaginary) = (lastReal, lastImaginary)
    (lastReal, lastImaginary) = (re, im)
    let power = re * re + im * im
    let low = Self.largest(power, 0..<4)
    let high = Self.largest(power, 4..<8)
    guard power[low] * 2 / 160 > Self.leastEnergy / 4, power[high] * 2 / 160 > Self.leastEnergy / 4
    else { return nil }
    // How far the window has turned beyond its nominal frequency.
    let crossReal = re * beforeReal + im * beforeImaginary
    let crossImaginary = im * beforeReal - re * beforeImaginary
    var driftReal = crossReal * Self.stepCosine + crossImaginary * Self.stepSine
    var driftImaginary = crossImaginary * Self.stepCosine - crossReal * Self.stepSine
    if known == Self.stepsOfWindow { (driftReal, driftImaginary) = driftWithin() }
    let lowEnergy = tone(low, driftReal[low], driftImaginary[low])
    let highEnergy = tone(high, driftReal[high], driftImaginary[high])
    let share = (lowEnergy + highEnergy) / energies.sum()
    guard lowEnergy > Self.leastEnergy, highEnergy > Self.leastEnergy,
      lowEnergy < highEnergy * Self.normalTwist, highEnergy < lowEnergy * Self.reverseTwist,
      share > Self.leastShare
    else { return nil }
    return Window(
      event: Self.events[low * 4 + high - 4],
      score: share > Self.cleanShare ? 20 : share > Self.fairShare ? 15 : 12,
      low: low, high: high, lowDrift: SIMD2(driftReal[low], driftImaginary[low]),
      highDrift: SIMD2(driftReal[high], driftImaginary[high]))
  }

  /// What a window says: a digit, how sure it is, and how far its tones are from their nominal frequencies.
  private struct Window {
    var event: UInt8
    /// In sixtieths of what makes a digit.
    var score: Int
    var low: Int
    var high: Int
    var lowDrift: SIMD2<Float>
    var highDrift: SIMD2<Float>

    func isSteady(after other: Window) -> Bool {
      event == other.event && Self.agree(low, lowDrift, other.lowDrift)
        && Self.agree(high, highDrift, other.highDrift)
    }

    private static func agree(_ i: Int, _ a: SIMD2<Float>, _ b: SIMD2<Float>) -> Bool {
      let real = a.x * b.x + a.y * b.y
      return real > 0 && abs(a.y * b.x - a.x * b.y) <= real * steadyTangents[i]
    }
  }

  /// Of a window that has none before it: how its halves turn. Less exact, since a half tells tones apart less well.
  private func driftWithin() -> (SIMD8<Float>, SIMD8<Float>) {
    var (sumReal, sumImaginary) = (SIMD8<Float>(repeating: 0), SIMD8<Float>(repeating: 0))
    var (beforeReal, beforeImaginary) = (sumReal, sumImaginary)
    for i in 0..<3 {
      let re = real[i] + real[i + 1] * Self.stepCosine + imaginary[i + 1] * Self.stepSine
      let im = imaginary[i] + imaginary[i + 1] * Self.stepCosine - real[i + 1] * Self.stepSine
      sumReal += re * beforeReal + im * beforeImaginary
      sumImaginary += im * beforeReal - re * beforeImaginary
      (beforeReal, beforeImaginary) = (re, im)
    }
    return (
      sumReal * Self.stepCosine + sumImaginary * Self.stepSine,
      sumImaginary * Self.stepCosine - sumReal * Self.stepSine
    )
  }

  /// The energy of one tone in the window, its steps turned by the drift; 0 where that is too large.
  private func tone(_ i: Int, _ real: Float, _ imaginary: Float) -> Float {
    guard real > 0, abs(imaginary) <= real * Self.tangents[i] else { return 0 }
    let length = (real * real + imaginary * imaginary).squareRoot()
    let (c, s) = (real / length, imaginary / length)
    // The turn of a step: nominal and drift.
    let cosine = Self.stepCosine[i] * c - Self.stepSine[i] * s
    let sine = Self.stepSine[i] * c + Self.stepCosine[i] * s
    var (re, im) = (self.real[3][i], self.imaginary[3][i])
    for step in [2, 1, 0] {
      let turned = re * cosine + im * sine
      im = im * cosine - re * sine + self.imaginary[step][i]
      re = turned + self.real[step][i]
    }
    return (re * re + im * im) * 2 / Float(Self.step * Self.stepsOfWindow)
  }

  private static func largest(_ values: SIMD8<Float>, _ range: Range<Int>) -> Int {
    var best = range.lowerBound
    for i in range where values[i] > values[best] { best = i }
    return best
  }

  /// Rows of the low tones: 1 2 3 A, 4 5 6 B, 7 8 9 C, * 0 # D.
  private static let events: InlineArray<16, UInt8> = [
    1, 2, 3, 12, 4, 5, 6, 13, 7, 8, 9, 14, 10, 0, 11, 15,
  ]

  private mutating func judge(_ found: Window?) -> Change? {
    if let found, found.event == digit {
      misses = 0
      unknown = 0
      forgetCandidate()
      lastHit = steps
      return nil
    }
    misses += 1
    if let found {
      if let candidate, found.isSteady(after: candidate) {
        hits += 1
        score += found.score
      } else {
        candidate = found
        hits = 1
        score = found.score
      }
    } else {
      forgetCandidate()
    }
    if digit == nil, hits == 1 { unknown = 0 }
    if digit != nil, misses >= Self.windowsToEnd || score >= Self.scoreToBegin { return end() }
    guard digit == nil, score >= Self.scoreToBegin, let candidate else { return nil }
    digit = candidate.event
    steps = Self.stepsOfWindow + hits - 1
    lastHit = steps
    misses = 0
    unknown = 0
    forgetCandidate()
    return .began(candidate.event)
  }

  private mutating func forgetCandidate() {
    candidate = nil
    hits = 0
    score = 0
  }

  private mutating func end() -> Change? {
    guard let digit else { return nil }
    self.digit = nil
    misses = 0
    return .ended(digit, samples: lastHit * Self.step)
  }
}
