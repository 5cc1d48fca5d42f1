/// Messages of nfnetlink (linux/netfilter/nfnetlink.h), written one after the other. Headers of messages and attributes
/// are in the machine's byte order, what stands in attributes of nf_tables in the network's.
struct NetfilterMessages {
  /// NLM_F_REQUEST is of every message.
  struct Flags: OptionSet {
    let rawValue: UInt16
    static let request = Flags(rawValue: 0x001)
    static let acknowledge = Flags(rawValue: 0x004)
    static let create = Flags(rawValue: 0x400)
    static let append = Flags(rawValue: 0x800)
  }

  private(set) var bytes: [UInt8] = []
  /// Of the last message, and of the last one that wants to be acknowledged.
  private(set) var sequence: UInt32
  private(set) var awaited: UInt32 = 0

  init(after sequence: UInt32) {
    self.sequence = sequence
    bytes.reserveCapacity(4_096)
  }

  /// - Parameters:
  ///   - type: with the subsystem in its high byte.
  ///   - resource: of the beginning and the end of a batch, the subsystem.
  mutating func message(
    _ type: UInt16, _ flags: Flags = [], family: UInt8 = 0, resource: UInt16 = 0,
    _ body: (inout NetfilterMessages) -> Void = { _ in }
  ) {
    sequence &+= 1
    if flags.contains(.acknowledge) { awaited = sequence }
    let start = bytes.count
    native(UInt32(0))
    native(type)
    native(flags.union(.request).rawValue)
    native(sequence)
    // The sender's port: the kernel knows it.
    native(UInt32(0))
    // struct nfgenmsg: family, version 0, resource.
    bytes += [family, 0]
    big(resource)
    body(&self)
    patch(UInt32(clamping: bytes.count - start), at: start)
  }

  // MARK: Attributes

  mutating func attribute(_ type: UInt16, _ value: some Collection<UInt8>) {
    native(UInt16(clamping: Self.attributeHeader + value.count))
    native(type)
    bytes += value
    while bytes.count % 4 != 0 { bytes.append(0) }
  }

  mutating func attribute(_ type: UInt16, text: String) { attribute(type, Array(text.utf8) + [0]) }

  mutating func attribute<Number: FixedWidthInteger>(_ type: UInt16, _ number: Number) {
    attribute(type, Self.bigEndian(number))
  }

  /// At most 64 KiB.
  mutating func nested(_ type: UInt16, _ body: (inout NetfilterMessages) -> Void) {
    let start = bytes.count
    native(UInt16(0))
    // NLA_F_NESTED.
    native(type | 0x8000)
    body(&self)
    patch(UInt16(clamping: bytes.count - start), at: start)
  }

  static let attributeHeader = 4

  static func bigEndian(_ number: some FixedWidthInteger) -> [UInt8] {
    stride(from: number.bitWidth - 8, through: 0, by: -8).map {
      UInt8(truncatingIfNeeded: number >> $0)
    }
  }

  // MARK: Bytes

  private mutating func big(_ number: some FixedWidthInteger) { bytes += Self.bigEndian(number) }

  private mutating func native(_ number: some FixedWidthInteger) {
    bytes += Self.bigEndian(number.bigEndian)
  }

  private mutating func patch(_ number: some FixedWidthInteger, at start: Int) {
    for (i, byte) in Self.bigEndian(number.bigEndian).enumerated() {
      bytes[start + i] = byte
    }
  }
}
