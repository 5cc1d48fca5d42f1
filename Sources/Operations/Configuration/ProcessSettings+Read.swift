import Base
import MediaControl
import Policy
import SIPWire

/// One setting from outside the file, by its path ("log.level"). For the lists of listeners and media
/// addresses there is none: those are the file's.
package struct SettingOverride: Hashable, Sendable {
  package var path: String
  package var value: String
  /// What to call it in errors: "environment DEMARC_LOG_LEVEL", "--log-level".
  package var origin: String

  package init(path: String, value: String, origin: String) {
    self.path = path
    self.value = value
    self.origin = origin
  }
}

extension ProcessSettings {
  /// The settings that the environment and the command line can set, each as `DEMARC_` and its path in
  /// capitals: `log.level` is `DEMARC_LOG_LEVEL`.
  package static let overridable = [
    "store.path", "store.retentionDays", "api.socket", "metrics.address", "metrics.port",
    "log.level", "log.format", "log.personal", "limits.calls", "limits.transactions",
    "limits.registrations",
    "admission.sourceRate", "admission.blockRate", "admission.networkRate", "admission.bans",
    "admission.banTime", "admission.longestBan", "admission.kernelTable",
    "limits.messageMemory", "limits.ladderMemory", "limits.unconfirmedFacts", "limits.drainTime",
    "limits.connections", "limits.connectionsPerSource", "limits.handshakeTime",
    "recordings.path", "recordings.format", "recordings.minimumFree", "recordings.retentionDays",
    "recordings.maximum", "dscp.media", "dscp.signalling",
    "limits.messageTime", "limits.idleTime", "limits.connectTime", "limits.connectionOutput",
  ]

  /// Variables of ours that are no settings.
  private static let otherVariables: Set = ["DEMARC_CONFIG", "DEMARC_SOCKET", "DEMARC_CORE"]

  /// `store.retentionDays` → `DEMARC_STORE_RETENTION_DAYS`.
  package static func variable(_ path: String) -> String {
    var name = "DEMARC_"
    for scalar in path.unicodeScalars {
      switch scalar {
      case ".": name += "_"
      case "A"..."Z": name += "_\(scalar)"
      default: name += "\(scalar)".uppercased()
      }
    }
    return name
  }

  /// Reads the settings: the file over the defaults, the environment over the file, the command line
  /// over both. Everything that is wrong with any of them is reported at once.
  ///
  /// - Parameters:
  ///   - text: the file's content; nil: there is none, and the defaults are for one machine on its own.
  ///   - environment: only names that begin with `DEMARC_` are looked at. `DEMARC_SOCKET`, which the
  ///     commands use too, is the same as `DEMARC_API_SOCKET`.
  package static func read(
    _ text: String?, source: String, environment: [String: String] = [:],
    flags: [SettingOverride] = []
  ) throws(ConfigErrors) -> ProcessSettings {
    var reader = DocumentReader(source: source)
    let overrides = variables(environment, &reader) + flags
    var root = DocumentNode.mapping([], DocumentPosition(line: 1, column: 1))
    if let text { root = try YAMLDocument.parse(text, source: source) }
    for override in overrides { root = root.setting(override) }
    let settings = reader.settings(root)
    try reader.check()
    return settings
  }

  private static func variables(_ environment: [String: String], _ reader: inout DocumentReader)
    -> [SettingOverride]
  {
    var known: [String: String] = [:]
    for path in overridable { known[variable(path)] = path }
    var overrides: [SettingOverride] = []
    if let socket = environment["DEMARC_SOCKET"] {
      overrides.append(
        SettingOverride(
          path: "api.socket", value: socket, origin: "environment DEMARC_SOCKET"))
    }
    for (name, value) in environment.sorted(by: { $0.key < $1.key })
    where name.hasPrefix("DEMARC_") && !otherVariables.contains(name) {
      let origin = "environment \(name)"
      guard let path = known[name] else {
        let nearest = nearestMatch(to: name, in: known.keys.sorted())
        // A service called demarc makes Kubernetes set DEMARC_PORT and more: only what is nearly ours
        // can be meant for us.
        if nearest != nil {
          reader.report(
            DocumentPosition(line: 0, column: 0, origin: origin), [],
            "there is no such setting", suggestion: nearest,
            remedy: "Known: \(known.keys.sorted().joined(separator: ", ")).")
        }
        continue
      }
      overrides.append(SettingOverride(path: path, value: value, origin: origin))
    }
    return overrides
  }
}

extension DocumentNode {
  /// The document with one value set or replaced.
  fileprivate func setting(_ override: SettingOverride) -> DocumentNode {
    let keys = override.path.split(separator: ".").map(String.init)
    let position = DocumentPosition(line: 0, column: 0, origin: override.origin)
    return setting(keys[...], .scalar(DocumentScalar(override.value, at: position)), position)
  }

  private func setting(
    _ keys: ArraySlice<String>, _ value: DocumentNode, _ position: DocumentPosition
  ) -> DocumentNode {
    guard let key = keys.first else { return value }
    var entries: [DocumentEntry] = []
    var place = position
    if case .mapping(let own, let at) = self {
      entries = own
      place = at
    }
    if let index = entries.firstIndex(where: { $0.key == key }) {
      entries[index].value = entries[index].value.setting(keys.dropFirst(), value, position)
    } else {
      let empty = DocumentNode.mapping([], position)
      entries.append(
        DocumentEntry(
          key: key, keyPosition: position,
          value: empty.setting(keys.dropFirst(), value, position)))
    }
    return .mapping(entries, place)
  }
}

// MARK: The schema

extension DocumentReader {
  fileprivate mutating func settings(_ root: DocumentNode) -> ProcessSettings {
    var settings = ProcessSettings()
    let keys = [
      "listeners", "media", "mediaFastPath", "store", "api", "metrics", "log", "limits", "dns",
      "recordings", "dscp", "admission", "stir",
    ]
    guard let fields = fields(root, [], keys: keys) else { return settings }
    if fields.has("listeners") { settings.listeners = listeners(fields) }
    if fields.has("media") { settings.media = mediaAddresses(fields) }
    settings.mediaFastPath ?= optional(fields, "mediaFastPath", .choice("a mode"))
    if let store = group(fields, "store", keys: ["path", "retentionDays"]) {
      settings.store.path ?= optional(store, "path", .text("a file", example: "/var/lib/demarc.db"))
      settings.store.retentionDays
        ?= optional(
          store, "retentionDays", .number(0...36_500, example: 400))
    }
    if let api = group(fields, "api", keys: ["socket"]) {
      settings.api.socket
        ?= optional(
          api, "socket", .text("a path", example: "/run/demarc/demarc.sock"))
    }
    if let metrics = group(fields, "metrics", keys: ["address", "port"]) {
      var values = MetricsSettings()
      values.address ?= optional(metrics, "address", .address(example: "127.0.0.1"))
      values.port ?= optional(metrics, "port", .port(example: 9_090))
      settings.metrics = values
    }
    if let log = group(fields, "log", keys: ["level", "format", "personal"]) {
      settings.log.level ?= optional(log, "level", .logLevel)
      settings.log.format ?= optional(log, "format", .choice("a log format"))
      settings.log.personal ?= optional(log, "personal", .flag)
    }
    limits(fields, &settings.limits)
    admission(fields, &settings)
    recordings(fields, &settings.recordings)
    stir(fields, &settings.stir)
    if let dscp = group(fields, "dscp", keys: ["media", "signalling"]) {
      settings.dscp.media ?= optional(dscp, "media", .number(0...63, example: 46))
      settings.dscp.signalling ?= optional(dscp, "signalling", .number(0...63, example: 24))
    }
    if let dns = group(fields, "dns", keys: ["servers", "timeout", "hostsFile"]) {
      settings.dns.servers = list(dns, "servers", .nameServer)
      settings.dns.timeout ?= optional(dns, "timeout", .patience)
      settings.dns.hostsFile ?= optional(dns, "hostsFile", .text("a file", example: "/etc/hosts"))
    }
    return settings
  }

  private mutating func limits(_ parent: DocumentFields, _ limits: inout LimitSettings) {
    let keys = [
      "calls", "transactions", "registrations", "messageMemory", "ladderMemory",
      "unconfirmedFacts", "drainTime", "connections", "connectionsPerSource", "handshakeTime",
      "messageTime", "idleTime", "connectTime", "connectionOutput",
    ]
    guard let fields = group(parent, "limits", keys: keys) else { return }
    limits.calls ?= optional(fields, "calls", .number(1...1_000_000, example: 20_000))
    limits.transactions
      ?= optional(
        fields, "transactions", .number(10...10_000_000, example: 200_000))
    limits.registrations
      ?= optional(
        fields, "registrations", .number(0...10_000_000, example: 100_000))
    limits.messageMemory ?= optional(fields, "messageMemory", .bytes)
    limits.ladderMemory ?= optional(fields, "ladderMemory", .bytes)
    limits.unconfirmedFacts
      ?= optional(
        fields, "unconfirmedFacts", .number(100...10_000_000, example: 50_000))
    limits.drainTime ?= optional(fields, "drainTime", .duration(example: "30s"))
    streamLimits(fields, &limits.streams)
  }

  private mutating func listeners(_ parent: DocumentFields) -> [ListenerSettings] {
    var listeners: [ListenerSettings] = []
    var firstUse: [String: Int] = [:]
    var sockets: [ListenerSocket: String] = [:]
    for (node, path) in items(parent, "listeners") {
      let keys = ["name", "transport", "address", "port"] + Self.securityKeys + ["origins"]
      guard let fields = fields(node, path, keys: keys) else { continue }
      let transport: ListenerTransport =
        optional(fields, "transport", .choice("a transport")) ?? .udp
      var listener = ListenerSettings(
        name: required(fields, "name", .text("a name", example: "udp")) ?? "",
        transport: transport,
        address: required(fields, "address", .address(example: "192.0.2.1")) ?? .anyV4,
        port: optional(fields, "port", .port(example: 5060)) ?? transport.wire.defaultPort)
      security(fields, path, &listener)
      checkName(listener.name, fields, &firstUse)
      // A port of UDP and one of TCP are different things.
      let socket = ListenerSocket(
        isStream: transport.wire.isReliable, address: SocketAddress(listener.address, listener.port)
      )
      if let other = sockets.updateValue(listener.name, forKey: socket), !errorsHave(path) {
        report(
          fields.position, path, "\(socket.address) is the listener `\(other)`'s already",
          remedy: "Give each listener an address and port of its own.")
      }
      if listener.address.isMulticast || listener.address == .anyV4 || listener.address == .anyV6,
        !errorsHave(path)
      {
        report(
          fields.position, path + ["address"],
          "a listener needs one address, not \(socket.address.ip)",
          remedy: "Write the address under which the peers reach it; one listener for each.")
      }
      listeners.append(listener)
    }
    if listeners.isEmpty, errors.isEmpty {
      report(
        parent.position, ["listeners"], "there is no listener",
        remedy: "Add one, or leave the key out for udp on 127.0.0.1:5060.")
    }
    return listeners
  }

  private mutating func mediaAddresses(_ parent: DocumentFields) -> [MediaAddress] {
    var addresses: [MediaAddress] = []
    var firstUse: [String: Int] = [:]
    for (node, path) in items(parent, "media") {
      guard let fields = fields(node, path, keys: ["name", "address", "ports"]) else { continue }
      let media = MediaAddress(
        name: required(fields, "name", .text("a name", example: "media")) ?? "",
        bound: required(fields, "address", .address(example: "192.0.2.1")) ?? .anyV4,
        ports: required(fields, "ports", .ports) ?? 20_000...20_499)
      checkName(media.name, fields, &firstUse)
      if let other = addresses.first(where: {
        $0.bound == media.bound && $0.ports.overlaps(media.ports)
      }), !errorsHave(path) {
        report(
          fields.position, path + ["ports"],
          "the ports overlap with those of `\(other.name)` on the same address",
          remedy: "Give each a range of its own.")
      }
      if media.ports.count < 2 {
        report(
          fields.position, path + ["ports"], "a call needs two ports on each of its sides",
          remedy: "Widen the range; four ports for each call at a time.")
      }
      if !errorsHave(path) { addresses.append(media) }
    }
    return addresses
  }

  private mutating func checkName(
    _ name: String, _ fields: DocumentFields, _ firstUse: inout [String: Int]
  ) {
    if !name.isEmpty, let line = firstUse.updateValue(fields.position.line, forKey: name) {
      report(
        fields.position, fields.path + ["name"],
        "the name `\(name)` is used twice; line \(line) has it already",
        remedy: "Change one of the two.")
    }
  }

  /// Whether something of this item was reported already: then what follows from it is not.
  func errorsHave(_ path: [PathElement]) -> Bool {
    errors.contains { $0.path.hasPrefix(path.pathText) }
  }
}

extension ValueRule where Value == Interval {
  /// For one name server: shorter gives up before it can answer, longer keeps calls waiting.
  fileprivate static var patience: ValueRule {
    let any = duration(example: "1s")
    return ValueRule(expected: "a duration from 100ms to 10s", example: "1s") { text in
      any.parse(text).flatMap { Interval.milliseconds(100) <= $0 && $0 <= .seconds(10) ? $0 : nil }
    }
  }
}

extension ValueRule where Value == LogLevel {
  fileprivate static var logLevel: ValueRule {
    ValueRule(
      expected: "a log level", example: "info", choices: LogLevel.allCases.map(\.name)
    ) { LogLevel(name: $0) }
  }
}

/// What only one listener can have.
private struct ListenerSocket: Hashable {
  var isStream: Bool
  var address: SocketAddress
}

infix operator ?= : AssignmentPrecedence

/// Takes the value where there is one.
func ?= <Value>(place: inout Value, value: Value?) {
  if let value { place = value }
}
