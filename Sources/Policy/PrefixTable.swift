/// Longest-prefix match over dial strings, read-only once built.
///
/// A prefix of up to 16 symbols is one word, four bits a symbol from the left, so the sorted words are
/// in the order of the texts. The predecessor of a number in that order is either its longest prefix
/// or shares it as an ancestor (whatever lies between a prefix and the number has the same prefix), so
/// a lookup is one binary search and a short walk along `parents`.
package struct PrefixTable: Sendable {
  /// Longer prefixes are refused by `Configuration`.
  package static let maximumLength = 16

  private var keys: [UInt64] = []
  private var lengths: [UInt8] = []
  /// Index of the longest proper prefix of each entry; -1: none.
  private var parents: [Int32] = []
  private var values: [Int32] = []

  package init() {}

  /// Entries that are no dial string or too long are left out; of equal prefixes the first stays.
  package init(_ entries: some Sequence<(prefix: String, value: Int32)>) {
    var rows: [(key: UInt64, length: UInt8, value: Int32, order: Int)] = []
    for (order, entry) in entries.enumerated() {
      guard let (key, length) = Self.encode(entry.prefix), length == entry.prefix.utf8.count
      else { continue }
      rows.append((key, UInt8(length), entry.value, order))
    }
    // No symbol is 0, so equal words have equal lengths.
    rows.sort { ($0.key, $0.order) < ($1.key, $1.order) }
    keys.reserveCapacity(rows.count)
    var open: [Int32] = []
    for row in rows where keys.isEmpty || keys[keys.count - 1] != row.key {
      while let last = open.last, !isPrefix(Int(last), of: row.key) { open.removeLast() }
      parents.append(open.last ?? -1)
      open.append(Int32(keys.count))
      keys.append(row.key)
      lengths.append(row.length)
      values.append(row.value)
    }
  }

  package var count: Int { keys.count }
  package var isEmpty: Bool { keys.isEmpty }

  /// The value of the longest prefix of `number`, nil if none matches.
  package func longestMatch(_ number: String) -> Int32? {
    guard !keys.isEmpty, let (key, _) = Self.encode(number) else { return nil }
    var low = 0
    var high = keys.count
    while low < high {
      let middle = (low + high) / 2
      if keys[middle] <= key { low = middle + 1 } else { high = middle }
    }
    var candidate = low - 1
    while candidate >= 0 {
      if isPrefix(candidate, of: key) { return values[candidate] }
      candidate = Int(parents[candidate])
    }
    return nil
  }

  private func isPrefix(_ index: Int, of key: UInt64) -> Bool {
    let length = UInt64(lengths[index])
    return length == 0 || (keys[index] ^ key) >> (64 - 4 * length) == 0
  }

  /// The first 16 symbols as a word, and how many there were; nil if one is no dial symbol.
  private static func encode(_ text: String) -> (key: UInt64, length: Int)? {
    var key: UInt64 = 0
    var length = 0
    for byte in text.utf8 {
      guard let symbol = dialSymbol(byte) else { return nil }
      if length == maximumLength { break }
      key |= symbol << UInt64(60 - 4 * length)
      length += 1
    }
    return (key, length)
  }

  /// 1…13; 0 is "nothing", so that a prefix sorts before what continues it.
  private static func dialSymbol(_ byte: UInt8) -> UInt64? {
    switch byte {
    case 0x30...0x39: UInt64(byte) - 0x2f
    case UInt8(ascii: "+"): 11
    case UInt8(ascii: "*"): 12
    case UInt8(ascii: "#"): 13
    default: nil
    }
  }
}
