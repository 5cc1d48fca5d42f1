import Base

/// One header field of a message: 8 bytes, as offsets fit 16 bits (`SIPLimits`).
struct IndexedField: BitwiseCopyable, Sendable {
  var nameOffset: UInt16 = 0
  var valueOffset: UInt16 = 0
  var valueCount: UInt16 = 0
  var nameCount: UInt8 = 0
  var id = HeaderID.other

  var name: ByteRange { ByteRange(Int(nameOffset), Int(nameCount)) }
  var value: ByteRange { ByteRange(Int(valueOffset), Int(valueCount)) }
}

/// The scratch space of a parser: where the header fields of the message at hand lie. One per parser,
/// used again for each message.
///
/// A message stays readable until the next parse into its index; after that it has no header fields
/// (rather than those of its successor).
package final class HeaderIndex {
  static let capacity = 128
  private static let absent: UInt8 = 0xff

  // Only the owner's thread touches these; exclusivity checks would cost a fifth of a parse.
  @exclusivity(unchecked) private var fields = InlineArray<128, IndexedField>(
    repeating: IndexedField())
  /// The first field of each id.
  @exclusivity(unchecked) private var firsts = InlineArray<128, UInt8>(repeating: absent)
  /// The ids below 64 that came more than once: all those of RFC 3261.
  @exclusivity(unchecked) private var repeated: UInt64 = 0
  @exclusivity(unchecked) private var used = 0
  @exclusivity(unchecked) private(set) var generation: UInt32 = 0
  private let names = HeaderNames()

  package init() {}

  @inline(__always)
  func begin() {
    unsafe firsts = InlineArray(repeating: Self.absent)
    unsafe used = 0
    unsafe repeated = 0
    unsafe generation &+= 1
  }

  /// Takes a field whose name is already interned; false when the index is full.
  @inline(__always)
  func append(_ field: IndexedField) -> Bool {
    guard unsafe used < Self.capacity else { return false }
    unsafe fields[used] = field
    let id = Int(field.id.rawValue)
    if unsafe firsts[id] == Self.absent {
      unsafe firsts[id] = UInt8(truncatingIfNeeded: used)
    } else {
      unsafe repeated |= id < 64 ? 1 &<< UInt64(id) : 0
    }
    unsafe used &+= 1
    return true
  }

  @inline(__always)
  func id(ofName bytes: RawSpan, _ start: Int, _ length: Int) -> HeaderID {
    names.id(bytes, start, length)
  }

  @inline(__always)
  func count(_ generation: UInt32) -> Int {
    unsafe generation == self.generation ? used : 0
  }

  /// Nil outside `0..<count` and for a message that this index no longer describes.
  @inline(__always)
  func field(_ i: Int, _ generation: UInt32) -> IndexedField? {
    guard i >= 0, i < count(generation) else { return nil }
    return unsafe fields[i]
  }

  @inline(__always)
  func first(_ id: HeaderID, _ generation: UInt32) -> Int? {
    guard unsafe generation == self.generation else { return nil }
    let first = unsafe firsts[Int(id.rawValue)]
    return first == Self.absent ? nil : Int(first)
  }

  /// Whether one of these came more than once; `ids` has a bit for each, by raw value.
  @inline(__always)
  func repeats(_ ids: UInt64, _ generation: UInt32) -> Bool {
    unsafe generation == self.generation && repeated & ids != 0
  }
}
