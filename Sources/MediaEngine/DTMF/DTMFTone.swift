/// The two tones of a digit (ITU-T Q.23), sample by sample.
///
/// The high one is 2 dB stronger, as lines take more away from it: -6 and -8 dBm0, which keeps the sum below full scale.
package struct DTMFTone: Sendable {
  /// The low and the high tone turn by this much a sample: cos and sin of ω.
  private static let turns: InlineArray<8, SIMD2<Double>> = [
    SIMD2(0.8538689046745, 0.5204881301529), SIMD2(0.8226405180209, 0.5685618507343),
    SIMD2(0.7843434919334, 0.6203267579766), SIMD2(0.7391022841201, 0.6735932107797),
    SIMD2(0.5820520115137, 0.8131515577633), SIMD2(0.4981851053395, 0.8670707011645),
    SIMD2(0.3993091946133, 0.9168163213519), SIMD2(0.2842663533876, 0.9587453469674),
  ]
  /// Row and column of each event's key: 0 to 9, *, #, A to D.
  private static let keys: InlineArray<16, SIMD2<UInt8>> = [
    SIMD2(3, 1), SIMD2(0, 0), SIMD2(0, 1), SIMD2(0, 2), SIMD2(1, 0), SIMD2(1, 1), SIMD2(1, 2),
    SIMD2(2, 0), SIMD2(2, 1), SIMD2(2, 2), SIMD2(3, 0), SIMD2(3, 2), SIMD2(0, 3), SIMD2(1, 3),
    SIMD2(2, 3), SIMD2(3, 3),
  ]
  /// Peaks; a sine of 0 dBm0 has 22 656 (`G711`).
  private static let lowPeak = 9_020.0
  private static let highPeak = 11_355.0

  private let low: SIMD2<Double>
  private let high: SIMD2<Double>
  private var lowNow = SIMD2(Self.lowPeak, 0)
  private var highNow = SIMD2(Self.highPeak, 0)

  /// Nil: an event that is no digit.
  package init?(event: UInt8) {
    guard event < 16 else { return nil }
    let key = Self.keys[Int(event)]
    low = Self.turns[Int(key.x)]
    high = Self.turns[4 + Int(key.y)]
  }

  /// Begins at 0, so that it makes no click.
  package mutating func next() -> Int16 {
    let sum = lowNow.y + highNow.y
    lowNow = Self.turned(lowNow, by: low)
    highNow = Self.turned(highNow, by: high)
    return Int16(sum)
  }

  private static func turned(_ point: SIMD2<Double>, by turn: SIMD2<Double>) -> SIMD2<Double> {
    SIMD2(point.x * turn.x - point.y * turn.y, point.x * turn.y + point.y * turn.x)
  }
}
