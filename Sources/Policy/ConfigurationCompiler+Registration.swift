import Base

extension ConfigurationCompiler {
  /// `register` and `matchHeader` of a trunk.
  mutating func checkRegistration(
    of trunk: Trunk, index: Int, network: Int?, at path: [PathElement]
  ) {
    if let header = trunk.matchHeader { checkHeader(header, of: trunk, at: path + ["matchHeader"]) }
    guard let register = trunk.register else { return }
    let here = path + ["register"]
    checkRegistrar(register, at: here)
    checkNames(register, at: here)
    if let credentials = register.credentials {
      checkCredentials(credentials, at: here + ["credentials"])
    } else if trunk.credentials == nil {
      report(
        here, "the registration has no password",
        remedy: "Add credentials to the registration or to the trunk.")
    }
    if register.expires < .seconds(60) || .seconds(86_400) < register.expires {
      report(
        here + ["expires"], "a registration of \(register.expires.seconds) s is out of range",
        remedy: "Use a duration from 60s to 24h.")
    }
    if let keepAlive = register.keepAlive,
      keepAlive < .seconds(5) || .seconds(3_600) < keepAlive
    {
      report(
        here + ["keepAlive"], "a keep-alive each \(keepAlive.seconds) s is out of range",
        remedy: "Use a duration from 5s to 1h; most NATs want 25s.")
    }
    checkAddresses(of: trunk, register, network: network, at: here)
    if let line = trunk.registrationLine { tables.trunksByLine[line] = index }
    if let user = register.ownUser, let network {
      tables.trunksByContact[TenantKey(network, user), default: []].append(
        (index, SourceSet(trunk.ownSources)))
    }
  }

  private mutating func checkHeader(
    _ header: HeaderMatch, of trunk: Trunk, at path: [PathElement]
  ) {
    if header.name.isEmpty || header.name.utf8.count > 64
      || !header.name.utf8.allSatisfy(isTokenByte)
    {
      report(
        path + ["name"], "`\(header.name)` is no header name",
        remedy: "Write the name of a header field, for example X-Account.")
    }
    if header.value.isEmpty || header.value.utf8.count > 256 {
      report(
        path + ["value"], "a header's value has 1 to 256 bytes",
        remedy: "Write the value that tells this trunk from the others.")
    }
    if trunk.sources.isEmpty, trunk.speakingTargets.isEmpty, trunk.clientName == nil {
      report(
        path, "a header counts only beside a source address or a certificate",
        remedy: "Add sources, targets or `tls.clientName` to the trunk.")
    }
  }

  private mutating func checkRegistrar(_ register: TrunkRegistration, at path: [PathElement]) {
    let isAddress = register.registrarAddress != nil
    if !isAddress, !isHostPort(register.registrar) {
      report(
        path + ["registrar"], "`\(register.registrar)` is neither a host name nor an address",
        remedy: "Write what stands behind the @ of your address there, for example sip.example.net."
      )
    }
    if let aor = register.aor {
      let parts = aor.split(separator: "@", omittingEmptySubsequences: false)
      if parts.count != 2 || !isUser(String(parts[0])) || !isHostPort(String(parts[1])) {
        report(
          path + ["aor"], "`\(aor)` is no address of record",
          remedy: "Write user@domain, or leave it out.")
      }
    }
  }

  private mutating func checkNames(_ register: TrunkRegistration, at path: [PathElement]) {
    if register.username.isEmpty || register.username.utf8.count > 128 {
      report(
        path + ["username"], "a username has 1 to 128 bytes",
        remedy: "Write the account's name, as it stands before the @.")
    }
    if let user = register.contactUser, !isUser(user) || user.utf8.count > 128 {
      report(
        path + ["contactUser"], "`\(user)` cannot be the user part of a Contact",
        remedy: "Use letters, digits or -._+*.")
    }
    if let realm = register.realm, realm.isEmpty || realm.utf8.count > 128 {
      report(
        path + ["realm"], "a realm has 1 to 128 bytes", remedy: "Write the realm, or leave it out.")
    }
  }

  private mutating func checkAddresses(
    of trunk: Trunk, _ register: TrunkRegistration, network: Int?, at path: [PathElement]
  ) {
    guard let network, let endpoints = tables.endpoints.element(at: network) else { return }
    if register.outboundProxy != nil || trunk.targets.isEmpty {
      let place = path + [register.outboundProxy == nil ? "registrar" : "outboundProxy"]
      for target in trunk.registrarTargets {
        checkTransport(of: target, trunk, endpoints, at: place)
      }
    }
    for address in trunk.registrarAddresses {
      if let security = trunk.ownSecurity {
        checkSharedConnection(to: address, security, of: trunk, at: path)
      }
      if address.ip.isUnspecified || address.ip.isMulticast || address.port == 0 {
        report(path, "\(address) cannot be sent to", remedy: "Write the registrar's address.")
      } else if endpoints.listener(trunk.transport.wire, address.ip.family) == nil,
        !endpoints.listeners.isEmpty
      {
        report(
          path,
          "network `\(trunk.network)` has no listener of transport \(trunk.transport.rawValue) of the "
            + "family of \(address)",
          remedy: "Add one to the network, or register with an address of its family.")
      }
    }
  }

  // MARK: Grammar

  /// Letters, digits, dots and dashes with an optional port.
  private func isHostPort(_ text: String) -> Bool {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard let host = parts.first, !host.isEmpty, host.utf8.count <= 253, parts.count <= 2,
      host.utf8.allSatisfy({ $0.isASCIIDigit || $0.isASCIILetter || $0 == 0x2d || $0 == 0x2e }),
      !host.hasPrefix("."), !host.hasSuffix("."), !host.contains("..")
    else { return false }
    return parts.count == 1 || UInt16(parts[1]).map { $0 > 0 } ?? false
  }

  private func isUser(_ text: String) -> Bool {
    !text.isEmpty && UserText.escaped(text) == text
  }

  /// RFC 3261 §25.1, `token`.
  private func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x21, 0x25, 0x27, 0x2a, 0x2b, 0x2d, 0x2e, 0x5f, 0x60, 0x7e: true
    default: byte.isASCIIDigit || byte.isASCIILetter
    }
  }
}

extension Trunk {
  /// Who may speak as this trunk: what it says, else where its calls go.
  var ownSources: [SourceMatch] {
    if !sources.isEmpty { return sources }
    return speakingTargets.compactMap(\.address).map { SourceMatch($0.ip, port: $0.port) }
  }
}
