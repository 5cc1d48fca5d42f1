import RTPWire
import Testing

/// Both laws whole, against tables made of what ITU-T G.711 prints: the intervals of each segment (column 2 of tables 1a
/// and 2a), the values at the decoder's output half-way between two decisions, and the character signals.
@Suite struct G711TableTests {
  /// Decision values of the positive half, in units of 1/4096 (A) or 1/8159 (µ) of the virtual decision value.
  private static func decisions(_ segments: [(intervals: Int, size: Int)]) -> [Int] {
    var values = [0]
    for (intervals, size) in segments {
      for _ in 0..<intervals { values.append(values[values.count - 1] + size) }
    }
    return values
  }

  private static let alaw = decisions([
    (32, 2), (16, 4), (16, 8), (16, 16), (16, 32), (16, 64), (16, 128),
  ])
  private static let ulaw = decisions([
    (1, 1), (15, 2), (16, 4), (16, 8), (16, 16), (16, 32), (16, 64), (16, 128), (16, 256),
  ])

  @Test func theTablesEndWhereTheyShould() {
    #expect(Self.alaw.count == 129 && Self.alaw[128] == 4_096)
    #expect(Self.ulaw.count == 129 && Self.ulaw[128] == 8_159)
  }

  /// Table 1: the number of the interval and the sign, with even bits inverted.
  @Test func everyCodeOfTheALaw() {
    for interval in 0..<128 {
      let value = (Self.alaw[interval] + Self.alaw[interval + 1]) / 2 * 8
      let positive = UInt8(0x80 | interval) ^ 0x55
      let negative = UInt8(interval) ^ 0x55
      #expect(G711.linear(alaw: positive) == Int16(value), "\(interval)")
      #expect(G711.linear(alaw: negative) == Int16(-value), "-\(interval)")
      #expect(G711.alaw(linear: Int16(value)) == positive)
      #expect(G711.alaw(linear: Int16(-value)) == negative)
    }
  }

  /// Table 2: the same with all bits inverted; the first interval of each half is zero.
  @Test func everyCodeOfTheULaw() {
    for interval in 0..<128 {
      let value =
        interval == 0 ? 0 : (Self.ulaw[interval] + Self.ulaw[interval + 1]) / 2 * 4
      let positive = ~UInt8(interval)
      let negative = ~UInt8(0x80 | interval)
      #expect(G711.linear(ulaw: positive) == Int16(value), "\(interval)")
      #expect(G711.linear(ulaw: negative) == Int16(-value), "-\(interval)")
      #expect(G711.ulaw(linear: Int16(value)) == positive)
      if interval > 0 { #expect(G711.ulaw(linear: Int16(-value)) == negative) }
    }
  }

  /// Every linear sample goes to a code in whose interval it lies; beyond the last decision, to the last code.
  @Test func everySampleFindsItsInterval() {
    var wrong: [Int] = []
    for value in Int(Int16.min)...Int(Int16.max) {
      let sample = Int16(value)
      let magnitude = abs(value)
      let a = Int(G711.alaw(linear: sample) ^ 0x55)
      let u = Int(~G711.ulaw(linear: sample))
      let inA = (Self.alaw[a & 0x7f] * 8...Self.alaw[a & 0x7f + 1] * 8).contains(magnitude)
      // The bias of the µ-law puts its decisions at odd quarters.
      let inU =
        (Self.ulaw[u & 0x7f] * 4...Self.ulaw[u & 0x7f + 1] * 4).contains(magnitude)
        || magnitude > 8_159 * 4 && u & 0x7f == 127
      let signs = (a & 0x80 != 0) == (value >= 0) && (u & 0x80 == 0) == (value >= 0)
      if !inA || !inU || !signs { wrong.append(value) }
    }
    #expect(wrong == [])
  }
}
