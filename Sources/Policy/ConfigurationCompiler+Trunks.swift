import Base
import SIPWire

extension ConfigurationCompiler {
  mutating func compileTrunks() {
    for (index, trunk) in resources.trunks.enumerated() {
      let path: [PathElement] = ["trunks", .index(index)]
      checkName(trunk.name, kind: "trunk", at: path + ["name"])
      let tenant = tenant(trunk.tenant, at: path + ["tenant"])
      let network = network(trunk.network, at: path + ["network"])
      tables.tenantOfTrunk.append(tenant ?? 0)
      tables.networkOfTrunk.append(network ?? 0)
      if let tenant {
        let key = TenantKey(tenant, trunk.name)
        if tables.trunks[key] == nil {
          tables.trunks[key] = index
        } else {
          reportDuplicate(
            path + ["name"], "the trunk name `\(trunk.name)`", firstIn: "another trunk")
        }
        compileUsername(of: trunk, index: index, tenant: tenant, at: path)
      }
      if let network {
        checkTargets(of: trunk, network: network, at: path)
        compileProofs(of: trunk, index: index, network: network, at: path)
      }
      checkRegistration(of: trunk, index: index, network: network, at: path)
      checkPassing(of: trunk, index: index, network: network, at: path)
      if let tenant, let network { noteTenant(tenant, ofNetwork: network) }
      checkLimits(of: trunk, at: path)
      checkSecurity(of: trunk, at: path)
    }
  }

  private mutating func compileUsername(
    of trunk: Trunk, index: Int, tenant: Int, at path: [PathElement]
  ) {
    if let credentials = trunk.credentials {
      checkCredentials(credentials, at: path + ["credentials"])
    }
    guard let authentication = trunk.authentication else { return }
    checkCredentials(authentication, at: path + ["authentication"])
    checkPrevious(trunk.previousAuthentication, at: path + ["authentication"])
    let key = TenantKey(tenant, authentication.username)
    if let holder = tables.trunksByUsername[key] {
      reportDuplicate(
        path + ["authentication", "username"], "the username `\(authentication.username)`",
        firstIn: "trunk `\(resources.trunks[holder].name)`")
      return
    }
    tables.trunksByUsername[key] = index
    let isFirst = tables.trunksByUsernameAnywhere[authentication.username] == nil
    tables.trunksByUsernameAnywhere[authentication.username] = .some(isFirst ? index : nil)
  }

  mutating func checkCredentials(_ credentials: Credentials, at path: [PathElement]) {
    if credentials.username.isEmpty || credentials.username.utf8.count > 128 {
      report(
        path + ["username"], "a username has 1 to 128 bytes", remedy: "Write the digest username.")
    }
    checkPassword(credentials.password, at: path + ["password"])
  }

  mutating func checkPassword(_ password: String, at path: [PathElement]) {
    if password.isEmpty || password.utf8.count > 256 {
      report(path, "a password has 1 to 256 bytes", remedy: "Write the digest password.")
    }
  }

  private mutating func checkTargets(of trunk: Trunk, network: Int, at path: [PathElement]) {
    let endpoints = tables.endpoints[network]
    for (position, target) in trunk.targets.enumerated() {
      let here = path + ["targets", .index(position)]
      checkTransport(of: target, trunk, endpoints, at: here)
      if let address = target.address {
        checkAddress(address, of: trunk, endpoints, at: here)
      }
      if let share = target.share {
        checkRange(share.priority, 0...ResourceLimits.priority, at: here + ["priority"])
        checkRange(share.weight, 1...ResourceLimits.weight, at: here + ["weight"])
      }
      if trunk.targets.firstIndex(where: { $0.description == target.description }) != position {
        reportDuplicate(here, "the target \(target)", firstIn: "this trunk")
      }
      checkSharedConnection(to: target, of: trunk, at: here)
    }
    checkSources(of: trunk, at: path)
  }

  private mutating func checkAddress(
    _ address: SocketAddress, of trunk: Trunk, _ endpoints: NetworkEndpoints,
    at path: [PathElement]
  ) {
    if address.ip.isUnspecified || address.ip.isMulticast || address.port == 0 {
      return report(
        path, "\(address) cannot be sent to", remedy: "Write the peer's address and port.")
    }
    if !endpoints.listeners.isEmpty { checkReach(address, trunk, endpoints, at: path) }
  }

  /// A target's URI may say again how the trunk is reached, not otherwise.
  mutating func checkTransport(
    of target: SIPTarget, _ trunk: Trunk, _ endpoints: NetworkEndpoints, at path: [PathElement]
  ) {
    let wire = trunk.transport.wire
    let name = trunk.transport.rawValue
    if target.isSecure && wire != .tls || !(target.transport == nil || target.transport == wire) {
      return report(
        path, "the trunk's transport is \(name), not that of \(target)",
        remedy: "Set the trunk's `transport`, or write the target without `sips:` and `transport=`."
      )
    }
    guard target.address == nil, !endpoints.listeners.isEmpty,
      endpoints.listener(wire, .v4) == nil, endpoints.listener(wire, .v6) == nil
    else { return }
    report(
      path, "network `\(trunk.network)` has no listener of transport \(name) to reach \(target)",
      remedy: noListener(name))
  }

  private func noListener(_ transport: String) -> String {
    "Add a listener with `transport: \(transport)` to demarc.yaml and to the network, or give the trunk "
      + "a `transport` that its network has."
  }

  /// A connection is one for all who go to its address: they must agree on how the peer proves itself.
  private mutating func checkSharedConnection(
    to target: SIPTarget, of trunk: Trunk, at path: [PathElement]
  ) {
    guard let address = target.address, let security = trunk.security(of: target) else { return }
    checkSharedConnection(to: address, security, of: trunk, at: path)
  }

  mutating func checkSharedConnection(
    to target: SocketAddress, _ security: TrunkSecurity, of trunk: Trunk, at path: [PathElement]
  ) {
    let key = SharedConnection(network: trunk.network, address: target)
    guard let first = securities[key] else {
      securities[key] = (security, trunk.name)
      return
    }
    if first.security != security {
      report(
        path,
        "trunk `\(first.trunk)` reaches \(target) with other `tls` settings, and both share a connection",
        remedy: "Give both trunks the same `tls` settings.")
    }
  }

  private mutating func checkSources(of trunk: Trunk, at path: [PathElement]) {
    checkWidths(of: trunk.sources, at: path + ["sources"])
  }

  mutating func checkWidths(of sources: [SourceMatch], at path: [PathElement]) {
    for (position, source) in sources.enumerated() {
      let width: UInt8 = source.network.family == .v4 ? 32 : 128
      if source.prefixLength > width {
        report(
          path + [.index(position)], "a prefix has at most \(width) bits",
          remedy: "Write an address, address/bits or address:port.")
      }
    }
  }

  private mutating func checkReach(
    _ target: SocketAddress, _ trunk: Trunk, _ endpoints: NetworkEndpoints, at path: [PathElement]
  ) {
    guard endpoints.listener(trunk.transport.wire, target.ip.family) == nil else { return }
    let family = target.ip.family == .v4 ? "IPv4" : "IPv6"
    guard endpoints.hasListener(target.ip.family) else {
      return report(
        path, "network `\(trunk.network)` has no \(family) listener to reach \(target)",
        remedy: "Add an \(family) listener to the network, or use a target of its family.")
    }
    let name = trunk.transport.rawValue
    report(
      path,
      "network `\(trunk.network)` has no \(family) listener of transport \(name) to reach \(target)",
      remedy: noListener(name))
  }

  /// The keys of SDES stand in the signalling.
  private mutating func checkProtection(of trunk: Trunk, at path: [PathElement]) {
    guard trunk.srtp.showsKeys, trunk.transport != .tls else { return }
    report(
      path + ["srtp"],
      "trunk `\(trunk.name)` requires SRTP by \(trunk.transport.rawValue), which shows the keys",
      remedy: "Write `transport: tls` for the trunk, `srtpKeys: dtls` to agree on keys elsewhere,"
        + " or `srtpWithoutTLS: true` to have it so.")
  }

  private mutating func checkSecurity(of trunk: Trunk, at path: [PathElement]) {
    checkProtection(of: trunk, at: path)
    guard let security = trunk.security else { return }
    if trunk.transport != .tls {
      report(
        path + ["tls"],
        "`tls` says how a TLS peer proves itself, but the trunk's transport is "
          + trunk.transport.rawValue,
        remedy: "Write `transport: tls`, or leave `tls` out.")
    }
    if security.certificate.isEmpty != security.key.isEmpty {
      report(
        path + ["tls"], "a certificate and its key belong together",
        remedy: "Give both `certificate` and `key`, or neither.")
    }
    if security.serverName.utf8.count > 253
      || security.serverName.utf8.contains(where: { $0 <= 0x20 })
    {
      report(
        path + ["tls", "serverName"], "`\(security.serverName)` is no host name",
        remedy: "Write the domain that the peer's certificate is for.")
    }
  }

  private mutating func checkLimits(of trunk: Trunk, at path: [PathElement]) {
    if let calls = trunk.maxCalls { checkRange(calls, 0...Int.max, at: path + ["maxCalls"]) }
    if let rate = trunk.callsPerSecond {
      checkRange(rate, 1...Int.max, at: path + ["callsPerSecond"])
    }
    checkTimeout(trunk.mediaTimeout, at: path + ["mediaTimeout"])
    checkSessionTimer(of: trunk, at: path)
    checkProbe(trunk.probe, at: path + ["probe"])
    checkSpeech(trunk.codecs, trunk.playout, transcode: trunk.transcode, at: path)
  }

  /// Of a trunk or a user.
  mutating func checkSpeech(
    _ codecs: [String], _ playout: PlayoutPolicy, transcode: Bool, at path: [PathElement]
  ) {
    for (position, codec) in codecs.enumerated() where !isToken(codec) {
      report(
        path + ["codecs", .index(position)], "`\(codec)` is no codec name",
        remedy: "Write encoding names as SDP has them: PCMU, PCMA, G722, opus.")
    }
    if playout == .adaptive, !transcode {
      report(
        path + ["playout"], "speech that is played out evenly is decoded and encoded",
        remedy: "Leave out `transcode: false`, or write `playout: off`.")
    }
  }

  /// RFC 4028 §4 and §5: no interval below 90 seconds, and none below what is demanded of others.
  private mutating func checkSessionTimer(of trunk: Trunk, at path: [PathElement]) {
    let least = ResourceDefaults.minSessionExpires
    if trunk.minSessionExpires < least || ResourceLimits.sessionExpires < trunk.minSessionExpires {
      report(
        path + ["minSessionExpires"], "a session may not be asked to end within less than 90 s",
        remedy: "Use a duration from 90s to 24h (RFC 4028 §4).")
    }
    if trunk.sessionExpires < trunk.minSessionExpires
      || ResourceLimits.sessionExpires < trunk.sessionExpires
    {
      report(
        path + ["sessionExpires"],
        "a session timer of \(trunk.sessionExpires.seconds) s is out of range",
        remedy: "Use a duration from minSessionExpires to 24h, or set sessionTimers to off.")
    }
  }

  private mutating func checkProbe(_ probe: ProbePolicy, at path: [PathElement]) {
    if !ResourceLimits.probeIntervals.contains(probe.interval) {
      report(
        path + ["interval"], "a probe interval of \(probe.interval.seconds) s is out of range",
        remedy: "Use a duration from 1s to 1h.")
    }
    checkRange(probe.failures, ResourceLimits.probeCounts, at: path + ["failures"])
    checkRange(probe.successes, ResourceLimits.probeCounts, at: path + ["successes"])
    if probe.slowStart < .zero || ResourceLimits.slowStart < probe.slowStart {
      report(
        path + ["slowStart"], "a slow start of \(probe.slowStart.seconds) s is out of range",
        remedy: "Use a duration from 0s (none) to 1h.")
    }
  }

  /// RFC 8866 §9's token, as far as encoding names use it.
  private func isToken(_ text: String) -> Bool {
    !text.isEmpty && text.utf8.count <= 32
      && text.utf8.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "/"): true
        default: false
        }
      }
  }

  /// A network whose trunks and users all belong to one tenant has that tenant.
  mutating func noteTenant(_ tenant: Int, ofNetwork network: Int) {
    switch tables.endpoints[network].tenants {
    case .none: tables.endpoints[network].tenants = .one(tenant)
    case .one(let other) where other != tenant: tables.endpoints[network].tenants = .several
    case .one, .several: break
    }
  }
}

// MARK: Sources

extension ConfigurationCompiler {
  /// Written sources must be unambiguous. Those derived from targets give way: the address with its port
  /// counts for the trunk, the bare address only where no other trunk of the network claims it.
  mutating func compileSources() {
    tables.headerTrunks = Array(repeating: [], count: resources.networks.count)
    for (index, trunk) in resources.trunks.enumerated() {
      guard let network = tables.networks[trunk.network] else { continue }
      if let header = trunk.matchHeader {
        tables.headerTrunks[network].append(
          HeaderTrunk(trunk: index, header: header, sources: SourceSet(trunk.ownSources)))
      }
      guard trunk.isKnownByItsSource else { continue }
      for (position, source) in trunk.sources.enumerated() {
        if let holder = tables.sources[network].insert(source, trunk: index) {
          reportDuplicate(
            ["trunks", .index(index), "sources", .index(position)], "this source",
            firstIn: "trunk `\(resources.trunks[holder].name)`")
        }
      }
    }
    let claims = claimedAddresses()
    for (index, trunk) in resources.trunks.enumerated()
    where trunk.sources.isEmpty && trunk.isKnownByItsSource {
      guard let network = tables.networks[trunk.network] else { continue }
      for (position, target) in trunk.speakingTargets.compactMap(\.address).enumerated() {
        let exact = SourceMatch(target.ip, port: target.port)
        let holder = tables.sources[network].insert(exact, trunk: index)
        // Calls by a registration say by which one they came.
        if let holder, holder != index, trunk.authentication == nil, trunk.register == nil,
          resources.trunks[holder].register == nil
        {
          reportAmbiguous(target, index: index, position: position, holder: holder)
        }
        let claim = Claim(network: network, address: target.ip)
        if claims[claim] == .some(.some(index)) {
          _ = tables.sources[network].insert(SourceMatch(target.ip), trunk: index)
        }
      }
    }
  }

  private struct Claim: Hashable {
    var network: Int
    var address: IPAddress
  }

  /// The one trunk whose targets have an address; the inner nil: several do.
  private func claimedAddresses() -> [Claim: Int?] {
    var claims: [Claim: Int?] = [:]
    for (index, trunk) in resources.trunks.enumerated()
    where trunk.sources.isEmpty && trunk.isKnownByItsSource {
      guard let network = tables.networks[trunk.network] else { continue }
      for target in trunk.speakingTargets.compactMap(\.address) {
        let claim = Claim(network: network, address: target.ip)
        switch claims[claim] {
        case nil: claims[claim] = .some(index)
        case .some(.some(let other)) where other != index: claims[claim] = .some(nil)
        default: break
        }
      }
    }
    return claims
  }

  private mutating func reportAmbiguous(
    _ target: SocketAddress, index: Int, position: Int, holder: Int
  ) {
    report(
      ["trunks", .index(index), "targets", .index(position)],
      "calls from \(target) could be of this trunk or of `\(resources.trunks[holder].name)`",
      remedy: "Give one of the two authentication or other sources, or put them in two networks.")
  }
}
