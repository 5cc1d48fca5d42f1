/// Packets of one logical stream to pages of Ogg (RFC 3533 §6).
package struct OggStream {
  /// Header types of a page.
  package enum Flags {
    package static let first: UInt8 = 2
    package static let last: UInt8 = 4
  }

  static let headerSize = 27
  /// Segments of a page at most.
  static let segments = 255

  private let serial: UInt32
  private var sequence: UInt32 = 0
  private var lacing: [UInt8] = []
  private var body: [UInt8] = []

  package init(serial: UInt32) { self.serial = serial }

  package var isEmpty: Bool { lacing.isEmpty }

  /// Whether a packet of so many bytes still goes into the page that is being filled.
  package func hasRoom(for bytes: Int) -> Bool { lacing.count + bytes / 255 + 1 <= Self.segments }

  package mutating func add(_ packet: ArraySlice<UInt8>) {
    // A segment of less than 255 bytes ends a packet, be it an empty one.
    lacing.append(contentsOf: repeatElement(255, count: packet.count / 255))
    lacing.append(UInt8(packet.count % 255))
    body.append(contentsOf: packet)
  }

  /// Ends the page: appends it to `bytes`. `granule`: samples of 48 kHz up to its end (RFC 7845 §4).
  package mutating func page(granule: UInt64, flags: UInt8 = 0, into bytes: inout [UInt8]) {
    let start = bytes.count
    bytes.append(contentsOf: "OggS".utf8)
    bytes.append(0)
    bytes.append(flags)
    Self.append(granule, count: 8, to: &bytes)
    Self.append(UInt64(serial), count: 4, to: &bytes)
    Self.append(UInt64(sequence), count: 4, to: &bytes)
    Self.append(0, count: 4, to: &bytes)
    bytes.append(UInt8(truncatingIfNeeded: min(lacing.count, Self.segments)))
    bytes.append(contentsOf: lacing)
    bytes.append(contentsOf: body)
    Self.sign(&bytes, from: start)
    sequence &+= 1
    lacing.removeAll(keepingCapacity: true)
    body.removeAll(keepingCapacity: true)
  }

  static func append(_ value: UInt64, count: Int, to bytes: inout [UInt8]) {
    for i in 0..<count { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * i))) }
  }

  /// Puts the checksum of the page that begins at `start` in its place.
  static func sign(_ bytes: inout [UInt8], from start: Int) {
    for i in 22..<26 { bytes[start + i] = 0 }
    let sum = checksum(bytes[start...])
    for i in 0..<4 {
      bytes[start + 22 + i] = UInt8(truncatingIfNeeded: sum >> UInt32(8 * i))
    }
  }

  /// §6: generator 0x04c11db7, nothing reflected, from 0 on.
  static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    var sum: UInt32 = 0
    for byte in bytes { sum = sum << 8 ^ table[Int(UInt8(truncatingIfNeeded: sum >> 24) ^ byte)] }
    return sum
  }

  private static let table: [UInt32] = (UInt32(0)..<256).map { index in
    (0..<8).reduce(index << 24) { sum, _ in
      sum & 0x8000_0000 != 0 ? sum << 1 ^ 0x04c1_1db7 : sum << 1
    }
  }
}

/// A page as it lies in a file.
package struct OggPage: Hashable {
  package var size: Int
  package var flags: UInt8
  package var granule: UInt64

  /// Nil: no whole page begins here, or its checksum is wrong.
  package init?(_ bytes: ArraySlice<UInt8>) {
    let start = bytes.startIndex
    guard bytes.count >= OggStream.headerSize, bytes.prefix(4).elementsEqual("OggS".utf8),
      bytes[start + 4] == 0
    else { return nil }
    let segments = Int(bytes[start + 26])
    guard bytes.count >= OggStream.headerSize + segments else { return nil }
    let body = bytes[(start + OggStream.headerSize)...].prefix(segments).reduce(0) { $0 + Int($1) }
    size = OggStream.headerSize + segments + body
    guard bytes.count >= size else { return nil }
    var page = Array(bytes.prefix(size))
    let said = Array(page[22..<26])
    OggStream.sign(&page, from: 0)
    guard Array(page[22..<26]) == said else { return nil }
    flags = page[5]
    granule = page[6..<14].reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }
}
