/// Non-INVITE server transaction: RFC 3261 §17.2.2, figure 8.
///
///     request ─▶ Trying ──1xx sent──▶ Proceeding ──final sent──▶ Completed ──timer J──▶ Terminated
///                  └───────────────final sent────────────────────▲
///     A retransmitted request gets the last response again, nothing while there is none.
package struct NonInviteServerTransaction: Equatable, Sendable {
  package enum State: Equatable, Sendable { case trying, proceeding, completed, terminated }
  package enum Event: Equatable, Sendable {
    case retransmission, sentProvisional, sentFinal
    case fired(TransactionTimer)
    case transportError
  }

  package private(set) var state: State = .trying
  private let reliable: Bool

  package init(reliable: Bool = false) { self.reliable = reliable }

  package mutating func handle(
    _ event: Event, timers: TransactionTimers, into effects: inout [TransactionEffect]
  ) {
    switch (state, event) {
    case (.trying, .sentProvisional):
      state = .proceeding
    case (.proceeding, .retransmission), (.completed, .retransmission):
      effects.append(.resend)
    case (.trying, .sentFinal), (.proceeding, .sentFinal):
      if reliable {
        state = .terminated
        effects.append(.terminated)
      } else {
        effects.append(.start(.expire, after: timers.lifetime))
        state = .completed
      }
    case (.completed, .fired(.expire)), (.proceeding, .transportError),
      (.completed, .transportError):
      state = .terminated
      effects.append(.terminated)
    case (.trying, .retransmission), (.trying, .fired), (.trying, .transportError),
      (.proceeding, .sentProvisional), (.proceeding, .fired),
      (.completed, .sentProvisional), (.completed, .sentFinal), (.completed, .fired(.resend)),
      (.terminated, _):
      break
    }
  }
}
