package import Base

/// INVITE client transaction: RFC 3261 §17.1.1 with the Accepted state of RFC 6026 §7.2.
///
///                      INVITE sent
///                          │
///            timer A ┌─────▼─────┐  timer B / transport error
///            resend  │  Calling  ├───────────────────────────┐
///                    └─┬───┬───┬─┘                           │
///                  1xx │   │   │ 300-699: ACK                │
///              ┌───────▼┐  │   └───────────┐                 │
///              │Proceed-│  │2xx            │                 │
///          1xx │  ing   ├──┼──────────┐    │                 │
///              └───┬────┘  │   300-699│    │                 │
///               2xx│       │    ACK   │    │                 │
///                ┌─▼───────▼┐      ┌──▼────▼──┐              │
///     2xx: deliver│ Accepted│      │Completed │ 300-699: ACK │
///                └────┬─────┘      └────┬─────┘              │
///              timer M│          timer D│                    │
///                    ┌▼─────────────────▼┐                   │
///                    │    Terminated     ◀───────────────────┘
///                    └───────────────────┘
///
/// Deviations: none. UDP only sets timers A and D; a reliable transport passes `reliable: true`.
package struct InviteClientTransaction: Equatable, Sendable {
  package enum State: Equatable, Sendable {
    case calling(interval: Interval)
    case proceeding, completed, accepted, terminated
  }
  package enum Event: Equatable, Sendable {
    case provisional, success, failure
    case fired(TransactionTimer)
    case transportError
  }

  package private(set) var state: State
  private let reliable: Bool

  /// The request has just been sent.
  package init(
    reliable: Bool = false, timers: TransactionTimers, into effects: inout [TransactionEffect]
  ) {
    self.reliable = reliable
    state = .calling(interval: timers.t1)
    if !reliable { effects.append(.start(.resend, after: timers.t1)) }
    effects.append(.start(.expire, after: timers.lifetime))
  }

  /// `calling` and `proceeding` are the states in which a CANCEL makes sense (§9.1: only the second).
  package var isProceeding: Bool { state == .proceeding }
  package var isPending: Bool {
    switch state {
    case .calling, .proceeding: true
    case .completed, .accepted, .terminated: false
    }
  }

  package mutating func handle(
    _ event: Event, timers: TransactionTimers, into effects: inout [TransactionEffect]
  ) {
    switch (state, event) {
    case (.calling(let interval), .fired(.resend)):
      effects.append(.resend)
      effects.append(.start(.resend, after: interval * 2))
      state = .calling(interval: interval * 2)
    case (.calling, .provisional):
      effects.append(.stop(.resend))
      effects.append(.stop(.expire))
      effects.append(.deliver)
      state = .proceeding
    case (.proceeding, .provisional):
      effects.append(.deliver)
    case (.calling, .success), (.proceeding, .success):
      effects.append(.stop(.resend))
      effects.append(.start(.expire, after: timers.lifetime))
      effects.append(.deliver)
      state = .accepted
    case (.accepted, .success):
      effects.append(.deliver)
    case (.calling, .failure), (.proceeding, .failure):
      effects.append(.acknowledge)
      effects.append(.deliver)
      effects.append(.stop(.resend))
      complete(timers, into: &effects)
    case (.completed, .failure):
      effects.append(.acknowledge)
    case (.calling, .fired(.expire)), (.calling, .transportError):
      effects.append(.timedOut)
      terminate(into: &effects)
    case (.completed, .fired(.expire)), (.accepted, .fired(.expire)),
      (.completed, .transportError):
      terminate(into: &effects)
    // A response that came late or twice, a timer that fired while it was being stopped, and errors
    // that say nothing new: ignored by §17.1.1.2.
    case (.proceeding, .fired), (.proceeding, .transportError),
      (.completed, .provisional), (.completed, .success), (.completed, .fired(.resend)),
      (.accepted, .provisional), (.accepted, .failure), (.accepted, .fired(.resend)),
      (.accepted, .transportError), (.terminated, _):
      break
    }
  }

  /// Timer D: 32 s on UDP, nothing to wait for on a reliable transport.
  private mutating func complete(
    _ timers: TransactionTimers, into effects: inout [TransactionEffect]
  ) {
    if reliable {
      terminate(into: &effects)
    } else {
      effects.append(.start(.expire, after: timers.lifetime))
      state = .completed
    }
  }

  private mutating func terminate(into effects: inout [TransactionEffect]) {
    state = .terminated
    effects.append(.terminated)
  }
}
