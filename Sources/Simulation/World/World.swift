package import Base
package import CallCore
package import MediaControl
package import Policy
package import Resolution

/// The rules whose breach a world notes; each is one of RELIABILITY's invariants or of RFC 3261's.
package enum Rule: String, Sendable, CaseIterable {
  case wellFormed, dialog, cseq, sdp, media, destination, canary, finalResponse, retransmission
  case durability, record, ending, orphan, rest, success, acknowledgement, method
  case glare, order
}

package struct Violation: Hashable, Sendable, CustomStringConvertible {
  package var rule: Rule
  package var text: String
  package var at: Instant
  /// Of the call that it concerns; empty: none in particular.
  package var callID: String

  package var description: String { "[\(rule.rawValue)] \(at.nanoseconds / 1_000_000) ms: \(text)" }
}

/// What a world is made of. The same seed and settings make the same run, to the last byte.
package struct WorldSettings: Sendable {
  package var seed: UInt64 = 1
  package var resources = Resources()
  package var listeners: [Listener] = []
  package var mediaAddresses: [MediaAddress] = []
  /// What stands in SDP for each media address; the bound one where it is missing.
  package var advertisedMedia: [IPAddress] = []
  package var link = LinkQuality.perfect
  /// The address that a NAT shows in place of a listener's, both ways.
  package var natted: [ListenerIndex: IPAddress] = [:]
  package var limits = ShardLimits()
  package var speaksG729 = false
  /// What every start is given of the process before.
  package var remembered = BorderMemory()
  package init() {}
}

/// The real engine on a virtual clock, between a virtual network, a store and a media plane of its own,
/// with scripted agents around it. Single-threaded; time passes only in `run`.
package final class World {
  package private(set) var settings: WorldSettings
  package private(set) var now = Instant(nanoseconds: 1_000_000_000)
  private var queue = EventQueue()
  private var random: SeededRandom
  package private(set) var shard: Shard?
  package private(set) lazy var media = SimulatedMedia(
    addresses: settings.mediaAddresses, advertised: settings.advertisedMedia, world: self,
    random: mediaRandom)
  package private(set) lazy var network = SimulatedNetwork(world: self, random: networkRandom)
  package private(set) lazy var store = SimulatedStore(world: self, random: storeRandom)
  package private(set) lazy var auditor = Auditor(world: self)
  private let mediaRandom: SeededRandom
  private let storeRandom: SeededRandom
  private let networkRandom: SeededRandom
  package private(set) var agents: [Agent] = []
  /// Counts the crashes: what was under way in an earlier epoch does not arrive.
  package private(set) var epoch = 0
  private var crashed = Instant.zero
  package private(set) var violations: [Violation] = []
  /// Every fact of the present epoch, stored or not.
  package private(set) var facts: [Fact] = []
  package var trace = WorldTrace()
  /// A planted bug, to see that the invariants notice it.
  package var mutation: Mutation?
  /// What DNS says of a name, 20 ms after it is asked; nil: nothing is ever answered.
  package var resolve: (LocationRequest) -> Location? = { _ in Location(.none) }
  /// What comes of a certificate's URL, `fetchTime` after it is asked for; nil: nothing ever does.
  package var fetch: (String) -> CertificateAnswer? = { _ in nil }
  package var fetchTime = Interval.milliseconds(20)
  /// How long the engine's thread takes over a message, given whether it let a call in. Nil: no time. What arrives
  /// meanwhile waits, as in a socket's buffer of `backlogLimit` datagrams.
  package var service: ((AgentMessage?, _ letIn: Bool) -> Interval)?
  package var backlogLimit = 4_000
  private var backlog = Backlog()
  private var isServing = false
  private var answers: [UInt64: ShardAnswer] = [:]
  private var queries: UInt64 = 0
  private var revision: UInt64 = 0

  package init(_ settings: WorldSettings) {
    var filled = settings
    for address in settings.mediaAddresses.dropFirst(settings.advertisedMedia.count) {
      filled.advertisedMedia.append(address.bound)
    }
    self.settings = filled
    random = SeededRandom(seed: settings.seed)
    mediaRandom = random.fork()
    storeRandom = random.fork()
    networkRandom = random.fork()
  }

  // MARK: The engine's life

  /// Starts the engine, first or after a crash. What was registered before comes back from the store, and so do the
  /// calls that were up, where they are to go on.
  package func start(
    restoring bindings: [Binding] = [], recovers: Bool = false
  ) throws(ConfigurationProblems) {
    revision += 1
    let configuration = try compile(settings.resources)
    var engine = ShardSettings(
      incarnation: UInt64(1_700_000_000_000 + epoch), secret: random.bytes(32),
      listeners: settings.listeners, mediaAddresses: settings.mediaAddresses)
    engine.limits = settings.limits
    engine.speaksG729 = settings.speaksG729
    engine.remembered = settings.remembered
    engine.certificateFingerprint = AgentDTLS.ours
    shard = Shard(settings: engine, configuration: configuration, now: now)
    if recovers { shard?.recover(store.established(lastAlive: crashed), at: now) }
    drain()
    media.start()
    if !bindings.isEmpty { input(.restoreBindings(bindings)) }
  }

  /// New resources, taken at once by new calls.
  package func apply(_ resources: Resources) throws(ConfigurationProblems) {
    revision += 1
    input(.configuration(try compile(resources)))
  }

  /// The listener is taken away, and resources that can do without it come instead.
  package func leave(
    _ listener: SocketAddress, for resources: Resources
  ) throws(ConfigurationProblems) {
    guard let index = network.listener(at: listener) else { return }
    settings.listeners[Int(index)].state = .leaving
    revision += 1
    input(.listeners(settings.listeners, try compile(resources)))
  }

  private func compile(_ resources: Resources) throws(ConfigurationProblems) -> Configuration {
    try Configuration(
      resources: resources, revision: revision,
      listeners: settings.listeners.map { ($0.state == .open ? $0.name : "", $0.bound) },
      media: settings.mediaAddresses.map { ($0.name, $0.bound) },
      transports: settings.listeners.map(\.transport))
  }

  /// The process is gone between two instructions: all that it had not stored goes with it.
  package func crash() {
    shard = nil
    crashed = now
    for agent in agents {
      for call in agent.calls { call.isCutOff = true }
    }
    epoch += 1
    store.crash()
    media.crash()
    facts = []
  }

  /// Crashes, and starts again some time later with what the disk has.
  package func restart(
    after pause: Interval, recovers: Bool
  ) throws(ConfigurationProblems) {
    var bindings: [Binding] = []
    if case .registrations(let known)? = ask(.registrations) { bindings = known }
    crash()
    auditor.forget()
    run(for: pause)
    try start(restoring: bindings, recovers: recovers)
  }

  /// Starts on another configuration than the one before the crash.
  package func start(with resources: Resources) throws(ConfigurationProblems) {
    settings.resources = resources
    try start(recovers: true)
  }

  /// Of the next process.
  package func setMediaPorts(_ ports: ClosedRange<UInt16>) {
    for i in settings.mediaAddresses.indices { settings.mediaAddresses[i].ports = ports }
    media.addresses = settings.mediaAddresses
  }

  package func input(_ input: ShardInput) {
    guard let shard else { return }
    if case .located(_, let location) = input {
      auditor.sources.formUnion(location.addresses.map(\.address))
    }
    shard.handle(input, at: now)
    drain()
  }

  func confirm(upTo sequence: UInt64) {
    auditor.confirmed(upTo: sequence)
    input(.durable(upTo: sequence))
  }

  /// Answered at once: nothing of the world passes meanwhile.
  package func ask(_ query: ShardQuery) -> ShardAnswer? {
    queries += 1
    let token = queries
    input(.query(query, token: token))
    return answers.removeValue(forKey: token)
  }

  package var counters: ShardCounters {
    if case .counters(let counters)? = ask(.counters) { return counters }
    return ShardCounters()
  }

  /// Carries away what the engine wants done.
  private func drain() {
    guard let shard, !shard.outbox.isEmpty else { return }
    let commands = shard.outbox.media
    let newFacts = shard.outbox.facts
    for (token, answer) in shard.outbox.answers { answers[token] = answer }
    let datagrams = World.records(shard.outbox.datagrams)
    let names = shard.outbox.names
    let certificates = shard.outbox.certificates
    for listener in shard.outbox.closedListeners {
      settings.listeners[Int(listener)].state = .closed
    }
    shard.outbox.removeAll()
    for command in commands.flatMap({ mutation?.command($0) ?? [$0] }) { media.handle(command) }
    let kept = newFacts.flatMap { mutation?.fact($0) ?? [$0] }
    for fact in kept { auditor.fact(fact) }
    facts += kept
    store.append(kept)
    let early = mutation?.confirmsEarly == true ? kept.last : nil
    for (listener, to, connects, bytes) in datagrams {
      network.emit(bytes, to: to, by: listener, connects: connects)
    }
    for case .watch(let request) in names {
      after(.milliseconds(20)) { [self] in
        if let location = resolve(request) { input(.located(request, location)) }
      }
    }
    for url in certificates {
      after(fetchTime) { [self] in
        if let answer = fetch(url) { input(.certificate(url: url, answer)) }
      }
    }
    if let early { input(.durable(upTo: early.sequence)) }
  }

  private static func records(
    _ buffer: borrowing OutputBuffer
  ) -> [(listener: ListenerIndex, to: SocketAddress, connects: Bool, bytes: [UInt8])] {
    var records: [(listener: ListenerIndex, to: SocketAddress, connects: Bool, bytes: [UInt8])] = []
    for record in 0..<buffer.count {
      let span = buffer.bytes(of: record)
      var bytes: [UInt8] = []
      bytes.reserveCapacity(span.byteCount)
      for index in 0..<span.byteCount { bytes.append(span.byte(at: index)) }
      records.append(
        (
          buffer.listener(of: record), buffer.destination(of: record),
          buffer.connectPort(of: record) != 0, bytes
        ))
    }
    return records
  }

  // MARK: Agents, and what arrives from them

  package func agent(
    _ name: String, at address: SocketAddress, trunk: SocketAddress, user: String
  ) -> Agent {
    let agent = Agent(
      index: agents.count, name: name, address: address, trunk: trunk, user: user, world: self,
      random: random.fork())
    agents.append(agent)
    network.attach(agent)
    return agent
  }

  /// At one of the engine's listeners.
  func take(_ datagram: Datagram, on listener: ListenerIndex) {
    guard let shard else { return }
    guard service != nil else { return hand(datagram, listener, shard) }
    guard backlog.count < backlogLimit else { return shard.kernelDropped(at: now) }
    backlog.add(datagram, listener, at: now)
    serve()
  }

  private func hand(_ datagram: Datagram, _ listener: ListenerIndex, _ shard: Shard) {
    auditor.received(datagram)
    shard.receive(datagram.bytes.rawSpan, from: datagram.from, on: listener, at: now)
    drain()
    auditor.handled()
  }

  /// One message after the other, each in its time.
  private func serve() {
    guard !isServing, let service, let shard, let next = backlog.next() else { return }
    isServing = true
    shard.waited(now - next.since, on: next.listener, at: now)
    let before = shard.callsAttempted
    hand(next.datagram, next.listener, shard)
    after(service(next.datagram.message, shard.callsAttempted > before)) { [self] in
      isServing = false
      serve()
    }
  }

  // MARK: Time

  package func after(_ interval: Interval, _ action: @escaping () -> Void) {
    queue.add(.action(action), at: now + interval)
  }

  func arrive(_ datagram: Datagram, at instant: Instant) {
    queue.add(.arrival(datagram), at: instant)
  }

  package func run(for interval: Interval) { run(until: now + interval) }

  package func run(until end: Instant) {
    while step(until: end) {}
    now = max(now, end)
  }

  /// Runs until nothing is pending any more, at most for so long; false: something still was.
  @discardableResult
  package func settle(within limit: Interval = .seconds(900)) -> Bool {
    let end = now + limit
    while step(until: end) {}
    return queue.next == nil && shard?.nextDeadline == nil
  }

  /// The engine's timers go before events of the same instant.
  private func step(until end: Instant) -> Bool {
    let deadline = shard?.nextDeadline
    let event = queue.next
    if let deadline, deadline <= end, event.map({ deadline <= $0 }) ?? true {
      now = max(now, deadline)
      while let shard {
        let more = shard.advance(to: now)
        drain()
        if !more { break }
      }
      return true
    }
    guard let event, event <= end else { return false }
    now = max(now, event)
    switch queue.removeFirst() {
    case .arrival(let datagram): network.arrive(datagram)
    case .action(let action): action()
    case nil: break
    }
    return true
  }

  package func violate(_ rule: Rule, _ text: String, _ callID: String) {
    // One broken thing may breach a rule at each step: the first hundred tell it.
    guard violations.count < 100 else { return }
    violations.append(Violation(rule: rule, text: text, at: now, callID: callID))
  }
}
