import Base
package import Policy

/// Whether passwords are written. They are for the store; nobody else is shown them.
package enum SecretsPolicy: Sendable { case omitted, written }

extension Resources {
  /// As a document that reads back to the same resources (with its secrets).
  package func document(
    _ sections: [ResourceSection] = ResourceSection.allCases, secrets: SecretsPolicy
  ) -> DocumentNode {
    let writer = ResourceWriter(secrets: secrets)
    return .group(sections.map { ($0.rawValue, .list(writer.items($0, of: self))) })
  }

  /// One resource by its name (a number by its number); nil: there is none. In several tenants: the
  /// first of them, unless one is given.
  package func document(
    _ section: ResourceSection, named name: String, tenant: String? = nil, secrets: SecretsPolicy
  ) -> DocumentNode? {
    let key = section == .numbers ? "number" : section == .emergencies ? "tenant" : "name"
    return ResourceWriter(secrets: secrets).items(section, of: self).first { item in
      item.text(key) == name && (tenant == nil || (item.text("tenant") ?? tenant) == tenant)
    }
  }
}

extension DocumentNode {
  static var nowhere: DocumentPosition { DocumentPosition(line: 0, column: 0) }

  static func group(_ pairs: [(String, DocumentNode?)]) -> DocumentNode {
    .mapping(
      pairs.compactMap { key, value in
        value.map { DocumentEntry(key: key, keyPosition: nowhere, value: $0) }
      }, nowhere)
  }
  static func list(_ nodes: [DocumentNode]) -> DocumentNode { .sequence(nodes, nowhere) }
  /// Text; written in quotes where it could be read as something else.
  static func text(_ text: String) -> DocumentNode {
    .scalar(DocumentScalar(text, isQuoted: true, at: nowhere))
  }
  /// A number, true or false.
  static func bare(_ value: some CustomStringConvertible) -> DocumentNode {
    .scalar(DocumentScalar(value.description, isQuoted: false, at: nowhere))
  }
  static func texts(_ texts: [String]) -> DocumentNode? {
    texts.isEmpty ? nil : list(texts.map { .text($0) })
  }

  func text(_ key: String) -> String? {
    guard case .mapping(let entries, _) = self,
      case .scalar(let scalar)? = entries.first(where: { $0.key == key })?.value
    else { return nil }
    return scalar.text
  }
}

/// The schema of `ResourceReader`, the other way. What has its default value is written too, so that a
/// document shows everything that there is to say.
private struct ResourceWriter {
  let secrets: SecretsPolicy

  func items(_ section: ResourceSection, of resources: Resources) -> [DocumentNode] {
    switch section {
    case .tenants: resources.tenants.map(node)
    case .networks: resources.networks.map(node)
    case .trunks: resources.trunks.map(node)
    case .users: resources.users.map(node)
    case .applications: resources.applications.map(node)
    case .numbers: resources.numbers.map(node)
    case .routes: resources.routes.map(node)
    case .pools: resources.pools.map(\.document)
    case .classes: resources.classes.map(\.document)
    case .emergencies: resources.emergencies.map(node)
    }
  }

  private func node(_ tenant: Tenant) -> DocumentNode {
    let fields: [(String, DocumentNode?)] = [
      ("name", .text(tenant.name)), ("domains", .texts(tenant.domains)),
      ("digestAlgorithms", .texts(tenant.digestAlgorithms.map(\.documentName))),
      ("numbers", tenant.numbers.map { .group($0.documentPairs) }),
      ("maxCalls", tenant.maxCalls.map { .bare($0) }),
      ("callsPerSecond", tenant.callsPerSecond.map { .bare($0) }),
      ("qualityCollector", tenant.qualityCollector.map { .text($0) }),
      ("qualityInterval", tenant.qualityInterval == 0 ? nil : .bare(tenant.qualityInterval)),
      ("qualityAlert", tenant.qualityAlert.map { .bare(ValueRule.meanOpinionText($0)) }),
      ("musicOnHold", tenant.musicOnHold.map { .text($0) }),
      ("recordingCode", tenant.recordingCode.map { .text($0) }),
      ("recordingRetentionDays", tenant.recordingRetentionDays.map { .bare($0) }),
      ("tones", tenant.tones.map { .text($0) }),
    ]
    return .group(fields + tenant.toll.fields)
  }

  private func node(_ network: Network) -> DocumentNode {
    .group([
      ("name", .text(network.name)), ("listeners", .texts(network.listeners)),
      ("media", .texts(network.media)),
      ("advertisedSignalling", network.advertisedSignalling.map { .text($0.description) }),
      ("advertisedMedia", network.advertisedMedia.map { .text($0.description) }),
      ("trusted", .bare(network.trusted)), ("access", network.access.document),
    ])
  }

  private func node(_ target: SIPTarget) -> DocumentNode {
    guard let share = target.share else { return .text(target.description) }
    return .group([
      ("target", .text(target.description)), ("priority", .bare(share.priority)),
      ("weight", .bare(share.weight)),
    ])
  }

  private func node(_ trunk: Trunk) -> DocumentNode {
    var fields: [(String, DocumentNode?)] = [
      ("name", .text(trunk.name)), ("tenant", .text(trunk.tenant)),
      ("kind", .text(trunk.kind.rawValue)), ("network", .text(trunk.network)),
      ("targets", trunk.targets.isEmpty ? nil : .list(trunk.targets.map(node))),
      ("sources", .texts(trunk.sources.map(\.documentText))),
      ("credentials", trunk.credentials.map(node)),
      ("authentication", trunk.authentication.map { node($0, trunk.previousAuthentication) }),
      ("maxCalls", trunk.maxCalls.map { .bare($0) }),
      ("callsPerSecond", trunk.callsPerSecond.map { .bare($0) }),
      ("codecs", .texts(trunk.codecs)), ("streams", trunk.streams.document),
    ]
    fields += trunk.speechFields
    fields += [
      ("wideLatching", .bare(trunk.wideLatching)),
      ("mediaTimeout", .text(trunk.mediaTimeout.documentText)),
      ("profile", trunk.profile.map { .text($0) }),
      ("numbers", trunk.numbers.map(\.document)), ("callerID", trunk.callerID.map(\.document)),
      ("rules", trunk.rules.isEmpty ? nil : .list(trunk.rules.map(\.document))),
      ("redirects", .text(trunk.redirects.rawValue)),
      ("transfer", .text(trunk.transfer.rawValue)),
      ("diversion", .text(trunk.diversion.rawValue)),
      ("transport", .text(trunk.transport.rawValue)),
      ("tls", trunk.security.map { node($0, clientName: trunk.clientName) }),
      ("register", trunk.register.map(node)), ("stir", trunk.stir.document),
      ("passesRegistrations", trunk.passing.map(node)),
      (
        "matchHeader",
        trunk.matchHeader.map {
          .group([("name", .text($0.name)), ("value", .text($0.value))])
        }
      ),
      ("probe", node(trunk.probe)), ("overloadControl", .bare(trunk.overloadControl)),
    ]
    return .group(fields + trunk.srtp.fields + trunk.dialogFields + trunk.toll.fields)
  }

  private func node(_ register: TrunkRegistration) -> DocumentNode {
    .group([
      ("registrar", .text(register.registrar)), ("username", .text(register.username)),
      ("aor", register.aor.map { .text($0) }),
      ("credentials", register.credentials.map(node)),
      ("realm", register.realm.map { .text($0) }),
      ("expires", .text(register.expires.documentText)),
      ("outboundProxy", register.outboundProxy.map { .text($0.description) }),
      ("contactUser", register.contactUser.map { .text($0) }),
      ("keepAlive", register.keepAlive.map { .text($0.documentText) }),
      ("numberBlock", .bare(register.numberBlock)),
    ])
  }

  private func node(_ passing: RegistrationPassing) -> DocumentNode {
    .group([
      ("domain", .text(passing.domain)), ("networks", .texts(passing.networks)),
      ("expires", .text(passing.expires.documentText)),
      ("natExpires", .text(passing.natExpires.documentText)),
      ("maxContacts", .bare(passing.maxContacts)),
    ])
  }

  private func node(_ security: TrunkSecurity, clientName: String?) -> DocumentNode {
    let texts = [
      ("serverName", security.serverName), ("ca", security.authorities),
      ("certificate", security.certificate), ("key", security.key),
      ("clientName", clientName ?? ""),
    ]
    return .group(texts.map { ($0, $1.isEmpty ? nil : .text($1)) })
  }

  private func node(_ probe: ProbePolicy) -> DocumentNode {
    .group([
      ("enabled", probe.enabled.map { .bare($0) }),
      ("interval", .text(probe.interval.documentText)),
      ("failures", .bare(probe.failures)), ("successes", .bare(probe.successes)),
      ("slowStart", .text(probe.slowStart.documentText)),
    ])
  }

  private func node(_ credentials: Credentials) -> DocumentNode {
    node(credentials, nil)
  }

  private func node(_ credentials: Credentials, _ previous: PreviousPassword?) -> DocumentNode {
    .group(
      [("username", .text(credentials.username)), ("password", secret(credentials.password))]
        + fields(previous))
  }

  /// Until when is no secret; without the password it is shown to people, and reads back to none.
  private func fields(_ previous: PreviousPassword?) -> [(String, DocumentNode?)] {
    guard let previous else { return [] }
    return [
      ("previousPassword", secret(previous.password)),
      ("previousPasswordUntil", .text(Timestamp.text(previous.until))),
    ]
  }

  private func secret(_ password: String) -> DocumentNode? {
    secrets == .written ? .text(password) : nil
  }

  private func node(_ user: User) -> DocumentNode {
    var fields: [(String, DocumentNode?)] = [
      ("name", .text(user.name)), ("tenant", .text(user.tenant)), ("network", .text(user.network)),
      ("extension", .text(user.extension)), ("password", secret(user.password)),
      ("callerID", user.callerID.map { .text($0) }), ("callerIDs", .texts(user.callerIDs)),
      ("maxContacts", .bare(user.maxContacts)),
      ("maxCalls", user.maxCalls.map { .bare($0) }),
      ("callsPerSecond", user.callsPerSecond.map { .bare($0) }),
      ("mediaTimeout", .text(user.mediaTimeout.documentText)),
      ("forward", node(user.forward)), ("redirects", .text(user.redirects.rawValue)),
      ("transfer", .text(user.transfer.rawValue)), ("busyLamp", .text(user.busyLamp.rawValue)),
      ("pickup", .texts(user.pickup)),
      ("transport", .text(user.transport.rawValue)), ("streams", user.streams.document),
      ("codecs", .texts(user.codecs)),
    ]
    fields += user.speechFields
    fields += [
      ("sources", user.sources.isEmpty ? nil : .texts(user.sources.map(\.documentText))),
      ("verstat", user.verstat ? .bare(true) : nil),
    ]
    return .group(
      fields + self.fields(user.previous) + user.srtp.fields + user.toll.fields)
  }

  private func node(_ forward: Forwarding) -> DocumentNode? {
    guard !forward.isEmpty else { return nil }
    func place(_ destination: Destination?) -> DocumentNode? {
      destination.map { .group([target($0)]) }
    }
    return .group([
      ("always", place(forward.always)), ("busy", place(forward.busy)),
      ("noAnswer", place(forward.noAnswer)),
      ("noAnswerAfter", .text(forward.noAnswerAfter.documentText)),
      ("unreachable", place(forward.unreachable)),
    ])
  }

  private func node(_ application: Application) -> DocumentNode {
    .group([
      ("name", .text(application.name)), ("tenant", .text(application.tenant)),
      ("kind", .text(application.kind.rawValue)),
      ("extension", application.extension.map { .text($0) }),
      ("file", application.file.map { .text($0) }),
    ])
  }

  private func node(_ number: Number) -> DocumentNode {
    .group([
      ("number", .text(number.number)), ("tenant", .text(number.tenant)),
      ("state", number.state == .assigned ? nil : .text(number.state.rawValue)),
      ("destinations", .list(number.destinations.map(node))),
    ])
  }

  private func node(_ hop: DestinationHop) -> DocumentNode {
    .group([
      target(hop.to), ("timeout", .text(hop.timeout.documentText)),
      ("continueOn", .list(hop.continueOn.map { .text($0.name) })),
    ])
  }

  private func target(_ destination: Destination) -> (String, DocumentNode?) {
    switch destination {
    case .user(let name): ("user", .text(name))
    case .trunk(let name): ("trunk", .text(name))
    case .application(let name): ("application", .text(name))
    case .number(let number): ("number", .text(number))
    case .ring(let members): ("ring", .list(members.map { .group([target($0)]) }))
    }
  }

  private func node(_ route: Route) -> DocumentNode {
    .group([
      ("name", .text(route.name)), ("tenant", .text(route.tenant)),
      ("prefix", .text(route.prefix)), ("strip", .bare(route.strip)),
      ("prepend", .text(route.prepend)), ("carriers", .list(route.carriers.map(node))),
      ("timeout", .text(route.timeout.documentText)),
      ("failoverOn", .list(route.failoverOn.map { .text($0.name) })),
    ])
  }

  private func node(_ emergency: Emergency) -> DocumentNode {
    .group([
      ("tenant", .text(emergency.tenant)), ("country", emergency.country.map { .text($0) }),
      ("numbers", .texts(emergency.numbers)), ("carriers", .list(emergency.carriers.map(node))),
      ("reserved", .bare(emergency.reserved)), ("callerID", emergency.callerID.map { .text($0) }),
    ])
  }

  private func node(_ carrier: RouteCarrier) -> DocumentNode {
    .group([
      ("trunk", .text(carrier.trunk)), ("priority", .bare(carrier.priority)),
      ("weight", .bare(carrier.weight)),
    ])
  }
}

extension SourceMatch {
  var documentText: String {
    let width = network.family == .v4 ? 32 : 128
    if let port { return SocketAddress(network, port).description }
    return prefixLength == width ? network.description : "\(network)/\(prefixLength)"
  }
}

extension Interval {
  /// In the largest unit that divides it: `90s`, `2m`, `500ms`.
  var documentText: String {
    let milliseconds = nanoseconds / 1_000_000
    for (unit, size) in [("h", Int64(3_600_000)), ("m", 60_000), ("s", 1_000)]
    where milliseconds != 0 && milliseconds % size == 0 {
      return "\(milliseconds / size)\(unit)"
    }
    return "\(milliseconds)ms"
  }
}
