/// Eight hexadecimal digits at a time, without a loop: a digit is a byte of a word, the first one lowest.
@frozen @usableFromInline
package enum Hexadecimal {
  /// The lowercase digits of `value`.
  @inlinable
  package static func digits(_ value: UInt32) -> UInt64 {
    var nibbles = UInt64(value)
    nibbles = (nibbles | nibbles &<< 16) & 0x0000_ffff_0000_ffff
    nibbles = (nibbles | nibbles &<< 8) & 0x00ff_00ff_00ff_00ff
    nibbles = (nibbles | nibbles &<< 4) & 0x0f0f_0f0f_0f0f_0f0f
    // 10 and above carry into bit 4 here: those are letters, 0x27 further on than the digits.
    let letters = (nibbles &+ 0x0606_0606_0606_0606) &>> 4 & 0x0101_0101_0101_0101
    return (nibbles &+ 0x3030_3030_3030_3030 &+ letters &* 0x27).byteSwapped
  }

  /// The value of eight digits in either case; nil when one is none.
  @inlinable
  package static func value(_ digits: UInt64) -> UInt32? {
    let letters = digits &>> 6 & 0x0101_0101_0101_0101
    var nibbles = ((digits & 0x0f0f_0f0f_0f0f_0f0f) &+ letters &* 9).byteSwapped
    nibbles = (nibbles | nibbles &>> 4) & 0x00ff_00ff_00ff_00ff
    nibbles = (nibbles | nibbles &>> 8) & 0x0000_ffff_0000_ffff
    nibbles = nibbles | nibbles &>> 16
    let value = UInt32(truncatingIfNeeded: nibbles)
    // Whatever else the bytes were, they are not what this value is written as.
    let lowercase = digits | (digits & 0x4040_4040_4040_4040) &>> 1
    return self.digits(value) == lowercase ? value : nil
  }
}
