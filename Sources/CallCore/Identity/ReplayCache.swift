import Base

/// PASSporTs that were good once, with the call that they were good for (RFC 8224 §12.1): in another call the same one
/// is a replay. A retry and a fork have the Call-ID of the first.
///
/// Two halves that take turns, so that forgetting costs nothing: a token is remembered for one to two lives.
struct ReplayCache {
  private var recent: [HashKey: HashKey] = [:]
  private var older: [HashKey: HashKey] = [:]
  private var turn = Instant.zero
  /// Tokens that were forgotten while they were still fresh.
  private(set) var forgotten: UInt64 = 0

  /// Whether another call has had the token; if not, it is this call's.
  ///
  /// - Parameters:
  ///   - life: how long a token can be good.
  ///   - limit: tokens of one half.
  mutating func isUsed(
    _ token: HashKey, by call: HashKey, life: Interval, limit: Int, at now: Instant
  ) -> Bool {
    if now >= turn {
      swap(at: now, life)
    } else if recent.count >= limit {
      forgotten &+= UInt64(older.count)
      swap(at: now, life)
    }
    if let known = recent[token] ?? older[token] { return known != call }
    recent[token] = call
    return false
  }

  private mutating func swap(at now: Instant, _ life: Interval) {
    older = recent
    recent = [:]
    turn = now + life
  }
}
