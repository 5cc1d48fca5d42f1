import Base

/// Noise that sounds as the one at the other side did, by what a comfort noise packet says of it (RFC 3389 §3):
///
///      0                   1                   2                   3
///      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///     |0|   level     |      N1       |      N2       |      …
///
/// `level` in -dBov; N are reflection coefficients, (N - 127) / 128, of the filter that white noise is sent through.
package struct ComfortNoise: Sendable {
  /// More coefficients say nothing that is heard.
  private static let order = 12
  /// Of a square wave at full scale (§3.1).
  private static let overload: Float = 32_768

  private var coefficients = InlineArray<12, Float>(repeating: 0)
  private var memory = InlineArray<13, Float>(repeating: 0)
  private var gain: Float = 0
  private var seed: UInt32 = 0x2545_f491

  package init() {}

  /// `isWide`: samples of 16 kHz, for which the filter is none: it was measured at 8.
  package mutating func take(_ payload: RawSpan, isWide: Bool) {
    guard payload.byteCount > 0 else { return }
    let level = Int(payload.byte(at: 0) & 0x7f)
    var remaining: Float = 1
    for i in 0..<Self.order {
      let isSaid = !isWide && i + 1 < payload.byteCount
      let word = isSaid ? Int(payload.byte(at: i + 1)) : 127
      coefficients[i] = Float(min(word, 254) - 127) / 128
      remaining *= 1 - coefficients[i] * coefficients[i]
    }
    // What the filter adds is taken away, so that the level is the one that was said.
    gain = Self.overload * Self.power(level) * remaining.squareRoot()
  }

  /// 10^(-level / 20), without a library: a factor for each dB.
  private static func power(_ level: Int) -> Float {
    var value: Float = 1
    for _ in 0..<level { value *= 0.891_250_94 }
    return value
  }

  package mutating func next() -> Int16 {
    seed = seed &* 1_664_525 &+ 1_013_904_223
    // Of one second power: even between plus and minus the root of 3.
    let white = Float(Int32(bitPattern: seed)) / 2_147_483_648 * 1.732_050_8
    var forward = white * gain
    var i = Self.order - 1
    while i >= 0 {
      forward -= coefficients[i] * memory[i]
      memory[i + 1] = memory[i] + coefficients[i] * forward
      i -= 1
    }
    memory[0] = forward
    return Int16(clamping: Int(max(min(forward, 32_767), -32_768)))
  }
}
