import Base

extension ConfigurationCompiler {
  mutating func compileRoutes() {
    var prefixes = [[(prefix: String, value: Int32)]](
      repeating: [], count: resources.tenants.count)
    var names: Set<TenantKey> = []
    var owners: [TenantKey: Int] = [:]
    for (index, route) in resources.routes.enumerated() {
      let path: [PathElement] = ["routes", .index(index)]
      checkName(route.name, kind: "route", at: path + ["name"])
      checkNumbers(of: route, at: path)
      var compiled = CompiledRoute(
        strip: max(route.strip, 0), prepend: route.prepend, timeout: route.timeout,
        failoverOn: CauseSet(route.failoverOn))
      if let tenant = tenant(route.tenant, at: path + ["tenant"]) {
        if route.carriers.isEmpty {
          report(
            path + ["carriers"], "the route `\(route.name)` has no carrier",
            remedy: "Add at least one trunk.")
        }
        compiled.groups = carriers(route.carriers, tenant: tenant, at: path)
        checkForms(of: route, tenant: tenant, at: path)
        if !names.insert(TenantKey(tenant, route.name)).inserted {
          reportDuplicate(
            path + ["name"], "the route name `\(route.name)`", firstIn: "another route")
        }
        if let owner = owners.updateValue(index, forKey: TenantKey(tenant, route.prefix)) {
          reportDuplicate(
            path + ["prefix"], "the prefix `\(route.prefix)`",
            firstIn: "route `\(resources.routes[owner].name)`")
        }
        prefixes[tenant].append((route.prefix, Int32(truncatingIfNeeded: index)))
      }
      tables.routes.append(compiled)
    }
    tables.prefixes = prefixes.map { PrefixTable($0) }
  }

  private mutating func checkNumbers(of route: Route, at path: [PathElement]) {
    if !DialString.isDialString(route.prefix)
      || route.prefix.utf8.count > PrefixTable.maximumLength
    {
      report(
        path + ["prefix"], "`\(route.prefix)` is no prefix",
        remedy:
          "Use up to \(PrefixTable.maximumLength) digits, * or #, with an optional + in front.")
    }
    checkRange(route.strip, 0...ResourceLimits.extensionLength, at: path + ["strip"])
    if !DialString.isDialString(route.prepend)
      || route.prepend.utf8.count > ResourceLimits.extensionLength
    {
      report(
        path + ["prepend"], "`\(route.prepend)` cannot stand before a number",
        remedy: "Use digits, * or #, with an optional + in front.")
    }
    checkTimeout(route.timeout, at: path + ["timeout"])
  }

  /// A number that is dialled with a 0 or 00 in front says of no country which it is of, where the tenant says nothing
  /// either: a carrier that wants its country code would get it as it stands, and refuse each call.
  private mutating func checkForms(of route: Route, tenant: Int, at path: [PathElement]) {
    guard route.prefix.utf8.first == UInt8(ascii: "0"), route.prefix.utf8.count <= 2,
      !route.prepend.hasPrefix("+"), tables.readerOfTenant.element(at: tenant) == .some(nil)
    else { return }
    for (position, carrier) in route.carriers.enumerated() {
      guard let index = tables.trunks[TenantKey(tenant, carrier.trunk)],
        let form = resources.trunks[index].expanded.numbers?.form, form.needsCountryCode
      else { continue }
      let origin = resources.trunks[index].profile.map { " (profile \($0))" } ?? ""
      report(
        path + ["carriers", .index(position), "trunk"],
        "trunk `\(carrier.trunk)` wants \(form.rawValue)\(origin), and nothing says of which country "
          + "numbers like \(route.prefix)… are",
        remedy:
          "Add `numbers: {countryCode: \"44\"}`, with your country's, to the tenant; or have the route "
          + "`strip` what is dialled and `prepend` a + and the code.")
    }
  }

  /// The route's carriers, grouped by priority.
  mutating func carriers(_ carriers: [RouteCarrier], tenant: Int, at path: [PathElement])
    -> [[CompiledCarrier]]
  {
    if carriers.count > ResourceLimits.hops {
      report(
        path + ["carriers"], "a route has at most \(ResourceLimits.hops) carriers",
        remedy: "Remove some.")
    }
    var groups: [Int: [CompiledCarrier]] = [:]
    var seen: Set<String> = []
    for (position, carrier) in carriers.enumerated() {
      let here = path + ["carriers", .index(position)]
      checkRange(carrier.priority, 0...ResourceLimits.priority, at: here + ["priority"])
      checkRange(carrier.weight, 1...ResourceLimits.weight, at: here + ["weight"])
      if !seen.insert(carrier.trunk).inserted {
        reportDuplicate(
          here + ["trunk"], "the trunk `\(carrier.trunk)`", firstIn: "this route")
      }
      if let trunk = callableTrunk(carrier.trunk, tenant: tenant, at: here + ["trunk"]) {
        groups[carrier.priority, default: []].append(
          CompiledCarrier(trunk: trunk, weight: max(carrier.weight, 1)))
      }
    }
    return groups.sorted { $0.key < $1.key }.map(\.value)
  }
}
