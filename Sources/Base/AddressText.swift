// Addresses as text: dotted quads, RFC 4291 §2.2 in every spelling on the way in, and the one
// canonical spelling of RFC 5952 on the way out. No resolver: a host name is never an address here.

extension IPAddress {
  /// "192.0.2.1", "2001:db8::1" or "::ffff:192.0.2.1"; without brackets, zone or spaces.
  ///
  /// A number with a leading zero ("010.0.0.1") is refused as `inet_pton` does: others read it as octal.
  package init?(parsing bytes: RawSpan) {
    if bytes.firstIndex(of: UInt8(ascii: ":")) != nil {
      guard let address = IPAddress(v6Text: bytes) else { return nil }
      self = address
    } else {
      guard let quad = parseDottedQuad(bytes, from: 0) else { return nil }
      self.init(v4: quad)
    }
  }

  /// As a host stands in a URI or a Via: IPv6 in brackets (RFC 3261 §25.1 `IPv6reference`). A bare IPv6
  /// address is taken too, since SDP and many peers write it so.
  package init?(parsingHost bytes: RawSpan) {
    let n = bytes.byteCount
    guard bytes.byte(at: 0) == UInt8(ascii: "[") else {
      self.init(parsing: bytes)
      return
    }
    guard n > 2, bytes.byte(at: n - 1) == UInt8(ascii: "]") else { return nil }
    guard let address = IPAddress(v6Text: bytes.slice(1, n - 1)) else { return nil }
    self = address
  }

  package init?(_ text: some StringProtocol) {
    let utf8 = Array(text.utf8)
    self.init(parsing: utf8.rawSpan)
  }

  private init?(v6Text bytes: RawSpan) {
    var groups = InlineArray<8, UInt16>(repeating: 0)
    var filled = 0
    var gap: Int?
    var i = 0
    let n = bytes.byteCount
    guard n >= 2, n <= 45 else { return nil }
    if bytes.byte(at: 0) == UInt8(ascii: ":") {
      guard bytes.byte(at: 1) == UInt8(ascii: ":") else { return nil }
      gap = 0
      i = 2
    }
    while i < n {
      guard filled < 8 else { return nil }
      let start = i
      var value: UInt16 = 0
      while i < n, let digit = bytes.byte(at: i).hexDigitValue {
        guard i - start < 4 else { return nil }
        value = value << 4 | UInt16(digit)
        i += 1
      }
      if i < n, bytes.byte(at: i) == UInt8(ascii: ".") {
        guard filled <= 6, let quad = parseDottedQuad(bytes, from: start) else { return nil }
        groups[filled] = UInt16(truncatingIfNeeded: quad >> 16)
        groups[filled + 1] = UInt16(truncatingIfNeeded: quad)
        filled += 2
        i = n
        break
      }
      guard i > start else { return nil }
      groups[filled] = value
      filled += 1
      guard i < n else { break }
      guard bytes.byte(at: i) == UInt8(ascii: ":") else { return nil }
      i += 1
      guard i < n else { return nil }  // a single colon at the end
      if bytes.byte(at: i) == UInt8(ascii: ":") {
        guard gap == nil else { return nil }
        gap = filled
        i += 1
      }
    }
    if let gap {
      guard filled < 8 else { return nil }
      let tail = filled - gap
      for k in 0..<tail { groups[7 - k] = groups[filled - 1 - k] }
      for k in gap..<(8 - tail) { groups[k] = 0 }
    } else {
      guard filled == 8 else { return nil }
    }
    var high: UInt64 = 0
    var low: UInt64 = 0
    for k in 0..<4 { high = high << 16 | UInt64(groups[k]) }
    for k in 4..<8 { low = low << 16 | UInt64(groups[k]) }
    self.init(v6High: high, low: low)
  }

  /// Group 0...7 of an IPv6 address.
  @inlinable
  func group(_ index: Int) -> UInt16 {
    let half = index < 4 ? high : low
    return UInt16(truncatingIfNeeded: half >> UInt64(48 - 16 * (index & 3)))
  }

  /// The run of groups that "::" stands for: the longest of two or more zeros, the first of equals
  /// (RFC 5952 §4.2). Empty when there is none.
  @usableFromInline
  var compressedGroups: Range<Int> {
    var best = 0..<0
    var start = 0
    while start < 8 {
      guard group(start) == 0 else {
        start += 1
        continue
      }
      var end = start
      while end < 8, group(end) == 0 { end += 1 }
      if end - start >= 2, end - start > best.count { best = start..<end }
      start = end
    }
    return best
  }

  /// ::ffff:0:0/96, which RFC 5952 §5 writes with a dotted quad.
  @usableFromInline var isV4Mapped: Bool { family == .v6 && high == 0 && low >> 32 == 0xffff }
}

/// The 32 bits of `bytes[start...]`, which must be a dotted quad and nothing else.
private func parseDottedQuad(_ bytes: RawSpan, from start: Int) -> UInt32? {
  var address: UInt32 = 0
  var i = start
  for part in 0..<4 {
    if part > 0 {
      guard bytes.byte(at: i) == UInt8(ascii: ".") else { return nil }
      i += 1
    }
    let first = i
    var value: UInt32 = 0
    while i - first < 3, bytes.byte(at: i).isASCIIDigit {
      value = value * 10 + UInt32(bytes.byte(at: i) - 0x30)
      i += 1
    }
    guard i > first, value < 256 else { return nil }
    guard i - first == 1 || bytes.byte(at: first) != UInt8(ascii: "0") else { return nil }
    address = address << 8 | value
  }
  return i == bytes.byteCount ? address : nil
}

/// An IPv4 address, with its port or without, as the bytes of its text.
private struct AddressDigits {
  private var bytes = InlineArray<24, UInt8>(repeating: 0)
  private var count = 0

  init(_ address: UInt32, port: UInt16? = nil) {
    for shift: UInt32 in [24, 16, 8] {
      append(address >> shift & 255, then: UInt8(ascii: "."))
    }
    append(address & 255, then: UInt8(ascii: ":"))
    if let port { append(UInt32(port), then: 0) }
    // Without what stands behind the last number.
    count -= 1
  }

  private mutating func append(_ number: UInt32, then end: UInt8) {
    var power: UInt32 = number > 9_999 ? 10_000 : number > 999 ? 1_000 : number > 99 ? 100 : 10
    if number < 10 { power = 1 }
    while power > 0 {
      bytes[count] = UInt8(truncatingIfNeeded: number / power % 10) + 0x30
      count += 1
      power /= 10
    }
    bytes[count] = end
    count += 1
  }

  var text: String { bytes.span.rawSpan.string(ByteRange(0, count)) }
}

extension IPAddress: CustomStringConvertible {
  /// "192.0.2.1", or IPv6 as RFC 5952 has it, without brackets.
  @usableFromInline package var description: String {
    guard family == .v6 else { return AddressDigits(v4).text }
    if isV4Mapped { return "::ffff:" + AddressDigits(UInt32(truncatingIfNeeded: low)).text }
    let gap = compressedGroups
    func join(_ range: Range<Int>) -> String {
      range.map { String(group($0), radix: 16) }.joined(separator: ":")
    }
    guard !gap.isEmpty else { return join(0..<8) }
    return join(0..<gap.lowerBound) + "::" + join(gap.upperBound..<8)
  }
}

extension SocketAddress: CustomStringConvertible {
  /// "192.0.2.1:5060" or "[2001:db8::1]:5060".
  @usableFromInline package var description: String {
    ip.family == .v4 ? AddressDigits(ip.v4, port: port).text : "[\(ip)]:\(port)"
  }

  /// The same spellings; the port is never left out.
  package init?(_ text: some StringProtocol) {
    let utf8 = Array(text.utf8)
    guard let colon = utf8.lastIndex(of: UInt8(ascii: ":")) else { return nil }
    let bytes = utf8.rawSpan
    let digits = ByteRange(from: colon + 1, to: utf8.count)
    guard digits.count <= 5, let number = bytes.decimal(digits), number <= 65_535 else {
      return nil
    }
    let host = bytes.slice(0, colon)
    guard let ip = IPAddress(parsingHost: host) else { return nil }
    guard ip.family == .v4 || host.byte(at: 0) == UInt8(ascii: "[") else { return nil }
    self.init(ip, UInt16(truncatingIfNeeded: number))
  }
}

extension IPAddress {
  /// Whether the first `prefixLength` bits are those of `network`. Lengths beyond the address count as
  /// the whole address, negative ones as 0; families never match each other.
  package func matches(network: IPAddress, prefixLength: Int) -> Bool {
    guard family == network.family else { return false }
    if family == .v4 {
      let bits = min(max(prefixLength, 0), 32)
      return bits == 0 || (v4 ^ network.v4) >> UInt32(32 - bits) == 0
    }
    let bits = min(max(prefixLength, 0), 128)
    let highBits = min(bits, 64)
    if highBits > 0, (high ^ network.high) >> UInt64(64 - highBits) != 0 { return false }
    return bits <= 64 || (low ^ network.low) >> UInt64(128 - bits) == 0
  }

  /// Not reachable from the internet: RFC 1918, RFC 6598 (carrier NAT), unique local (RFC 4193),
  /// link-local and loopback.
  package var isPrivate: Bool {
    if isLoopback || isLinkLocal { return true }
    guard family == .v4 else { return high >> 57 == 0xfc >> 1 }
    return v4 >> 24 == 10 || v4 >> 20 == 0xac1 || v4 >> 16 == 0xc0a8 || v4 >> 22 == 0x6440 >> 6
  }
}

/// A block of addresses, "192.0.2.0/24" or "2001:db8::/32"; an address alone is a block of one.
package struct IPNetwork: Hashable, Sendable, CustomStringConvertible {
  package let address: IPAddress
  package let prefixLength: Int

  /// Refuses a length beyond the family's, and bits set beyond the length: "10.0.0.1/8" is more often a
  /// mistake than a wish.
  package init?(_ text: some StringProtocol) {
    let utf8 = Array(text.utf8)
    let slash = utf8.firstIndex(of: UInt8(ascii: "/")) ?? utf8.count
    let bytes = utf8.rawSpan
    guard let address = IPAddress(parsing: bytes.slice(0, slash)) else { return nil }
    let widest = address.family == .v4 ? 32 : 128
    var length = widest
    if slash < utf8.count {
      guard let written = bytes.decimal(ByteRange(from: slash + 1, to: utf8.count)),
        written <= UInt64(widest)
      else { return nil }
      length = Int(written)
    }
    self.init(address, prefixLength: length)
    guard self.address == address else { return nil }
  }

  /// Cuts the address to its first `prefixLength` bits, the length to what the family has.
  package init(_ address: IPAddress, prefixLength: Int) {
    let widest = address.family == .v4 ? 32 : 128
    let length = min(max(prefixLength, 0), widest)
    self.prefixLength = length
    if address.family == .v4 {
      self.address = IPAddress(v4: length == 0 ? 0 : address.v4 & (~0 << UInt32(32 - length)))
    } else {
      self.address = IPAddress(
        v6High: length == 0 ? 0 : address.high & (~0 << UInt64(max(64 - length, 0))),
        low: length <= 64 ? 0 : address.low & (~0 << UInt64(128 - length)))
    }
  }

  package func contains(_ other: IPAddress) -> Bool {
    other.matches(network: address, prefixLength: prefixLength)
  }

  @usableFromInline package var description: String { "\(address)/\(prefixLength)" }
}
