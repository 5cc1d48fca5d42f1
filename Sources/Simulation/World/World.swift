package import Base
package import CallCore
package import MediaControl
package import Policy
package import SIPWire
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
  private var network: VirtualNetwork
  private var random: SeededRandom
  package private(set) var shard: Shard?
  package private(set) lazy var media = SimulatedMedia(
    addresses: settings.mediaAddresses, advertised: settings.advertisedMedia, world: self,
    random: mediaRandom)
  package private(set) lazy var store = SimulatedStore(world: self, random: storeRandom)
  package private(set) lazy var auditor = Auditor(world: self)
  private let mediaRandom: SeededRandom
  private let storeRandom: SeededRandom
  package private(set) var agents: [Agent] = []
  private var agentsByAddress: [SocketAddress: Agent] = [:]
  private let listenersByAddress: [SocketAddress: ListenerIndex]
  /// Hosts that answer with ICMP instead of SIP.
  private var unreachable: Set<SocketAddress> = []
  /// Agents whose path lost something at some time.
  private var unreliable: Set<SocketAddress> = []
  /// What was sent by connections whose path is cut: TCP repeats it until that is mended.
  private var held: [SocketAddress: [(datagram: Datagram, toAgent: Bool)]] = [:]
  /// Counts the crashes: what was under way in an earlier epoch does not arrive.
  package private(set) var epoch = 0
  private var crashed = Instant.zero
  package private(set) var violations: [Violation] = []
  /// Every fact of the present epoch, stored or not.
  package private(set) var facts: [Fact] = []
  package var trace = WorldTrace()
  /// A planted bug, to see that the invariants notice it.
  package var mutation: Mutation?
  /// Nobody takes connections from the engine.
  package var refusesStreams = false
  /// Chosen datagrams get lost on top of what the links lose; asked once for each, in order.
  package var loses: ((AgentMessage) -> Bool)?
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
  private var nextMediaPort: [IPAddress: UInt16] = [:]
  package private(set) var datagramsSent = 0

  package init(_ settings: WorldSettings) {
    var filled = settings
    for address in settings.mediaAddresses.dropFirst(settings.advertisedMedia.count) {
      filled.advertisedMedia.append(address.bound)
    }
    self.settings = filled
    random = SeededRandom(seed: settings.seed)
    mediaRandom = random.fork()
    storeRandom = random.fork()
    network = VirtualNetwork(random: random.fork(), defaultQuality: settings.link)
    var listeners: [SocketAddress: ListenerIndex] = [:]
    for (index, listener) in settings.listeners.enumerated() {
      let index = ListenerIndex(index)
      listeners[World.outer(listener.bound, index, settings)] = index
    }
    listenersByAddress = listeners
  }

  private static func outer(
    _ bound: SocketAddress, _ listener: ListenerIndex, _ settings: WorldSettings
  ) -> SocketAddress {
    settings.natted[listener].map { SocketAddress($0, bound.port) } ?? bound
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
    guard let index = listenersByAddress[listener] else { return }
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
      guard Int(listener) < settings.listeners.count else {
        violate(.destination, "no listener \(listener)", "")
        continue
      }
      let bound = settings.listeners[Int(listener)].bound
      emit(
        bytes, from: World.outer(bound, listener, settings), to: to,
        by: Departure(listener: listener, connects: connects))
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

  // MARK: The network

  package func agent(
    _ name: String, at address: SocketAddress, trunk: SocketAddress, user: String
  ) -> Agent {
    let agent = Agent(
      index: agents.count, name: name, address: address, trunk: trunk, user: user, world: self,
      random: random.fork())
    agents.append(agent)
    agentsByAddress[address] = agent
    network.attach(address)
    return agent
  }

  func canary(of address: SocketAddress) -> [UInt8]? {
    agentsByAddress[address]?.canaryBytes
  }

  package func setLink(_ quality: LinkQuality, of agent: Agent) {
    if !quality.isReliable { unreliable.insert(agent.address) }
    network.set(quality, for: agent.address)
    guard !quality.partitioned, let waiting = held.removeValue(forKey: agent.address) else {
      return
    }
    for (datagram, toAgent) in waiting { carry(datagram, agent: agent.address, toAgent: toAgent) }
  }

  package func setLinks(_ quality: LinkQuality) {
    for agent in agents { setLink(quality, of: agent) }
  }

  /// Pulls the plug of an agent's host, or puts it back: it has forgotten everything, and while it is
  /// down its network says so by ICMP.
  package func setDown(_ isDown: Bool, _ agent: Agent) {
    unreliable.insert(agent.address)
    agent.alive = !isDown
    if isDown {
      agent.reboot()
      breakFlow(of: agent)
      unreachable.insert(agent.address)
    } else {
      unreachable.remove(agent.address)
    }
  }

  /// Nothing was ever lost on the way to this agent.
  package func isReliable(_ agent: Agent) -> Bool { !unreliable.contains(agent.address) }

  package func link(of agent: Agent) -> LinkQuality {
    network.quality(of: agent.address) ?? .perfect
  }

  /// What an agent speaks with a listener.
  package func transport(of listener: SocketAddress) -> Transport {
    listenersByAddress[listener].map { settings.listeners[Int($0)].transport } ?? .udp
  }

  /// The connection of an agent ends: what was on its way by it is lost, and the engine hears of it after the
  /// path's delay. The next message of either side makes another, where that side may.
  package func breakFlow(of agent: Agent) {
    guard network.isUp(agent.address), let listener = listenersByAddress[agent.trunk] else {
      return
    }
    network.disconnect(agent.address)
    unreliable.insert(agent.address)
    held[agent.address] = nil
    for call in agent.calls where call.state != .ended { call.isCutOff = true }
    auditor.flowLost(agent.address)
    let (address, delay) = (agent.address, link(of: agent).delay)
    after(delay) { [self] in
      if !network.isUp(address) { input(.flowLost(listener, address)) }
    }
  }

  package func isListener(_ address: SocketAddress) -> Bool { listenersByAddress[address] != nil }

  package func newMediaAddress(of agent: Agent) -> SocketAddress {
    let port = nextMediaPort[agent.address.ip, default: 20_000]
    nextMediaPort[agent.address.ip] = port >= 65_000 ? 20_000 : port + 2
    let address = SocketAddress(agent.address.ip, port)
    media.know(address, isSecret: agent.mustBeEncrypted)
    return address
  }

  /// From an agent.
  func send(_ bytes: [UInt8], from: SocketAddress, to: SocketAddress) {
    let message = try? AgentMessage(bytes)
    var datagram = Datagram(from: from, to: to, bytes: bytes, message: message)
    // Without an engine the agents speak to one another, which is how they are tested themselves.
    guard isListener(to) || (shard == nil && agentsByAddress[to] != nil) else {
      violate(
        .destination, "an agent was told to send to \(AgentText.hostPort(to))",
        message?.callID ?? "")
      return
    }
    if transport(of: to).isReliable {
      datagram.flow = network.connect(from)
      return stream(datagram, agent: from, toAgent: false)
    }
    carry(datagram, path: from)
  }

  /// By a connection, which exists.
  private func stream(_ datagram: Datagram, agent: SocketAddress, toAgent: Bool) {
    trace.note(datagram, at: now, lost: false)
    carry(datagram, agent: agent, toAgent: toAgent)
  }

  private func carry(_ datagram: Datagram, agent: SocketAddress, toAgent: Bool) {
    if let at = network.arrival(of: agent, toAgent: toAgent, at: now) {
      queue.add(.arrival(datagram), at: at)
    } else {
      held[agent, default: []].append((datagram, toAgent))
    }
  }

  private struct Departure {
    var listener: ListenerIndex
    var connects: Bool
  }

  /// From the engine.
  private func emit(
    _ original: [UInt8], from: SocketAddress, to destination: SocketAddress, by way: Departure
  ) {
    for (bytes, to) in mutation?.altered(original, to: destination) ?? [(original, destination)] {
      datagramsSent += 1
      var message: AgentMessage?
      do {
        // A keep-alive is no message (RFC 5626 §3.5.1).
        if bytes != Array("\r\n\r\n".utf8) { message = try AgentMessage(bytes) }
      } catch {
        violate(.wellFormed, "\(error.reason): \(String(decoding: bytes, as: UTF8.self))", "")
      }
      var datagram = Datagram(from: from, to: to, bytes: bytes, message: message)
      auditor.sent(datagram)
      let listener = settings.listeners[Int(way.listener)]
      let isStream = listener.transport.isReliable
      if listener.state == .closed {
        violate(.destination, "sent by a listener that is closed", message?.callID ?? "")
      }
      guard agentsByAddress[to] != nil else {
        violate(
          .destination, "sent to \(AgentText.hostPort(to)), where nobody is", message?.callID ?? "")
        continue
      }
      if isStream {
        guard network.isUp(to) || way.connects && !unreachable.contains(to) && !refusesStreams
        else {
          trace.note(datagram, at: now, lost: true)
          after(.milliseconds(8)) { [self] in input(.flowLost(way.listener, to)) }
          continue
        }
        datagram.flow = network.connect(to)
        stream(datagram, agent: to, toAgent: true)
      } else if unreachable.contains(to) {
        trace.note(datagram, at: now, lost: true)
        after(.milliseconds(8)) { [self] in
          auditor.unreachable(to)
          input(.unreachable(to))
        }
      } else {
        carry(datagram, path: to)
      }
    }
  }

  private func carry(_ datagram: Datagram, path: SocketAddress) {
    var delays = network.fates(of: path)
    if let message = datagram.message, loses?(message) == true { delays = [] }
    trace.note(datagram, at: now, lost: delays.isEmpty)
    if delays.isEmpty, let message = datagram.message, message.isRequest, message.method == .bye {
      agentsByAddress[datagram.to]?.calls(message.callID)?.byesLost += 1
    }
    for delay in delays { queue.add(.arrival(datagram), at: now + delay) }
  }

  private func arrive(_ datagram: Datagram) {
    if let flow = datagram.flow {
      let agent = agentsByAddress[datagram.to] == nil ? datagram.from : datagram.to
      guard network.lives(flow, of: agent) else { return }
    }
    if let agent = agentsByAddress[datagram.to] {
      guard let message = datagram.message else { return }
      agent.receive(message, from: datagram.from)
      // Whoever hears of a call after the engine's end has nobody to end it with.
      if shard == nil { agent.calls(message.callID)?.isCutOff = true }
    } else if let listener = listenersByAddress[datagram.to], let shard {
      guard service != nil else { return hand(datagram, listener, shard) }
      guard backlog.count < backlogLimit else { return shard.kernelDropped(at: now) }
      backlog.add(datagram, listener, at: now)
      serve()
    }
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
    case .arrival(let datagram): arrive(datagram)
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
