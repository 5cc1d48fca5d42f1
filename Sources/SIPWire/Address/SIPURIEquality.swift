import Base

extension SIPURI {
  /// Whether this URI of `bytes` and one of other bytes are the same by RFC 3261 §19.1.4 (which is no
  /// equivalence: A may equal B and B equal C without A equalling C). tel URIs by RFC 3966 §4: visual
  /// separators don't count.
  package func equals(_ other: SIPURI, in bytes: RawSpan, otherIn otherBytes: RawSpan) -> Bool {
    guard scheme == other.scheme else { return false }
    switch scheme {
    case .sip, .sips:
      return Escapes.equal(bytes, user, otherBytes, other.user)
        && user.isEmpty == other.user.isEmpty
        && Escapes.equal(bytes, password, otherBytes, other.password)
        && hasEqualHost(other, bytes, otherBytes) && port == other.port
        && hasEqualParameters(other, bytes, otherBytes)
        && other.hasEqualParameters(self, otherBytes, bytes)
        && hasEqualHeaders(other, bytes, otherBytes)
        && other.hasEqualHeaders(self, otherBytes, bytes)
    case .tel:
      return hasEqualNumber(other, bytes, otherBytes)
        && hasAllParameters(of: other, bytes, otherBytes)
        && other.hasAllParameters(of: self, otherBytes, bytes)
    case .other:
      return bytes.extracting(opaque).equals(otherBytes.extracting(other.opaque))
    }
  }

  /// Names in any case; addresses by value, as IPv6 has many spellings.
  private func hasEqualHost(_ other: SIPURI, _ bytes: RawSpan, _ otherBytes: RawSpan) -> Bool {
    if let a = hostAddress(in: bytes), let b = other.hostAddress(in: otherBytes) { return a == b }
    return bytes.extracting(host).equalsIgnoringCase(otherBytes.extracting(other.host))
  }

  /// A parameter that both have must match; user, ttl, method, maddr and transport must not stand in
  /// one alone.
  private func hasEqualParameters(_ other: SIPURI, _ bytes: RawSpan, _ otherBytes: RawSpan) -> Bool
  {
    var walk = URIParameters(params)
    while let mine = walk.next(bytes) {
      if let theirs = other.parameter(named: mine.name, of: bytes, in: otherBytes) {
        guard Escapes.equal(bytes, mine.value, otherBytes, theirs, ignoringCase: true) else {
          return false
        }
      } else if Self.isSignificant(mine.name, bytes) {
        return false
      }
    }
    return true
  }

  private static func isSignificant(_ name: ByteRange, _ bytes: RawSpan) -> Bool {
    bytes.matches(name, "transport") || bytes.matches(name, "user")
      || bytes.matches(name, "method") || bytes.matches(name, "maddr")
      || bytes.matches(name, "ttl")
  }

  private func parameter(named name: ByteRange, of source: RawSpan, in bytes: RawSpan)
    -> ByteRange?
  {
    var walk = URIParameters(params)
    while let parameter = walk.next(bytes) {
      if Escapes.equal(source, name, bytes, parameter.name, ignoringCase: true) {
        return parameter.value
      }
    }
    return nil
  }

  private func hasAllParameters(of other: SIPURI, _ bytes: RawSpan, _ otherBytes: RawSpan) -> Bool {
    var walk = URIParameters(other.params)
    while let theirs = walk.next(otherBytes) {
      guard let mine = parameter(named: theirs.name, of: otherBytes, in: bytes),
        Escapes.equal(bytes, mine, otherBytes, theirs.value, ignoringCase: true)
      else { return false }
    }
    return true
  }

  /// Each header of this URI stands in the other one too, in any order.
  private func hasEqualHeaders(_ other: SIPURI, _ bytes: RawSpan, _ otherBytes: RawSpan) -> Bool {
    var walk = URIHeaders(headers)
    while let mine = walk.next(bytes) {
      var others = URIHeaders(other.headers)
      var found = false
      while !found, let theirs = others.next(otherBytes) {
        found =
          Escapes.equal(bytes, mine.name, otherBytes, theirs.name, ignoringCase: true)
          && Escapes.equal(bytes, mine.value, otherBytes, theirs.value)
      }
      guard found else { return false }
    }
    return true
  }

  private func hasEqualNumber(_ other: SIPURI, _ bytes: RawSpan, _ otherBytes: RawSpan) -> Bool {
    var i = user.start
    var j = other.user.start
    while true {
      while i < user.end, Self.isSeparator(bytes.byte(at: i)) { i &+= 1 }
      while j < other.user.end, Self.isSeparator(otherBytes.byte(at: j)) { j &+= 1 }
      guard i < user.end, j < other.user.end else { return i >= user.end && j >= other.user.end }
      guard bytes.byte(at: i).asciiLowercased == otherBytes.byte(at: j).asciiLowercased else {
        return false
      }
      i &+= 1
      j &+= 1
    }
  }

  private static func isSeparator(_ c: UInt8) -> Bool {
    c == UInt8(ascii: "-") || c == UInt8(ascii: ".") || c == UInt8(ascii: "(")
      || c == UInt8(ascii: ")")
  }
}

/// Walks `hname=hvalue&…` behind the question mark of a URI.
private struct URIHeaders {
  private var at: Int
  private let end: Int

  init(_ range: ByteRange) {
    at = range.start
    end = range.end
  }

  mutating func next(_ bytes: RawSpan) -> Parameter? {
    guard at < end else { return nil }
    let stop = bytes.find(UInt8(ascii: "&"), from: at, to: end)
    let equals = bytes.find(UInt8(ascii: "="), from: at, to: stop)
    defer { at = stop &+ 1 }
    return Parameter(
      name: ByteRange(from: at, to: equals), value: ByteRange(from: equals &+ 1, to: stop))
  }
}
