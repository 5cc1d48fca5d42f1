import Base

// Searches over the bytes of a message, on top of Base's total reads: a byte outside the span is 0, so
// no slip of arithmetic in a parser can trap or see a neighbour's memory. All offsets are relative to
// the span; neither has to be checked by the caller. The loops bring their bounds inside the span once
// and load without further checks: they are what a parse spends its time in.

extension RawSpan {
  @inline(__always)
  private func inside(_ start: Int, _ end: Int) -> (Int, Int) {
    let high = Swift.min(end, byteCount)
    return (Swift.max(start, 0), high)
  }

  /// `i` must lie in 0...byteCount - 8.
  @inline(__always)
  private func loadWord(_ i: Int) -> UInt64 {
    UInt64(littleEndian: unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: i, as: UInt64.self))
  }

  /// `i` must lie in 0..<byteCount.
  @inline(__always)
  private func load(_ i: Int) -> UInt8 {
    unsafe unsafeLoad(fromUncheckedByteOffset: i, as: UInt8.self)
  }

  /// The first offset in `start..<end` whose octet `match` marks by the high bit, or `end`. `match` takes
  /// eight octets and must be right about the lowest one that it marks.
  @inline(__always)
  private func find(_ start: Int, _ end: Int, _ match: (UInt64) -> UInt64) -> Int {
    var (i, high) = inside(start, end)
    while i &+ 8 <= high {
      let found = match(loadWord(i))
      if found != 0 { return i &+ found.trailingZeroBitCount &>> 3 }
      i &+= 8
    }
    guard i < high else { return end }
    let found = match(word(at: i))
    let at = i &+ found.trailingZeroBitCount &>> 3
    return found != 0 && at < high ? at : end
  }

  /// The first offset in `start..<end` that holds `wanted`, or `end`.
  @inline(__always)
  func find(_ wanted: UInt8, from start: Int, to end: Int) -> Int {
    let pattern = UInt64(wanted) &* 0x0101_0101_0101_0101
    return find(start, end) { zeroOctets($0 ^ pattern) }
  }

  /// The first offset in `start..<end` that holds one of three, or `end`.
  @inline(__always)
  func find(_ a: UInt8, _ b: UInt8, _ c: UInt8, from start: Int, to end: Int) -> Int {
    let first = UInt64(a) &* 0x0101_0101_0101_0101
    let second = UInt64(b) &* 0x0101_0101_0101_0101
    let third = UInt64(c) &* 0x0101_0101_0101_0101
    return find(start, end) {
      zeroOctets($0 ^ first) | zeroOctets($0 ^ second) | zeroOctets($0 ^ third)
    }
  }

  /// The first offset in `start..<end` of a control character (below 0x20), or `end`.
  @inline(__always)
  func findControl(from start: Int, to end: Int) -> Int {
    find(start, end) { ($0 &- 0x2020_2020_2020_2020) & ~$0 & 0x8080_8080_8080_8080 }
  }

  /// Where `range` begins and ends in this span, cut to what there is.
  @inline(__always)
  func bounds(_ range: ByteRange) -> (start: Int, end: Int) {
    let end = Swift.min(range.end, byteCount)
    return (Swift.min(range.start, end), end)
  }

  @inline(__always)
  func equals(_ range: ByteRange, _ text: StaticString) -> Bool {
    extracting(range).equals(text)
  }

  /// Letters of either case are the same.
  @inline(__always)
  func matches(_ range: ByteRange, _ text: StaticString) -> Bool {
    extracting(range).equalsIgnoringCase(text)
  }

  /// Whether `text` stands at `start`, in any case.
  @inline(__always)
  func hasPrefix(_ text: StaticString, at start: Int) -> Bool {
    matches(ByteRange(start, text.utf8CodeUnitCount), text)
  }

  /// A number of digits alone, at most `limit`; nil for anything else.
  func number(_ range: ByteRange, limit: UInt32 = .max) -> UInt32? {
    guard let value = decimal(range), value <= UInt64(limit) else { return nil }
    return UInt32(truncatingIfNeeded: value)
  }

  /// The first offset in `start..<end` that is not white space, or `end`. A folded line break is white
  /// space (RFC 3261 §7.3.1).
  @inline(__always)
  func skipSpace(_ start: Int, _ end: Int) -> Int {
    var (i, high) = inside(start, end)
    while i < high, load(i).isLinearSpace { i &+= 1 }
    return i
  }

  /// `start..<end` without the white space at its ends.
  @inline(__always)
  func trimmed(_ start: Int, _ end: Int) -> ByteRange {
    let first = skipSpace(start, end)
    var last = Swift.min(end, byteCount)
    while last > first, load(last &- 1).isLinearSpace { last &-= 1 }
    return ByteRange(from: first, to: last)
  }

  /// The first offset in `start..<end` that is not in `set`, or `end`.
  @inline(__always)
  func skip(_ set: OctetSet, _ start: Int, _ end: Int) -> Int {
    var (i, high) = inside(start, end)
    while i < high, set.contains(load(i)) { i &+= 1 }
    return i
  }

  /// Whether `range` has nothing but members of `set`.
  @inline(__always)
  func consists(_ range: ByteRange, of set: OctetSet) -> Bool {
    let (start, end) = bounds(range)
    return skip(set, start, end) == end
  }

  /// The offset after the quoted string that opens at `start`; nil where it doesn't close before
  /// `end`. A backslash takes the octet after it (quoted-pair).
  func endOfQuotedString(_ start: Int, _ end: Int) -> Int? {
    var i = start &+ 1
    while i < end {
      let c = byte(at: i)
      if c == UInt8(ascii: "\"") { return i &+ 1 }
      i &+= c == UInt8(ascii: "\\") ? 2 : 1
    }
    return nil
  }
}

extension UInt8 {
  /// SP, HTAB, CR or LF.
  @inline(__always)
  var isLinearSpace: Bool { self == 0x20 || self == 0x09 || self == 0x0d || self == 0x0a }
}

/// The high bit of each octet that is zero; right about the lowest one.
@inline(__always)
private func zeroOctets(_ word: UInt64) -> UInt64 {
  (word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080
}

/// The letters A to Z among eight octets in lower case, every other octet as it was.
@inline(__always)
func lowercased(_ word: UInt64) -> UInt64 {
  let low7 = word & 0x7f7f_7f7f_7f7f_7f7f
  let fromA = low7 &+ 0x3f3f_3f3f_3f3f_3f3f
  let afterZ = low7 &+ 0x2525_2525_2525_2525
  let upper = (fromA ^ afterZ) & ~word & 0x8080_8080_8080_8080
  return word | upper >> 2
}
