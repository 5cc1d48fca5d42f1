import Base
import SIPWire

extension ConfigurationCompiler {
  mutating func compileUsers() {
    for (index, user) in resources.users.enumerated() {
      let path: [PathElement] = ["users", .index(index)]
      checkName(user.name, kind: "user", at: path + ["name"])
      let tenant = tenant(user.tenant, at: path + ["tenant"])
      let network = network(user.network, at: path + ["network"])
      tables.tenantOfUser.append(tenant ?? 0)
      tables.networkOfUser.append(network ?? 0)
      if let tenant {
        indexUser(user, index: index, tenant: tenant, at: path)
        claimExtension(
          user.extension, for: .user(index), tenant: tenant, at: path + ["extension"])
      }
      if let tenant, let network { noteTenant(tenant, ofNetwork: network) }
      if let network { checkTransport(of: user, network: network, at: path + ["transport"]) }
      checkProtection(of: user, at: path + ["srtp"])
      checkWidths(of: user.sources, at: path + ["sources"])
      if !user.sources.isEmpty { tables.sourcesOfUser[index] = SourceSet(user.sources) }
      checkPassword(user.password, at: path + ["password"])
      checkPrevious(user.previous, at: path)
      if let callerID = user.callerID,
        callerID.isEmpty || callerID.utf8.count > ResourceLimits.extensionLength
          || !DialString.isDialString(callerID)
      {
        report(
          path + ["callerID"], "`\(callerID)` is no number",
          remedy: "Write digits with an optional + in front, for example +441632960100.")
      }
      checkRange(
        user.maxContacts, 1...ResourceLimits.maxContacts, at: path + ["maxContacts"])
      checkTimeout(user.mediaTimeout, at: path + ["mediaTimeout"])
      checkSpeech(user.codecs, user.playout, transcode: user.transcode, at: path)
    }
    checkPickups()
  }

  /// Whoever may take a user's calls is a user of the same tenant.
  private mutating func checkPickups() {
    for (index, user) in resources.users.enumerated() where !user.pickup.isEmpty {
      let tenant = tables.tenantOfUser[index]
      for (place, name) in user.pickup.enumerated()
      where tables.users[TenantKey(tenant, name)] == nil {
        report(
          ["users", .index(index), "pickup", .index(place)],
          "there is no user `\(name)` in tenant `\(user.tenant)`",
          remedy: "Name users of the same tenant who may take this user's ringing calls.")
      }
    }
  }

  /// The keys of SDES stand in the signalling.
  private mutating func checkProtection(of user: User, at path: [PathElement]) {
    guard user.srtp.showsKeys, user.transport != .tls else { return }
    report(
      path,
      "user `\(user.name)` requires SRTP, and its phones may come without TLS, which shows the keys",
      remedy: "Write `transport: tls` for the user, `srtpKeys: dtls` to agree on keys elsewhere,"
        + " or `srtpWithoutTLS: true` to have it so.")
  }

  private mutating func checkTransport(of user: User, network: Int, at path: [PathElement]) {
    let listeners = tables.endpoints[network].listeners
    guard user.transport == .tls, !listeners.isEmpty,
      !listeners.contains(where: { $0.transport.isSecure })
    else { return }
    report(
      path, "network `\(user.network)` has no listener of TLS for user `\(user.name)`",
      remedy:
        "Add a listener with `transport: tls` or `wss` to the network, or write `transport: any`.")
  }

  private mutating func indexUser(
    _ user: User, index: Int, tenant: Int, at path: [PathElement]
  ) {
    let key = TenantKey(tenant, user.name)
    if tables.users[key] != nil {
      reportDuplicate(path + ["name"], "the user name `\(user.name)`", firstIn: "another user")
      return
    }
    tables.users[key] = index
    if let trunk = tables.trunksByUsername[key] {
      reportDuplicate(
        path + ["name"], "the username `\(user.name)`",
        firstIn: "trunk `\(resources.trunks[trunk].name)`")
    }
  }

  mutating func compileApplications() {
    for (index, application) in resources.applications.enumerated() {
      let path: [PathElement] = ["applications", .index(index)]
      checkName(application.name, kind: "application", at: path + ["name"])
      let tenant = tenant(application.tenant, at: path + ["tenant"])
      tables.tenantOfApplication.append(tenant ?? 0)
      if let tenant {
        let key = TenantKey(tenant, application.name)
        if tables.applications[key] == nil {
          tables.applications[key] = index
        } else {
          reportDuplicate(
            path + ["name"], "the application name `\(application.name)`",
            firstIn: "another application")
        }
        if let number = application.extension {
          claimExtension(
            number, for: .application(index), tenant: tenant, at: path + ["extension"])
        }
      }
      checkFile(of: application, at: path)
    }
  }

  private mutating func checkFile(of application: Application, at path: [PathElement]) {
    switch application.kind {
    case .announcement:
      if application.file?.isEmpty ?? true {
        report(
          path, "announcement `\(application.name)` has no file",
          remedy: "Add file: the path of a WAV file, 8 or 16 kHz mono.")
      }
    case .music:
      if application.file?.isEmpty ?? false {
        report(
          path + ["file"], "the path of a file is empty",
          remedy: "Name a WAV file, 8 or 16 kHz mono, or leave file out for music of our own.")
      }
    case .echo, .milliwatt, .quality:
      if application.file != nil {
        report(
          path + ["file"], "an application of kind \(application.kind.rawValue) plays no file",
          remedy: "Remove file, or make the kind announcement or music.")
      }
    }
  }

  private mutating func claimExtension(
    _ number: String, for target: ExtensionTarget, tenant: Int, at path: [PathElement]
  ) {
    guard (1...ResourceLimits.extensionLength).contains(number.utf8.count),
      DialString.isDialString(number)
    else {
      report(
        path, "`\(number)` cannot be dialled as an extension",
        remedy: "Use 1 to \(ResourceLimits.extensionLength) digits, * or #.")
      return
    }
    let key = TenantKey(tenant, number)
    switch tables.extensions[key] {
    case nil: tables.extensions[key] = target
    case .user(let user):
      reportDuplicate(
        path, "the extension \(number)", firstIn: "user `\(resources.users[user].name)`")
    case .application(let application):
      reportDuplicate(
        path, "the extension \(number)",
        firstIn: "application `\(resources.applications[application].name)`")
    }
  }
}
