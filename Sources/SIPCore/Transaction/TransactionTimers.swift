package import Base

/// RFC 3261 table 4 and RFC 6026 §8: the values every transaction timer is made from.
package struct TransactionTimers: Sendable {
  package var t1: Interval = .milliseconds(500)
  package var t2: Interval = .seconds(4)
  package var t4: Interval = .seconds(5)
  package init() {}

  /// Timers B, F, H, L, M: 64·T1.
  package var lifetime: Interval { t1 * 64 }

  /// How long a request waits that carries on a non-INVITE of the other side. The other side's timer F started
  /// before, and its last copies come every T2, of which two may have been lost: an answer after it would be
  /// to nobody (RFC 4320 §1.2).
  package var carriedLifetime: Interval { t1 * 48 }
}

/// The two timers a transaction can have running. What RFC 3261 calls A, E and G resends; what it
/// calls B, D, F, H, I, J, K and RFC 6026 calls L and M ends a state. Never more than one of each.
package enum TransactionTimer: UInt8, Sendable { case resend, expire }

/// What a transaction asks of its owner. Appended to a buffer that the owner reuses.
package enum TransactionEffect: Equatable, Sendable {
  /// Send the stored request or the last response again.
  case resend
  case start(TransactionTimer, after: Interval)
  case stop(TransactionTimer)
  /// The message that was handed in is new to the transaction user.
  case deliver
  /// Build and send the ACK for the response at hand (RFC 3261 §17.1.1.3).
  case acknowledge
  /// No final response came, or no ACK: timer B, F or H, or the transport gave up.
  case timedOut
  /// Nothing will happen any more; the slot can be freed.
  case terminated
}
