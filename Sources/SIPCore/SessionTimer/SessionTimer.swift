package import Base

/// The session timer of one dialog: RFC 4028, as either refresher.
///
///            2xx of INVITE or UPDATE: agreed
///     off ────────────────────────────────▶ refreshing (we): refresh at SE/2 ──▶ refresh sent
///      ▲                                        ▲    2xx: from the start ◀──────────────┤
///      │ 2xx without Session-Expires            │    408, 481, silence: expired ◀───────┘
///      └────────────────────────────────── watching (they): expired at SE − min(32 s, SE/3) (§10)
///
/// Deviation: a peer that does not know the extension is refreshed by us all the same (§7.2, §9), so a peer
/// that vanishes is found out whatever it supports.
package struct SessionTimer: Equatable, Sendable {
  package enum Refresher: Equatable, Sendable { case us, them }
  package enum State: Equatable, Sendable {
    case off
    case running(refresher: Refresher, interval: Interval)
    /// Ours is on its way.
    case refreshing(interval: Interval)
  }
  package enum Event: Equatable, Sendable {
    /// A 2xx settled it, ours or theirs.
    case agreed(Refresher, Interval)
    case fired
    /// The refresh was answered: alive, but without a 2xx that settles anything (4xx, 5xx, 6xx).
    case refused
    /// It could not be sent now, or met another request on the way: again after so long.
    case postponed(Interval)
    /// 408, 481 or nothing at all.
    case lost
    case ended
  }
  package enum Effect: Equatable, Sendable {
    case start(Interval)
    case stop
    case refresh
    /// The dialog is to be ended with BYE.
    case expired
  }

  package private(set) var state = State.off

  package init() {}

  package var interval: Interval? {
    switch state {
    case .off: nil
    case .running(_, let interval), .refreshing(let interval): interval
    }
  }
  package var refresher: Refresher? {
    switch state {
    case .off: nil
    case .running(let refresher, _): refresher
    case .refreshing: .us
    }
  }

  package mutating func handle(_ event: Event, into effects: inout [Effect]) {
    switch (state, event) {
    case (_, .agreed(let refresher, let interval)):
      state = .running(refresher: refresher, interval: interval)
      effects.append(.start(Self.delay(refresher, interval)))
    case (.off, .fired), (.off, .refused), (.off, .postponed), (.off, .lost), (.off, .ended):
      break
    case (_, .ended):
      state = .off
      effects.append(.stop)
    case (.running(.us, let interval), .fired):
      state = .refreshing(interval: interval)
      effects.append(.refresh)
    case (.running(.them, _), .fired), (_, .lost):
      state = .off
      effects.append(.stop)
      effects.append(.expired)
    case (.refreshing(let interval), .refused):
      // The dialog is known there, so it lives; the next turn tries again.
      state = .running(refresher: .us, interval: interval)
      effects.append(.start(Self.delay(.us, interval)))
    case (.refreshing(let interval), .postponed(let wait)):
      state = .running(refresher: .us, interval: interval)
      effects.append(.start(wait))
    case (.running, .refused), (.running, .postponed), (.refreshing, .fired): break
    }
  }

  /// We refresh at half the interval (§7.2); of a peer's refresh we despair so long before its end that our
  /// BYE still reaches it in time (§10).
  private static func delay(_ refresher: Refresher, _ interval: Interval) -> Interval {
    let ns = interval.nanoseconds
    switch refresher {
    case .us: return Interval(nanoseconds: ns / 2)
    case .them:
      return Interval(nanoseconds: ns - min(Interval.seconds(32).nanoseconds, ns / 3))
    }
  }
}

/// What a request asks of the session timer, as seconds.
package struct SessionTimerRequest: Equatable, Sendable {
  package var supported: Bool
  package var expires: UInt32?
  package var minimum: UInt32?
  /// `refresher=uac` or `uas`, seen from the request's sender.
  package var senderRefreshes: Bool?

  package init(
    supported: Bool, expires: UInt32? = nil, minimum: UInt32? = nil, senderRefreshes: Bool? = nil
  ) {
    self.supported = supported
    self.expires = expires
    self.minimum = minimum
    self.senderRefreshes = senderRefreshes
  }
}

/// What one side of the trunk wishes of session timers.
package struct SessionTimerPolicy: Equatable, Hashable, Sendable {
  package enum Preference: String, Hashable, Sendable, CaseIterable { case auto, us, them }

  /// Seconds; 0: no session timer is asked for or granted.
  package var expires: UInt32
  package var minimum: UInt32
  package var refresher: Preference

  package init(expires: UInt32, minimum: UInt32, refresher: Preference = .auto) {
    self.expires = expires
    self.minimum = minimum
    self.refresher = refresher
  }

  /// RFC 4028 §4: nobody need accept less.
  package static let leastMinimum: UInt32 = 90

  package enum Grant: Equatable, Sendable {
    case none
    /// 422 with this Min-SE.
    case tooSmall(UInt32)
    case granted(seconds: UInt32, refresher: SessionTimer.Refresher)
  }

  /// What we answer a request with (§9, table 2).
  package func grant(_ request: SessionTimerRequest) -> Grant {
    guard expires > 0 else { return .none }
    let wished = request.expires
    // Whoever doesn't support the timer could do nothing with a 422 (§8.1).
    if let wished, request.supported, wished < minimum { return .tooSmall(minimum) }
    // An answer may lower what was asked for, never below the request's own Min-SE.
    let least = max(minimum, request.minimum ?? 0)
    let seconds = max(min(wished ?? expires, expires), least)
    guard request.supported else { return .granted(seconds: seconds, refresher: .us) }
    let refresher: SessionTimer.Refresher =
      switch request.senderRefreshes {
      case true?: .them
      case false?: .us
      case nil: self.refresher == .us ? .us : .them
      }
    return .granted(seconds: seconds, refresher: refresher)
  }
}
