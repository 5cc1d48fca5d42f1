/// A tone of the telephone network (ITU-T E.180): one or two sines that sound together, or one that swells with
/// another, on and off by turns.
package struct CadencedTone: Hashable, Sendable {
  package static let cadenceLimit = 4
  /// Hz: what a telephone line carries.
  package static let frequencies: ClosedRange<UInt16> = 200...3_400
  /// Hz, of what a tone swells with.
  package static let modulations: ClosedRange<UInt16> = 10...100
  /// Milliseconds of all parts together.
  package static let longest = 20_000

  /// Hz; the second is 0 where there is one alone.
  package private(set) var first: UInt16
  package private(set) var second: UInt16
  /// Hz, to its full depth; 0: it does not swell.
  package private(set) var modulation: UInt16
  // Fixed words: the value goes through commands, which are flat. 0 stands for nothing behind the last one.
  private var parts: (UInt16, UInt16, UInt16, UInt16)

  /// - Parameter cadence: milliseconds on, off, on, off; empty: it sounds without an end.
  ///
  /// Nil for what cannot be played: a frequency that the line does not carry, a part of no length before another,
  /// more of them than there is room for.
  package init?(
    _ first: UInt16, _ second: UInt16 = 0, modulation: UInt16 = 0, cadence: [UInt16] = []
  ) {
    let used = Array(cadence.prefix { $0 != 0 })
    let rest = cadence.dropFirst(used.count)
    guard Self.frequencies.contains(first), second == 0 || Self.frequencies.contains(second),
      modulation == 0 || Self.modulations.contains(modulation),
      cadence.count <= Self.cadenceLimit, rest.allSatisfy({ $0 == 0 }),
      used.reduce(0, { $0 + Int($1) }) <= Self.longest
    else { return nil }
    self.first = first
    self.second = second
    self.modulation = modulation
    let whole = used + Array(repeating: 0, count: Self.cadenceLimit - used.count)
    parts = (whole[0], whole[1], whole[2], whole[3])
  }

  /// 425 Hz, the one frequency that E.180 recommends.
  fileprivate init(recommended cadence: (UInt16, UInt16)) {
    (first, second, modulation) = (425, 0, 0)
    parts = (cadence.0, cadence.1, 0, 0)
  }

  /// The ringing tone of where nothing else is known: a second of every five (ITU-T E.180 §4, ETSI TR 101 041-2).
  package static let ringing = CadencedTone(recommended: (1_000, 4_000))

  /// Milliseconds of a part of the cadence: even ones sound, odd ones do not.
  package func duration(_ index: Int) -> UInt16 {
    switch index {
    case 0: parts.0
    case 1: parts.1
    case 2: parts.2
    default: parts.3
    }
  }

  /// Milliseconds of a whole turn; 0: it sounds without an end.
  package var period: Int {
    (0..<Self.cadenceLimit).reduce(0) { $0 + Int(duration($1)) }
  }

  package static func == (a: CadencedTone, b: CadencedTone) -> Bool {
    a.first == b.first && a.second == b.second && a.modulation == b.modulation
      && a.parts == b.parts
  }

  package func hash(into hasher: inout Hasher) {
    hasher.combine(first)
    hasher.combine(second)
    hasher.combine(modulation)
    for i in 0..<Self.cadenceLimit { hasher.combine(duration(i)) }
  }
}
