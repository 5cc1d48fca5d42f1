import Base

extension ConfigurationCompiler {
  /// From where each tenant's numbers are looked at, and whether its toll rules can be meant.
  mutating func compileToll() {
    let zones = zonesOfTenants()
    for (index, tenant) in resources.tenants.enumerated() {
      check(tenant.toll, at: ["tenants", .index(index)])
      tables.homes.append(home(of: tenant, zones[tenant.name] ?? []))
    }
    for (index, user) in resources.users.enumerated() {
      check(user.toll, at: ["users", .index(index)])
    }
    for (index, trunk) in resources.trunks.enumerated() {
      let path: [PathElement] = ["trunks", .index(index)]
      check(trunk.toll, at: path)
      if trunk.kind == .carrier, trunk.toll.mayCall != nil {
        report(
          path + ["mayCall"],
          "trunk `\(trunk.name)` is a carrier, which calls nobody but the tenant's numbers",
          remedy: "Write it for the tenant, the users and the PBXs whose calls go to the carrier.")
      }
      guard let plan = trunk.expanded.numbers?.plan, trunk.kind == .pbx,
        let reader = NumberReader(plan), let tenant = tables.tenants[trunk.tenant]
      else { continue }
      var home = tables.homes[tenant]
      home.country = reader.country
      home.zones.insert(plan.countryCode)
      tables.homesOfTrunk[index] = home
    }
  }

  private mutating func check(_ rules: TollRules, at path: [PathElement]) {
    if let rate = rules.callsPerMinute {
      checkRange(rate, 1...Int.max, at: path + ["callsPerMinute"])
    }
    if rules.maxCallDuration != nil { tables.limitsDurations = true }
    if let most = rules.maxCallDuration, most < .seconds(1) || ResourceLimits.callDuration < most {
      report(
        path + ["maxCallDuration"], "a call of \(most.seconds) s is out of range",
        remedy: "Use a duration from 1s to 168h.")
    }
    guard let costly = rules.costlyCalls else { return }
    let here = path + ["costlyCalls"]
    checkRange(costly.maxCalls, 0...1_000_000, at: here + ["maxCalls"])
    checkRange(costly.callsPerMinute, 0...1_000_000, at: here + ["callsPerMinute"])
    checkRange(costly.minutesPerDay, 0...100_000_000, at: here + ["minutesPerDay"])
  }

  /// The country of the plan of numbers; without one, those of which the tenant has numbers.
  private func home(of tenant: Tenant, _ zones: Set<String>) -> HomeCountry {
    var home = HomeCountry(zones: zones)
    if let plan = tenant.numbers, let reader = NumberReader(plan) {
      home.country = reader.country
      // A shared code has areas of which only those that the tenant has numbers of are its own country.
      home.zones = zones.filter { $0.hasPrefix(plan.countryCode) }.union([plan.countryCode])
      return home
    }
    let codes = Set(zones.compactMap { CountryCodes.country(of: $0.utf8)?.code })
    if let code = codes.first, codes.count == 1 { home.country = CountryCodes.all[code] }
    return home
  }

  /// The countries of a tenant's numbers, of those that its users are seen as, and of its calls for help.
  private func zonesOfTenants() -> [String: Set<String>] {
    var zones: [String: Set<String>] = [:]
    func note(_ number: String, _ tenant: String) {
      guard number.utf8.first == UInt8(ascii: "+"),
        let zone = NumberClasses.zone(number.utf8.dropFirst())
      else { return }
      zones[tenant, default: []].insert(zone)
    }
    for number in resources.numbers { note(number.number, number.tenant) }
    for user in resources.users {
      for number in user.callerIDs { note(number, user.tenant) }
      if let number = user.callerID { note(number, user.tenant) }
    }
    for emergency in resources.emergencies {
      if let code = emergency.country { zones[emergency.tenant, default: []].insert(code) }
    }
    return zones
  }
}

extension Configuration {
  /// The class of what a hop of a call's plan goes to; empty: it is the business of the PBX that it goes to.
  package func destination(of hop: PlannedHop, trunk: Int, payer: Payer, tenant: Int)
    -> DestinationClasses
  {
    guard let route = tables.routes.element(at: Int(hop.route)),
      let home = home(of: payer, tenant: tenant)
    else { return .all }
    return DestinationReader(home: home).classes(
      hop.dialled, strip: route.strip, prepend: route.prepend,
      isPlain: trunks.element(at: trunk)?.kind == .pbx)
  }

  private func home(of payer: Payer, tenant: Int) -> HomeCountry? {
    if case .trunk(let trunk) = payer, let own = tables.homesOfTrunk[trunk] { return own }
    return tables.homes.element(at: tenant)
  }

  /// Country code of a number in E.164; nil: it is none.
  package static func zone(of number: String) -> String? {
    number.utf8.first == UInt8(ascii: "+")
      ? NumberClasses.zone(number.utf8.dropFirst()) : nil
  }

  package func mayCall(_ payer: Payer, tenant: Int) -> DestinationClasses {
    rules(of: payer)?.mayCall ?? tenants.element(at: tenant)?.toll.mayCall
      ?? ResourceDefaults.mayCall
  }

  /// Whether the tenant's home country is known, so that some number is domestic.
  package func hasHome(tenant: Int) -> Bool {
    !(tables.homes.element(at: tenant)?.zones.isEmpty ?? true)
  }

  package var limitsDurations: Bool { tables.limitsDurations }

  package func costlyCalls(of payer: Payer) -> CostlyCalls {
    if let own = rules(of: payer)?.costlyCalls { return own }
    switch payer {
    case .user: return ResourceDefaults.costlyCallsOfUser
    case .trunk: return ResourceDefaults.costlyCallsOfTrunk
    case .tenant: return ResourceDefaults.costlyCallsOfTenant
    }
  }

  package func rules(of payer: Payer) -> TollRules? {
    switch payer {
    case .user(let user): users.element(at: user)?.toll
    case .trunk(let trunk): trunks.element(at: trunk)?.toll
    case .tenant(let tenant): tenants.element(at: tenant)?.toll
    }
  }
}
