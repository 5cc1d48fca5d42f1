extension CallID: CustomStringConvertible {
  private static let digits = Array("0123456789abcdefghjkmnpqrstvwxyz".utf8)

  /// `INCARNATION-SERIAL` in Crockford's base 32: sorts by time, can be read out and typed.
  package var description: String {
    String(
      decoding: Self.text(incarnation, width: 9) + [0x2d] + Self.text(serial, width: 1),
      as: UTF8.self)
  }

  /// The inverse of `description`; letters in either case.
  package init?(_ text: some StringProtocol) {
    let parts = text.utf8.split(separator: 0x2d, omittingEmptySubsequences: false)
    guard parts.count == 2, let incarnation = Self.value(parts[0]),
      let serial = Self.value(parts[1])
    else { return nil }
    self.init(incarnation: incarnation, serial: serial)
  }

  private static func text(_ value: UInt64, width: Int) -> [UInt8] {
    var reversed: [UInt8] = []
    var rest = value
    while rest != 0 || reversed.count < width {
      reversed.append(digits[Int(rest & 31)])
      rest >>= 5
    }
    return reversed.reversed()
  }

  private static func value(_ text: some Sequence<UInt8>) -> UInt64? {
    var value: UInt64 = 0
    var count = 0
    for byte in text {
      let lower = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
      guard let digit = digits.firstIndex(of: lower), count < 13 else { return nil }
      value = value << 5 | UInt64(digit)
      count += 1
    }
    return count == 0 ? nil : value
  }
}
