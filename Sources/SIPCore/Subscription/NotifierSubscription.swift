package import Base

/// Why a subscription ended, as Subscription-State says it (RFC 6665 §4.1.3).
package enum SubscriptionEnd: String, Sendable, CaseIterable {
  case deactivated, probation, rejected, timeout, giveup, noresource, invariant
}

/// A subscription as the notifier has it (RFC 6665 §4.2).
///
///                   SUBSCRIBE, or REFER with its implicit one
///                              │
///                              ▼
///          ┌──────────────  active  ◀──┐ refreshed, changed: NOTIFY
///     expired, ended,          │       │
///     unsubscribed             └───────┘
///          ▼
///        ending ──last NOTIFY answered, or refused, or lost──▶ (gone)
///
/// One NOTIFY is under way at a time: what changes meanwhile is told by the next one, so that no state
/// overtakes a later one. A NOTIFY that is refused or lost ends the subscription (§4.2.2). A subscription
/// that waits for somebody's approval (`pending`) is not needed yet.
package struct NotifierSubscription: Sendable {
  package enum State: Sendable { case active, ending, gone }
  package enum Event: Sendable, Equatable {
    /// A SUBSCRIBE in the dialog; 0 seconds: it ends.
    case refreshed(Interval)
    /// There is something new to tell.
    case changed
    case ended(SubscriptionEnd)
    case expired
    /// The final answer to our NOTIFY; false: anything but a 2xx, or none at all.
    case answered(Bool)
  }
  package enum Effect: Sendable, Equatable {
    /// Send a NOTIFY with what there is now; `subscriptionState` says the rest.
    case notify
    case start(Interval)
    case stop
    case gone
  }

  package private(set) var state = State.active
  package private(set) var expires: Instant
  package private(set) var end: SubscriptionEnd?
  private var isNotifying = true
  private var isStale = false

  /// The first NOTIFY is due at once, whatever there is to tell (§4.2.1.2).
  package init(for duration: Interval, at now: Instant, into effects: inout [Effect]) {
    expires = now + duration
    effects.append(.start(duration))
    effects.append(.notify)
  }

  package mutating func handle(_ event: Event, at now: Instant, into effects: inout [Effect]) {
    switch (state, event) {
    case (.active, .refreshed(let duration)):
      guard duration > .zero else { return finish(.timeout, into: &effects) }
      expires = now + duration
      effects.append(.start(duration))
      tell(into: &effects)
    case (.active, .changed): tell(into: &effects)
    case (.active, .ended(let reason)): finish(reason, into: &effects)
    case (.active, .expired): finish(.timeout, into: &effects)
    case (.active, .answered(true)), (.ending, .answered(true)): told(into: &effects)
    case (.active, .answered(false)), (.ending, .answered(false)):
      if state == .active { effects.append(.stop) }
      state = .gone
      effects.append(.gone)
    case (.ending, .refreshed), (.ending, .changed), (.ending, .ended), (.ending, .expired): break
    case (.gone, .refreshed), (.gone, .changed), (.gone, .ended), (.gone, .expired),
      (.gone, .answered):
      break
    }
  }

  private mutating func tell(into effects: inout [Effect]) {
    guard !isNotifying else {
      isStale = true
      return
    }
    isNotifying = true
    effects.append(.notify)
  }

  private mutating func told(into effects: inout [Effect]) {
    isNotifying = false
    if isStale {
      isStale = false
      return tell(into: &effects)
    }
    guard state == .ending else { return }
    state = .gone
    effects.append(.gone)
  }

  private mutating func finish(_ reason: SubscriptionEnd, into effects: inout [Effect]) {
    state = .ending
    end = reason
    effects.append(.stop)
    tell(into: &effects)
  }

  /// `active;expires=SECONDS` or `terminated;reason=WHY` (§4.1.3).
  package func write(at now: Instant, into output: inout OutputBuffer) {
    if let end {
      output.append("terminated;reason=")
      output.append(end.rawValue)
    } else {
      output.append("active;expires=")
      output.append(decimal: max((expires - now).wholeSeconds, 0))
    }
  }
}
