/// What the kernel says to messages of nfnetlink, read without trust.
struct NetfilterAnswer {
  /// The first refusal as an errno; 0: none.
  private(set) var refusal: Int32 = 0
  /// The last message, which asked for it, was carried out, and so was all before it.
  private(set) var isDone = false
  /// Attributes of the first message that is neither refusal nor acknowledgement; empty: there was none.
  private(set) var attributes: ArraySlice<UInt8> = []

  private static let headerSize = 16
  private static let familySize = 4
  private static let error: UInt16 = 2

  /// - Parameter sequence: of the last message that was sent.
  init(_ bytes: [UInt8], to sequence: UInt32) {
    var rest = bytes[...]
    while let length: UInt32 = rest.native(at: 0), let type: UInt16 = rest.native(at: 4),
      let number: UInt32 = rest.native(at: 8), length >= Self.headerSize, length <= rest.count
    {
      let body = rest.dropFirst(Self.headerSize).prefix(Int(length) - Self.headerSize)
      if type == Self.error, let code: Int32 = body.native(at: 0) {
        if code != 0, refusal == 0 { refusal = code == .min ? .max : -code }
        if code == 0, number == sequence { isDone = true }
      } else if type != Self.error, attributes.isEmpty {
        attributes = body.dropFirst(Self.familySize)
      }
      rest = rest.dropFirst((Int(length) + 3) & ~3)
    }
  }
}

extension ArraySlice<UInt8> {
  /// The attribute's value; nil: it is not there.
  func attribute(_ type: UInt16) -> ArraySlice<UInt8>? {
    var rest = self
    while let length: UInt16 = rest.native(at: 0), let found: UInt16 = rest.native(at: 2),
      length >= NetfilterMessages.attributeHeader, length <= rest.count
    {
      if found & 0x3fff == type {
        return rest.prefix(Int(length)).dropFirst(NetfilterMessages.attributeHeader)
      }
      rest = rest.dropFirst((Int(length) + 3) & ~3)
    }
    return nil
  }

  /// A number in the network's byte order.
  func bigEndian<Number: FixedWidthInteger>() -> Number? {
    let size = Number.bitWidth / 8
    guard count >= size else { return nil }
    return prefix(size).reduce(0) { $0 << 8 | Number(truncatingIfNeeded: $1) }
  }

  /// A number in the machine's byte order.
  fileprivate func native<Number: FixedWidthInteger>(at offset: Int) -> Number? {
    dropFirst(offset).bigEndian().map { Number(bigEndian: $0) }
  }
}
