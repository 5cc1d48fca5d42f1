package import Base

/// Whether one address of a trunk takes calls: a circuit breaker with hysteresis and a slow return.
///
///     usable ──failed──▶ doubtful ──n failed probes──▶ down ──m answers──▶ usable (slow start)
///       ▲  ▲                │                           │
///       │  └───answered─────┘                           └─ asked again at growing intervals
///       └──time is over (slow start)── resting ◀── 503 with Retry-After, from any state
///
/// A single failure is no proof: under 20 % loss one call in twenty meets silence. So it only makes the
/// target doubtful. New calls go round it from that moment, which costs them nothing, and probes find out
/// which it is. Only they can bring it down: what calls meet meanwhile is the same failure once more.
///
/// A target that may not be probed (`probing` off) is down at its first failure, for a while that doubles
/// from one to the next; then calls themselves are the probe.
package struct TargetHealth: Equatable, Sendable {
  package enum State: String, Equatable, Sendable, CaseIterable {
    case usable, doubtful, down, resting
  }
  package enum Event: Equatable, Sendable {
    /// Any response but a 503: also 404, 405 or 501 to OPTIONS comes from somebody who is there.
    case answered
    /// 503 with Retry-After; or without, to a probe.
    case busy(Interval)
    /// No response in time, ICMP, a refused connection, a failed handshake: `isProbe` says of what.
    case failed(TargetReason, isProbe: Bool)
    /// `nextAt` has come.
    case due
  }
  package enum Effect: Equatable, Sendable {
    case probe
    case became(usable: Bool, TargetReason)
  }

  package private(set) var state = State.usable
  package private(set) var since: Instant
  package private(set) var reason = TargetReason.new
  /// When `due` is to be given; nil: never by itself.
  package private(set) var nextAt: Instant?
  /// From here on its share of calls grows, for `slowStart`.
  private var returnedAt: Instant?
  private var failures = 0
  private var successes = 0
  private var backOff = Interval.zero
  private var heardAt: Instant?

  package init(
    at now: Instant, settings: ProbeSettings, random: inout RandomSource
  ) {
    since = now
    // The first of many targets' probes do not all leave at once.
    if let interval = settings.interval {
      nextAt = now + Self.part(min(interval, .seconds(2)), random: &random)
    }
  }

  package mutating func handle(
    _ event: Event, at now: Instant, settings: ProbeSettings, random: inout RandomSource,
    into effects: inout [Effect]
  ) {
    if event == .answered { heardAt = now }
    switch (state, event) {
    case (.usable, .answered):
      failures = 0
      backOff = .zero
    case (.usable, .failed(let why, let isProbe)):
      failures = isProbe ? 1 : 0
      if settings.isProbed, failures < settings.failures {
        move(to: .doubtful, why, now)
        nextAt = nil
        effects.append(.probe)
      } else {
        fall(why, now, settings, &random, &effects)
      }
    case (.usable, .due): probeByInterval(now, settings, &random, &effects)
    case (.doubtful, .answered):
      failures = 0
      move(to: .usable, .answered, now)
      nextAt = settings.interval.map { now + Self.jittered($0, random: &random) }
    case (.doubtful, .failed(let why, isProbe: true)):
      failures += 1
      if failures >= settings.failures {
        fall(why, now, settings, &random, &effects)
      } else {
        nextAt = now + Self.jittered(ProbeSettings.confirmation, random: &random)
      }
    case (.doubtful, .due):
      nextAt = nil
      effects.append(.probe)
    case (.down, .due):
      guard settings.isProbed else { return back(now, settings, &random, &effects) }
      nextAt = nil
      effects.append(.probe)
    case (.down, .answered):
      successes += 1
      if successes >= settings.successes {
        backOff = .zero
        back(now, settings, &random, &effects)
      } else {
        nextAt = now + Self.jittered(ProbeSettings.confirmation, random: &random)
      }
    case (.down, .failed(_, isProbe: true)):
      successes = 0
      waitLonger(now, settings, &random)
    case (.resting, .due): back(now, settings, &random, &effects)
    case (.resting, .busy(let time)):
      nextAt = max(nextAt ?? now, now + min(time, settings.restLimit))
    case (.usable, .busy(let time)), (.doubtful, .busy(let time)), (.down, .busy(let time)):
      let wasUsable = isUsable
      move(to: .resting, .busy, now)
      nextAt = now + min(time, settings.restLimit)
      if wasUsable { effects.append(.became(usable: false, .busy)) }
    // Calls that fail meanwhile tell nothing new; a rest ends by its time alone.
    case (.doubtful, .failed(_, isProbe: false)), (.down, .failed(_, isProbe: false)),
      (.resting, .answered), (.resting, .failed):
      break
    }
  }

  /// Whoever is told sees two states: a doubtful target has not failed yet.
  package var isUsable: Bool { state == .usable || state == .doubtful }

  /// The share of calls that it may have, in thousandths: less than all after a return.
  package func share(at now: Instant, settings: ProbeSettings) -> Int {
    guard state == .usable else { return 0 }
    guard let returnedAt, settings.slowStart > .zero else { return 1_000 }
    let grown = (now - returnedAt).nanoseconds / max(settings.slowStart.nanoseconds / 1_000, 1)
    return min(1_000, max(100, Int(grown)))
  }

  /// The settings changed while it waits for the next regular probe.
  package mutating func follow(
    _ settings: ProbeSettings, at now: Instant, random: inout RandomSource
  ) {
    guard state == .usable else { return }
    nextAt = settings.interval.map { now + Self.part($0, random: &random) }
  }

  // MARK: Steps

  private mutating func move(to next: State, _ why: TargetReason, _ now: Instant) {
    state = next
    reason = why
    since = now
  }

  private mutating func fall(
    _ why: TargetReason, _ now: Instant, _ settings: ProbeSettings, _ random: inout RandomSource,
    _ effects: inout [Effect]
  ) {
    successes = 0
    move(to: .down, why, now)
    waitLonger(now, settings, &random)
    effects.append(.became(usable: false, why))
  }

  private mutating func back(
    _ now: Instant, _ settings: ProbeSettings, _ random: inout RandomSource,
    _ effects: inout [Effect]
  ) {
    let why: TargetReason = state == .down && successes > 0 ? .answered : .timeOver
    move(to: .usable, why, now)
    failures = 0
    successes = 0
    returnedAt = now
    nextAt = settings.interval.map { now + Self.jittered($0, random: &random) }
    effects.append(.became(usable: true, why))
  }

  private mutating func waitLonger(
    _ now: Instant, _ settings: ProbeSettings, _ random: inout RandomSource
  ) {
    backOff = min(max(backOff * 2, ProbeSettings.firstBackOff), settings.backOffLimit)
    nextAt = now + Self.jittered(backOff, random: &random)
  }

  /// A target that calls heard from lately needs no probe.
  private mutating func probeByInterval(
    _ now: Instant, _ settings: ProbeSettings, _ random: inout RandomSource,
    _ effects: inout [Effect]
  ) {
    guard let interval = settings.interval else {
      nextAt = nil
      return
    }
    nextAt = now + Self.jittered(interval, random: &random)
    let half = Interval(nanoseconds: interval.nanoseconds / 2)
    if heardAt.map({ now - $0 > half }) ?? true { effects.append(.probe) }
  }

  /// Within a fifth of it, either way: what began together does not stay together.
  private static func jittered(_ interval: Interval, random: inout RandomSource) -> Interval {
    let fifth = interval.nanoseconds / 5
    return Interval(
      nanoseconds: interval.nanoseconds - fifth
        + Int64(random.next(below: Int(clamping: fifth * 2 + 1))))
  }

  private static func part(_ interval: Interval, random: inout RandomSource) -> Interval {
    Interval(nanoseconds: Int64(random.next(below: Int(clamping: interval.nanoseconds) + 1)))
  }
}

/// Why a target is in the state that it is in.
package enum TargetReason: String, Hashable, Sendable, CaseIterable {
  /// Nothing has been heard of it yet.
  case new
  case answered, silent, unreachable, busy
  /// Its rest is over, or the wait of a target that may not be probed.
  case timeOver = "time over"
}
