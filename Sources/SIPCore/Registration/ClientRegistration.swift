package import Base

/// A user agent's registration with a registrar, kept alive: RFC 3261 §10.2 and §22.2, the waiting times after
/// RFC 5626 §4.5.
///
///     unregistered ──start──▶ trying ──401, 407──▶ challenged ──2xx──▶ registered
///                             ▲  │ └───2xx, nonce known──────────────────▲  │
///                             │  └─failure──▶ waiting ◀──failure──┘      │  │
///                             └──────due─────────┘                       │  │
///                             └──────────────due, 85 % of the time───────│──┘
///     flowLost: registered ──▶ waiting, and no longer registered
///     stop: removing ──any final answer, or none──▶ removed
///
/// What the RFCs leave open is settled here: the time before each try doubles up to a limit and is drawn
/// between a half and the whole of it; a registrar may ask for more time, never for less; a password that was
/// refused three times is tried seldom. A connection that registered and ends takes the registration with it (RFC
/// 5626 §4.5): the wait before the next try is that after a first failure, and doubles while connections end within two
/// minutes, so that a provider that closes each is not worked.
package struct ClientRegistration: Equatable, Sendable {
  package enum State: Equatable, Sendable {
    case unregistered, trying, challenged, registered, waiting, removing, removed
  }

  /// Why it is not registered.
  package enum Problem: Equatable, Sendable {
    case noAnswer, unreachable
    /// The registrar's name has come to no address.
    case unresolved
    /// The connection that registered has ended.
    case flowLost
    case refused(Int)
    /// The credentials were sent and challenged again, or answered with 403.
    case wrongCredentials(Int)
    /// A challenge of another realm, of an unknown algorithm, or without credentials to answer it.
    case unanswerable
    case redirected(Int)
    /// It wants longer registrations than we can ask for.
    case tooBrief
  }

  package enum Event: Equatable, Sendable {
    case start
    /// 2xx: what is left of the time for our own Contact.
    case accepted(Interval)
    case challenged(status: Int, isAnswerable: Bool, isStale: Bool)
    /// 423 and its Min-Expires.
    case tooBrief(minimum: Interval?)
    case refused(status: Int, retryAfter: Interval?)
    case timedOut, unreachable, unresolved
    /// The connection by which it is registered has ended.
    case flowLost
    /// The timer of `.wait`.
    case due
    case stop
  }

  package enum Effect: Equatable, Sendable {
    /// A REGISTER for so long, with an answer to the last challenge if there was one; zero removes the binding.
    case send(expires: Interval)
    /// In place of an earlier one.
    case wait(Interval)
    case cancelWait
    /// State, time or problem are others than before.
    case changed
    /// Nothing will happen any more.
    case ended
  }

  /// The bounds of what is left open.
  package struct Pace: Equatable, Sendable {
    package var first = Interval.seconds(4)
    package var most = Interval.seconds(600)
    /// Between tries of a password that was refused.
    package var refused = Interval.seconds(1_800)
    /// Refusals of a password before that.
    package var guesses = 3
    /// The most that a Retry-After is believed.
    package var retryAfter = Interval.seconds(3_600)
    /// A registrar that grants less is asked again no sooner than if it had granted this.
    package var leastGrant = Interval.seconds(10)
    package var mostGrant = Interval.seconds(7 * 86_400)
    /// A connection that ends sooner counts as one more failure in a row (RFC 5626 §4.5).
    package var leastFlow = Interval.seconds(120)
    /// How long an answer to the removal is waited for.
    package var farewell = Interval.seconds(4)
    package init() {}
  }

  package private(set) var state = State.unregistered
  package private(set) var problem: Problem?
  /// Until when the registrar keeps our binding, as far as we know.
  package private(set) var expires: Instant?
  /// In a row.
  package private(set) var failures = 0
  private var wanted: Interval
  private let pace: Pace
  private var refusals = 0
  /// Of this try.
  private var challenges = 0
  private var raised = false
  /// Since when it is registered without a break, and how many connections in a row ended soon after they had
  /// registered.
  private var registeredSince: Instant?
  private var shortFlows = 0

  package init(wanted: Interval, pace: Pace = Pace()) {
    self.wanted = wanted
    self.pace = pace
  }

  /// Whether the registrar knows us at this moment.
  package func isRegistered(at now: Instant) -> Bool {
    guard let expires, state != .removing, state != .removed else { return false }
    return expires > now
  }

  /// `draw` is random: it spreads what would otherwise come from many at once.
  package mutating func handle(
    _ event: Event, at now: Instant, draw: UInt64, into effects: inout [Effect]
  ) {
    switch (state, event) {
    case (.unregistered, .start), (.waiting, .start), (.waiting, .due), (.registered, .due),
      (.registered, .start):
      begin(into: &effects)
    case (.trying, .accepted(let granted)), (.challenged, .accepted(let granted)):
      accept(granted, now, into: &effects)
    case (.trying, .challenged(let status, let isAnswerable, let isStale)),
      (.challenged, .challenged(let status, let isAnswerable, let isStale)):
      challenge(status, isAnswerable, isStale, draw, into: &effects)
    case (.trying, .tooBrief(let minimum)), (.challenged, .tooBrief(let minimum)):
      raise(to: minimum, draw, into: &effects)
    case (.trying, .refused(let status, let after)), (.challenged, .refused(let status, let after)):
      refuse(status, after, draw, into: &effects)
    case (.trying, .timedOut), (.challenged, .timedOut):
      fail(.noAnswer, draw, into: &effects)
    case (.trying, .unreachable), (.challenged, .unreachable):
      fail(.unreachable, draw, into: &effects)
    case (.trying, .unresolved), (.challenged, .unresolved):
      fail(.unresolved, draw, into: &effects)
    case (.registered, .flowLost): loseFlow(now, draw, into: &effects)
    case (.trying, .flowLost), (.challenged, .flowLost), (.waiting, .flowLost):
      // A refresh was under way and fails by itself; until then nobody is registered.
      forgetFlow(now)
      effects.append(.changed)
    case (.trying, .stop), (.challenged, .stop), (.registered, .stop):
      remove(into: &effects)
    case (.waiting, .stop), (.unregistered, .stop):
      if let expires, expires > now { remove(into: &effects) } else { end(into: &effects) }
    case (.removing, .challenged(_, let isAnswerable, _)):
      challenges += 1
      guard isAnswerable, challenges <= 2 else { return end(into: &effects) }
      effects.append(.send(expires: .zero))
    case (.removing, .accepted), (.removing, .tooBrief), (.removing, .refused),
      (.removing, .timedOut), (.removing, .unreachable), (.removing, .unresolved),
      (.removing, .flowLost), (.removing, .due):
      end(into: &effects)
    // An answer to what was given up, and what cannot be.
    case (.unregistered, .accepted), (.unregistered, .challenged), (.unregistered, .tooBrief),
      (.unregistered, .refused), (.unregistered, .timedOut), (.unregistered, .unreachable),
      (.unregistered, .due), (.unregistered, .flowLost), (.unregistered, .unresolved),
      (.waiting, .unresolved), (.registered, .unresolved),
      (.waiting, .accepted), (.waiting, .challenged), (.waiting, .tooBrief), (.waiting, .refused),
      (.waiting, .timedOut), (.waiting, .unreachable),
      (.registered, .accepted), (.registered, .challenged), (.registered, .tooBrief),
      (.registered, .refused), (.registered, .timedOut), (.registered, .unreachable),
      (.trying, .start), (.trying, .due), (.challenged, .start), (.challenged, .due),
      (.removing, .start), (.removing, .stop), (.removed, _):
      break
    }
  }

  private mutating func begin(into effects: inout [Effect]) {
    state = .trying
    challenges = 0
    raised = false
    effects.append(.cancelWait)
    effects.append(.send(expires: wanted))
    effects.append(.changed)
  }

  private mutating func accept(_ granted: Interval, _ now: Instant, into effects: inout [Effect]) {
    let time = min(max(granted, pace.leastGrant), pace.mostGrant)
    state = .registered
    problem = nil
    failures = 0
    refusals = 0
    registeredSince = registeredSince ?? now
    expires = now + min(max(granted, .zero), pace.mostGrant)
    effects.append(.wait(.milliseconds(time.milliseconds / 100 * 85)))
    effects.append(.changed)
  }

  private mutating func loseFlow(
    _ now: Instant, _ draw: UInt64, into effects: inout [Effect]
  ) {
    forgetFlow(now)
    failures = max(shortFlows - 1, 0)
    fail(.flowLost, draw, into: &effects)
  }

  private mutating func forgetFlow(_ now: Instant) {
    guard let since = registeredSince else { return }
    shortFlows = now - since < pace.leastFlow ? shortFlows + 1 : 0
    registeredSince = nil
    expires = nil
  }

  private mutating func challenge(
    _ status: Int, _ isAnswerable: Bool, _ isStale: Bool, _ draw: UInt64,
    into effects: inout [Effect]
  ) {
    guard isAnswerable else { return fail(.unanswerable, draw, into: &effects) }
    challenges += 1
    // §22.2: credentials that were refused are not sent again, unless only the nonce was too old.
    guard state == .trying || (isStale && challenges <= 3) else {
      return fail(.wrongCredentials(status), draw, into: &effects)
    }
    state = .challenged
    effects.append(.send(expires: wanted))
    effects.append(.changed)
  }

  /// §10.2.8: once in a try, and not beyond a day.
  private mutating func raise(
    to minimum: Interval?, _ draw: UInt64, into effects: inout [Effect]
  ) {
    guard let minimum, !raised, minimum > wanted, minimum <= .seconds(86_400) else {
      return fail(.tooBrief, draw, into: &effects)
    }
    raised = true
    wanted = minimum
    challenges = 0
    state = .trying
    effects.append(.send(expires: wanted))
  }

  private mutating func refuse(
    _ status: Int, _ retryAfter: Interval?, _ draw: UInt64, into effects: inout [Effect]
  ) {
    let problem: Problem =
      switch status {
      case 300..<400: .redirected(status)
      case 403: .wrongCredentials(status)
      default: .refused(status)
      }
    fail(problem, retryAfter: retryAfter, draw, into: &effects)
  }

  private mutating func fail(
    _ problem: Problem, retryAfter: Interval? = nil, _ draw: UInt64, into effects: inout [Effect]
  ) {
    failures += 1
    var wait = min(pace.first * (1 << min(failures - 1, 16)), pace.most)
    if case .wrongCredentials = problem {
      refusals += 1
      if refusals >= pace.guesses { wait = pace.refused }
    }
    // Half of it is certain, half is drawn.
    let half = wait.milliseconds / 2
    let drawn = Int(draw.multipliedFullWidth(by: UInt64(clamping: half)).high)
    wait = .milliseconds(half + drawn)
    if let retryAfter { wait = max(wait, min(retryAfter, pace.retryAfter)) }
    self.problem = problem
    state = .waiting
    effects.append(.wait(wait))
    effects.append(.changed)
  }

  private mutating func remove(into effects: inout [Effect]) {
    state = .removing
    challenges = 0
    effects.append(.wait(pace.farewell))
    effects.append(.send(expires: .zero))
    effects.append(.changed)
  }

  private mutating func end(into effects: inout [Effect]) {
    state = .removed
    expires = nil
    effects.append(.cancelWait)
    effects.append(.changed)
    effects.append(.ended)
  }
}

extension ClientRegistration.Problem {
  /// The status that the registrar answered with; 0 where it said nothing.
  package var status: Int {
    switch self {
    case .refused(let status), .wrongCredentials(let status), .redirected(let status): status
    case .tooBrief: 423
    case .noAnswer, .unreachable, .unresolved, .flowLost, .unanswerable: 0
    }
  }

  /// One clause for people.
  package var text: String {
    switch self {
    case .noAnswer: "no answer"
    case .unreachable: "nobody listens there"
    case .unresolved: "its name has no address"
    case .flowLost: "the connection ended"
    case .refused(let status): "refused with \(status)"
    case .wrongCredentials(let status): "username or password refused with \(status)"
    case .unanswerable: "a challenge that cannot be answered"
    case .redirected(let status): "redirected with \(status), which is not followed"
    case .tooBrief: "wants a longer registration than can be asked for"
    }
  }
}
