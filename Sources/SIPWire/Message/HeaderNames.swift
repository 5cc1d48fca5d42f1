import Base

/// The table that turns a header name of any case into its `HeaderID`: open addressing over up to
/// three lower-cased words of eight octets and the length, so a match is exact.
struct HeaderNames {
  private struct Entry {
    var first: UInt64 = 0
    var second: UInt64 = 0
    var third: UInt64 = 0
    var length: UInt8 = 0
    var id = HeaderID.other
  }

  /// Longer names are none of ours.
  private static let maxLength = 24
  private static let slots = 256

  private var entries = InlineArray<256, Entry>(repeating: Entry())

  init() {
    for id in HeaderID.allCases where id != .other {
      id.name.withUTF8Buffer { name in
        unsafe insert(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(name)), id)
      }
      if id.compact != 0 {
        let letter = [id.compact]
        insert(letter.rawSpan, id)
      }
    }
  }

  private mutating func insert(_ name: RawSpan, _ id: HeaderID) {
    let entry = Self.entry(name, 0, name.byteCount, id)
    var slot = Self.slot(entry.first, entry.length)
    while entries[slot].length != 0 { slot = (slot &+ 1) & (Self.slots &- 1) }
    entries[slot] = entry
  }

  /// Interns the `length` octets at `start`.
  @inline(__always)
  func id(_ bytes: RawSpan, _ start: Int, _ length: Int) -> HeaderID {
    guard length <= Self.maxLength else { return .other }
    let wanted = Self.entry(bytes, start, length, .other)
    var slot = Self.slot(wanted.first, wanted.length)
    while entries[slot].length != 0 {
      let entry = entries[slot]
      if entry.first == wanted.first, entry.length == wanted.length,
        entry.second == wanted.second, entry.third == wanted.third
      {
        return entry.id
      }
      slot = (slot &+ 1) & (Self.slots &- 1)
    }
    return .other
  }

  @inline(__always)
  private static func entry(_ bytes: RawSpan, _ start: Int, _ length: Int, _ id: HeaderID) -> Entry
  {
    var entry = Entry(length: UInt8(truncatingIfNeeded: length), id: id)
    entry.first = lowercased(prefix(bytes.word(at: start), length))
    guard length > 8 else { return entry }
    entry.second = lowercased(prefix(bytes.word(at: start &+ 8), length &- 8))
    guard length > 16 else { return entry }
    entry.third = lowercased(prefix(bytes.word(at: start &+ 16), length &- 16))
    return entry
  }

  /// The first `count` octets of `word`, zeros after them.
  @inline(__always)
  private static func prefix(_ word: UInt64, _ count: Int) -> UInt64 {
    count >= 8 ? word : word & (1 &<< UInt64(8 &* count) &- 1)
  }

  @inline(__always)
  private static func slot(_ first: UInt64, _ length: UInt8) -> Int {
    let mixed = (first ^ UInt64(length)) &* 0x9e37_79b9_7f4a_7c15
    return Int(truncatingIfNeeded: mixed &>> 56)
  }
}
