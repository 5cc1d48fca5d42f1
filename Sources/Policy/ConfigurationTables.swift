import Base
import SIPWire

/// A name in the scope of a tenant.
struct TenantKey: Hashable, Sendable {
  var tenant: Int32
  var name: String
  init(_ tenant: Int, _ name: String) {
    self.tenant = Int32(truncatingIfNeeded: tenant)
    self.name = name
  }
}

/// A trunk that a header tells from others of the same source.
package struct HeaderTrunk: Sendable {
  package var trunk: Int
  package var header: HeaderMatch
  package var sources: SourceSet
}

/// A network's ends in this process, by index.
struct NetworkEndpoints: Sendable {
  /// Index, transport and family of each, in the order in which they are named.
  var listeners: [(index: UInt16, transport: Transport, family: IPAddress.Family)] = []
  var media: [UInt16] = []
  var mediaV4: [UInt16] = []
  var mediaV6: [UInt16] = []
  var tenants = TenantsOfNetwork.none

  func listener(_ transport: Transport, _ family: IPAddress.Family) -> UInt16? {
    listeners.first { $0.transport == transport && $0.family == family }?.index
  }

  func hasListener(_ family: IPAddress.Family) -> Bool {
    listeners.contains { $0.family == family }
  }
}

/// To whom the trunks and users of a network belong.
enum TenantsOfNetwork: Hashable, Sendable {
  case none
  case one(Int)
  case several
}

/// What an extension rings.
enum ExtensionTarget: Hashable, Sendable {
  case user(Int)
  case application(Int)
}

/// Where one hop of a chain leads, with every name already looked up.
enum CompiledTarget: Hashable, Sendable {
  case trunk(Int)
  case user(Int)
  case application(Int)
  /// Index into `ConfigurationTables.chains`.
  case number(Int)
  /// Index into `ConfigurationTables.routes`, and the number as it is dialled there.
  case route(Int, dialled: String)
  case ring([CompiledTarget])

  /// The chains that it leads to at once or among others.
  var chains: [Int] {
    switch self {
    case .number(let chain): [chain]
    case .ring(let members): members.flatMap(\.chains)
    case .trunk, .user, .application, .route: []
    }
  }
}

struct CompiledHop: Sendable {
  var target: CompiledTarget
  var timeout: Interval
  var continueOn: CauseSet
}

struct CompiledChain: Sendable {
  /// As the resource has it, without separators: what the destinations see.
  var number: String
  var state = NumberState.assigned
  /// The last one's `continueOn` is empty: what follows it is for the outer chain to say.
  var hops: [CompiledHop] = []
}

struct CompiledCarrier: Sendable {
  var trunk: Int
  var weight: Int
}

struct CompiledRoute: Sendable {
  var strip: Int
  var prepend: String
  var timeout: Interval
  var failoverOn: CauseSet
  /// By priority, the first to be tried first.
  var groups: [[CompiledCarrier]] = []
}

/// Everything that a lookup needs, made once by `ConfigurationCompiler`.
struct ConfigurationTables: Sendable {
  var tenants: [String: Int] = [:]
  /// Some trunk or user has something else than `record: off`.
  var recordsCalls = false
  /// Some tenant has a `recordingCode`.
  var heedsCodes = false
  /// Somebody has `musicOnHold`.
  var playsMusic = false
  /// By tenant: the trunk that hears what calls were like.
  var collectors: [Int: Int] = [:]
  /// In lower case.
  var domains: [String: Int] = [:]
  var networks: [String: Int] = [:]
  var networkOfListener: [Int?] = []
  var endpoints: [NetworkEndpoints] = []
  var sources: [SourceTable] = []
  /// By network; nil: everybody may come.
  var access: [AccessList?] = []
  var hasAccessLists = false

  /// By network: trunks that a header tells from others of the same source.
  var headerTrunks: [[HeaderTrunk]] = []
  /// Trunks that the certificate of their connections tells, by network and domain in lower case; and which domain a
  /// trunk has to show, those that a header tells apart included.
  var trunksByClientName: [TenantKey: Int] = [:]
  var clientNames: [Int: String] = [:]
  /// By trunk: from where alone its certificate and its credentials are good.
  var sourcesOfTrunk: [Int: SourceSet] = [:]
  /// By user: from where alone its password is good.
  var sourcesOfUser: [Int: SourceSet] = [:]
  /// By the `line` of our Contact.
  var trunksByLine: [String: Int] = [:]
  /// By network and the user part of our Contact; more than one at different registrars.
  var trunksByContact: [TenantKey: [(trunk: Int, sources: SourceSet)]] = [:]

  /// By domain, in lower case: trunks whose PBX keeps its phones' registrations.
  var passings: [String: CompiledPassing] = [:]

  var trunks: [TenantKey: Int] = [:]
  var trunksByUsername: [TenantKey: Int] = [:]
  /// The inner nil: several tenants have it.
  var trunksByUsernameAnywhere: [String: Int?] = [:]
  var users: [TenantKey: Int] = [:]
  var applications: [TenantKey: Int] = [:]
  var extensions: [TenantKey: ExtensionTarget] = [:]

  var tenantOfTrunk: [Int] = []
  var tenantOfUser: [Int] = []
  var tenantOfApplication: [Int] = []
  var networkOfTrunk: [Int] = []
  var networkOfUser: [Int] = []

  var readerOfTenant: [NumberReader?] = []
  var readerOfTrunk: [NumberReader?] = []
  var writerOfTrunk: [NumberWriter] = []
  var callers: [CompiledCallerPolicy?] = []
  var rulesOfTrunk: [RuleSet?] = []
  /// By user; nil: it forwards nothing.
  var forwards: [CompiledForwarding?] = []
  var poolsOfTrunk: [[Int]] = []
  /// By tenant, and by PBX where it has a plan of numbers of its own: what is no call abroad.
  var homes: [HomeCountry] = []
  var homesOfTrunk: [Int: HomeCountry] = [:]
  /// Somebody has a `maxCallDuration`.
  var limitsDurations = false
  /// Somebody has a `previousPassword`.
  var acceptsPreviousPasswords = false
  /// By tenant; the value is an index into the resources' classes.
  var classes: [PrefixTable] = []
  var emergencies: [CompiledEmergency] = []
  var emergencyOfTenant: [Int?] = []

  var numbers: [TenantKey: Int] = [:]
  var chains: [CompiledChain] = []
  var routes: [CompiledRoute] = []
  /// By tenant; the value is an index into `routes`.
  var prefixes: [PrefixTable] = []
}
