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
/// overtakes a later one. Where the event package sets a `pace`, what changes sooner after a NOTIFY waits and is
/// told together (§4.2.2, and the packages' own words); the answer to a SUBSCRIBE and the end never wait. A NOTIFY
/// that is refused or lost ends the subscription (§4.2.2). A subscription that waits for somebody's approval
/// (`pending`) is not needed yet.
package struct NotifierSubscription: Sendable {
  package enum State: Sendable { case active, ending, gone }
  package enum Event: Sendable, Equatable {
    /// A SUBSCRIBE in the dialog; 0 seconds: it ends.
    case refreshed(Interval)
    /// There is something new to tell.
    case changed
    case ended(SubscriptionEnd)
    case expired
    /// What changed too soon may be told now.
    case paced
    /// The final answer to our NOTIFY; false: anything but a 2xx, or none at all.
    case answered(Bool)
  }
  package enum Effect: Sendable, Equatable {
    /// Send a NOTIFY with what there is now; `subscriptionState` says the rest.
    case notify
    case start(Interval)
    case stop
    /// `paced` is due after so long.
    case pause(Interval)
    case gone
  }

  /// How soon a subscription that ended for `probation` may begin anew.
  package static let probation = Interval.seconds(30)

  package private(set) var state = State.active
  package private(set) var expires: Instant
  package private(set) var end: SubscriptionEnd?
  /// The least time between two NOTIFYs that tell of changes.
  private let pace: Interval
  private var nextAt: Instant
  private var isNotifying = true
  private var isStale = false
  private var isUrgent = false
  private var isPausing = false

  /// The first NOTIFY is due at once, whatever there is to tell (§4.2.1.2); of a fetch, whose time is zero, it is
  /// the last one too (§4.4.3).
  package init(
    for duration: Interval, pace: Interval = .zero, at now: Instant, into effects: inout [Effect]
  ) {
    self.pace = pace
    expires = now + duration
    nextAt = now + pace
    if duration > .zero {
      effects.append(.start(duration))
    } else {
      state = .ending
      end = .timeout
    }
    effects.append(.notify)
  }

  package mutating func handle(_ event: Event, at now: Instant, into effects: inout [Effect]) {
    switch (state, event) {
    case (.active, .refreshed(let duration)):
      guard duration > .zero else { return finish(.timeout, at: now, into: &effects) }
      expires = now + duration
      effects.append(.start(duration))
      tell(isUrgent: true, at: now, into: &effects)
    case (.active, .changed): tell(isUrgent: false, at: now, into: &effects)
    case (.active, .ended(let reason)): finish(reason, at: now, into: &effects)
    case (.active, .expired): finish(.timeout, at: now, into: &effects)
    case (.active, .paced):
      isPausing = false
      proceed(at: now, into: &effects)
    case (.active, .answered(true)), (.ending, .answered(true)):
      isNotifying = false
      proceed(at: now, into: &effects)
      guard state == .ending, !isNotifying else { return }
      state = .gone
      effects.append(.gone)
    case (.active, .answered(false)), (.ending, .answered(false)):
      if state == .active { effects.append(.stop) }
      state = .gone
      effects.append(.gone)
    case (.ending, .refreshed), (.ending, .changed), (.ending, .ended), (.ending, .expired),
      (.ending, .paced):
      break
    case (.gone, .refreshed), (.gone, .changed), (.gone, .ended), (.gone, .expired),
      (.gone, .paced),
      (.gone, .answered):
      break
    }
  }

  private mutating func tell(isUrgent: Bool, at now: Instant, into effects: inout [Effect]) {
    isStale = true
    if isUrgent { self.isUrgent = true }
    proceed(at: now, into: &effects)
  }

  /// Sends what is to be told, unless a NOTIFY is under way or it is too soon for another.
  private mutating func proceed(at now: Instant, into effects: inout [Effect]) {
    guard isStale, !isNotifying else { return }
    if !isUrgent, now < nextAt {
      if !isPausing { effects.append(.pause(nextAt - now)) }
      isPausing = true
      return
    }
    isStale = false
    isUrgent = false
    isNotifying = true
    nextAt = now + pace
    effects.append(.notify)
  }

  private mutating func finish(
    _ reason: SubscriptionEnd, at now: Instant, into effects: inout [Effect]
  ) {
    state = .ending
    end = reason
    effects.append(.stop)
    tell(isUrgent: true, at: now, into: &effects)
  }

  /// `active;expires=SECONDS` or `terminated;reason=WHY` (§4.1.3).
  package func write(at now: Instant, into output: inout OutputBuffer) {
    if let end {
      output.append("terminated;reason=")
      output.append(end.rawValue)
      if end == .probation {
        output.append(";retry-after=")
        output.append(decimal: Self.probation.wholeSeconds)
      }
    } else {
      output.append("active;expires=")
      output.append(decimal: max((expires - now).wholeSeconds, 0))
    }
  }
}
