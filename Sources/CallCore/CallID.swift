extension CallID: CustomStringConvertible {
  private static let digits = Array("0123456789abcdefghjkmnpqrstvwxyz".utf8)

  /// `INCARNATION-SERIAL` in Crockford's base 32: sorts by time, can be read out and typed.
  package var description: String {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(27)
    append(to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
  }

  /// `description` as bytes, for whoever writes one for every call.
  package func append(to bytes: inout [UInt8]) {
    Self.append(incarnation, width: 9, to: &bytes)
    bytes.append(0x2d)
    Self.append(serial, width: 1, to: &bytes)
  }

  /// The inverse of `description`; letters in either case.
  package init?(_ text: some StringProtocol) {
    let parts = text.utf8.split(separator: 0x2d, omittingEmptySubsequences: false)
    guard parts.count == 2, let incarnation = Self.value(parts[0]),
      let serial = Self.value(parts[1])
    else { return nil }
    self.init(incarnation: incarnation, serial: serial)
  }

  /// At least `width` digits of five bits each.
  private static func append(_ value: UInt64, width: Int, to bytes: inout [UInt8]) {
    let needed = (UInt64.bitWidth - value.leadingZeroBitCount + 4) / 5
    for place in (0..<max(needed, width)).reversed() {
      bytes.append(digits[Int(value >> UInt64(5 * place) & 31)])
    }
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
