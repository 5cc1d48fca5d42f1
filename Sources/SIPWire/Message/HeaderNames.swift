import Base

/// The table that turns a header name of any case into its `HeaderID`, exactly.
///
/// A name is up to three words of eight octets. For each the table has the octets in lower case and a
/// mask of the bits that may differ: the case bit of letters. One-letter names have a table of their own.
///
/// A class, because a table of some KiB in a struct would be copied for each name.
final class HeaderNames {
  private struct Word {
    var octets: UInt64 = 0
    /// Ones where a difference counts.
    var mask: UInt64 = 0

    @inline(__always)
    func matches(_ word: UInt64) -> Bool { (word ^ octets) & mask == 0 }
  }

  private struct Entry {
    var length = 0
    var first = Word()
    var second = Word()
    var third = Word()
  }

  private static let slots = 256

  /// By HeaderID.
  @exclusivity(unchecked) private var entries = InlineArray<128, Entry>(repeating: Entry())
  /// Open addressing by hash; `.other` ends a search.
  @exclusivity(unchecked) private var ids = InlineArray<256, HeaderID>(repeating: .other)
  /// By letter, from a on.
  @exclusivity(unchecked) private var letters = InlineArray<26, HeaderID>(repeating: .other)

  init() {
    for id in HeaderID.allCases where id != .other {
      id.name.withUTF8Buffer { name in
        unsafe insert(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(name)), id)
      }
      let letter = Int(id.compact) - 0x61
      if unsafe letters.indices.contains(letter) { unsafe letters[letter] = id }
    }
  }

  private func insert(_ name: RawSpan, _ id: HeaderID) {
    let n = name.byteCount
    unsafe entries[Int(id.rawValue)] = Entry(
      length: n, first: Self.entryWord(name, 0), second: Self.entryWord(name, 8),
      third: Self.entryWord(name, 16))
    var slot = Self.slot(name.word(at: 0), n)
    while unsafe ids[slot] != .other { slot = (slot &+ 1) & (Self.slots &- 1) }
    unsafe ids[slot] = id
  }

  private static func entryWord(_ name: RawSpan, _ at: Int) -> Word {
    var word = Word()
    for k in 0..<8 where at + k < name.byteCount {
      let c = name.byte(at: at + k)
      let shift = UInt64(8 * k)
      word.octets |= UInt64(c.asciiLowercased) << shift
      word.mask |= UInt64(c.isASCIILetter ? 0xdf : 0xff) << shift
    }
    return word
  }

  /// Interns the `length` octets at `start`.
  @inline(__always)
  func id(_ bytes: RawSpan, _ start: Int, _ length: Int) -> HeaderID {
    let word = bytes.word(at: start)
    guard length > 1 else { return letter(word, length) }
    var slot = Self.slot(word, length)
    while true {
      let id = unsafe ids[slot]
      guard id != .other else { return .other }
      let i = Int(id.rawValue)
      if unsafe entries[i].length == length, unsafe entries[i].first.matches(word),
        length <= 8 || restMatches(bytes, start, length, i)
      {
        return id
      }
      slot = (slot &+ 1) & (Self.slots &- 1)
    }
  }

  @inline(__always)
  private func restMatches(_ bytes: RawSpan, _ start: Int, _ length: Int, _ i: Int) -> Bool {
    unsafe entries[i].second.matches(bytes.word(at: start &+ 8))
      && (length <= 16 || entries[i].third.matches(bytes.word(at: start &+ 16)))
  }

  @inline(__always)
  private func letter(_ word: UInt64, _ length: Int) -> HeaderID {
    let i = Int(UInt8(truncatingIfNeeded: word) | 0x20) &- 0x61
    guard length == 1, i >= 0, i < 26 else { return .other }
    return unsafe letters[i]
  }

  /// Of the first eight octets of a name and its length, the same for either case.
  @inline(__always)
  private static func slot(_ word: UInt64, _ length: Int) -> Int {
    let own = length < 8 ? word & (1 &<< UInt64(8 &* length) &- 1) : word
    let mixed =
      ((own | 0x2020_2020_2020_2020) ^ UInt64(truncatingIfNeeded: length))
      &* 0x9e37_79b9_7f4a_7c15
    return Int(truncatingIfNeeded: mixed &>> 56)
  }
}
