package import Base
import SIPWire

/// The parameters of a Via by which neighbours speak of overload (RFC 7339 §4).
package struct OverloadParameters: Equatable, Sendable {
  /// `oc-seq`: `1*12DIGIT "." 1*5DIGIT` (§9), mostly the time.
  package struct Sequence: Equatable, Comparable, Sendable {
    package var whole: UInt64
    package var part: UInt64

    package init(whole: UInt64, part: UInt64) {
      self.whole = whole
      self.part = part
    }

    package static func < (a: Sequence, b: Sequence) -> Bool {
      (a.whole, a.part) < (b.whole, b.part)
    }
  }

  /// There is an `oc`, with or without a value.
  package var isPresent = false
  /// Of a hundred requests, how many are not to be sent. Nil: `oc` has no value.
  package var loss: Int?
  /// `loss` is among the algorithms; also where none is named, since it must be (§4.2).
  package var hasLossAlgorithm = true
  /// In milliseconds.
  package var validity: Int?
  package var sequence: Sequence?

  /// `parameters` as `Via.params` has them.
  package init(_ bytes: RawSpan, _ range: ByteRange) {
    var parameters = Parameters(range)
    while let parameter = parameters.next(bytes) {
      guard Self.isOne(bytes, parameter.name) else { continue }
      let name = bytes.extracting(parameter.name)
      if name.byteCount == 2 {
        isPresent = true
        loss = Self.number(bytes, parameter.value).map { Int(min($0, 100)) }
      } else if name.equalsIgnoringCase("oc-algo") {
        hasLossAlgorithm = Self.contains(bytes, parameter.value, "loss")
      } else if name.equalsIgnoringCase("oc-validity") {
        validity = Self.number(bytes, parameter.value).map { Int(min($0, 1_000_000)) }
      } else if name.equalsIgnoringCase("oc-seq") {
        sequence = Self.sequence(bytes, parameter.value)
      }
    }
  }

  /// `oc` or `oc-…`. Asked for each parameter of each request's Via, so it ends early.
  static func isOne(_ bytes: RawSpan, _ name: ByteRange) -> Bool {
    guard name.count >= 2, bytes.byte(at: name.start) | 0x20 == UInt8(ascii: "o"),
      bytes.byte(at: name.start + 1) | 0x20 == UInt8(ascii: "c")
    else { return false }
    return name.count == 2 || bytes.byte(at: name.start + 2) == UInt8(ascii: "-")
  }

  private static func sequence(_ bytes: RawSpan, _ range: ByteRange) -> Sequence? {
    var dot = range.start
    while dot < range.end, bytes.byte(at: dot) != UInt8(ascii: ".") { dot += 1 }
    guard dot < range.end, let whole = number(bytes, ByteRange(from: range.start, to: dot)),
      let part = number(bytes, ByteRange(from: dot + 1, to: range.end))
    else { return nil }
    return Sequence(whole: whole, part: part)
  }

  /// Up to twelve digits and nothing else.
  private static func number(_ bytes: RawSpan, _ range: ByteRange) -> UInt64? {
    range.count <= 12 ? bytes.decimal(range) : nil
  }

  private static func contains(
    _ bytes: RawSpan, _ range: ByteRange, _ token: StaticString
  ) -> Bool {
    var list = CommaList(range)
    while let element = list.next(bytes) {
      if bytes.extracting(element).equalsIgnoringCase(token) { return true }
    }
    return false
  }
}
