package import Base

/// INVITE server transaction: RFC 3261 §17.2.1 with the Accepted state of RFC 6026 §7.1.
///
///                     INVITE received: 100 is sent by the owner
///                          │
///       INVITE: resend ┌───▼──────┐ transport error
///       1xx: send      │Proceeding├───────────────┐
///                      └──┬────┬──┘               │
///                     2xx │    │ 300-699          │
///                 ┌───────▼┐  ┌▼────────┐ timer G: resend
///        ACK:     │Accepted│  │Completed│ INVITE: resend
///        deliver  └───┬────┘  └─┬─────┬─┘         │
///              timer L│     ACK │     │ timer H   │
///                     │   ┌─────▼───┐ │ (timedOut)│
///                     │   │Confirmed│ │           │
///                     │   └─────┬───┘ │           │
///                     │  timer I│     │           │
///                    ┌▼─────────▼─────▼┐          │
///                    │   Terminated    ◀──────────┘
///                    └─────────────────┘
///
/// The 2xx itself is retransmitted by the user agent core (§13.3.1.4), not here.
package struct InviteServerTransaction: Equatable, Sendable {
  package enum State: Equatable, Sendable {
    case proceeding
    case completed(interval: Interval)
    case accepted, confirmed, terminated
  }
  package enum Event: Equatable, Sendable {
    /// The same INVITE again.
    case retransmission
    case ack
    /// The owner has sent a response of this class.
    case sentProvisional, sentSuccess, sentFailure
    case fired(TransactionTimer)
    case transportError
  }

  package private(set) var state: State = .proceeding
  private let reliable: Bool

  package init(reliable: Bool = false) { self.reliable = reliable }

  package mutating func handle(
    _ event: Event, timers: TransactionTimers, into effects: inout [TransactionEffect]
  ) {
    switch (state, event) {
    case (.proceeding, .retransmission), (.completed, .retransmission):
      effects.append(.resend)
    case (.proceeding, .sentProvisional):
      break
    case (.proceeding, .sentSuccess):
      effects.append(.start(.expire, after: timers.lifetime))
      state = .accepted
    case (.proceeding, .sentFailure):
      if !reliable { effects.append(.start(.resend, after: timers.t1)) }
      effects.append(.start(.expire, after: timers.lifetime))
      state = .completed(interval: timers.t1)
    case (.completed(let interval), .fired(.resend)):
      let next = min(interval * 2, timers.t2)
      effects.append(.resend)
      effects.append(.start(.resend, after: next))
      state = .completed(interval: next)
    case (.completed, .ack):
      effects.append(.stop(.resend))
      if reliable {
        terminate(into: &effects)
      } else {
        effects.append(.start(.expire, after: timers.t4))
        state = .confirmed
      }
    case (.completed, .fired(.expire)):
      effects.append(.timedOut)
      terminate(into: &effects)
    case (.accepted, .ack):
      effects.append(.deliver)
    case (.accepted, .fired(.expire)), (.confirmed, .fired(.expire)):
      terminate(into: &effects)
    case (.proceeding, .transportError), (.completed, .transportError):
      effects.append(.timedOut)
      terminate(into: &effects)
    // An INVITE after its 2xx is absorbed: the core resends (RFC 6026 §7.1). An ACK for a
    // response that was never sent, a second final response and late timers mean nothing.
    case (.proceeding, .ack), (.proceeding, .fired),
      (.completed, .sentProvisional), (.completed, .sentSuccess), (.completed, .sentFailure),
      (.accepted, .retransmission), (.accepted, .sentProvisional), (.accepted, .sentSuccess),
      (.accepted, .sentFailure), (.accepted, .fired(.resend)), (.accepted, .transportError),
      (.confirmed, .retransmission), (.confirmed, .ack), (.confirmed, .sentProvisional),
      (.confirmed, .sentSuccess), (.confirmed, .sentFailure), (.confirmed, .fired(.resend)),
      (.confirmed, .transportError), (.terminated, _):
      break
    }
  }

  private mutating func terminate(into effects: inout [TransactionEffect]) {
    state = .terminated
    effects.append(.terminated)
  }
}
