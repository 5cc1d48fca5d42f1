// Numbers and addresses written into an `OutputBuffer` without a String between.

extension OutputBuffer {
  @inlinable
  package mutating func append(decimal value: Int) {
    if value >= 0, value < 10 {
      append(byte: 0x30 &+ UInt8(truncatingIfNeeded: value))
      return
    }
    if value < 0 { append(byte: 0x2d) }
    append(decimal: value.magnitude)
  }

  @inlinable
  package mutating func append(decimal value: UInt) {
    let digits = Self.digitCount(value)
    guard reserve(digits) else { return }
    writeDecimal(value, endingAt: used &+ digits)
    used &+= digits
  }

  @inlinable
  static func digitCount(_ value: UInt) -> Int {
    var digits = 1
    var limit: UInt = 10
    // 20 digits hold every value, and their limit would not fit.
    while digits < 20, value >= limit {
      digits &+= 1
      limit = limit &* 10
    }
    return digits
  }

  /// Writes the digits of `value` so that the last one lies before `end`. The room must be reserved.
  @inlinable
  mutating func writeDecimal(_ value: UInt, endingAt end: Int) {
    var i = end
    var rest = value
    repeat {
      i &-= 1
      let digit = UInt8(truncatingIfNeeded: rest % 10)
      unsafe base.storeBytes(of: 0x30 &+ digit, toByteOffset: i, as: UInt8.self)
      rest /= 10
    } while rest > 0
  }

  /// The low `digits` hexadecimal digits of `value`, lowercase, with leading zeros; at most 16.
  @inlinable
  package mutating func append(hex value: UInt64, digits: Int) {
    let n = Swift.min(Swift.max(digits, 0), 16)
    guard reserve(n) else { return }
    if n == 16 {
      let high = Hexadecimal.digits(UInt32(truncatingIfNeeded: value &>> 32))
      let low = Hexadecimal.digits(UInt32(truncatingIfNeeded: value))
      unsafe base.storeBytes(of: high.littleEndian, toByteOffset: used, as: UInt64.self)
      unsafe base.storeBytes(of: low.littleEndian, toByteOffset: used &+ 8, as: UInt64.self)
      used &+= 16
      return
    }
    var rest = value
    var i = used &+ n
    while i > used {
      i &-= 1
      let digit = UInt8.hexDigit(UInt8(truncatingIfNeeded: rest))
      unsafe base.storeBytes(of: digit, toByteOffset: i, as: UInt8.self)
      rest &>>= 4
    }
    used &+= n
  }

  /// Every byte as two lowercase hexadecimal digits.
  @inlinable
  package mutating func append(hexBytes bytes: RawSpan) {
    for i in 0..<bytes.byteCount {
      append(hex: UInt64(bytes.byte(at: i)), digits: 2)
    }
  }

  /// IPv6 as RFC 5952 writes it, in brackets where a port or a URI is near (`bracketed`); IPv4 never is.
  @inlinable
  package mutating func append(_ ip: IPAddress, bracketed: Bool) {
    guard ip.family == .v6 else {
      appendQuad(ip.v4)
      return
    }
    if bracketed { append(byte: 0x5b) }
    appendGroups(ip)
    if bracketed { append(byte: 0x5d) }
  }

  /// "192.0.2.1:5060" or "[2001:db8::1]:5060".
  @inlinable
  package mutating func append(_ address: SocketAddress) {
    append(address.ip, bracketed: true)
    append(byte: 0x3a)
    append(decimal: UInt(address.port))
  }

  @inlinable
  mutating func appendQuad(_ address: UInt32) {
    append(decimal: UInt(address &>> 24))
    append(byte: 0x2e)
    append(decimal: UInt(address &>> 16 & 255))
    append(byte: 0x2e)
    append(decimal: UInt(address &>> 8 & 255))
    append(byte: 0x2e)
    append(decimal: UInt(address & 255))
  }

  @usableFromInline
  mutating func appendGroups(_ ip: IPAddress) {
    if ip.isV4Mapped {
      append("::ffff:")
      appendQuad(UInt32(truncatingIfNeeded: ip.low))
      return
    }
    let gap = ip.compressedGroups
    for i in 0..<8 {
      if gap.contains(i) {
        if i == gap.lowerBound { append("::") }
        continue
      }
      if i > 0, i != gap.upperBound || gap.isEmpty { append(byte: 0x3a) }
      let group = UInt64(ip.group(i))
      let digits = (67 &- group.leadingZeroBitCount) / 4
      append(hex: group, digits: Swift.max(digits, 1))
    }
  }
}
