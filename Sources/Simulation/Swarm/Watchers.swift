import Base
import CallCore
import Policy

/// Phones with lamps for others (RFC 4235), lit through a whole run: they refresh, are put out, fall silent and come
/// back, and what a lamp shows is compared with what the watched phone itself knows of its calls.
final class Watchers {
  private final class Lamp {
    let watcher: Agent
    let watched: Agent
    let uri: String
    var subscription: AgentSubscription
    /// Whoever has put it out or fallen silent is told nothing that it could be held to.
    var isOn = true
    var since: Instant

    init(_ watcher: Agent, _ watched: Agent, uri: String) {
      self.watcher = watcher
      self.watched = watched
      self.uri = uri
      subscription = watcher.subscribe(to: uri, "dialog", expires: Watchers.life)
      since = watcher.world.now
    }

    func light() {
      isOn = true
      since = watcher.world.now
      subscription = watcher.subscribe(to: uri, "dialog", expires: Watchers.life)
    }

    var isSubscribed: Bool {
      subscription.statuses.last == 200 && subscription.states.last?.hasPrefix("active") == true
    }

    /// The states of the dialogs that it shows. One that is said to be over is none.
    var shown: [String] {
      (subscription.bodies.last ?? "").matches(of: #/<state>(\w+)</state>/#)
        .map { String($0.output.1) }.filter { $0 != "terminated" }
    }
  }

  private static let life = 600
  /// As phones do it: well before the end.
  private static let refresh = Interval.seconds(200)
  /// A lamp may be as late: what the path takes, and the second between two NOTIFYs.
  private static let patience = Interval.seconds(5)

  private unowned let world: World
  private let lamps: [Lamp]
  private var isOver = false
  /// How often a lamp was found right, lit and dark.
  private(set) var seen = (lit: 0, dark: 0)

  init(_ world: World, _ office: SwarmOffice, count: Int, random: inout SeededRandom) {
    self.world = world
    // A second one of a phone for the same other would take the place of the first.
    var pairs: Set<[Int]> = []
    while pairs.count < count {
      let watcher = random.below(office.phones)
      pairs.insert([watcher, (watcher + 1 + random.below(office.phones - 1)) % office.phones])
    }
    lamps = pairs.sorted { $0.lexicographicallyPrecedes($1) }.map { pair in
      let (watcher, watched) = (pair[0], pair[1])
      return Lamp(
        world.agents[watcher], world.agents[watched],
        uri: "sip:\(office.phoneExtension(watched))@trunk.example")
    }
    for lamp in lamps { keep(lamp) }
    look()
  }

  private func look() {
    world.after(.milliseconds(500)) { [self] in
      guard !isOver else { return }
      compare()
      look()
    }
  }

  private func keep(_ lamp: Lamp) {
    world.after(Watchers.refresh) { [self] in
      guard !isOver else { return }
      if lamp.isOn, lamp.watcher.alive { refresh(lamp) }
      keep(lamp)
    }
  }

  private func refresh(_ lamp: Lamp) {
    if lamp.isSubscribed {
      lamp.subscription.subscribe(expires: Watchers.life)
    } else {
      lamp.light()
    }
  }

  // MARK: The run

  func step(_ random: inout SeededRandom) {
    guard random.chance(0.1) else { return }
    let lamp = lamps[random.below(lamps.count)]
    guard lamp.isOn, lamp.watcher.alive else { return }
    lamp.isOn = false
    switch random.below(3) {
    case 0: lamp.subscription.subscribe(expires: 0)
    case 1: lamp.subscription.isDeaf = true
    default: lamp.subscription.answer = 481
    }
    world.after(random.interval(1_000...90_000)) { [self] in
      if !isOver, lamp.watcher.alive { lamp.light() }
    }
  }

  /// Where nothing gets lost, a lamp follows its phone. What it has just been told may be of a call that has not reached
  /// the phone yet.
  private func compare() {
    let now = world.now
    for lamp in lamps
    where lamp.isOn && lamp.isSubscribed && isLongAgo(lamp.since, now)
      && isLongAgo(lamp.subscription.notifiedAt, now) && world.network.isReliable(lamp.watcher)
      && world.network.isReliable(lamp.watched) && world.network.link(of: lamp.watched).isReliable
      && world.network.link(of: lamp.watcher).isReliable
    {
      let calls = lamp.watched.calls
      let current = calls.first { call in
        call.state == .answered && call.isAgreed && !call.died && !call.isCutOff
          && call.answeredAt.map { isLongAgo($0, now) } ?? false
      }
      if let current {
        seen.lit += 1
        if !lamp.shown.contains("confirmed") { complain(lamp, "is not lit in a call", current) }
      } else if calls.allSatisfy({
        $0.isKnownToBeOver && $0.endedAt.map { isLongAgo($0, now) } ?? false
      }) {
        seen.dark += 1
        if !lamp.shown.isEmpty {
          let last = calls.max { $0.endedAt ?? .zero < $1.endedAt ?? .zero }
          complain(lamp, "shows \(lamp.shown), and there is no call", last)
        }
      }
    }
  }

  private func isLongAgo(_ instant: Instant, _ now: Instant) -> Bool {
    now - instant > Watchers.patience
  }

  /// Of the call that it is about, or of the lamp's own subscription.
  private func complain(_ lamp: Lamp, _ what: String, _ call: AgentCall? = nil) {
    world.violate(
      .method, "\(lamp.watcher.name)'s lamp for \(lamp.watched.name) \(what)",
      call?.callID ?? lamp.subscription.callID)
  }

  /// When all calls are over and nothing gets lost any more: each lamp is dark, goes out when asked to, and leaves nothing
  /// behind.
  func end() {
    isOver = true
    for lamp in lamps {
      lamp.subscription.isDeaf = false
      lamp.subscription.answer = 200
      refresh(lamp)
    }
    world.run(for: .seconds(5))
    // What had ended unheard is told so only now (RFC 6665 §4.1.2.2).
    for lamp in lamps where !lamp.isSubscribed { lamp.light() }
    world.run(for: .seconds(40))
    for lamp in lamps {
      guard lamp.isSubscribed else {
        complain(
          lamp,
          "cannot be lit: \(lamp.subscription.statuses) \(lamp.subscription.states.suffix(2))")
        continue
      }
      if !lamp.shown.isEmpty { complain(lamp, "shows \(lamp.shown) at the end") }
      lamp.subscription.subscribe(expires: 0)
    }
    world.run(for: .seconds(40))
    for lamp in lamps where lamp.subscription.states.last?.hasPrefix("terminated") != true {
      complain(
        lamp,
        "was not told that it is out: \(lamp.subscription.statuses) \(lamp.subscription.states.suffix(2))"
      )
    }
    world.run(for: .seconds(Watchers.life))
    let left = world.counters.subscriptions
    if left != 0 { world.violate(.rest, "\(left) subscriptions at rest", "") }
  }
}

extension AgentCall {
  /// Its ACK was sent, or has come: one without is over for the other side before it is told so.
  fileprivate var isAgreed: Bool { isCaller ? !acks.isEmpty : acknowledged }

  /// The other side was told of its end, or said it.
  fileprivate var isKnownToBeOver: Bool {
    guard !died, !isCutOff else { return false }
    return switch ending {
    case .hungUpHere, .hungUpThere, .refused, .cancelled: true
    case .neverAcknowledged, .timedOut, .died, nil: false
    }
  }
}
