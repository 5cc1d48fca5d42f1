package import Base

/// What a NOTIFY's Subscription-State said (RFC 6665 §4.1.3).
package enum NotifiedState: Sendable, Equatable {
  case pending(expires: Interval?)
  case active(expires: Interval?)
  case terminated(SubscriptionEnd?, retryAfter: Interval?)
}

/// A subscription as the subscriber has it (RFC 6665 §4.1.2, figure 1).
///
///     waiting ──NOTIFY──▶ pending ──NOTIFY──▶ active ──NOTIFY──▶ (either, as it says)
///        │ timer N            │                  │ terminated, no refresh answered
///        ▼                    ▼                  ▼
///       over ◀────────────────┴──────────────────┘
///
/// A 2xx to SUBSCRIBE says nothing of the state: NOTIFY does, and may come first. Refreshed when nine
/// tenths of the time are over.
package struct SubscriberSubscription: Sendable {
  package enum State: Sendable { case waiting, pending, active, over }
  package enum Event: Sendable, Equatable {
    /// 2xx to our SUBSCRIBE, with the time it grants.
    case accepted(Interval)
    /// Any other final answer, or none.
    case refused(Int)
    case notified(NotifiedState)
    case refreshDue
    /// Timer N: no NOTIFY in 64·T1; or the time is up.
    case expired
    case unsubscribe
  }
  package enum Effect: Sendable, Equatable {
    /// SUBSCRIBE again; zero: the last one.
    case subscribe(Interval)
    case startRefresh(Interval)
    case startExpiry(Interval)
    case stop
    case over(SubscriptionEnd?, retryAfter: Interval?)
  }

  /// 64·T1 (§4.1.2.4).
  package static let timerN = Interval.seconds(32)

  package private(set) var state = State.waiting
  private let duration: Interval

  package init(for duration: Interval, into effects: inout [Effect]) {
    self.duration = duration
    effects.append(.subscribe(duration))
    effects.append(.startExpiry(Self.timerN))
  }

  package mutating func handle(_ event: Event, into effects: inout [Effect]) {
    switch (state, event) {
    case (.waiting, .accepted(let granted)), (.pending, .accepted(let granted)),
      (.active, .accepted(let granted)):
      schedule(granted, into: &effects)
    // §4.1.2.3: a refresh that is refused with 481 ends it; after any other the old time still runs.
    case (.pending, .refused(let status)), (.active, .refused(let status)):
      if status == 481 { finish(.noresource, nil, into: &effects) }
    case (.waiting, .refused): finish(nil, nil, into: &effects)
    case (.waiting, .notified(let said)), (.pending, .notified(let said)),
      (.active, .notified(let said)):
      notified(said, into: &effects)
    case (.waiting, .refreshDue): break
    case (.pending, .refreshDue), (.active, .refreshDue): effects.append(.subscribe(duration))
    case (.waiting, .expired), (.pending, .expired), (.active, .expired):
      finish(.timeout, nil, into: &effects)
    case (.waiting, .unsubscribe), (.pending, .unsubscribe), (.active, .unsubscribe):
      effects.append(.subscribe(.zero))
      finish(nil, nil, into: &effects)
    case (.over, .accepted), (.over, .refused), (.over, .notified), (.over, .refreshDue),
      (.over, .expired), (.over, .unsubscribe):
      break
    }
  }

  private mutating func notified(_ said: NotifiedState, into effects: inout [Effect]) {
    switch said {
    case .pending(let expires):
      state = .pending
      if let expires { schedule(expires, into: &effects) }
    case .active(let expires):
      state = .active
      if let expires { schedule(expires, into: &effects) }
    case .terminated(let reason, let retryAfter): finish(reason, retryAfter, into: &effects)
    }
  }

  private func schedule(_ granted: Interval, into effects: inout [Effect]) {
    effects.append(.startExpiry(granted))
    effects.append(.startRefresh(.milliseconds(granted.milliseconds / 10 * 9)))
  }

  private mutating func finish(
    _ reason: SubscriptionEnd?, _ retryAfter: Interval?, into effects: inout [Effect]
  ) {
    state = .over
    effects.append(.stop)
    effects.append(.over(reason, retryAfter: retryAfter))
  }
}
