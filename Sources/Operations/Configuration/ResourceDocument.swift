import Base
package import Policy

/// Where the values of a document stand, for whoever finds fault with them later.
package struct SourceMap: Sendable {
  package let source: String
  private let root: DocumentNode
  private let sections: Set<ResourceSection>

  init(source: String, root: DocumentNode, sections: Set<ResourceSection>) {
    self.source = source
    self.root = root
    self.sections = sections
  }

  /// The problem with the line and column of the value at its path, or of the nearest thing around it.
  package func locate(_ problem: ConfigurationProblem) -> ConfigError {
    var error = ConfigError(
      source: source, path: problem.pathText, message: problem.message,
      suggestion: problem.suggestion, remedy: problem.remedy)
    guard case .key(let name)? = problem.path.first, let section = ResourceSection(rawValue: name)
    else { return error }
    guard sections.contains(section) else {
      error.message = "\(problem.message) (in \(problem.pathText), which was applied earlier)"
      return error
    }
    let position = root.nearest(to: problem.path).position
    error.line = position.line
    error.column = position.column
    return error
  }
}

/// A document of resources, read and checked for itself; what it refers to is checked by `Configuration`.
package struct ResourceDocument: Sendable {
  /// With what was there already in the sections that the document leaves out.
  package var resources: Resources
  /// The sections that the document has; each is replaced as a whole.
  package var sections: Set<ResourceSection>
  package var map: SourceMap

  /// Reads a document, YAML or JSON, whole or not at all.
  ///
  /// - Parameters:
  ///   - source: what to call the text in errors, usually its file's name.
  ///   - existing: what the sections keep that the document leaves out.
  ///   - isOurs: this program made it of what is in force, so that nobody is asked for other passwords, or for less.
  package static func parse(
    _ text: String, source: String, over existing: Resources = Resources(), isOurs: Bool = false
  ) throws(ConfigErrors) -> ResourceDocument {
    let root = try YAMLDocument.parse(
      text, source: source, byteLimit: isOurs ? .max : YAMLDocument.byteLimit)
    return try parse(root, source: source, over: existing, isStored: isOurs)
  }

  /// What this program wrote itself. Its parts came in one by one, so together they may be larger.
  ///
  /// - Parameter key: what its passwords are sealed with; nil: they are taken as they stand there.
  static func parse(
    stored text: String, source: String, key: StoreKey? = nil
  ) throws(ConfigErrors) -> ResourceDocument {
    var root = try YAMLDocument.parse(text, source: source, byteLimit: .max)
    if let key { root = try key.opened(root, source: source) }
    return try parse(root, source: source, over: Resources(), isStored: true)
  }

  private static func parse(
    _ root: DocumentNode, source: String, over existing: Resources, isStored: Bool = false
  ) throws(ConfigErrors) -> ResourceDocument {
    var reader = ResourceReader(source: source, existing: existing)
    reader.asksForPasswords = !isStored
    let resources = reader.read(root)
    try reader.reader.check()
    return ResourceDocument(
      resources: resources, sections: reader.sections,
      map: SourceMap(source: source, root: root, sections: reader.sections))
  }
}

/// The schema of resources. The keys are the Swift names of the fields.
struct ResourceReader {
  var reader: DocumentReader
  /// Passwords that anybody would guess are mistakes. In what is stored they are not: it must be read at a start.
  var asksForPasswords = true
  private(set) var sections: Set<ResourceSection> = []
  private let existing: Resources
  /// What a resource has that names no tenant or network: the only one there is.
  private var onlyTenant: String?
  private var onlyNetwork: String?

  static let defaultTenant = "default"

  init(source: String, existing: Resources) {
    reader = DocumentReader(source: source)
    self.existing = existing
  }

  mutating func read(_ root: DocumentNode) -> Resources {
    var resources = existing
    let keys = ResourceSection.allCases.map(\.rawValue)
    guard let fields = reader.fields(root, [], keys: keys) else { return resources }
    sections = Set(ResourceSection.allCases.filter { fields.has($0.rawValue) })

    if sections.contains(.tenants) { resources.tenants = each(fields, .tenants) { $0.tenant($1) } }
    if resources.tenants.isEmpty, sections.contains(where: { $0 != .networks }) {
      resources.tenants = [Tenant(name: Self.defaultTenant)]
    }
    onlyTenant = resources.tenants.count == 1 ? resources.tenants[0].name : nil
    if sections.contains(.networks) {
      resources.networks = each(fields, .networks) { $0.network($1) }
    }
    onlyNetwork = resources.networks.count == 1 ? resources.networks[0].name : nil
    if sections.contains(.trunks) { resources.trunks = each(fields, .trunks) { $0.trunk($1) } }
    if sections.contains(.users) { resources.users = each(fields, .users) { $0.user($1) } }
    if sections.contains(.applications) {
      resources.applications = each(fields, .applications) { $0.application($1) }
    }
    if sections.contains(.numbers) { resources.numbers = each(fields, .numbers) { $0.number($1) } }
    if sections.contains(.routes) { resources.routes = each(fields, .routes) { $0.route($1) } }
    if sections.contains(.pools) { resources.pools = each(fields, .pools) { $0.pool($1) } }
    if sections.contains(.classes) {
      resources.classes = each(fields, .classes) { $0.numberClass($1) }
    }
    if sections.contains(.emergencies) {
      resources.emergencies = each(fields, .emergencies) { $0.emergency($1) }
    }
    return resources
  }

  typealias Item = (node: DocumentNode, path: [PathElement])

  private mutating func each<Value>(
    _ fields: DocumentFields, _ section: ResourceSection,
    _ read: (inout ResourceReader, Item) -> Value?
  ) -> [Value] {
    reader.items(fields, section.rawValue).compactMap { read(&self, $0) }
  }

  mutating func name(_ fields: DocumentFields) -> String {
    reader.required(fields, "name", .text("a name", example: "main")) ?? ""
  }

  mutating func tenant(of fields: DocumentFields) -> String {
    if onlyTenant == nil || fields.has("tenant") {
      return reader.required(fields, "tenant", .text("a tenant's name", example: "acme")) ?? ""
    }
    return onlyTenant ?? ""
  }

  mutating func network(of fields: DocumentFields) -> String {
    if onlyNetwork == nil || fields.has("network") {
      return reader.required(fields, "network", .text("a network's name", example: "inside")) ?? ""
    }
    return onlyNetwork ?? ""
  }
}

// MARK: The kinds

extension ResourceReader {
  private mutating func tenant(_ item: Item) -> Tenant? {
    let keys = [
      "name", "domains", "digestAlgorithms", "numbers", "maxCalls", "callsPerSecond",
      "qualityCollector", "qualityInterval", "qualityAlert", "musicOnHold", "tones",
      "recordingCode", "recordingRetentionDays",
    ]
    guard let fields = reader.fields(item.node, item.path, keys: keys + Self.tollKeys) else {
      return nil
    }
    var tenant = Tenant(
      name: name(fields),
      domains: reader.list(fields, "domains", .text("a host name", example: "pbx.example.com")))
    let algorithms = reader.list(fields, "digestAlgorithms", .digest)
    if !algorithms.isEmpty { tenant.digestAlgorithms = algorithms }
    tenant.numbers = numberPlan(fields)
    tenant.maxCalls = reader.optional(fields, "maxCalls", .number(example: 100))
    tenant.callsPerSecond = reader.optional(fields, "callsPerSecond", .number(example: 10))
    tenant.qualityCollector = reader.optional(
      fields, "qualityCollector", .text("a trunk's name", example: "monitoring"))
    tenant.qualityInterval ?= reader.optional(fields, "qualityInterval", .number(example: 60))
    tenant.qualityAlert = reader.optional(fields, "qualityAlert", .meanOpinion)
    tenant.musicOnHold = music(fields)
    tenant.recordingRetentionDays = reader.optional(
      fields, "recordingRetentionDays", .number(example: 30))
    tenant.recordingCode = reader.optional(
      fields, "recordingCode", .text("a code", example: "\"*1\""))
    tenant.tones = reader.optional(fields, "tones", .text("a country", example: "gb"))
    tenant.toll = toll(fields, usual: ResourceDefaults.costlyCallsOfTenant)
    return tenant
  }

  private mutating func network(_ item: Item) -> Network? {
    let keys = [
      "name", "listeners", "media", "advertisedSignalling", "advertisedMedia", "trusted", "access",
    ]
    guard let fields = reader.fields(item.node, item.path, keys: keys) else { return nil }
    var network = Network(
      name: name(fields),
      listeners: reader.list(fields, "listeners", .text("a listener's name", example: "udp")),
      media: reader.list(fields, "media", .text("a media address's name", example: "media")),
      advertisedSignalling: reader.optional(
        fields, "advertisedSignalling", .address(example: "203.0.113.5")),
      advertisedMedia: reader.optional(
        fields, "advertisedMedia", .address(example: "203.0.113.5")),
      trusted: reader.optional(fields, "trusted", .flag) ?? false)
    network.access = access(fields)
    return network
  }

  mutating func password(_ fields: DocumentFields) -> String {
    reader.required(fields, "password", .text("a password", example: "\"…\"")) ?? ""
  }

  private mutating func user(_ item: Item) -> User? {
    let keys = [
      "name", "tenant", "network", "extension", "password", "callerID", "callerIDs", "maxContacts",
      "mediaTimeout", "forward", "redirects", "transfer", "transport", "busyLamp", "pickup",
      "maxCalls", "callsPerSecond", "streams", "codecs", "transcode", "playout",
      "silenceSuppression", "dtmf", "srtp",
      "srtpKeys", "srtpWithoutTLS", "record", "recordingNotice", "musicOnHold", "sources",
      "verstat",
    ]
    let known = keys + Self.previousKeys + Self.tollKeys
    guard let fields = reader.fields(item.node, item.path, keys: known) else {
      return nil
    }
    var user = User(
      name: name(fields), tenant: tenant(of: fields), network: network(of: fields),
      extension: reader.required(fields, "extension", .text("an extension", example: "1001")) ?? "",
      password: password(fields),
      callerID: reader.optional(
        fields, "callerID", .text("a number", example: "\"+441632960100\"")),
      maxContacts: reader.optional(fields, "maxContacts", .number(example: 5))
        ?? ResourceDefaults.maxContacts,
      mediaTimeout: reader.optional(fields, "mediaTimeout", .duration(example: "60s"))
        ?? ResourceDefaults.mediaTimeout)
    refuseGuessable(user.password, of: [user.name, user.extension], fields)
    user.previous = previousPassword(fields)
    user.callerIDs = reader.list(
      fields, "callerIDs", .text("a number", example: "\"+441632960100\""))
    user.forward = forwarding(fields)
    callSide(fields, into: &user)
    user.busyLamp ?= reader.optional(fields, "busyLamp", .choice("what others see of calls"))
    user.pickup = reader.list(fields, "pickup", .text("a user", example: "bob"))
    user.codecs = reader.list(fields, "codecs", .text("a codec", example: "PCMA"))
    user.transport ?= reader.optional(fields, "transport", .choice("how the phones must come"))
    user.maxCalls = reader.optional(fields, "maxCalls", .number(example: 2))
    user.callsPerSecond = reader.optional(fields, "callsPerSecond", .number(example: 1))
    user.sources = reader.list(fields, "sources", .source)
    user.toll = toll(fields, usual: ResourceDefaults.costlyCallsOfUser)
    user.verstat ?= reader.optional(fields, "verstat", .flag)
    return user
  }

  mutating func music(_ fields: DocumentFields) -> String? {
    reader.optional(fields, "musicOnHold", .text("a music's name", example: "waiting"))
  }

  private mutating func forwarding(_ parent: DocumentFields) -> Forwarding {
    var forward = Forwarding()
    let cases = ["always", "busy", "noAnswer", "unreachable"]
    guard let fields = group(parent, "forward", keys: cases + ["noAnswerAfter"]) else {
      return forward
    }
    func item(_ key: String) -> Item? { fields.node(key).map { ($0, fields.path + [.key(key)]) } }
    let kinds = Self.destinationKinds + ["ring"]
    forward.always = item("always").flatMap { destination($0, kinds: kinds, beside: [])?.0 }
    forward.busy = item("busy").flatMap { destination($0, kinds: kinds, beside: [])?.0 }
    forward.noAnswer = item("noAnswer").flatMap { destination($0, kinds: kinds, beside: [])?.0 }
    forward.unreachable = item("unreachable").flatMap {
      destination($0, kinds: kinds, beside: [])?.0
    }
    forward.noAnswerAfter ?= reader.optional(fields, "noAnswerAfter", .duration(example: "20s"))
    return forward
  }

  private mutating func application(_ item: Item) -> Application? {
    let keys = ["name", "tenant", "kind", "extension", "file"]
    guard let fields = reader.fields(item.node, item.path, keys: keys) else { return nil }
    return Application(
      name: name(fields), tenant: tenant(of: fields),
      kind: reader.required(fields, "kind", .choice("a kind of application")) ?? .echo,
      extension: reader.optional(fields, "extension", .text("an extension", example: "\"*43\"")),
      file: reader.optional(fields, "file", .text("a file", example: "welcome.wav")))
  }

  private mutating func number(_ item: Item) -> Number? {
    let keys = ["number", "tenant", "state", "destinations"]
    guard let fields = reader.fields(item.node, item.path, keys: keys) else { return nil }
    let number = reader.required(fields, "number", .text("a number", example: "\"+441632960100\""))
    let hops = reader.items(fields, "destinations").compactMap { hop($0) }
    var read = Number(number: number ?? "", tenant: tenant(of: fields), destinations: hops)
    read.state = reader.optional(fields, "state", .choice("a state of numbers")) ?? .assigned
    return read
  }

  private mutating func hop(_ item: Item) -> DestinationHop? {
    let keys = ["timeout", "continueOn"]
    guard
      let (to, fields) = destination(item, kinds: Self.destinationKinds + ["ring"], beside: keys)
    else { return nil }
    return DestinationHop(
      to: to,
      timeout: reader.optional(fields, "timeout", .duration(example: "30s"))
        ?? ResourceDefaults.hopTimeout,
      continueOn: causes(fields, "continueOn", ResourceDefaults.continueOn))
  }

  private static let destinationKinds = ["user", "trunk", "application", "number"]

  /// A group of keys of which exactly one names a destination.
  private mutating func destination(
    _ item: Item, kinds: [String], beside others: [String]
  ) -> (Destination, DocumentFields)? {
    guard let fields = reader.fields(item.node, item.path, keys: kinds + others) else { return nil }
    let named = kinds.filter { fields.has($0) }
    guard named.count == 1, let kind = named.first else {
      reader.report(
        fields.position, item.path,
        named.isEmpty
          ? "the destination names no target" : "the destination names more than one target",
        remedy: "Write one of \(kinds.joined(separator: ", ")); a further target is a further item."
      )
      return nil
    }
    if kind == "ring" {
      let members = reader.items(fields, "ring").compactMap {
        destination($0, kinds: Self.destinationKinds, beside: [])?.0
      }
      return (.ring(members), fields)
    }
    let name = reader.required(fields, kind, .text("a \(kind)", example: "alice")) ?? ""
    let to: Destination =
      switch kind {
      case "user": .user(name)
      case "trunk": .trunk(name)
      case "application": .application(name)
      default: .number(name)
      }
    return (to, fields)
  }

  /// An empty list means none; a missing key means the default.
  private mutating func causes(
    _ fields: DocumentFields, _ key: String, _ standard: [Cause]
  ) -> [Cause] {
    fields.has(key) ? reader.list(fields, key, .cause) : standard
  }

  private mutating func route(_ item: Item) -> Route? {
    let keys = [
      "name", "tenant", "prefix", "strip", "prepend", "carriers", "timeout", "failoverOn",
    ]
    guard let fields = reader.fields(item.node, item.path, keys: keys) else { return nil }
    return Route(
      name: name(fields), tenant: tenant(of: fields),
      prefix: reader.required(fields, "prefix", .text("a prefix", example: "\"+49\"")) ?? "",
      strip: reader.optional(fields, "strip", .number(example: 1)) ?? 0,
      prepend: reader.optional(fields, "prepend", .text("digits", example: "\"+44\"")) ?? "",
      carriers: reader.items(fields, "carriers").compactMap { carrier($0) },
      timeout: reader.optional(fields, "timeout", .duration(example: "5s"))
        ?? ResourceDefaults.carrierTimeout,
      failoverOn: causes(fields, "failoverOn", ResourceDefaults.failoverOn))
  }

  mutating func carrier(_ item: Item) -> RouteCarrier? {
    guard
      let fields = reader.fields(item.node, item.path, keys: ["trunk", "priority", "weight"])
    else { return nil }
    return RouteCarrier(
      trunk: reader.required(fields, "trunk", .text("a trunk's name", example: "carrier-a")) ?? "",
      priority: reader.optional(fields, "priority", .number(example: 1))
        ?? ResourceDefaults.carrierPriority,
      weight: reader.optional(fields, "weight", .number(example: 100))
        ?? ResourceDefaults.carrierWeight)
  }
}
