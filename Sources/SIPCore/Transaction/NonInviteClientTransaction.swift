package import Base

/// Non-INVITE client transaction: RFC 3261 §17.1.2, figure 6.
///
///     request sent ─▶ Trying ──1xx──▶ Proceeding ──200-699──▶ Completed ──timer K──▶ Terminated
///                       └───────────200-699────────────────────▲
///     timer E resends in the first two states; timer F or a transport error ends them.
package struct NonInviteClientTransaction: Equatable, Sendable {
  package enum State: Equatable, Sendable {
    case trying(interval: Interval)
    case proceeding, completed, terminated
  }
  package enum Event: Equatable, Sendable {
    case provisional, final
    case fired(TransactionTimer)
    case transportError
  }

  package private(set) var state: State
  private let reliable: Bool

  package init(
    reliable: Bool = false, timers: TransactionTimers, into effects: inout [TransactionEffect]
  ) {
    self.reliable = reliable
    state = .trying(interval: timers.t1)
    if !reliable { effects.append(.start(.resend, after: timers.t1)) }
    effects.append(.start(.expire, after: timers.lifetime))
  }

  package mutating func handle(
    _ event: Event, timers: TransactionTimers, into effects: inout [TransactionEffect]
  ) {
    switch (state, event) {
    case (.trying(let interval), .fired(.resend)):
      let next = min(interval * 2, timers.t2)
      effects.append(.resend)
      effects.append(.start(.resend, after: next))
      state = .trying(interval: next)
    case (.proceeding, .fired(.resend)):
      effects.append(.resend)
      effects.append(.start(.resend, after: timers.t2))
    case (.trying, .provisional):
      if !reliable { effects.append(.start(.resend, after: timers.t2)) }
      effects.append(.deliver)
      state = .proceeding
    case (.proceeding, .provisional):
      effects.append(.deliver)
    case (.trying, .final), (.proceeding, .final):
      effects.append(.stop(.resend))
      effects.append(.deliver)
      if reliable {
        state = .terminated
        effects.append(.terminated)
      } else {
        effects.append(.start(.expire, after: timers.t4))
        state = .completed
      }
    case (.trying, .fired(.expire)), (.proceeding, .fired(.expire)),
      (.trying, .transportError), (.proceeding, .transportError):
      effects.append(.timedOut)
      state = .terminated
      effects.append(.terminated)
    case (.completed, .fired(.expire)):
      state = .terminated
      effects.append(.terminated)
    // Retransmitted responses and late timers (§17.1.2.2).
    case (.completed, .provisional), (.completed, .final), (.completed, .fired(.resend)),
      (.completed, .transportError), (.terminated, _):
      break
    }
  }
}
