package import Base

/// The sending side of reliable provisional responses: RFC 3262 §3.
///
///              sent: start resend T1, expire 64·T1
///     clear ────────────────────────────────────▶ awaiting ──resend: again, interval doubled──┐
///       ▲◀── PRACK of this RSeq and INVITE: stop both ──┤ ▲──────────────────────────────────┘
///       ▲◀── final response: stop both ─────────────────┤
///       └◀── expire: give up; the INVITE is refused 504 ┘
///
/// One response is outstanding at a time, so that they arrive in order; the owner keeps what waits. Deviation:
/// none. Over a reliable transport too, since the next hop is not the one that acknowledges.
package struct ReliableProvisional: Equatable, Sendable {
  package enum State: Equatable, Sendable {
    case clear
    case awaiting(rseq: UInt32, fork: UInt8, hasDescription: Bool, interval: Interval)
  }
  package enum Event: Equatable, Sendable {
    case sent(rseq: UInt32, fork: UInt8, hasDescription: Bool)
    case prack(rseq: UInt32, fork: UInt8)
    case final
    case fired(TransactionTimer)
  }

  package private(set) var state = State.clear

  package init() {}

  package var isClear: Bool { state == .clear }
  /// §3: no 2xx may follow before this one is acknowledged.
  package var holdsSuccess: Bool {
    if case .awaiting(_, _, true, _) = state { true } else { false }
  }

  package mutating func handle(
    _ event: Event, timers: TransactionTimers, into effects: inout [TransactionEffect]
  ) {
    switch (state, event) {
    case (.clear, .sent(let rseq, let fork, let hasDescription)):
      state = .awaiting(
        rseq: rseq, fork: fork, hasDescription: hasDescription, interval: timers.t1)
      effects.append(.start(.resend, after: timers.t1))
      effects.append(.start(.expire, after: timers.lifetime))
    case (.awaiting(let rseq, let fork, _, _), .prack(let acknowledged, let branch))
    where rseq == acknowledged && fork == branch:
      effects.append(.deliver)
      clear(into: &effects)
    case (.awaiting(let rseq, let fork, let has, let interval), .fired(.resend)):
      // Doubled each time, without T2's bound (§3).
      state = .awaiting(rseq: rseq, fork: fork, hasDescription: has, interval: interval * 2)
      effects.append(.resend)
      effects.append(.start(.resend, after: interval * 2))
    case (.awaiting, .fired(.expire)):
      effects.append(.timedOut)
      clear(into: &effects)
    case (.awaiting, .final): clear(into: &effects)
    // A PRACK of another response, a timer that fired while it was stopped, a second one while the first is
    // on its way (the owner asks `isClear` before).
    case (.awaiting, .prack), (.awaiting, .sent), (.clear, .prack), (.clear, .final),
      (.clear, .fired):
      break
    }
  }

  private mutating func clear(into effects: inout [TransactionEffect]) {
    state = .clear
    effects.append(.stop(.resend))
    effects.append(.stop(.expire))
  }
}
