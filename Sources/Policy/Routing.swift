package import Base

extension Configuration {
  /// The chain of targets that a dialled number leads to.
  ///
  /// Users and PBX trunks reach, in this order: an extension of their tenant, a number of their tenant,
  /// a user by name, and by the longest prefix of the dial plan the outside world. Carriers reach the
  /// numbers of their trunk's tenant and nothing else: no transit.
  ///
  /// - Parameters:
  ///   - called: the user part of the Request-URI, as dialled (percent escapes already decoded).
  ///   - random: draws the order of carriers of one priority by their weights (RFC 2782).
  package func resolve(
    called: String, caller: CallerKind, tenant: Int, random: inout RandomSource
  ) -> Result<RoutePlan, Cause> {
    do throws(Cause) {
      guard tenants.indices.contains(tenant) else { throw .numberUnknown }
      let number = try readCalled(called, caller: caller, tenant: tenant)
      let target = try firstTarget(of: number, caller: caller, tenant: tenant)
      let plan = plan(to: target, called: number, random: &random)
      guard !plan.hops.isEmpty else {
        throw refusal(of: target, depth: 0)
      }
      return .success(plan)
    } catch {
      return .failure(error)
    }
  }

  /// Why a target leads to nobody at all.
  private func refusal(of target: CompiledTarget, depth: Int) -> Cause {
    switch target {
    case .route: return .addressIncomplete
    case .number(let index):
      let chain = tables.chains[index]
      if let cause = chain.state.refusal { return cause }
      guard depth < ResourceLimits.chainDepth, let first = chain.hops.first else {
        return .loopDetected
      }
      return refusal(of: first.target, depth: depth + 1)
    case .trunk, .user, .application, .ring: return .loopDetected
    }
  }

  /// What was dialled, in the one form that everything inside is compared in. An extension goes before: it
  /// is what its tenant says it is, whatever else it could mean.
  package func readCalled(_ written: String, caller: CallerKind, tenant: Int) throws(Cause)
    -> String
  {
    guard let reader = numberReader(of: caller) else { return try DialString.normalized(written) }
    if let plain = try? DialString.normalized(written), !isCarrier(caller),
      tables.extensions[TenantKey(tenant, plain)] != nil
    {
      return plain
    }
    return try reader.read(written).text
  }

  private func isCarrier(_ caller: CallerKind) -> Bool {
    if case .trunk(let trunk) = caller { return trunks.element(at: trunk)?.kind != .pbx }
    return false
  }

  /// What a target comes to when somebody calls it directly.
  func plan(
    to target: CompiledTarget, called: String, random: inout RandomSource
  ) -> RoutePlan {
    let hop = CompiledHop(
      target: target, timeout: ResourceDefaults.ringTimeout, continueOn: CauseSet())
    var hops: [PlannedHop] = []
    var room = ResourceLimits.hops
    append(hop, called: called, depth: 0, room: &room, random: &random, to: &hops)
    return RoutePlan(hops: hops)
  }

  private func firstTarget(of number: String, caller: CallerKind, tenant: Int)
    throws(Cause) -> CompiledTarget
  {
    if isCarrier(caller) {
      let found =
        tables.numbers[TenantKey(tenant, number)]
        ?? tables.numbers[TenantKey(tenant, DialString.withOtherPlus(number))]
      guard let found else { throw .numberUnknown }
      return .number(found)
    }
    if let target = tables.target(ofNumber: number, tenant: tenant) { return target }
    let hasDialPlan = !tables.prefixes[tenant].isEmpty
    throw hasDialPlan && DialString.isDialString(number) ? .noRoute : .numberUnknown
  }

  private func append(
    _ hop: CompiledHop, called: String, depth: Int, room: inout Int, random: inout RandomSource,
    to hops: inout [PlannedHop]
  ) {
    guard room > 0 else { return }
    switch hop.target {
    case .trunk(let index):
      room -= 1
      hops.append(
        planned(.trunk(index), hop, response: ResourceDefaults.carrierTimeout, called: called))
    case .user(let index):
      room -= 1
      let number = users[index].extension.isEmpty ? users[index].name : users[index].extension
      hops.append(
        planned(.user(index), hop, response: ResourceDefaults.phoneTimeout, called: number))
    case .application(let index):
      room -= 1
      hops.append(
        planned(.application(index), hop, response: hop.timeout, called: called))
    case .number(let index):
      // A loop is refused when the configuration is compiled; the depth is a second lock on that door.
      guard depth < ResourceLimits.chainDepth else { return }
      let first = hops.count
      let chain = tables.chains[index]
      guard chain.state == .assigned else { return }
      for inner in chain.hops {
        append(
          inner, called: chain.number, depth: depth + 1, room: &room, random: &random, to: &hops)
      }
      if depth > 0 { leaveGroup(from: first, on: hop.continueOn, in: &hops) }
    case .route(let index, let dialled):
      let first = hops.count
      appendCarriers(
        of: tables.routes[index], dialled: dialled, ring: hop.timeout, room: &room,
        random: &random, to: &hops)
      for added in first..<hops.count { hops[added].route = Int32(truncatingIfNeeded: index) }
      if depth > 0 { leaveGroup(from: first, on: hop.continueOn, in: &hops) }
    case .ring(let members):
      room -= 1
      let plans = members.compactMap { member -> RoutePlan? in
        let inner = CompiledHop(
          target: member, timeout: hop.timeout, continueOn: CauseSet())
        var branch: [PlannedHop] = []
        append(
          inner, called: called, depth: depth + 1, room: &room, random: &random, to: &branch)
        return branch.isEmpty ? nil : RoutePlan(hops: branch)
      }
      hops.append(planned(.ring(plans), hop, response: hop.timeout, called: called))
    }
  }

  private func planned(
    _ target: PlannedTarget, _ hop: CompiledHop, response: Interval, called: String
  ) -> PlannedHop {
    PlannedHop(
      target: target, answerTimeout: hop.timeout, responseTimeout: min(response, hop.timeout),
      continueOn: hop.continueOn, calledNumber: called)
  }

  func appendCarriers(
    of route: CompiledRoute, dialled: String, ring: Interval, room: inout Int,
    random: inout RandomSource, to hops: inout [PlannedHop]
  ) {
    guard let called = route.number(dialled) else { return }
    for group in route.groups {
      for carrier in weightedOrder(of: group, weight: \.weight, random: &random) {
        guard room > 0 else { return }
        room -= 1
        hops.append(
          PlannedHop(
            target: .trunk(carrier.trunk), answerTimeout: ring, responseTimeout: route.timeout,
            continueOn: route.failoverOn, calledNumber: called, dialled: dialled))
      }
    }
  }

  /// Gives each hop since `first` the ways out of the group that its outer hop named.
  private func leaveGroup(from first: Int, on causes: CauseSet, in hops: inout [PlannedHop]) {
    guard first < hops.count else { return }
    hops[hops.count - 1].continueOn = causes
    guard !causes.isEmpty else { return }
    for index in first..<hops.count - 1 {
      hops[index].exits.append(PlannedExit(causes: causes, to: hops.count))
    }
  }
}

extension NumberState {
  /// What who calls such a number is told.
  fileprivate var refusal: Cause? {
    switch self {
    case .assigned: nil
    case .available: .numberUnassigned
    case .suspended: .numberSuspended
    }
  }
}

extension CompiledRoute {
  /// What the carrier is to see; nil when nothing is left.
  func number(_ dialled: String) -> String? {
    let called = prepend + (String(dialled.utf8.dropFirst(strip)) ?? "")
    return called.isEmpty ? nil : called
  }
}

extension ConfigurationTables {
  /// What a member of the tenant reaches under a number; nil: nothing.
  func target(ofNumber number: String, tenant: Int) -> CompiledTarget? {
    let key = TenantKey(tenant, number)
    switch extensions[key] {
    case .user(let user): return .user(user)
    case .application(let application): return .application(application)
    case nil: break
    }
    if let chain = numbers[key] { return .number(chain) }
    if let user = users[key] { return .user(user) }
    if DialString.isDialString(number),
      let route = prefixes.element(at: tenant)?.longestMatch(number)
    {
      return .route(Int(route), dialled: number)
    }
    return nil
  }
}
