import Base
import CallCore
package import Policy
import SIPWire

package struct SwarmSettings: Sendable {
  package var seed: UInt64
  package var calls = 300
  package var temper = SwarmTemper.wild
  /// Drawn from the seed where nil.
  package var link: LinkQuality?
  /// New calls come within so many milliseconds of one another, on average half of it.
  package var spacing = 300
  /// Malformed messages, stray responses and forged requests among the calls.
  package var noise = true
  /// The share of phones' calls that they hand on.
  package var transfers = 0.0
  /// Some agents speak by connections, which break now and then.
  package var streams = false
  /// Numbers ring several phones together, and both sides of a call say things at the same time.
  package var crosses = false
  /// Some phones and a carrier must be encrypted, with whatever stands beside speech.
  package var keys = false
  /// How many lamps phones have for one another.
  package var lamps = 0
  /// Everybody writes more than they must, all of it their own affair.
  package var isAdorned = false
  /// A report has every message of its call behind the ladder.
  package var tellsMessages = false
  package var mutation: (@Sendable () -> Mutation)?

  package init(seed: UInt64, calls: Int = 300) {
    self.seed = seed
    self.calls = calls
  }
}

package struct SwarmOutcome: Sendable {
  package var seed: UInt64
  package var calls = 0
  package var answered = 0
  package var expected = 0
  package var succeeded = 0
  package var datagrams = 0
  package var virtualSeconds = 0
  package var violations: [Violation] = []
  /// The first failures of different kinds as a reader wants them: seed, rule, plan, ladder.
  package var report = ""

  package var isClean: Bool { violations.isEmpty }
}

/// A seeded run of many random calls through one world.
package final class Swarm {
  package let settings: SwarmSettings
  package let world: World
  package private(set) var plans: [CallPlan] = []
  package private(set) var placed: [AgentCall?] = []
  private let office: SwarmOffice
  private var random: SeededRandom
  private var generator: PlanGenerator
  private var planOfCallID: [String: Int] = [:]
  private var planOfPair: [String: Int] = [:]
  private var tries: [Int: Int] = [:]
  let link: LinkQuality
  private var troubled = false
  /// Until when an agent is left in peace.
  private var quietUntil: [Int: Instant] = [:]
  private var watchers: Watchers?

  package init(_ settings: SwarmSettings) throws(ConfigurationProblems) {
    self.settings = settings
    random = SeededRandom(seed: settings.seed)
    office = SwarmOffice(
      phones: 40, hasStreams: settings.streams, hasGroups: settings.crosses, hasKeys: settings.keys)
    link = settings.link ?? Swarm.link(&random)
    generator = PlanGenerator(random: random.fork(), temper: settings.temper, office: office)
    generator.transfers = settings.transfers
    // Of its own, so that what all else does stays as it is.
    if settings.crosses { generator.crossing = SeededRandom(seed: settings.seed ^ 0xc0551) }
    world = World(office.settings(seed: settings.seed))
    office.populate(world)
    for agent in world.agents {
      agent.onInvite = { [unowned self, unowned agent] in script(of: $0, at: agent) }
    }
    world.auditor.planOfInvite = { [unowned self] in plan(of: $0, to: $1) }
    for agent in world.agents {
      agent.onConsultation = { [unowned self] consultation, call in
        if let plan = planIndex(ofCallID: call.callID) { planOfCallID[consultation.callID] = plan }
      }
    }
    world.auditor.planOfTransfer = { [unowned self] in planOfNumber($0) }
    world.auditor.planOfCaller = { [unowned self] in planOfCallID[$0] }
    try world.start()
    // Registration is tested elsewhere: the calls need it done.
    for phone in world.agents.prefix(office.phones) { phone.register(expires: 7_200) }
    world.run(for: .seconds(5))
    if settings.isAdorned { for agent in world.agents { agent.isAdorned = true } }
    if settings.lamps > 0 {
      watchers = Watchers(world, office, count: settings.lamps, random: &random)
      world.run(for: .seconds(5))
    }
    world.network.setLinks(link)
    world.mutation = settings.mutation?()
  }

  private static func link(_ random: inout SeededRandom) -> LinkQuality {
    var quality = LinkQuality(delay: random.interval(1...60))
    switch random.below(10) {
    case 0...2: break
    case 3...4: quality.loss = 0.02
    case 5...6: quality.loss = 0.1
    case 7: quality.loss = 0.3
    default: quality.loss = 0.05
    }
    if random.chance(0.5) { quality.duplication = [0.01, 0.1, 0.3][random.below(3)] }
    if random.chance(0.6) { quality.jitter = random.interval(1...400) }
    return quality
  }

  /// REFERs whose senders heard of a success.
  package var transfersDone: Int {
    world.agents.flatMap(\.calls).count { $0.notified.contains { $0.status == 200 } }
  }

  /// How often a lamp was found to show its phone's calls, and none where there was none.
  package var lampsSeen: (lit: Int, dark: Int) { watchers?.seen ?? (0, 0) }

  // MARK: Which call is which

  private func plan(of message: AgentMessage, to: SocketAddress) -> Int? {
    let called = message.user(.to).isEmpty ? message.user(nil) : message.user(.to)
    for number in [called, message.user(nil)] {
      if let plan = planOfNumber(number) { return plan }
    }
    let caller = message.user(.from)
    if caller.hasPrefix("+43") { return Int(caller.dropFirst(3)).map { $0 - 1_000_000 } }
    return planOfPair["\(caller) \(AgentText.hostPort(to))"]
  }

  private func planOfNumber(_ number: String) -> Int? {
    guard number.hasPrefix("+44") else { return nil }
    return Int(number.dropFirst(3)).map { $0 - 1_000_000 }
  }

  private func script(of message: AgentMessage, at agent: Agent) -> CalleeScript {
    guard let index = plan(of: message, to: agent.address), plans.indices.contains(index) else {
      world.violate(.method, "\(agent.name): an INVITE that belongs to no call", message.callID)
      return .refusing(404)
    }
    let number = tries[index, default: 0]
    tries[index] = number + 1
    let callees = plans[index].callees
    return callees[min(number, callees.count - 1)]
  }

  // MARK: The run

  package func run() -> SwarmOutcome {
    for index in 0..<settings.calls { step(index) }
    rest()
    return judge()
  }

  /// Long enough for everything to end by itself.
  fileprivate func rest() {
    world.run(for: .seconds(400))
    world.network.setLinks(.perfect)
    endAbandonedHolds()
    world.settle(within: .seconds(900))
    watchers?.end()
  }

  /// A call on hold whose peers all died is silent by right: nothing but an operator ends it before a session timer
  /// does (RFC 4028), which has half an hour where no peer asked for less.
  private func endAbandonedHolds() {
    for (plan, call) in zip(plans, placed) {
      guard let call else { continue }
      let others = world.auditor.legs(ofPlan: plan.index).compactMap { callID in
        world.agents.lazy.compactMap { $0.calls(callID) }.first { !$0.isCaller }
      }
      let held = ([call] + others).contains { $0.direction != .sendrecv }
      guard held, ([call] + others).contains(where: \.died) else { continue }
      for id in world.auditor.calls(ofPlan: plan.index) { world.input(.hangUp(id)) }
    }
  }

  fileprivate func step(_ index: Int) {
    place(index)
    world.run(for: .milliseconds(random.below(settings.spacing)))
    watchers?.step(&random)
    if settings.noise, settings.temper == .wild {
      makeNoise()
      makeTrouble()
    }
  }

  /// A path that is cut for a while, a host that is down, resources that are applied again.
  private func makeTrouble() {
    guard random.chance(settings.streams ? 0.03 : 0.012) else { return }
    let agent = world.agents[random.below(world.agents.count)]
    // Shorter than what retransmissions bridge: a longer cut leaves peers that nobody can reach.
    let pause = random.interval(500...20_000)
    // Two in a row would be a longer one.
    guard world.now >= quietUntil[agent.index] ?? .zero else { return }
    quietUntil[agent.index] = world.now + .seconds(60)
    if agent.transport.isReliable, random.chance(0.5) { return reconnect(agent) }
    switch random.below(3) {
    case 0:
      troubled = true
      var cut = link
      cut.partitioned = true
      world.network.setLink(cut, of: agent)
      world.after(pause) { [self] in world.network.setLink(link, of: agent) }
    case 1:
      troubled = true
      world.network.setDown(true, agent)
      world.after(pause) { [self] in
        world.network.setDown(false, agent)
        registerAgain(agent)
      }
    default:
      do {
        try world.apply(world.settings.resources)
      } catch {
        world.violate(.method, "resources refused: \(error)", "")
      }
    }
  }

  /// A connection is gone, as when a phone changes its network: it makes another.
  private func reconnect(_ agent: Agent) {
    troubled = true
    world.network.breakFlow(of: agent)
    world.after(random.interval(50...3_000)) { [self] in registerAgain(agent) }
  }

  /// A phone's contact ended with its connection (RFC 5626 §5.3).
  private func registerAgain(_ agent: Agent) {
    guard agent.transport.isReliable, agent.index < office.phones, agent.alive else { return }
    agent.register(expires: 7_200)
  }

  fileprivate func crashAfter() -> Int {
    random.within(settings.calls / 4...settings.calls * 3 / 4)
  }
  fileprivate func crashDelay() -> Interval { random.interval(0...2_000) }

  private func place(_ index: Int) {
    let plan = generator.next(index)
    plans.append(plan)
    let agent = world.agents[plan.caller]
    if plan.kind == .between {
      let callee = (Int(plan.number) ?? 1_000) - 1_000
      planOfPair[
        "\(office.phoneExtension(plan.caller)) \(AgentText.hostPort(office.address(callee)))"] =
        index
    }
    let call = agent.prepareCall(plan.number, plan.script)
    planOfCallID[call.callID] = index
    placed.append(call)
    call.start()
    if let after = plan.operatorAfter {
      world.after(after) { [self] in
        if let id = world.auditor.call(ofPlan: index) { world.input(.hangUp(id)) }
      }
    }
  }

  private func makeNoise() {
    guard random.chance(0.2) else { return }
    let agent = world.agents[random.below(world.agents.count)]
    // What is no message never leaves the edge, which cuts streams.
    guard !agent.transport.isReliable else { return }
    Noise.send(from: agent, random: &random)
  }

  // MARK: The verdict

  private func judge() -> SwarmOutcome {
    world.auditor.checkAtRest(policy: .seconds(181))
    var outcome = SwarmOutcome(seed: settings.seed)
    outcome.calls = plans.count
    outcome.datagrams = world.network.datagramsSent
    outcome.virtualSeconds = (world.now - .zero).wholeSeconds
    for (plan, call) in zip(plans, placed) {
      guard let call else { continue }
      if call.answeredAt != nil { outcome.answered += 1 }
      guard plan.shouldSucceed else { continue }
      outcome.expected += 1
      if call.answeredAt != nil {
        outcome.succeeded += 1
      } else if link.isReliable, !troubled {
        world.violate(
          .success, "call \(plan.index) (\(plan.kind)) was to be answered: \(call.statuses)",
          call.callID)
      }
    }
    outcome.violations = world.violations
    var told: Set<String> = []
    for violation in world.violations {
      let kind = violation.rule.rawValue + violation.text.filter { !$0.isNumber }
      if told.count < 6, told.insert(kind).inserted { outcome.report += report(violation) + "\n" }
    }
    return outcome
  }

  /// Everything needed to look at a failure: how to repeat it, the plan and the ladder of its call.
  fileprivate func report(_ violation: Violation) -> String {
    var text = "seed \(settings.seed), \(settings.calls) calls, link \(link)\n\(violation)\n"
    guard let index = planIndex(ofCallID: violation.callID) else {
      return settings.tellsMessages
        ? text + world.messages(ofCalls: [violation.callID]) : text
    }
    let plan = plans[index]
    text += "call \(index): \(plan.kind) to \(plan.number)\n  caller \(plan.script)\n"
    for callee in plan.callees { text += "  callee \(callee)\n" }
    text += world.ladder(ofCalls: callIDs(ofPlan: index)) + "\n"
    if settings.tellsMessages { text += world.messages(ofCalls: callIDs(ofPlan: index)) }
    return text
  }

  package func planIndex(ofCallID callID: String) -> Int? {
    if let index = planOfCallID[callID] { return index }
    return plans.indices.first { callIDs(ofPlan: $0).contains(callID) }
  }

  package func callIDs(ofPlan index: Int) -> Set<String> {
    var ids = Set(planOfCallID.filter { $0.value == index }.map(\.key))
    ids.formUnion(world.auditor.legs(ofPlan: index))
    return ids
  }
}

// MARK: - Crashes

extension Swarm {
  /// Drops the engine at a random instant and starts another on what the store kept. Empty: all held.
  package func runWithCrash() throws(ConfigurationProblems) -> String {
    let at = crashAfter()
    for index in 0..<at { step(index) }
    world.run(for: crashDelay())
    let owed = world.auditor.plansInvited
    let bindings = registrations()
    world.crash()
    var problems = lostRecords(owed)
    for agent in world.agents {
      for call in agent.calls { call.die() }
    }
    world.auditor.forget()
    world.run(for: .seconds(40))
    try world.start(restoring: bindings)
    for index in at..<settings.calls { step(index) }
    rest()
    world.auditor.checkAtRest(policy: .seconds(181))
    if let first = world.violations.first { problems.append(report(first)) }
    return problems.joined(separator: "\n")
  }

  private func registrations() -> [Binding] {
    if case .registrations(let bindings)? = world.ask(.registrations) { return bindings }
    return []
  }

  /// Each plan whose second leg was begun has its attempt on disk, and no call has two ends.
  private func lostRecords(_ owed: Set<Int>) -> [String] {
    var attempted: Set<Int> = []
    var ended: [CallID: Int] = [:]
    var problems: [String] = []
    for fact in world.store.durable {
      switch fact.event {
      case .callAttempted(let record):
        if let plan = planIndex(ofCallID: record.sipCallID) { attempted.insert(plan) }
      case .callEnded(let record):
        ended[record.id, default: 0] += 1
      default: break
      }
    }
    for plan in owed.subtracting(attempted).sorted() {
      problems.append(
        "seed \(settings.seed): call \(plan) was begun, and the store knows nothing of it")
    }
    for (call, count) in ended where count > 1 {
      problems.append("seed \(settings.seed): call \(call.serial) has \(count) ends")
    }
    return problems
  }
}
