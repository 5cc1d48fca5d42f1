/// ITU-T G.711: eight-bit companded samples, to and from 16-bit linear ones.
///
/// The linear side is scaled so that full scale of either law (8159 of 14 bits, 4096 of 13 bits) comes
/// close to 32 768; a 0 dBm0 sine then peaks at 22 656 (µ-law) or 22 827 (A-law).
package enum G711 {
  /// Silence: the smallest positive value of each law.
  package static let ulawSilence: UInt8 = 0xff
  package static let alawSilence: UInt8 = 0xd5

  /// The digital milliwatt (G.711 tables 5 and 6): eight codes, 1000 Hz at 0 dBm0.
  package static let ulawMilliwatt: [UInt8] = [0x1e, 0x0b, 0x0b, 0x1e, 0x9e, 0x8b, 0x8b, 0x9e]
  package static let alawMilliwatt: [UInt8] = [0x34, 0x21, 0x21, 0x34, 0xb4, 0xa1, 0xa1, 0xb4]

  /// Table 2a/2b: all bits are inverted on the wire; sign, three bits of segment, four of step.
  package static func linear(ulaw code: UInt8) -> Int16 {
    let bits = Int(~code)
    let magnitude = (((bits & 0x0f) << 3) + 0x84) << ((bits & 0x70) >> 4) - 0x84
    return Int16(truncatingIfNeeded: bits & 0x80 != 0 ? -magnitude : magnitude)
  }

  /// Table 1a/1b: even bits are inverted on the wire.
  package static func linear(alaw code: UInt8) -> Int16 {
    let bits = Int(code ^ 0x55)
    let segment = (bits & 0x70) >> 4
    var magnitude = (bits & 0x0f) << 4 + 8
    if segment > 0 { magnitude = (magnitude + 0x100) << (segment - 1) }
    return Int16(truncatingIfNeeded: bits & 0x80 != 0 ? magnitude : -magnitude)
  }

  package static func ulaw(linear sample: Int16) -> UInt8 {
    let sign: UInt8 = sample < 0 ? 0x80 : 0
    let biased = min(Int(sample.magnitude), 32_635) + 0x84
    let segment = 8 - UInt16(biased).leadingZeroBitCount
    let step = (biased >> (segment + 3)) & 0x0f
    return ~(sign | UInt8(segment) << 4 | UInt8(step))
  }

  package static func alaw(linear sample: Int16) -> UInt8 {
    // Negative values are taken as one's complement, so that the two halves mirror each other.
    let magnitude = Int(sample < 0 ? ~sample : sample)
    let sign: UInt8 = sample < 0 ? 0 : 0x80
    var code = UInt8(truncatingIfNeeded: magnitude >> 4)
    if magnitude >= 0x100 {
      let segment = 8 - UInt16(magnitude).leadingZeroBitCount
      code = UInt8(segment) << 4 | UInt8((magnitude >> (segment + 3)) & 0x0f)
    }
    return (code | sign) ^ 0x55
  }
}
