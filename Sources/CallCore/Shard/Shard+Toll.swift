import Base
import Policy

// What outside calls may cost. Whoever makes one, sends one on or hands one on is asked for, whatever way the call took
// to its carrier: this is looked at where a hop of a plan leaves the house, and nowhere before.

extension Shard {
  // MARK: May they

  /// Nil: the hop leads to somebody of the house, or calls for help.
  func outsideCall(
    _ session: Session, _ strand: Strand, _ trunk: Int, _ hop: PlannedHop
  ) -> OutsideCall? {
    guard hop.route >= 0, session.emergency == nil else { return nil }
    let configuration = session.configuration
    let payer = payer(of: session, strand)
    let classes = configuration.destination(
      of: hop, trunk: trunk, payer: payer, tenant: session.tenant)
    if classes.isEmpty { return nil }
    return OutsideCall(payer: payer, classes: classes, number: hop.dialled)
  }

  /// Whoever sent the call on last; else who made it; else, of a carrier's call, the tenant whose number it came to.
  private func payer(of session: Session, _ strand: Strand) -> Payer {
    let configuration = session.configuration
    let diverter = strand.diversions.last { !$0.name.isEmpty }
    if diverter == nil, let trunk = session.caller?.trunk {
      return configuration.trunks[trunk].kind == .pbx ? .trunk(trunk) : .tenant(session.tenant)
    }
    let name = diverter?.name ?? session.record.from
    if name.hasPrefix("user:"),
      let user = configuration.user(named: String(name.dropFirst(5)), tenant: session.tenant)
    {
      return .user(user)
    }
    if name.hasPrefix("trunk:"),
      let trunk = configuration.trunk(named: String(name.dropFirst(6)), tenant: session.tenant),
      configuration.trunks[trunk].kind == .pbx
    {
      return .trunk(trunk)
    }
    return .tenant(session.tenant)
  }

  private func account(_ payer: Payer, _ session: Session) -> TollWatch.Account {
    let name =
      switch payer {
      case .user(let user): "user:" + session.configuration.users[user].name
      case .trunk(let trunk): "trunk:" + session.configuration.trunks[trunk].name
      case .tenant: "tenant:" + session.record.tenant
      }
    return TollWatch.Account(tenant: session.record.tenant, name: name)
  }

  /// Why the call may not go out at all; nil: it may, as far as its number goes.
  func refusal(_ outside: OutsideCall, _ session: Session) -> Cause? {
    if toll.blocksAnybody, toll.isBlocked(account(outside.payer, session)) {
      note("outside calls of \(account(outside.payer, session).name) are blocked", session)
      return .accountBlocked
    }
    let denied = outside.classes.subtracting(
      session.configuration.mayCall(outside.payer, tenant: session.tenant))
    guard denied.isEmpty else {
      let account = account(outside.payer, session)
      let number = UserPart.printable(outside.number)
      let home =
        session.configuration.hasHome(tenant: session.tenant) ? "" : "; no country is known"
      note(
        "called \(number) is \(outside.classes): not allowed for \(account.name)\(home)",
        session)
      if toll.denied(account, at: now) { alarm(outside, .probing, session) }
      return .destinationDenied
    }
    if outside.classes.isCostly {
      if outside.classes != .international {
        note("called \(UserPart.printable(outside.number)) is \(outside.classes)", session)
      }
      if case .user = outside.payer, let zone = Configuration.zone(of: outside.number),
        toll.called(zone, account(outside.payer, session), at: now)
      {
        alarm(outside, .probing, session)
      }
    }
    if session.configuration.numberClass(of: outside.number, tenant: session.tenant)?.alarm == true
    {
      alarm(outside, .watched, session)
    }
    return nil
  }

  /// The places that a costly call takes: one of whoever pays, one of the tenant.
  func costlySeats(_ outside: OutsideCall, _ session: Session) -> [Int] {
    guard outside.classes.isCostly else { return [] }
    let configuration = session.configuration
    let tenant = session.record.tenant
    let all = limits.costlySeat(
      .costlyOfTenant, tenant: tenant, name: tenant,
      configuration.costlyCalls(of: .tenant(session.tenant)))
    let costly = configuration.costlyCalls(of: outside.payer)
    switch outside.payer {
    case .tenant: return [all]
    case .user(let user):
      let name = configuration.users[user].name
      return [limits.costlySeat(.costlyOfUser, tenant: tenant, name: name, costly), all]
    case .trunk(let trunk):
      let name = configuration.trunks[trunk].name
      return [limits.costlySeat(.costlyOfTrunk, tenant: tenant, name: name, costly), all]
    }
  }

  /// A limit of costly calls stood in the call's way.
  func costlyLimitReached(_ outside: OutsideCall, _ session: Session) {
    guard let refusal = limits.refusal, let key = limits.key(refusal.seat) else { return }
    let reason: TollAlarm.Reason =
      switch refusal.reason {
      case .calls: .calls
      case .rate: .rate
      case .minutes: .minutes
      }
    note("costlyCalls of \(key.accountName): \(refusal.reason.text)", session)
    let isOwn = key.kind != .costlyOfTenant
    alarm(outside, reason, session, mayBlock: isOwn)
  }

  private func alarm(
    _ outside: OutsideCall, _ reason: TollAlarm.Reason, _ session: Session, mayBlock: Bool = false
  ) {
    let account = account(outside.payer, session)
    let blocks = mayBlock && session.configuration.costlyCalls(of: outside.payer).block
    guard toll.alarmed(account, reason, blocks: blocks, at: now) else { return }
    tell(
      .tollAlarm(
        TollAlarm(
          tenant: account.tenant, account: account.name, reason: reason,
          number: UserPart.printable(outside.number), classes: outside.classes,
          isBlocked: toll.isBlocked(account))),
      call: session.id)
    keep(account)
  }

  // MARK: How long

  /// An answered call begins to cost.
  func beginToll(_ session: Session) {
    if let most = longest(session) {
      // It may have begun in an earlier process.
      let end = (session.record.answer ?? now) + most
      restart(&session.patienceTimer, .duration, max(end - now, .zero), session.handle)
    }
    guard session.egressLimits.contains(where: limits.isMetered) else { return }
    limits.beginTalk(session.egressLimits, at: now)
    keepSpoken(session.egressLimits)
    setTollTimer()
  }

  /// It has ended, or goes on without its way out.
  func endToll(_ session: Session) {
    guard session.record.answer != nil, session.egressLimits.contains(where: limits.isMetered)
    else { return }
    limits.endTalk(session.egressLimits, at: now)
    toll.unsaid += session.egressLimits
    setTollTimer()
  }

  private func longest(_ session: Session) -> Interval? {
    let configuration = session.configuration
    guard configuration.limitsDurations, session.emergency == nil else { return nil }
    var most = configuration.tenants[session.tenant].toll.maxCallDuration
    func take(_ other: Interval?) {
      guard let other else { return }
      most = most.map { min($0, other) } ?? other
    }
    for name in [session.record.from, session.record.to] {
      if name.hasPrefix("trunk:"),
        let trunk = configuration.trunk(named: String(name.dropFirst(6)), tenant: session.tenant)
      {
        take(configuration.trunks[trunk].toll.maxCallDuration)
      }
    }
    if session.record.from.hasPrefix("user:"),
      let user = configuration.user(
        named: String(session.record.from.dropFirst(5)), tenant: session.tenant)
    {
      take(configuration.users[user].toll.maxCallDuration)
    }
    return most
  }

  func durationEnded(_ handle: SlabHandle) {
    guard let session = session(handle), session.state == .answered else { return }
    session.patienceTimer = .none
    release(session, by: .system, .durationLimit)
  }

  /// At the instant at which somebody's minutes are used up.
  private func setTollTimer() {
    wheel.cancel(&tollTimer)
    guard let next = limits.nextExhausted(at: now) else { return }
    restart(&tollTimer, .toll, min(next - now, SpokenTime.day), .none)
  }

  func tollDue() {
    tollTimer = .none
    let spent = Set(limits.exhausted(at: now))
    if !spent.isEmpty {
      let over = sessionsBySerial.values.filter {
        $0.state == .answered && !spent.isDisjoint(with: $0.egressLimits)
      }
      for session in over.sorted(by: { $0.id.serial < $1.id.serial }) {
        exhausted(session, spent)
      }
    }
    setTollTimer()
  }

  private func exhausted(_ session: Session, _ spent: Set<Int>) {
    if let seat = session.egressLimits.first(where: spent.contains), let key = limits.key(seat) {
      note("costlyCalls of \(key.accountName): minutes of the day are used up", session)
      let account = TollWatch.Account(tenant: session.record.tenant, name: key.accountName)
      if toll.alarmed(account, .minutes, blocks: false, at: now) {
        tell(
          .tollAlarm(
            TollAlarm(
              tenant: account.tenant, account: account.name, reason: .minutes,
              number: UserPart.printable(session.record.calledNumber), classes: [],
              isBlocked: toll.isBlocked(account))), call: session.id)
        keep(account)
      }
    }
    release(session, by: .system, .costlyLimit)
  }

  // MARK: Operators

  func carryOut(_ order: TollOrder, _ account: TollWatch.Account) -> Int {
    switch order {
    case .unblock:
      guard toll.unblock(account) else { return 0 }
      keep(account)
      return 1
    case .hangUp:
      let calls = sessionsBySerial.values.filter {
        $0.emergency == nil && $0.record.tenant == account.tenant && $0.isOutside(of: account.name)
      }
      for session in calls.sorted(by: { $0.id.serial < $1.id.serial }) {
        release(session, by: .operator, .hungUpByOperator)
      }
      return calls.count
    }
  }
}

extension Session {
  /// Somebody who made it, or sent it on, with a trunk at its other end.
  fileprivate func isOutside(of account: String) -> Bool {
    let pays = record.from == account || record.attempts.contains { $0.forwardedBy == account }
    return pays
      && (record.attempts.isEmpty || record.attempts.contains { $0.target.hasPrefix("trunk:") })
  }
}

extension LimitSeats.Key {
  /// As records name them.
  var accountName: String {
    switch kind {
    case .user, .costlyOfUser: "user:" + name
    case .costlyOfTrunk: "trunk:" + name
    case .tenant, .costlyOfTenant: "tenant:" + name
    case .pool: "pool:" + name
    case .numberClass: "class:" + name
    }
  }
}

extension LimitSeats.Reason {
  fileprivate var text: String {
    switch self {
    case .calls: "as many at once as maxCalls allows"
    case .rate: "more than callsPerMinute allows"
    case .minutes: "minutesPerDay are used up"
    }
  }
}
