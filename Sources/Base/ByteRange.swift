/// Where something lies inside a message: 8 bytes, good for any buffer below 4 GiB.
///
/// A range says nothing of whose bytes it indexes, so every access through it is clamped to the span at
/// hand: a wrong range reads too little, never outside.
@frozen @usableFromInline
package struct ByteRange: Hashable, Sendable, BitwiseCopyable {
  @usableFromInline package var offset: UInt32
  @usableFromInline package var count: UInt32

  /// Negative numbers become 0, numbers beyond 32 bits the largest.
  @inlinable package init(_ offset: Int, _ count: Int) {
    self.offset = UInt32(clamping: offset)
    self.count = UInt32(clamping: count)
  }

  /// From `start` up to but without `end`; empty at `start` when `end` lies before it.
  @inlinable package init(from start: Int, to end: Int) {
    self.init(start, end &- start)
  }

  /// What an absent thing has. An empty thing that is present may have an offset of its own.
  @inlinable package static var none: ByteRange { ByteRange(0, 0) }

  @inlinable package var isEmpty: Bool { count == 0 }
  @inlinable package var start: Int { Int(offset) }
  /// At most the first `limit` bytes of it.
  @inlinable package func first(_ limit: Int) -> ByteRange {
    ByteRange(start, Swift.min(Int(count), limit))
  }
  /// One past the last byte.
  @inlinable package var end: Int { Int(offset) + Int(count) }
}

extension RawSpan {
  /// The byte at `index`, or 0 outside the span (which no grammar of ours accepts as a character).
  @inlinable @inline(__always)
  package func byte(at index: Int) -> UInt8 {
    guard index >= 0, index < byteCount else { return 0 }
    return unsafe unsafeLoad(fromUncheckedByteOffset: index, as: UInt8.self)
  }

  /// The part of the span that `range` covers, cut to what there is.
  @inlinable @inline(__always) @_lifetime(copy self)
  package func extracting(_ range: ByteRange) -> RawSpan {
    let start = Swift.min(range.start, byteCount)
    let end = Swift.min(range.end, byteCount)
    return unsafe extracting(unchecked: start..<end)
  }

  /// Bytes `start..<end`, cut to what there is; empty when the two are the wrong way round.
  @inlinable @inline(__always) @_lifetime(copy self)
  package func slice(_ start: Int, _ end: Int) -> RawSpan {
    let low = Swift.min(Swift.max(start, 0), byteCount)
    let high = Swift.min(Swift.max(end, low), byteCount)
    return unsafe extracting(unchecked: low..<high)
  }

  /// Eight bytes at `index` in little-endian order, those outside the span as 0: for comparing and
  /// interning short names by words.
  @inlinable @inline(__always)
  package func word(at index: Int) -> UInt64 {
    if index >= 0, index &+ 8 <= byteCount {
      let raw = unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: index, as: UInt64.self)
      return UInt64(littleEndian: raw)
    }
    return partialWord(at: index)
  }

  /// Out of line, so that the loops around `word(at:)` stay small.
  @usableFromInline @inline(never)
  func partialWord(at index: Int) -> UInt64 {
    var word: UInt64 = 0
    for i in 0..<8 { word |= UInt64(byte(at: index &+ i)) &<< UInt64(8 &* i) }
    return word
  }

  /// Big-endian integers of binary formats; 0 bits for bytes outside the span.
  @inlinable @inline(__always)
  package func bigEndian16(at index: Int) -> UInt16 {
    UInt16(byte(at: index)) &<< 8 | UInt16(byte(at: index &+ 1))
  }
  @inlinable @inline(__always)
  package func bigEndian32(at index: Int) -> UInt32 {
    UInt32(bigEndian16(at: index)) &<< 16 | UInt32(bigEndian16(at: index &+ 2))
  }

  @inlinable
  package func equals(_ other: borrowing RawSpan) -> Bool {
    guard byteCount == other.byteCount else { return false }
    var i = 0
    while i &+ 8 <= byteCount {
      guard word(at: i) == other.word(at: i) else { return false }
      i &+= 8
    }
    while i < byteCount {
      guard byte(at: i) == other.byte(at: i) else { return false }
      i &+= 1
    }
    return true
  }

  // Most comparisons fail by their length: that much is inlined at the caller, the bytes are not.
  @inlinable @inline(__always)
  package func equals(_ text: StaticString) -> Bool {
    guard text.hasPointerRepresentation else { return equals(scalar: text) }
    return byteCount == text.utf8CodeUnitCount && hasBytes(of: text)
  }

  @usableFromInline
  func hasBytes(of text: StaticString) -> Bool {
    let start = unsafe text.utf8Start
    for i in 0..<byteCount where byte(at: i) != (unsafe start[i]) { return false }
    return true
  }

  /// ASCII letters match in either case; every other byte must be the same.
  @inlinable @inline(__always)
  package func equalsIgnoringCase(_ text: StaticString) -> Bool {
    guard text.hasPointerRepresentation else { return equals(scalar: text) }
    return byteCount == text.utf8CodeUnitCount && hasLetters(of: text)
  }

  @usableFromInline
  func hasLetters(of text: StaticString) -> Bool {
    let start = unsafe text.utf8Start
    for i in 0..<byteCount {
      let a = byte(at: i)
      let b = unsafe start[i]
      // Nearly always the case is the same too.
      guard a == b || a.asciiLowercased == b.asciiLowercased else { return false }
    }
    return true
  }

  @inlinable
  package func equalsIgnoringCase(_ other: borrowing RawSpan) -> Bool {
    guard byteCount == other.byteCount else { return false }
    for i in 0..<byteCount where byte(at: i).asciiLowercased != other.byte(at: i).asciiLowercased {
      return false
    }
    return true
  }

  /// A `StaticString` may hold one scalar instead of a pointer; nobody writes such literals here, but
  /// the pointer must not be asked for then.
  @usableFromInline
  func equals(scalar text: StaticString) -> Bool {
    text.withUTF8Buffer { utf8 in
      guard utf8.count == byteCount else { return false }
      for i in 0..<byteCount where byte(at: i) != (unsafe utf8[i]) { return false }
      return true
    }
  }

  /// The index of the first `wanted` at or after `start`, or nil.
  @inlinable
  package func firstIndex(of wanted: UInt8, from start: Int = 0) -> Int? {
    var i = Swift.max(start, 0)
    while i < byteCount {
      if unsafe unsafeLoad(fromUncheckedByteOffset: i, as: UInt8.self) == wanted { return i }
      i &+= 1
    }
    return nil
  }

  /// The number that the range spells in decimal digits alone; nil when it is empty, holds anything
  /// else, or passes 64 bits.
  @inlinable
  package func decimal(_ range: ByteRange) -> UInt64? {
    let end = Swift.min(range.end, byteCount)
    guard !range.isEmpty, range.start < end, range.end <= byteCount else { return nil }
    var value: UInt64 = 0
    // Below 20 digits nothing can overflow.
    if range.count < 20 {
      for i in range.start..<end {
        let digit = byte(at: i) &- 0x30
        guard digit < 10 else { return nil }
        value = value &* 10 &+ UInt64(digit)
      }
      return value
    }
    for i in range.start..<end {
      let digit = byte(at: i) &- 0x30
      guard digit < 10 else { return nil }
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
      guard !overflow, !carry else { return nil }
      value = sum
    }
    return value
  }

  /// The bytes as a copy that outlives the span.
  package func array(_ range: ByteRange) -> [UInt8] {
    unsafe extracting(range).withUnsafeBytes { unsafe [UInt8]($0) }
  }

  /// Text for people: invalid UTF-8, control characters and those that reorder a line become U+FFFD, so
  /// what a peer wrote can neither break a log line nor drive a terminal.
  package func string(_ range: ByteRange) -> String {
    let bytes = extracting(range)
    let decoded = unsafe bytes.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
    if bytes.isVisibleASCII { return decoded }
    guard decoded.unicodeScalars.contains(where: \.isUnfitForDisplay) else { return decoded }
    var text = String.UnicodeScalarView()
    for scalar in decoded.unicodeScalars {
      text.append(scalar.isUnfitForDisplay ? "\u{FFFD}" : scalar)
    }
    return String(text)
  }

  /// Characters from the space to the tilde alone: text that needs no care anywhere.
  package var isVisibleASCII: Bool {
    var i = 0
    var unfit: UInt64 = 0
    while i &+ 8 <= byteCount {
      let word = word(at: i)
      // The high bit of a byte tells: 0x80 and above as it is, below 0x20 by a borrow, 0x7f by a carry.
      unfit |= word | (word &- 0x2020_2020_2020_2020) | (word &+ 0x0101_0101_0101_0101)
      i &+= 8
    }
    guard unfit & 0x8080_8080_8080_8080 == 0 else { return false }
    while i < byteCount {
      guard 0x20...0x7e ~= byte(at: i) else { return false }
      i &+= 1
    }
    return true
  }

  /// `string(_:)` of the whole span.
  package var displayText: String { string(ByteRange(0, byteCount)) }
}

extension UInt8 {
  @inlinable @inline(__always)
  package var asciiLowercased: UInt8 { self &- 0x41 < 26 ? self | 0x20 : self }
  @inlinable package var isASCIIDigit: Bool { self &- 0x30 < 10 }
  @inlinable package var isASCIILetter: Bool { (self | 0x20) &- 0x61 < 26 }
  /// The value of a hexadecimal digit in either case.
  @inlinable package var hexDigitValue: UInt8? {
    if self &- 0x30 < 10 { return self &- 0x30 }
    let letter = (self | 0x20) &- 0x61
    return letter < 6 ? letter &+ 10 : nil
  }
  /// The lowercase hexadecimal digit of the low four bits.
  @inlinable package static func hexDigit(_ value: UInt8) -> UInt8 {
    let digit = value & 15
    return digit < 10 ? 0x30 &+ digit : 0x57 &+ digit
  }
}

extension Unicode.Scalar {
  fileprivate var isUnfitForDisplay: Bool {
    switch value {
    case 0..<0x20, 0x7f..<0xa0: true  // C0, DEL, C1
    case 0x200e, 0x200f, 0x2028...0x202e, 0x2066...0x2069: true  // line breaks, direction
    default: false
    }
  }
}

extension Array where Element == UInt8 {
  /// The array's bytes without `unsafe`: a byte has no padding and every bit pattern is one.
  @inlinable @inline(__always)
  package var rawSpan: RawSpan {
    @_lifetime(borrow self) get { unsafe span.bytes }
  }
}

extension Span where Element == UInt8 {
  @inlinable @inline(__always)
  package var rawSpan: RawSpan {
    @_lifetime(copy self) get { unsafe bytes }
  }
}
