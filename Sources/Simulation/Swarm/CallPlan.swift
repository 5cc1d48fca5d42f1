package import Base

/// One random call: who calls whom, and what each side will do.
package struct CallPlan {
  package enum Kind: String, Sendable, CaseIterable {
    /// A phone to a carrier; the PBX to a carrier; a carrier to a number of ours; phone to phone;
    /// a phone to an application; a carrier to the PBX.
    case outbound, fromPBX, inbound, between, application, toPBX
  }

  package var index: Int
  package var kind: Kind
  package var caller: Int
  package var number: String
  package var script: CallerScript
  /// Of whichever agent is tried first, second, and so on; the last one serves the rest.
  package var callees: [CalleeScript]
  /// Nothing in the scripts keeps it from being answered and hung up in order.
  package var shouldSucceed: Bool
  /// An operator ends it so long after its start.
  package var operatorAfter: Interval?
}

/// How wild a swarm is.
package enum SwarmTemper: Sendable {
  /// Everything that agents can do.
  case wild
  /// Calls that are to be answered and hung up, to measure success under loss.
  case gentle
}

/// Draws plans.
struct PlanGenerator {
  var random: SeededRandom
  let temper: SwarmTemper
  let office: SwarmOffice
  private var pairs: [(Int, Int)]
  /// The share of phones' calls that they hand on.
  var transfers = 0.0
  /// Nil: nobody's doings are made to cross another's.
  var crossing: SeededRandom?

  init(random: SeededRandom, temper: SwarmTemper, office: SwarmOffice) {
    self.random = random
    self.temper = temper
    self.office = office
    pairs = []
    for caller in 0..<office.phones {
      for callee in 0..<office.phones where callee != caller { pairs.append((caller, callee)) }
    }
  }

  mutating func next(_ index: Int) -> CallPlan {
    var plan = draft(index)
    if temper == .gentle {
      plan.script.hangUpAfter = random.interval(500...8_000)
      plan.callees = [.answering(after: random.interval(300...2_500))]
      return plan
    }
    plan.callees = (0..<3).map { _ in callee() }
    caller(&plan)
    if random.chance(0.05), plan.callees[0].hangUpAfter != nil {
      // Both hang up at once, or nearly.
      plan.script.hangUpAfter = plan.callees[0].hangUpAfter.map { $0 + random.interval(0...40) }
    }
    if random.chance(0.02) { plan.operatorAfter = random.interval(0...15_000) }
    plan.shouldSucceed = succeeds(plan)
    if transfers > 0, random.chance(transfers) { transfer(&plan) }
    cross(&plan)
    return plan
  }

  /// Rings several phones, or has both sides offer at about the same time.
  private mutating func cross(_ plan: inout CallPlan) {
    guard var random = crossing else { return }
    defer { crossing = random }
    if plan.kind == .inbound, random.chance(0.6) {
      plan.number = SwarmOffice.groupNumber(random.below(SwarmOffice.groups))
      // The first who answers is not told who else would, and somebody who declines ends nothing.
      plan.shouldSucceed = false
    }
    guard random.chance(0.25) else { return }
    let at = random.interval(200...4_000)
    plan.script.reoffers = [Reoffer(after: at, movesMedia: true)]
    for i in plan.callees.indices {
      let later = at + random.interval(0...80)
      plan.callees[i].reoffers = [
        Reoffer(after: later, direction: .sendonly, update: random.chance(0.2))
      ]
    }
  }

  /// A phone hands its call on to a carrier's number of the plan's own, of which nobody has called yet.
  private mutating func transfer(_ plan: inout CallPlan) {
    var handing = TransferPlan(
      after: random.interval(0...8_000), number: "+44" + String(1_000_000 + plan.index))
    if random.chance(0.4) { handing.consults = random.interval(500...12_000) }
    handing.goodbye = random.pick([.afterSuccess, .afterSuccess, .atOnce, .never]) ?? .never
    handing.isSilent = random.chance(0.15)
    switch plan.kind {
    case .outbound: plan.script.transfer = handing
    case .inbound, .between: plan.callees[0].transfer = handing
    case .fromPBX, .application, .toPBX: return
    }
    // The transferor no longer ends the call: whoever is called next does.
    for i in 1..<plan.callees.count where plan.callees[i].hangUpAfter == nil {
      plan.callees[i].hangUpAfter = random.interval(3_000...30_000)
    }
  }

  private mutating func draft(_ index: Int) -> CallPlan {
    let unique = String(1_000_000 + index)
    var plan = CallPlan(
      index: index, kind: .outbound, caller: random.below(office.phones), number: "+44" + unique,
      script: CallerScript(), callees: [], shouldSucceed: true)
    switch random.below(100) {
    case ..<38: break
    case ..<46:
      plan.kind = .fromPBX
      plan.caller = office.pbx
    case ..<70:
      plan.kind = .inbound
      plan.caller = office.carriers[random.below(office.carriers.count)]
      plan.number = office.number(random.below(office.phones))
      plan.script.callerNumber = "+43" + unique
    case ..<76:
      plan.kind = .toPBX
      plan.caller = office.carriers[random.below(office.carriers.count)]
      plan.number = SwarmOffice.pbxNumber
      plan.script.callerNumber = "+43" + unique
    case ..<92 where !pairs.isEmpty:
      let pair = pairs.remove(at: random.below(pairs.count))
      plan.kind = .between
      plan.caller = pair.0
      plan.number = office.phoneExtension(pair.1)
    default:
      plan.kind = .application
      plan.number = random.chance(0.5) ? SwarmOffice.echo : SwarmOffice.announcement
    }
    return plan
  }

  // MARK: Callees

  private mutating func callee() -> CalleeScript {
    var script = CalleeScript()
    script.payloads = random.pick([[8, 0, 101], [0, 8], [8, 101], [0]]) ?? [8]
    if random.chance(0.1) { script.trying = false }
    let answer = random.interval(0...9_000)
    switch random.below(100) {
    case ..<62: accept(&script, at: answer)
    case ..<84: refuse(&script, at: answer)
    case ..<90:
      // Rings until the callee's own patience ends, after everybody else's.
      script.trying = true
      script.steps = ringing(until: .seconds(2))
      script.steps.append(CalleeStep(after: .seconds(190), status: 480))
    case ..<93: script = .dead
    default:
      accept(&script, at: answer)
      script.dieAfter = random.interval(0...20_000)
    }
    return script
  }

  private mutating func accept(_ script: inout CalleeScript, at answer: Interval) {
    script.steps = ringing(until: answer)
    script.updates = random.chance(0.5)
    script.repeatsAnswer = random.chance(0.3)
    if random.chance(0.3) { script.updatesEarlyAfter = random.interval(0...3_000) }
    if random.chance(0.3) { script.timer = timer() }
    let fork = script.steps.isEmpty ? 0 : random.below(script.steps.count + 1)
    script.steps.append(CalleeStep(after: answer, status: 200, fork: fork, sdp: true))
    if random.chance(0.45) { script.hangUpAfter = random.interval(0...20_000) }
    if random.chance(0.05) { script.hangsUpUnacknowledged = true }
    if random.chance(0.25) { script.answersCancelled = true }
    if random.chance(0.04) { script.secondAnswerAfter = random.interval(0...3_000) }
    if random.chance(0.15) { script.reoffers = reoffers() }
  }

  private mutating func ringing(until end: Interval) -> [CalleeStep] {
    guard end > .milliseconds(50), !random.chance(0.1) else { return [] }
    return (0..<random.within(1...4)).map { fork in
      let status = random.pick([180, 180, 183, 181, 199]) ?? 180
      // A 199 says that a branch is over, and nothing else (RFC 6228 §5).
      return CalleeStep(
        after: .milliseconds(random.below(end.milliseconds)), status: status,
        fork: random.chance(0.3) ? fork : 0, sdp: random.chance(0.4) && status != 199,
        reliable: random.chance(0.4) && status != 199)
    }
  }

  private mutating func refuse(_ script: inout CalleeScript, at answer: Interval) {
    script.steps = random.chance(0.5) ? ringing(until: answer) : []
    let status =
      random.pick([486, 486, 480, 603, 404, 503, 500, 488, 302, 600, 484, 403, 408, 487]) ?? 486
    script.steps.append(CalleeStep(after: answer, status: status))
    if status == 503, random.chance(0.5) { script.retryAfter = 0 }
  }

  private mutating func reoffers() -> [Reoffer] {
    var at = random.interval(0...4_000)
    return (0..<random.within(1...3)).map { _ in
      at = at + random.interval(200...5_000)
      var reoffer = Reoffer(
        after: at,
        direction: random.pick([.sendrecv, .sendonly, .sendonly, .inactive]) ?? .sendrecv,
        movesMedia: random.chance(0.3), withoutOffer: random.chance(0.15),
        update: random.chance(0.4))
      if random.chance(0.3) { reoffer.change = random.pick(StreamChange.allCases) ?? .none }
      return reoffer
    }
  }

  private mutating func timer() -> TimerHabit {
    TimerHabit(
      seconds: random.within(90...180), refreshes: random.chance(0.3) ? nil : random.chance(0.5))
  }

  // MARK: Callers

  private mutating func caller(_ plan: inout CallPlan) {
    plan.script.payloads =
      random.pick([[0, 8, 101], [8], [8, 0], [0, 101], [9, 0, 8], [18, 8, 101]]) ?? [8]
    // At the latest after a minute somebody has said everything.
    plan.script.hangUpAfter = random.interval(random.chance(0.65) ? 0...25_000 : 60_000...62_000)
    if random.chance(0.14) { plan.script.cancelAfter = random.interval(0...10_000) }
    if random.chance(0.06) { plan.script.dieAfter = random.interval(0...25_000) }
    if random.chance(0.02) { plan.script.ack = .never }
    if random.chance(0.05) { plan.script.ack = .fromCopy(random.within(2...6)) }
    if random.chance(0.06) { plan.script.delayedOffer = true }
    if random.chance(0.1) { plan.script.change = random.pick(StreamChange.allCases) ?? .none }
    if random.chance(0.15) { plan.script.reoffers = reoffers() }
    plan.script.reliable = random.pick([.none, .none, .supports, .supports, .requires]) ?? .none
    if random.chance(0.03) { plan.script.pracks = false }
    plan.script.offersInPrack = random.chance(0.15)
    if random.chance(0.2) { plan.script.updatesEarlyAfter = random.interval(0...3_000) }
    plan.script.updates = random.chance(0.5)
    if random.chance(0.3) { plan.script.timer = timer() }
    // Long enough to be refreshed, now and then.
    if random.chance(0.04) { plan.script.hangUpAfter = random.interval(150_000...320_000) }
    if plan.caller < office.phones {
      switch random.below(100) {
      case ..<2: plan.script.credentials = .wrong
      case ..<3: plan.script.credentials = .none
      case ..<4: plan.script.credentials = .replayed
      default: break
      }
    }
  }

  /// What the scripts promise on a perfect network. Narrow on purpose: a call that is left out here is
  /// still held to every invariant.
  private func succeeds(_ plan: CallPlan) -> Bool {
    let caller = plan.script
    guard caller.cancelAfter == nil, caller.dieAfter == nil, caller.ack == .prompt,
      caller.credentials == .right, plan.operatorAfter == nil, caller.pracks,
      !caller.offersInPrack, caller.updatesEarlyAfter == nil
    else { return false }
    // A fax has no keys, and does not go where there must be some.
    if office.hasKeys, caller.change.isFax { return false }
    if plan.kind == .application { return !caller.delayedOffer && !caller.change.isFax }
    guard let callee = plan.callees.first, callee.dieAfter == nil,
      callee.steps.last?.status == 200, let answer = callee.steps.last?.after,
      caller.payloads.contains(where: { callee.payloads.contains($0) && $0 < 96 }),
      callee.trying || callee.steps[0].after < .milliseconds(400)
    else { return false }
    // Shorter than the time after which silence leads to the next target.
    return answer < .milliseconds(4_500)
  }
}
