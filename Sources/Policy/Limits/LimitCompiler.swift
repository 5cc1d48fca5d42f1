extension ConfigurationCompiler {
  /// Pools of lines and classes of numbers, by trunk and by tenant.
  mutating func compileLimits() {
    tables.poolsOfTrunk = Array(repeating: [], count: resources.trunks.count)
    for (index, tenant) in resources.tenants.enumerated() {
      checkLimits(tenant.maxCalls, tenant.callsPerSecond, at: ["tenants", .index(index)])
    }
    for (index, user) in resources.users.enumerated() {
      checkLimits(user.maxCalls, user.callsPerSecond, at: ["users", .index(index)])
    }
    compilePools()
    compileClasses()
  }

  private mutating func checkLimits(_ calls: Int?, _ rate: Int?, at path: [PathElement]) {
    if let calls { checkRange(calls, 0...Int.max, at: path + ["maxCalls"]) }
    if let rate { checkRange(rate, 1...Int.max, at: path + ["callsPerSecond"]) }
  }

  private mutating func compilePools() {
    var names: Set<TenantKey> = []
    for (index, pool) in resources.pools.enumerated() {
      let path: [PathElement] = ["pools", .index(index)]
      checkName(pool.name, kind: "pool", at: path + ["name"])
      checkRange(pool.lines, 0...Int.max, at: path + ["lines"])
      if pool.trunks.isEmpty {
        report(
          path + ["trunks"], "the pool `\(pool.name)` has no trunk",
          remedy: "Name the trunks whose lines these are.")
      }
      guard let tenant = tenant(pool.tenant, at: path + ["tenant"]) else { continue }
      if !names.insert(TenantKey(tenant, pool.name)).inserted {
        reportDuplicate(path + ["name"], "the pool name `\(pool.name)`", firstIn: "another pool")
      }
      for (position, name) in pool.trunks.enumerated() {
        let here = path + ["trunks", .index(position)]
        guard let trunk = trunk(name, tenant: tenant, at: here) else { continue }
        if tables.poolsOfTrunk[trunk].contains(index) {
          reportDuplicate(here, "the trunk `\(name)`", firstIn: "this pool")
        } else {
          tables.poolsOfTrunk[trunk].append(index)
        }
      }
    }
  }

  private mutating func compileClasses() {
    var prefixes = [[(prefix: String, value: Int32)]](
      repeating: [], count: resources.tenants.count)
    var names: Set<TenantKey> = []
    var owners: Set<TenantKey> = []
    for (index, numbers) in resources.classes.enumerated() {
      let path: [PathElement] = ["classes", .index(index)]
      checkName(numbers.name, kind: "class", at: path + ["name"])
      checkLimits(numbers.maxCalls, numbers.callsPerSecond, at: path)
      let limits = numbers.maxCalls != nil || numbers.callsPerSecond != nil || numbers.alarm
      if numbers.prefixes.isEmpty || !limits {
        report(
          path, "the class `\(numbers.name)` limits nothing",
          remedy: "Add prefixes, and maxCalls, callsPerSecond or alarm.")
      }
      guard let tenant = tenant(numbers.tenant, at: path + ["tenant"]) else { continue }
      if !names.insert(TenantKey(tenant, numbers.name)).inserted {
        reportDuplicate(
          path + ["name"], "the class name `\(numbers.name)`", firstIn: "another class")
      }
      for (position, prefix) in numbers.prefixes.enumerated() {
        let here = path + ["prefixes", .index(position)]
        guard DialString.isDialString(prefix), prefix.utf8.count <= PrefixTable.maximumLength else {
          report(
            here, "`\(prefix)` is no prefix",
            remedy: "Use up to \(PrefixTable.maximumLength) digits with an optional + in front.")
          continue
        }
        if owners.insert(TenantKey(tenant, prefix)).inserted {
          prefixes[tenant].append((prefix, Int32(truncatingIfNeeded: index)))
        } else {
          reportDuplicate(here, "the prefix `\(prefix)`", firstIn: "another class")
        }
      }
    }
    tables.classes = prefixes.map { PrefixTable($0) }
  }
}

extension Configuration {
  /// The pools whose lines a trunk's calls take.
  package func pools(ofTrunk trunk: Int) -> [Pool] {
    (tables.poolsOfTrunk.element(at: trunk) ?? []).map { resources.pools[$0] }
  }

  /// The class of an outside number: that of its longest prefix.
  package func numberClass(of number: String, tenant: Int) -> NumberClass? {
    guard let index = tables.classes.element(at: tenant)?.longestMatch(number) else { return nil }
    return resources.classes.element(at: Int(index))
  }
}
