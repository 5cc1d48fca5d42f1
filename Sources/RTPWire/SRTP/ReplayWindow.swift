/// Which packets of a flow have been taken or sent: the last 128 indexes (RFC 3711 §3.3.2 asks for 64 at least).
///
///     highest - 127 ............ highest
///         older: refused    bits: seen?    newer: moves the window
package struct ReplayWindow: Hashable, Sendable, BitwiseCopyable {
  package static let size: UInt64 = 128

  /// Of those noted; no meaning while nothing is.
  package private(set) var highest: UInt64 = 0
  /// Bit i: `highest` - i.
  private var seen: UInt128 = 0

  package init() {}

  package var isEmpty: Bool { seen == 0 }

  /// Whether `index` is neither seen nor too old to be known. To be asked before a packet is authenticated.
  package func admits(_ index: UInt64) -> Bool {
    guard !isEmpty, index <= highest else { return true }
    let age = highest &- index
    return age < Self.size && seen & (1 &<< UInt128(age)) == 0
  }

  /// To be called after a packet was authenticated.
  package mutating func note(_ index: UInt64) {
    guard !isEmpty, index <= highest else {
      let step = index &- highest
      seen = isEmpty || step >= Self.size ? 1 : seen &<< UInt128(step) | 1
      highest = index
      return
    }
    let age = highest &- index
    if age < Self.size { seen |= 1 &<< UInt128(age) }
  }
}
