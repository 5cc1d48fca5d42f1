import Glibc
package import MediaControl

/// The samples of a tone of the network at 8 kHz, at about -13 dBm0, one after another.
///
/// Each part begins at phase 0 and swells and fades within `ramp`, so that nothing clicks; its length is that of its
/// cadence all the same.
package struct ToneSource: Sendable {
  private static let peak = 7_000.0
  /// 5 ms.
  private static let ramp = 40

  private let tone: CadencedTone
  private var part = 0
  /// Samples since the part began.
  private var position = 0

  package init(_ tone: CadencedTone) { self.tone = tone }

  private var isEndless: Bool { tone.period == 0 }

  package mutating func next() -> Int16 {
    let length = Int(tone.duration(part)) * 8
    let sample = part % 2 == 0 ? sounding(length) : 0
    position += 1
    if isEndless {
      // All frequencies are whole ones: after a second they are at their beginning again, which then is no swell.
      if position == 16_000 { position = 8_000 }
    } else if position >= length {
      advance()
    }
    return sample
  }

  private mutating func advance() {
    position = 0
    part = (part + 1) % CadencedTone.cadenceLimit
    // Tones of fewer parts end with zeros.
    if tone.duration(part) == 0 { part = 0 }
  }

  private func sounding(_ length: Int) -> Int16 {
    let turn = 2 * Double.pi * Double(position) / 8_000
    var value = sin(turn * Double(tone.first))
    if tone.second != 0 { value = (value + sin(turn * Double(tone.second))) / 2 }
    if tone.modulation != 0 { value *= (1 - cos(turn * Double(tone.modulation))) / 2 }
    let left = isEndless ? Self.ramp : length - 1 - position
    let edge = Double(min(position, left, Self.ramp)) / Double(Self.ramp)
    return Int16(value * Self.peak * edge)
  }
}
