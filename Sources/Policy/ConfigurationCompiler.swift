import Base
import SIPWire

/// Checks the resources and builds the tables, one kind after the other so that each can look up what
/// it refers to. It goes on after a problem; what depends on a broken reference is then left unchecked.
struct ConfigurationCompiler {
  let resources: Resources
  let listeners: [(name: String, address: SocketAddress)]
  let media: [(name: String, address: IPAddress)]
  let transports: [Transport]
  var tables = ConfigurationTables()
  var problems: [ConfigurationProblem] = []
  /// How the peer at an address proves itself, and the first trunk that says so.
  var securities: [SharedConnection: (security: TrunkSecurity, trunk: String)] = [:]
  /// How many problems there were beyond the limit.
  private var unreported = 0

  init(
    resources: Resources, listeners: [(name: String, address: SocketAddress)],
    media: [(name: String, address: IPAddress)], transports: [Transport] = []
  ) {
    self.resources = resources
    self.listeners = listeners
    self.media = media
    self.transports = transports
  }

  mutating func compile() throws(ConfigurationProblems) -> ConfigurationTables {
    compileTenants()
    compileNetworks()
    compileTrunks()
    compileCollectors()
    compileSources()
    checkAccess()
    compileUsers()
    compileIdentities()
    compileApplications()
    checkNotices()
    checkRecordingCodes()
    checkRetentions()
    checkMusic()
    checkTones()
    indexNumbers()
    compileRoutes()
    compileChains()
    compileForwarding()
    findLoops()
    compileLimits()
    compileToll()
    compileEmergencies()
    guard problems.isEmpty else {
      if unreported > 0 {
        problems.append(
          ConfigurationProblem(
            path: [], message: "\(unreported) further problems are not shown",
            remedy: "Repair those above and check again."))
      }
      throw ConfigurationProblems(problems)
    }
    return tables
  }
}

/// What trunks have a TLS connection in common by.
struct SharedConnection: Hashable {
  var network: String
  var address: SocketAddress
}

extension ConfigurationCompiler {
  private mutating func compileCollectors() {
    for (index, tenant) in resources.tenants.enumerated() {
      checkQualityWatch(tenant, at: ["tenants", .index(index)])
      guard let name = tenant.qualityCollector else { continue }
      tables.collectors[index] = trunk(
        name, tenant: index, at: ["tenants", .index(index), "qualityCollector"])
    }
  }

  private mutating func checkQualityWatch(_ tenant: Tenant, at path: [PathElement]) {
    if tenant.qualityInterval != 0 {
      checkRange(
        tenant.qualityInterval, QualityWatchRule.intervals, at: path + ["qualityInterval"])
    }
    if let alert = tenant.qualityAlert, !QualityWatchRule.ratings.contains(alert) {
      report(
        path + ["qualityAlert"], "there is no such MOS", remedy: "Write one from 1.0 to 4.5.")
    }
    guard tenant.qualityCollector == nil else { return }
    for (key, isSet) in [
      ("qualityInterval", tenant.qualityInterval != 0),
      ("qualityAlert", tenant.qualityAlert != nil),
    ] where isSet {
      report(
        path + [.key(key)], "nobody is told",
        remedy: "Name a trunk as `qualityCollector`, or leave this out.")
    }
  }
}

// MARK: Reporting

extension ConfigurationCompiler {
  mutating func report(
    _ path: [PathElement], _ message: String, suggestion: String? = nil, remedy: String
  ) {
    guard problems.count < ConfigurationProblems.limit else {
      unreported += 1
      return
    }
    problems.append(
      ConfigurationProblem(
        path: path, message: message, suggestion: suggestion, remedy: remedy))
  }

  /// A name that nothing has. `candidates` are looked at only while problems are still shown.
  mutating func reportDangling(
    _ path: [PathElement], kind: String, name: String, candidates: some Sequence<String>
  ) {
    guard problems.count < ConfigurationProblems.limit else {
      unreported += 1
      return
    }
    report(
      path, "no \(kind) is named `\(name)`", suggestion: nearestMatch(to: name, in: candidates),
      remedy: "Define the \(kind), or name one that exists.")
  }

  /// Letters, digits and `-._@+`: names stand in URIs, records, labels and command lines.
  mutating func checkName(_ name: String, kind: String, at path: [PathElement]) {
    let fits = name.utf8.allSatisfy { byte in
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
      case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "@"),
        UInt8(ascii: "+"):
        true
      default: false
      }
    }
    if !fits || !(1...ResourceLimits.nameLength).contains(name.utf8.count) {
      report(
        path, "`\(name)` cannot be the name of a \(kind)",
        remedy: "Use 1 to \(ResourceLimits.nameLength) letters, digits or -._@+.")
    }
  }

  mutating func reportDuplicate(_ path: [PathElement], _ what: String, firstIn first: String) {
    report(
      path, "\(what) is used twice; \(first) has it already",
      remedy: "Change one of the two.")
  }

  /// 1 ms to an hour.
  mutating func checkTimeout(_ value: Interval, at path: [PathElement]) {
    if value < .milliseconds(1) || ResourceLimits.timeout < value {
      report(
        path, "a duration of \(value.seconds) s is out of range",
        remedy: "Use a duration from 1ms to 1h.")
    }
  }

  mutating func checkRange(_ value: Int, _ range: ClosedRange<Int>, at path: [PathElement]) {
    if !range.contains(value) {
      report(
        path, "\(value) is out of range",
        remedy: range.upperBound == .max
          ? "Use \(range.lowerBound) or more."
          : "Use a number from \(range.lowerBound) to \(range.upperBound).")
    }
  }

  /// The tenant's index, or nil after reporting that there is none.
  mutating func tenant(_ name: String, at path: [PathElement]) -> Int? {
    if let index = tables.tenants[name] { return index }
    reportDangling(
      path, kind: "tenant", name: name, candidates: resources.tenants.lazy.map(\.name))
    return nil
  }

  mutating func network(_ name: String, at path: [PathElement]) -> Int? {
    if let index = tables.networks[name] { return index }
    reportDangling(
      path, kind: "network", name: name, candidates: resources.networks.lazy.map(\.name))
    return nil
  }

  mutating func trunk(_ name: String, tenant: Int, at path: [PathElement]) -> Int? {
    if let index = tables.trunks[TenantKey(tenant, name)] { return index }
    let owner = resources.tenants[tenant].name
    let own = resources.trunks.lazy.filter { $0.tenant == owner }.map(\.name)
    reportDangling(path, kind: "trunk of tenant `\(owner)`", name: name, candidates: own)
    return nil
  }
}
