import Base
import Policy

// Trunks, with all that hangs on one: where it is reached, how it proves itself, what it registers with.

extension ResourceReader {
  mutating func trunk(_ item: Item) -> Trunk? {
    let keys = [
      "name", "tenant", "kind", "network", "targets", "sources", "credentials", "authentication",
      "maxCalls", "callsPerSecond", "codecs", "transcode", "playout", "silenceSuppression", "dtmf",
      "streams",
      "wideLatching", "mediaTimeout", "numbers", "callerID", "rules", "register", "matchHeader",
      "redirects", "transfer", "diversion", "transport", "tls",
      "profile", "probe", "overloadControl", "passesRegistrations", "srtp", "srtpKeys",
      "srtpWithoutTLS", "record", "recordingNotice", "musicOnHold", "stir",
    ]
    let known = keys + Self.dialogKeys + Self.tollKeys
    guard let fields = reader.fields(item.node, item.path, keys: known) else { return nil }
    var trunk = Trunk(
      name: name(fields), tenant: tenant(of: fields),
      kind: reader.required(fields, "kind", .choice("a kind of trunk")) ?? .pbx,
      network: network(of: fields),
      sources: reader.list(fields, "sources", .source),
      credentials: credentials(fields, "credentials"),
      authentication: authentication(fields),
      maxCalls: reader.optional(fields, "maxCalls", .number(example: 30)),
      callsPerSecond: reader.optional(fields, "callsPerSecond", .number(example: 10)),
      codecs: reader.list(fields, "codecs", .text("a codec", example: "PCMA")),
      wideLatching: reader.optional(fields, "wideLatching", .flag) ?? false,
      mediaTimeout: reader.optional(fields, "mediaTimeout", .duration(example: "60s"))
        ?? ResourceDefaults.mediaTimeout)
    trunk.previousAuthentication = previousAuthentication(fields)
    trunk.profile = reader.optional(
      fields, "profile", .text("a profile's name", example: "sipconnect"))
    trunk.numbers = trunkNumbers(fields)
    trunk.callerID = callerPolicy(fields)
    trunk.rules = rules(fields)
    trunk.targets = reader.items(fields, "targets").compactMap { target($0) }
    trunk.probe = probe(fields)
    trunk.overloadControl = reader.optional(fields, "overloadControl", .flag) ?? false
    trunk.register = registration(fields, of: trunk)
    trunk.passing = passing(fields)
    trunk.matchHeader = headerMatch(fields)
    dialogs(fields, into: &trunk)
    callSide(fields, into: &trunk)
    trunk.diversion ?= reader.optional(fields, "diversion", .choice("a way to tell of diversions"))
    trunk.transport = reader.optional(fields, "transport", .choice("a transport")) ?? .udp
    trunk.targets = trunk.targets.map { $0.reached(by: trunk.transport) }
    security(fields, into: &trunk)
    trunk.toll = toll(fields, usual: ResourceDefaults.costlyCallsOfTrunk)
    trunk.stir = stir(fields)
    return trunk
  }

  /// An address, or a group that says how calls are shared out.
  private mutating func target(_ item: Item) -> SIPTarget? {
    guard case .mapping = item.node else { return reader.value(item.node, item.path, .target) }
    guard
      let fields = reader.fields(item.node, item.path, keys: ["target", "priority", "weight"]),
      var target = reader.required(fields, "target", .target)
    else { return nil }
    target.share = TargetShare(
      priority: reader.optional(fields, "priority", .number(example: 1))
        ?? ResourceDefaults.carrierPriority,
      weight: reader.optional(fields, "weight", .number(example: 100))
        ?? ResourceDefaults.carrierWeight)
    return target
  }

  private mutating func headerMatch(_ parent: DocumentFields) -> HeaderMatch? {
    guard let fields = group(parent, "matchHeader", keys: ["name", "value"]) else { return nil }
    return HeaderMatch(
      name: reader.required(fields, "name", .text("a header's name", example: "X-Account")) ?? "",
      value: reader.required(fields, "value", .text("a value", example: "acme")) ?? "")
  }

  private mutating func registration(
    _ parent: DocumentFields, of trunk: Trunk
  ) -> TrunkRegistration? {
    let keys = [
      "registrar", "username", "password", "credentials", "aor", "realm", "expires",
      "outboundProxy", "contactUser", "keepAlive", "numberBlock",
    ]
    guard let fields = group(parent, "register", keys: keys) else { return nil }
    let registrar = reader.required(
      fields, "registrar", .text("a host name or address", example: "sip.example.net"))
    let username =
      reader.optional(fields, "username", .text("a username", example: "acme"))
      ?? trunk.credentials?.username
      ?? reader.required(fields, "username", .text("a username", example: "acme"))
    var register = TrunkRegistration(
      registrar: registrar ?? "", username: username ?? "",
      expires: reader.optional(fields, "expires", .duration(example: "1h"))
        ?? ResourceDefaults.registrationExpires)
    register.aor = reader.optional(fields, "aor", .text("an address", example: "acme@example.net"))
    register.credentials = credentials(fields, "credentials")
    let password = reader.optional(fields, "password", .text("a password", example: "\"…\""))
    if let password, register.credentials == nil {
      register.credentials = Credentials(username: register.username, password: password)
    }
    register.realm = reader.optional(fields, "realm", .text("a realm", example: "example.net"))
    register.outboundProxy = reader.optional(fields, "outboundProxy", .target)
    register.contactUser = reader.optional(
      fields, "contactUser", .text("a user part", example: "acme"))
    register.keepAlive = reader.optional(fields, "keepAlive", .duration(example: "25s"))
    register.numberBlock = reader.optional(fields, "numberBlock", .flag) ?? false
    return register
  }

  private mutating func passing(_ parent: DocumentFields) -> RegistrationPassing? {
    let keys = ["domain", "networks", "expires", "natExpires", "maxContacts"]
    guard let fields = group(parent, "passesRegistrations", keys: keys) else { return nil }
    var passing = RegistrationPassing(
      domain: reader.required(fields, "domain", .text("a domain", example: "pbx.example.com"))
        ?? "")
    passing.networks = reader.list(
      fields, "networks", .text("a network's name", example: "outside"))
    passing.expires ?= reader.optional(fields, "expires", .duration(example: "1h"))
    passing.natExpires ?= reader.optional(fields, "natExpires", .duration(example: "60s"))
    passing.maxContacts ?= reader.optional(fields, "maxContacts", .number(example: 5))
    return passing
  }

  private mutating func security(_ parent: DocumentFields, into trunk: inout Trunk) {
    let keys = ["serverName", "ca", "certificate", "key", "clientName"]
    guard let fields = group(parent, "tls", keys: keys) else { return }
    var security = TrunkSecurity()
    security.serverName =
      reader.optional(fields, "serverName", .text("a host name", example: "sip.example.com")) ?? ""
    security.authorities =
      reader.optional(fields, "ca", .text("a file", example: "/etc/demarc/carrier.pem")) ?? ""
    security.certificate =
      reader.optional(fields, "certificate", .text("a file", example: "/etc/demarc/cert.pem")) ?? ""
    security.key =
      reader.optional(fields, "key", .text("a file", example: "/etc/demarc/key.pem")) ?? ""
    trunk.security = security
    trunk.clientName = reader.optional(
      fields, "clientName", .text("a domain of its certificate", example: "pbx.example.com"))
  }

  private mutating func probe(_ parent: DocumentFields) -> ProbePolicy {
    var probe = ProbePolicy()
    let keys = ["enabled", "interval", "failures", "successes", "slowStart"]
    guard let fields = group(parent, "probe", keys: keys) else { return probe }
    probe.enabled = reader.optional(fields, "enabled", .flag)
    probe.interval ?= reader.optional(fields, "interval", .duration(example: "30s"))
    probe.failures ?= reader.optional(fields, "failures", .number(example: 3))
    probe.successes ?= reader.optional(fields, "successes", .number(example: 2))
    probe.slowStart ?= reader.optional(fields, "slowStart", .duration(example: "30s"))
    return probe
  }

  mutating func credentials(
    _ parent: DocumentFields, _ key: String, further: [String] = []
  ) -> Credentials? {
    guard let fields = group(parent, key, keys: ["username", "password"] + further) else {
      return nil
    }
    return Credentials(
      username: reader.required(fields, "username", .text("a username", example: "acme")) ?? "",
      password: password(fields))
  }
}
