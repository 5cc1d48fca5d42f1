import Base

extension ConfigurationCompiler {
  /// Names first, chains later: a chain may lead to a number further down.
  mutating func indexNumbers() {
    for (index, number) in resources.numbers.enumerated() {
      let path: [PathElement] = ["numbers", .index(index)]
      let normal = (try? DialString.normalized(number.number)) ?? ""
      tables.chains.append(CompiledChain(number: normal, state: number.state))
      let fits =
        (1...ResourceLimits.extensionLength).contains(normal.utf8.count)
        && DialString.isDialString(normal)
      if !fits {
        report(
          path + ["number"], "`\(number.number)` is no telephone number",
          remedy: "Write digits with an optional + in front, for example +441632960100.")
      }
      guard let tenant = tenant(number.tenant, at: path + ["tenant"]), fits else { continue }
      let key = TenantKey(tenant, normal)
      if tables.numbers[key] == nil {
        tables.numbers[key] = index
      } else {
        reportDuplicate(
          path + ["number"], "the number \(number.number)", firstIn: "another number")
      }
    }
  }

  mutating func compileChains() {
    for (index, number) in resources.numbers.enumerated() {
      let path: [PathElement] = ["numbers", .index(index), "destinations"]
      checkState(number, at: path)
      if number.destinations.count > ResourceLimits.hops {
        report(
          path, "a chain has at most \(ResourceLimits.hops) destinations",
          remedy: "Shorten the chain.")
      }
      let tenant = tables.tenants[number.tenant]
      for (position, hop) in number.destinations.enumerated() {
        let here = path + [.index(position)]
        checkTimeout(hop.timeout, at: here + ["timeout"])
        guard let tenant, let target = target(of: hop.to, tenant: tenant, at: here) else {
          continue
        }
        let isLast = position == number.destinations.count - 1
        tables.chains[index].hops.append(
          CompiledHop(
            target: target, timeout: hop.timeout,
            continueOn: isLast ? CauseSet() : CauseSet(hop.continueOn)))
      }
    }
  }

  private mutating func checkState(_ number: Number, at path: [PathElement]) {
    if number.state == .available, !number.destinations.isEmpty {
      report(
        path, "the number \(number.number) is available, so it leads to nobody",
        remedy: "Leave `destinations` out, or write `state: assigned` or `state: suspended`.")
    } else if number.state != .available, number.destinations.isEmpty {
      report(
        path, "the number \(number.number) leads nowhere",
        remedy: "Add at least one destination: a user, trunk, application or number; or write "
          + "`state: available` for one that is in stock.")
    }
  }

  mutating func target(
    of destination: Destination, tenant: Int, at path: [PathElement]
  ) -> CompiledTarget? {
    switch destination {
    case .user(let name):
      if let user = tables.users[TenantKey(tenant, name)] { return .user(user) }
      let owner = resources.tenants[tenant].name
      let own = resources.users.lazy.filter { $0.tenant == owner }.map(\.name)
      reportDangling(
        path + ["user"], kind: "user of tenant `\(owner)`", name: name, candidates: own)
      return nil
    case .trunk(let name):
      return callableTrunk(name, tenant: tenant, at: path + ["trunk"]).map { .trunk($0) }
    case .application(let name):
      if let found = tables.applications[TenantKey(tenant, name)] { return .application(found) }
      let owner = resources.tenants[tenant].name
      let own = resources.applications.lazy.filter { $0.tenant == owner }.map(\.name)
      reportDangling(
        path + ["application"], kind: "application of tenant `\(owner)`", name: name,
        candidates: own)
      return nil
    case .number(let number):
      return target(ofNumber: number, tenant: tenant, at: path + ["number"])
    case .ring(let members):
      return ring(of: members, tenant: tenant, at: path + ["ring"])
    }
  }

  private mutating func ring(
    of members: [Destination], tenant: Int, at path: [PathElement]
  ) -> CompiledTarget? {
    if members.isEmpty || members.count > ResourceLimits.ringMembers {
      report(
        path, "a ring has 1 to \(ResourceLimits.ringMembers) destinations, not \(members.count)",
        remedy: "Write the users, trunks and numbers that are to ring at the same time.")
    }
    var seen: Set<Destination> = []
    var targets: [CompiledTarget] = []
    for (position, member) in members.enumerated() {
      let here = path + [.index(position)]
      switch member {
      case .application:
        report(
          here, "an application answers at once, so nothing beside it would ring",
          remedy: "Make the application a destination of its own after the ring.")
        continue
      case .ring:
        report(
          here, "a ring cannot hold another ring",
          remedy: "Write the members of the inner one here.")
        continue
      case .user, .trunk, .number: break
      }
      if !seen.insert(member).inserted {
        reportDuplicate(here, "this destination", firstIn: "this ring")
      }
      if let target = target(of: member, tenant: tenant, at: here) { targets.append(target) }
    }
    return .ring(targets)
  }

  private mutating func target(ofNumber number: String, tenant: Int, at path: [PathElement])
    -> CompiledTarget?
  {
    let normal = (try? DialString.normalized(number)) ?? ""
    guard let target = tables.target(ofNumber: normal, tenant: tenant) else {
      report(
        path, "the number `\(number)` leads nowhere",
        remedy: "Write an extension or a number of the tenant, or add a route for its prefix.")
      return nil
    }
    if case .route(let route, let dialled) = target, tables.routes[route].number(dialled) == nil {
      report(
        path, "nothing of `\(number)` is left after its route has stripped it",
        remedy: "Write the whole number, or lower the route's strip.")
      return nil
    }
    return target
  }

  /// A trunk without targets takes calls and cannot be called.
  mutating func callableTrunk(_ name: String, tenant: Int, at path: [PathElement]) -> Int? {
    guard let trunk = trunk(name, tenant: tenant, at: path) else { return nil }
    let peer = resources.trunks[trunk]
    if peer.targets.isEmpty, peer.register == nil, !peer.registersWithUs {
      report(
        path, "trunk `\(name)` has no targets, so no call can be sent there",
        remedy: "Add targets to the trunk, let its PBX register, or name another one.")
    }
    return trunk
  }
}

// MARK: Loops

extension ConfigurationCompiler {
  /// Numbers that lead to numbers: no circle, and no more than `ResourceLimits.chainDepth` in a row.
  /// A depth-first walk with its own stack, since a document may nest as deep as it is long.
  mutating func findLoops() {
    var height = [Int](repeating: 0, count: tables.chains.count)
    var open = [Bool](repeating: false, count: tables.chains.count)
    for start in tables.chains.indices where height[start] == 0 {
      var stack: [(chain: Int, next: Int)] = [(start, 0)]
      open[start] = true
      while let top = stack.last {
        let inners = tables.chains[top.chain].hops.flatMap(\.target.chains)
        guard top.next < inners.count else {
          close(top.chain, height: &height, open: &open)
          stack.removeLast()
          continue
        }
        stack[stack.count - 1].next += 1
        let inner = inners[top.next]
        if open[inner] {
          reportLoop(closing: top.chain, through: stack.map(\.chain), to: inner)
        } else if height[inner] == 0 {
          open[inner] = true
          stack.append((inner, 0))
        }
      }
    }
  }

  private mutating func close(_ chain: Int, height: inout [Int], open: inout [Bool]) {
    open[chain] = false
    var highest = 0
    for inner in tables.chains[chain].hops.flatMap(\.target.chains) {
      highest = max(highest, height[inner])
    }
    height[chain] = highest + 1
    if height[chain] == ResourceLimits.chainDepth + 1 {
      report(
        ["numbers", .index(chain), "destinations"],
        "more than \(ResourceLimits.chainDepth) numbers lead to each other in a row",
        remedy: "Let this number lead to the last one's destination directly.")
    }
  }

  private mutating func reportLoop(closing chain: Int, through stack: [Int], to inner: Int) {
    let circle = stack.drop { $0 != inner } + [inner]
    let names = circle.map { tables.chains[$0].number }.joined(separator: " → ")
    report(
      ["numbers", .index(chain), "destinations"], "the numbers lead in a circle: \(names)",
      remedy: "Let one of them end at a user, a trunk or an application.")
  }
}
