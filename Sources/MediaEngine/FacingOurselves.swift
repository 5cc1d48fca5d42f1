import Base

/// Transports whose far end is another port of ours: two calls that a PBX without media joins by giving each the
/// address that it had from the other.
///
///     phone ──▶ [a | b] ══▶ [c | d] ──▶ phone        once through ourselves: relayed
///     phone ──▶ [a | b] ══▶ [c | d] ══▶ [e | …       a path whose both ends face us could be a ring: dropped
///
/// A packet of ours is taken only where SDP named the very port that it comes from, so both calls must have named
/// each other. An echo sends back to whom it faces, which may be an echo too: it has an allowance, more than
/// speech needs and too little to hurt.
package struct EchoAllowance: Sendable {
  package static let packetsPerSecond = 200

  private var second = Instant.zero
  private var count = 0

  mutating func take(at now: Instant) -> Bool {
    if now - second >= .seconds(1) {
      second = now
      count = 0
    }
    count += 1
    return count <= Self.packetsPerSecond
  }
}
