package import Base
package import Policy

/// An address of a trunk, watched for as long as the configuration or the resolver names it.
final class TrunkTarget {
  let key: TrunkTargets.Key
  let trunk: String
  /// As the configuration names it.
  var name: String
  /// Behind the @ of URIs to it.
  var host: String
  var listener: ListenerIndex
  /// Of TLS: whose certificate it must show.
  var security: TrunkSecurity?
  var settings: ProbeSettings
  /// What is changed in OPTIONS to it.
  var rules: RuleSet?
  var health: TargetHealth
  var handle = SlabHandle.none
  var timer = TimerID.none
  /// The OPTIONS under way, and when it was sent; past its time it counts as silence.
  var probe: ClientTransaction?
  var probeStarted = Instant.zero
  var probeTimer = TimerID.none
  var roundTrip: Interval?
  var probes: UInt64 = 0
  var probesFailed: UInt64 = 0
  var isNamed = true
  /// RFC 7339: our requests to it bear `oc`, what it asked for, and how many calls were not sent for that.
  var followsOverload = false
  var overload = OverloadFeedback()
  var leftOut: UInt64 = 0

  init(
    key: TrunkTargets.Key, trunk: String, name: String, host: String, listener: ListenerIndex,
    security: TrunkSecurity?, settings: ProbeSettings, health: TargetHealth
  ) {
    self.key = key
    self.trunk = trunk
    self.name = name
    self.host = host
    self.listener = listener
    self.security = security
    self.settings = settings
    self.health = health
  }

  /// Smoothed as RFC 6298 §2 smooths it; a sample of a repeated request says nothing (Karn).
  func measured(_ sample: Interval) {
    guard let known = roundTrip else {
      roundTrip = sample
      return
    }
    roundTrip = Interval(
      nanoseconds: known.nanoseconds - known.nanoseconds / 8 + sample.nanoseconds / 8)
  }
}

/// The targets that a shard watches, by trunk and address.
struct TrunkTargets: ~Copyable {
  struct Key: Hashable {
    /// Of `TrunkSeats`: stays the same over configurations.
    var seat: Int
    var address: SocketAddress
  }

  private(set) var all: Slab<TrunkTarget?>
  private var byKey: [Key: TrunkTarget] = [:]
  private var bySeat: [Int: [TrunkTarget]] = [:]
  /// OPTIONS under way, and those that wait for repetitions of their answer.
  var probes: [SlabHandle: ClientTransaction] = [:]

  init(limit: Int) { all = Slab(limit: limit, placeholder: nil) }

  subscript(key: Key) -> TrunkTarget? { byKey[key] }

  subscript(handle: SlabHandle) -> TrunkTarget? { all.isLive(handle) ? all[handle] : nil }

  /// False at the limit: the target is used, but nobody watches it.
  mutating func insert(_ target: TrunkTarget) -> Bool {
    guard let handle = all.insert(target) else { return false }
    target.handle = handle
    byKey[target.key] = target
    bySeat[target.key.seat, default: []].append(target)
    return true
  }

  mutating func remove(_ target: TrunkTarget) {
    byKey[target.key] = nil
    bySeat[target.key.seat]?.removeAll { $0 === target }
    _ = all.remove(target.handle)
  }

  func ofSeat(_ seat: Int) -> [TrunkTarget] { bySeat[seat] ?? [] }

  /// Timers that watching keeps running.
  var timers: Int {
    let own = inOrder.reduce(0) {
      $0 + ($1.timer == .none ? 0 : 1) + ($1.probeTimer == .none ? 0 : 1)
    }
    return probes.values.reduce(own) {
      $0 + ($1.resendTimer == .none ? 0 : 1) + ($1.expireTimer == .none ? 0 : 1)
    }
  }

  /// In the order in which they were made.
  var inOrder: [TrunkTarget] { all.handles.compactMap { all[$0] } }
}

/// A trunk's `probe`, with what follows from its other targets.
package struct ProbeSettings: Hashable, Sendable {
  /// Whether OPTIONS may be sent at all; and how often to a target that is well, nil: not.
  package var isProbed: Bool
  package var interval: Interval?
  package var failures: Int
  package var successes: Int
  package var slowStart: Interval
  /// The longest wait between two probes of a dead target.
  package var backOffLimit = Interval.seconds(60)
  /// The longest rest that a Retry-After brings.
  package var restLimit = Interval.seconds(300)

  /// Between a probe's failure or answer and the one that is to confirm it.
  static let confirmation = Interval.milliseconds(500)
  static let firstBackOff = Interval.seconds(2)
  /// OPTIONS at 0, 0.5, 1.5 and 3.5 s: all four of them are lost in 2 of 100 cases when one datagram in
  /// five is, and three such probes in a row in one of 200 000.
  static let patience = Interval.seconds(4)
  /// What a 503 to a probe means that does not say how long.
  static let rest = Interval.seconds(10)

  package init(_ policy: ProbePolicy, hasOthers: Bool) {
    isProbed = policy.enabled ?? true
    interval = policy.enabled ?? hasOthers ? policy.interval : nil
    failures = policy.failures
    successes = policy.successes
    slowStart = policy.slowStart
  }
}
