import Base

/// Walks words separated by spaces; several in a row count as one, and the line may end with some.
struct SDPWords {
  private(set) var at: Int
  private let end: Int

  init(_ range: ByteRange) {
    at = range.start
    end = range.end
  }

  mutating func next(_ bytes: RawSpan) -> ByteRange? {
    while at < end, bytes.byte(at: at) == 0x20 { at &+= 1 }
    guard at < end else { return nil }
    let start = at
    at = bytes.find(0x20, from: start, to: end)
    return ByteRange(from: start, to: at)
  }

  func isAtEnd(_ bytes: RawSpan) -> Bool {
    var rest = self
    return rest.next(bytes) == nil
  }
}
