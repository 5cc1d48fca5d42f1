package import Base

/// Calls for help: which numbers they are, where they go, and how many of them have a place whatever else is
/// going on.
package struct Emergency: Hashable, Sendable {
  package var tenant: String
  /// Of this country code, the numbers that it has for help.
  package var country: String?
  /// Further ones, or all where no country is named.
  package var numbers: [String]
  package var carriers: [RouteCarrier]
  /// Calls at once that no limit and no overload refuses. Beyond them an emergency call is one like any other.
  package var reserved: Int
  /// The number that can be called back. Nil: the caller's own.
  package var callerID: String?

  package init(
    tenant: String, country: String? = nil, numbers: [String] = [], carriers: [RouteCarrier] = [],
    reserved: Int = ResourceDefaults.emergencyReserved, callerID: String? = nil
  ) {
    self.tenant = tenant
    self.country = country
    self.numbers = numbers
    self.carriers = carriers
    self.reserved = reserved
    self.callerID = callerID
  }
}

/// The numbers for help of a country, as ITU-T E.129 and national plans publish them.
package enum EmergencyNumbers {
  package static func of(country code: String) -> [String] { table[code] ?? [] }

  package static var countries: [String] { table.keys.sorted() }

  private static let table: [String: [String]] = [
    "1": ["911"], "7": ["112", "101", "102", "103"], "20": ["122", "123", "180"],
    "27": ["112", "10111", "10177"], "30": ["112", "100", "166", "199"], "31": ["112"],
    "32": ["112", "100", "101"], "33": ["112", "15", "17", "18", "114", "196"],
    "34": ["112", "061"],
    "36": ["112", "104", "105", "107"], "39": ["112", "113", "115", "118"], "40": ["112"],
    "41": ["112", "117", "118", "144", "1414"], "43": ["112", "122", "133", "144"],
    "44": ["999", "112"], "45": ["112"], "46": ["112"], "47": ["112", "110", "113"],
    "48": ["112", "997", "998", "999"], "49": ["112", "110"], "51": ["105", "116", "117"],
    "52": ["911"], "54": ["911", "100", "101", "107"], "55": ["190", "192", "193"],
    "56": ["131", "132", "133"], "57": ["123"], "60": ["999", "112"], "61": ["000", "112", "106"],
    "62": ["112", "110", "113", "118"], "63": ["911"], "64": ["111"], "65": ["999", "995"],
    "66": ["191", "199", "1669"], "81": ["110", "118", "119"], "82": ["112", "119"],
    "84": ["113", "114", "115"], "86": ["110", "119", "120", "122"], "90": ["112"],
    "91": ["112", "100", "101", "102", "108"], "92": ["15", "16", "1122"], "212": ["19", "15"],
    "216": ["190", "197", "198"], "234": ["112", "199"], "254": ["999", "112"],
    "351": ["112"], "352": ["112", "113"], "353": ["112", "999"], "354": ["112"], "356": ["112"],
    "357": ["112", "199"], "358": ["112"], "359": ["112"], "370": ["112"], "371": ["112"],
    "372": ["112"], "380": ["112", "101", "102", "103"], "385": ["112"], "386": ["112", "113"],
    "420": ["112", "150", "155", "158"], "421": ["112", "150", "155", "158"],
    "852": ["999", "112"], "886": ["110", "119", "112"], "966": ["911", "997", "998", "999"],
    "971": ["999", "998", "997"], "972": ["100", "101", "102", "112"],
  ]
}

struct CompiledEmergency: Sendable {
  var numbers: Set<String> = []
  var route: CompiledRoute
}

extension Configuration {
  /// The tenant's emergency resource that a dialled number calls; nil: it is an ordinary number.
  package func emergency(_ dialled: String, tenant: Int) -> Int? {
    guard let index = tables.emergencyOfTenant.element(at: tenant) ?? nil else { return nil }
    guard let number = try? DialString.normalized(dialled),
      tables.emergencies[index].numbers.contains(number)
    else { return nil }
    return index
  }

  /// Its carriers, each tried whatever the one before came to; the number as it was dialled.
  package func emergencyPlan(_ index: Int, called: String, random: inout RandomSource) -> RoutePlan
  {
    var hops: [PlannedHop] = []
    var room = ResourceLimits.hops
    let number = (try? DialString.normalized(called)) ?? called
    appendCarriers(
      of: tables.emergencies[index].route, dialled: number, ring: ResourceDefaults.ringTimeout,
      room: &room, random: &random, to: &hops)
    return RoutePlan(hops: hops)
  }

  /// Port pairs that ordinary calls leave alone: two for each call that may need help at any time.
  package var emergencyReserve: Int {
    resources.emergencies.reduce(0) { $0 + max(0, $1.reserved) }
  }
}

extension ConfigurationCompiler {
  mutating func compileEmergencies() {
    tables.emergencyOfTenant = Array(repeating: nil, count: resources.tenants.count)
    for (index, emergency) in resources.emergencies.enumerated() {
      let path: [PathElement] = ["emergencies", .index(index)]
      let tenant = tenant(emergency.tenant, at: path + ["tenant"])
      var compiled = CompiledEmergency(
        route: CompiledRoute(
          strip: 0, prepend: "", timeout: ResourceDefaults.carrierTimeout,
          failoverOn: CauseSet(Cause.allCases.filter { $0 != .normalClearing && $0 != .cancelled }))
      )
      compiled.numbers = numbers(of: emergency, at: path)
      checkRange(emergency.reserved, 0...ResourceLimits.emergencyReserved, at: path + ["reserved"])
      if let number = emergency.callerID { checkCallerID(number, at: path + ["callerID"]) }
      if emergency.carriers.isEmpty {
        report(
          path + ["carriers"], "calls for help lead nowhere",
          remedy: "Name the trunks that take emergency calls.")
      }
      if let tenant {
        compiled.route.groups = carriers(emergency.carriers, tenant: tenant, at: path)
        if tables.emergencyOfTenant[tenant] == nil {
          tables.emergencyOfTenant[tenant] = index
        } else {
          report(
            path + ["tenant"], "tenant `\(emergency.tenant)` has emergency twice",
            remedy: "Put all of its numbers and carriers into one.")
        }
        checkExtensions(compiled.numbers, tenant: tenant, at: path)
      }
      tables.emergencies.append(compiled)
    }
  }

  private mutating func numbers(of emergency: Emergency, at path: [PathElement]) -> Set<String> {
    var numbers: Set<String> = []
    for (position, number) in emergency.numbers.enumerated() {
      if let plain = try? DialString.normalized(number), DialString.isDialString(plain) {
        numbers.insert(plain)
      } else {
        report(
          path + ["numbers", .index(position)], "`\(number)` is no number to dial",
          remedy: "Write digits, for example \"112\".")
      }
    }
    if let country = emergency.country {
      let known = EmergencyNumbers.of(country: country)
      if known.isEmpty {
        report(
          path + ["country"], "the emergency numbers of `\(country)` are not known here",
          remedy: "Write them under numbers.")
      }
      numbers.formUnion(known)
    }
    if numbers.isEmpty {
      report(
        path, "no number is an emergency number", remedy: "Add country: \"49\", or numbers.")
    }
    return numbers
  }

  private mutating func checkExtensions(
    _ numbers: Set<String>, tenant: Int, at path: [PathElement]
  ) {
    for number in numbers.sorted() where tables.extensions[TenantKey(tenant, number)] != nil {
      report(
        path, "\(number) is an emergency number and an extension",
        remedy: "Give the extension another number: who dials it must get help.")
    }
  }
}
