extension ConfigurationCompiler {
  /// How each trunk's and each tenant's numbers are read and written, and who may be seen as calling.
  mutating func compileIdentities() {
    for (index, tenant) in resources.tenants.enumerated() {
      let path: [PathElement] = ["tenants", .index(index), "numbers"]
      tables.readerOfTenant.append(tenant.numbers.flatMap { reader($0, at: path) })
    }
    for (index, written) in resources.trunks.enumerated() {
      let path: [PathElement] = ["trunks", .index(index)]
      let trunk = written.expanded
      if let name = trunk.profile, InteropProfile.named(name) == nil {
        reportDangling(
          path + ["profile"], kind: "profile", name: name,
          candidates: InteropProfile.all.map(\.name))
      }
      let own = trunk.numbers?.plan.flatMap { reader($0, at: path + ["numbers"]) }
      let tenant = tables.tenantOfTrunk.element(at: index).flatMap {
        tables.readerOfTenant.element(at: $0) ?? nil
      }
      // A PBX dials as its tenant does; a carrier says how it dials, or is taken at its word.
      tables.readerOfTrunk.append(own ?? (trunk.kind == .pbx ? tenant : nil))
      let numbers = trunk.numbers ?? TrunkNumbers()
      check(numbers, country: (own ?? tenant)?.country, at: path + ["numbers"])
      tables.writerOfTrunk.append(NumberWriter(numbers, country: (own ?? tenant)?.country))
      tables.callers.append(trunk.callerID.map { compile($0, at: path + ["callerID"]) })
      var rules = RuleCompiler()
      tables.rulesOfTrunk.append(rules.compile(trunk.rules, at: path + ["rules"]))
      for problem in rules.problems {
        report(
          problem.path, problem.message, suggestion: problem.suggestion, remedy: problem.remedy)
      }
    }
    for (index, user) in resources.users.enumerated() {
      let path: [PathElement] = ["users", .index(index), "callerIDs"]
      for (position, number) in user.callerIDs.enumerated() {
        checkCallerID(number, at: path + [.index(position)])
      }
    }
  }

  private mutating func reader(_ plan: NumberPlan, at path: [PathElement]) -> NumberReader? {
    if let prefix = plan.nationalPrefix, !isDigits(prefix, upTo: 4) {
      report(
        path + ["nationalPrefix"], "`\(prefix)` is no national prefix",
        remedy: "Write up to 4 digits, or \"\" where nothing is dialled before a national number.")
    }
    for (position, prefix) in (plan.internationalPrefixes ?? []).enumerated()
    where prefix.isEmpty || !isDigits(prefix, upTo: 8) {
      report(
        path + ["internationalPrefixes", .index(position)],
        "`\(prefix)` is no international prefix", remedy: "Write 1 to 8 digits, for example 00.")
    }
    checkRange(plan.localDigits, 0...15, at: path + ["localDigits"])
    guard let reader = NumberReader(plan) else {
      report(
        path + ["countryCode"], "no country has the code `\(plan.countryCode)`",
        remedy: "Write the code without plus or zeros, for example \"44\".")
      return nil
    }
    return reader
  }

  private mutating func check(_ numbers: TrunkNumbers, country: Country?, at path: [PathElement]) {
    if numbers.form == .national, country == nil {
      report(
        path + ["form"], "national numbers of which country?",
        remedy: "Add countryCode, for example \"44\".")
    }
    if !DialString.isDialString(numbers.prefix)
      || numbers.prefix.utf8.count > ResourceLimits.extensionLength
    {
      report(
        path + ["prefix"], "`\(numbers.prefix)` cannot stand before a number",
        remedy: "Use digits, * or #, with an optional + in front.")
    }
    for (position, place) in (numbers.callerIn ?? []).enumerated()
    where place == .preferredIdentity || place == .diversion {
      report(
        path + ["callerIn", .index(position)], "a caller is not written into \(place.rawValue)",
        remedy: "Use from, p-asserted-identity or remote-party-id.")
    }
  }

  private mutating func compile(_ policy: CallerPolicy, at path: [PathElement])
    -> CompiledCallerPolicy
  {
    for (position, number) in policy.numbers.enumerated() {
      let plain = number.utf8.last == UInt8(ascii: "*") ? String(number.dropLast()) : number
      checkCallerID(plain, at: path + ["numbers", .index(position)])
    }
    if let standard = policy.standard { checkCallerID(standard, at: path + ["default"]) }
    if policy.otherwise == .standard, policy.standard == nil {
      report(
        path + ["otherwise"], "there is no default to show",
        remedy: "Add default: with a number, or make it anonymous or refuse.")
    }
    return CompiledCallerPolicy(policy)
  }

  mutating func checkCallerID(_ number: String, at path: [PathElement]) {
    let digits = number.utf8.first == UInt8(ascii: "+") ? String(number.dropFirst()) : number
    if digits.isEmpty || !isDigits(digits, upTo: ResourceLimits.extensionLength) {
      report(
        path, "`\(number)` is no number to call from",
        remedy: "Write digits with an optional + in front, for example \"+441632960100\".")
    }
  }

  private func isDigits(_ text: String, upTo most: Int) -> Bool {
    text.utf8.count <= most && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
  }
}
