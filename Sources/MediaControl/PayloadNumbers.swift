/// What the payload types mean that a far end sends, where both sides of a call have not named a format by one number. Each
/// side names the numbers that it wants to get (RFC 3264 §5.1, §6.1), and some send by their own all the same; so a format
/// may come by either.
package struct PayloadNumbers: Hashable, Sendable {
  package struct Entry: Hashable, Sendable {
    /// As it comes.
    package var heard: UInt8
    /// By what the far end has named the format itself.
    package var own: UInt8
    /// By what the other end of the bridge has.
    package var leaving: UInt8

    package init(heard: UInt8, own: UInt8, leaving: UInt8) {
      self.heard = heard
      self.own = own
      self.leaving = leaving
    }
  }

  /// Formats beyond that go as they come.
  package static let limit = 8

  /// A byte for each entry, the first one lowest.
  package private(set) var heard: UInt64 = 0
  package private(set) var own: UInt64 = 0
  package private(set) var leaving: UInt64 = 0
  package private(set) var count = 0

  /// Everything goes as it comes.
  package init() {}

  /// Nil where it could not have come about by `append`.
  package init?(count: Int, heard: UInt64, own: UInt64, leaving: UInt64) {
    guard count <= Self.limit else { return nil }
    func byte(_ word: UInt64, _ i: Int) -> UInt8 {
      UInt8(truncatingIfNeeded: word >> UInt64(8 * i))
    }
    for i in 0..<count {
      append(Entry(heard: byte(heard, i), own: byte(own, i), leaving: byte(leaving, i)))
    }
    guard self.count == count, self.heard == heard, self.own == own, self.leaving == leaving else {
      return nil
    }
  }

  package var isEmpty: Bool { count == 0 }

  package subscript(i: Int) -> Entry {
    let shift = UInt64(8 * i)
    return Entry(
      heard: UInt8(truncatingIfNeeded: heard >> shift),
      own: UInt8(truncatingIfNeeded: own >> shift),
      leaving: UInt8(truncatingIfNeeded: leaving >> shift))
  }

  package func hears(_ type: UInt8) -> Bool { (0..<count).contains { self[$0].heard == type } }

  /// The first word on a number counts.
  package mutating func append(_ entry: Entry) {
    guard count < Self.limit, entry.heard < 128, entry.own < 128, entry.leaving < 128,
      !hears(entry.heard)
    else { return }
    let shift = UInt64(8 * count)
    heard |= UInt64(entry.heard) << shift
    own |= UInt64(entry.own) << shift
    leaving |= UInt64(entry.leaving) << shift
    count += 1
  }
}

extension RemoteMedia {
  /// By what can be seen here, a format of both has another number with `other`.
  package func mayNumberOtherwise(than other: RemoteMedia) -> Bool {
    if payloadType != other.payloadType, codec == other.codec { return true }
    let (mine, theirs) = (events, other.events)
    // What one of them has not named was added to its offer by us.
    if mine.narrow != theirs.narrow, mine.narrow != 255, theirs.narrow != 255 || mine.narrow != 101
    {
      return true
    }
    if mine.other != theirs.other, mine.other != 255, theirs.other != 255 { return true }
    for i in 0..<speech.count {
      let format = speech[i]
      guard let same = other.speech[format.codec] else {
        if format.payloadType >= 96 { return true }
        continue
      }
      if same.payloadType != format.payloadType { return true }
    }
    return false
  }
}
