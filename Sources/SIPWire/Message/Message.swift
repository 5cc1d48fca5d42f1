package import Base

/// A header field: what it is, its name as the peer wrote it, and its value without white space at the
/// ends (inside it a folded line break may stand).
@frozen
package struct HeaderField: Hashable, Sendable, BitwiseCopyable {
  package var id: HeaderID
  package var name: ByteRange
  package var value: ByteRange
}

/// A SIP message as ranges over the buffer it was received into: nothing is copied, nothing decoded
/// before it is asked for.
///
/// Every range is relative to `bytes`. Accessors of single values look at the first field of that name;
/// `defect()` says whether a message breaks the rules that make this safe.
package struct Message: ~Escapable {
  package let bytes: RawSpan
  private let index: HeaderIndex
  private let generation: UInt32
  private let line: StartLine
  package let body: ByteRange

  @_lifetime(copy bytes)
  init(_ bytes: RawSpan, _ index: HeaderIndex, _ line: StartLine, body: ByteRange) {
    self.bytes = bytes
    self.index = index
    self.generation = unsafe index.generation
    self.line = line
    self.body = body
  }

  package var isRequest: Bool { line.status == 0 }
  /// `.other` for a method without a name here (see `methodToken`), and in every response.
  package var method: Method { line.method }
  /// Empty in a response.
  package var methodToken: ByteRange { line.token }
  /// Empty in a response.
  package var requestURI: ByteRange { isRequest ? line.text : .none }
  /// 100 to 699; 0 in a request.
  package var status: Int { Int(line.status) }
  /// Possibly empty; empty in a request.
  package var reason: ByteRange { isRequest ? .none : line.text }

  // MARK: Header fields

  package var headerCount: Int { index.count(generation) }

  /// The field at a position; an empty one of no name outside `0..<headerCount`.
  package func header(_ i: Int) -> HeaderField {
    guard let field = index.field(i, generation) else {
      return HeaderField(id: .other, name: .none, value: .none)
    }
    return HeaderField(id: field.id, name: field.name, value: field.value)
  }

  /// The value of the first field of this name.
  package func first(_ id: HeaderID) -> ByteRange? {
    guard let i = index.first(id, generation), let field = index.field(i, generation) else {
      return nil
    }
    return field.value
  }

  /// How many fields bear this name.
  package func count(_ id: HeaderID) -> Int {
    var count = 0
    var i = index.first(id, generation)
    while let found = i {
      count &+= 1
      i = next(id, after: found)
    }
    return count
  }

  /// The position of the first field of this name behind position `after`; -1 begins.
  package func next(_ id: HeaderID, after: Int) -> Int? {
    guard let first = index.first(id, generation) else { return nil }
    var i = max(first, after &+ 1)
    while let field = index.field(i, generation) {
      if field.id == id { return i }
      i &+= 1
    }
    return nil
  }

  /// Whether one of these ids, all of RFC 3261, stands in more than one field.
  func repeats(_ ids: UInt64) -> Bool { index.repeats(ids, generation) }

  /// Each element of the comma-separated lists that all fields of this name make up, in order.
  package func values(of id: HeaderID) -> HeaderValues {
    HeaderValues(index, generation, id)
  }
}

/// Walks the elements of a header's lists: commas in quoted strings and in `<>` don't separate, empty
/// elements are passed over.
package struct HeaderValues {
  private let index: HeaderIndex
  private let generation: UInt32
  private let id: HeaderID
  private var position = -1
  private var list = CommaList(.none)

  init(_ index: HeaderIndex, _ generation: UInt32, _ id: HeaderID) {
    self.index = index
    self.generation = generation
    self.id = id
  }

  /// The next element without white space around it. `bytes` are those of the message.
  package mutating func next(_ bytes: RawSpan) -> ByteRange? {
    while true {
      if let element = list.next(bytes) { return element }
      guard let value = nextField() else { return nil }
      list = CommaList(value)
    }
  }

  private mutating func nextField() -> ByteRange? {
    var i = position < 0 ? index.first(id, generation) ?? HeaderIndex.capacity : position &+ 1
    while let field = index.field(i, generation) {
      if field.id == id {
        position = i
        return field.value
      }
      i &+= 1
    }
    position = HeaderIndex.capacity
    return nil
  }
}
